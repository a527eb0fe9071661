"""Singular values of a matrix, and what follows from them: its spectral norm and its effective rank."""

from __future__ import annotations

import math

import torch

from interp_widgets.inspectors.tensors import blocks

__all__ = ["EXACT", "TOLERANCE", "effective_rank", "singular_values", "spectral_norm"]

EXACT = 1024  # rows or columns, whichever are fewer, up to which all singular values are computed
TOLERANCE = 1e-4  # relative, of the spectral norm of a larger matrix
MOST_STEPS = 100


def singular_values(matrix: torch.Tensor) -> torch.Tensor:
    """All singular values, ``(min(n, m),)`` float64, the largest first.

    The roots of the eigenvalues of the smaller Gram matrix in double precision, which needs no copy of the matrix.
    Values below ``sqrt(min(n, m) * 2.2e-16)`` of the largest cannot be told from zero this way, and are zero.

    Args:
        matrix: ``(n, m)``, real or complex, without NaN or infinity.
    """
    gram = _gram(matrix)
    eigenvalues = torch.linalg.eigvalsh(gram).flip(0)
    noise = len(gram) * torch.finfo(torch.float64).eps * eigenvalues[0]
    return torch.where(eigenvalues > noise, eigenvalues, 0).sqrt()


def effective_rank(values: torch.Tensor) -> float:
    """The exponential of the entropy of the normalised singular values, from 1 to their number; 0 for zeros.

    Roy and Vetterli 2007, *The effective rank*, definition 1.

    Args:
        values: singular values, ``(k,)``.
    """
    total = values.sum()
    if total == 0:
        return 0.0
    shares = values / total
    return math.exp(float(torch.special.entr(shares).sum()))


def spectral_norm(matrix: torch.Tensor) -> float:
    """The largest singular value, by Lanczos iteration: power iteration that keeps what it went through.

    It ends when the residual of the leading eigenpair of ``matrix^H matrix`` bounds the error of the value by
    ``TOLERANCE``, or after 100 steps (Golub and Van Loan, *Matrix Computations*, 10.1).

    Args:
        matrix: ``(n, m)``, real or complex, without NaN or infinity.
    """
    dtype = torch.complex128 if matrix.is_complex() else torch.float64
    generator = torch.Generator().manual_seed(0)
    vector = torch.randn(matrix.shape[1], dtype=dtype, generator=generator)
    vector /= vector.norm()
    basis = [vector]
    diagonal: list[float] = []
    beside: list[float] = []
    for _ in range(min(MOST_STEPS, matrix.shape[1])):
        image = _squared(matrix, basis[-1])  # (m,)
        diagonal.append(float(torch.vdot(basis[-1], image).real))
        spanned = torch.stack(basis, dim=1)  # (m, steps)
        for _ in range(2):  # once leaves what rounding lost
            image = image - spanned @ (spanned.mH @ image)
        length = float(image.norm())
        largest, last = _leading(diagonal, beside)
        if length * last <= 2 * TOLERANCE * largest:  # an error of the square is twice that of the value
            break
        beside.append(length)
        basis.append(image / length)
    return math.sqrt(largest)


def _gram(matrix: torch.Tensor) -> torch.Tensor:
    """``matrix^H matrix``, or of the transpose where that is smaller, ``(k, k)`` in double precision."""
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    side = tall.shape[1]
    gram = torch.zeros(side, side, dtype=torch.complex128 if matrix.is_complex() else torch.float64)
    for block in blocks(tall):
        gram.addmm_(block.mH, block)
    return gram


def _squared(matrix: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    """``matrix^H matrix vector``, ``(m,)``."""
    found = torch.zeros_like(vector)
    for block in blocks(matrix):
        found += block.mH @ (block @ vector)
    return found


def _leading(diagonal: list[float], beside: list[float]) -> tuple[float, float]:
    """The largest eigenvalue of a symmetric tridiagonal matrix, and the size of its eigenvector's last entry."""
    tridiagonal = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
    if beside:
        off = torch.tensor(beside, dtype=torch.float64)
        tridiagonal += torch.diag(off, 1) + torch.diag(off, -1)
    eigenvalues, vectors = torch.linalg.eigh(tridiagonal)
    return float(eigenvalues[-1]), abs(float(vectors[-1, -1]))
