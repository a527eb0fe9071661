"""Maps from the first principal component of a layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from interp_widgets.explainers.base import CAM, Explainer, limits
from interp_widgets.explainers.estimate import Estimate
from interp_widgets.explainers.question import Question

__all__ = ["EigenCAM", "EigenGradCAM"]

SMALL = 64  # up to this size the whole decomposition is as fast
TOLERANCE = 1e-9  # residual of the eigenvector, relative to its eigenvalue


def first_component(maps: torch.Tensor, *, centred: bool) -> torch.Tensor:
    """The positions' projection on the first right singular vector of ``maps`` ``(C, H', W')``, as ``(H', W')``.

    A singular vector has no sign of its own: the one whose projection grows with the positions' norm is taken.
    """
    channels = maps.flatten(1).cpu().numpy().astype(np.float64)  # (C, H'W')
    if not np.isfinite(channels).all():
        return maps.new_full(maps.shape[1:], torch.nan)  # which a decomposition would refuse in its own words
    seen = channels - channels.mean(axis=1, keepdims=True) if centred else channels
    if seen.shape[1] <= seen.shape[0]:
        left = leading_eigenvector(seen.T)
        projection = left * np.sqrt(np.square(seen @ left).sum())  # u1 times sigma1
    else:
        projection = leading_eigenvector(seen) @ seen
    sign = 1 if projection @ np.sqrt(np.einsum("cp,cp->p", channels, channels)) >= 0 else -1
    return torch.from_numpy((sign * projection).reshape(maps.shape[1:])).to(maps.device, maps.dtype)


def leading_eigenvector(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The unit eigenvector of ``matrix @ matrix.T`` with the largest eigenvalue, ``(k,)``; ``matrix`` is ``(k, m)``.

    By Lanczos' method with full reorthogonalisation: a few dozen products with the matrix instead of a decomposition of
    it. It ends when the residual says so; after ``k`` steps at the latest, where it is the whole decomposition. The
    start is drawn with a fixed seed, so that no symmetry of the input can hide the vector.
    """
    size = matrix.shape[0]
    if size <= SMALL:
        whole: NDArray[np.float64] = np.linalg.eigh(matrix @ matrix.T)[1][:, -1]
        return whole
    basis = np.empty((size, size))
    diagonal: list[float] = []
    beside: list[float] = []
    vector = _unit(np.random.default_rng(0).standard_normal((size,)))
    for step in range(size):
        basis[step] = vector
        known = basis[: step + 1]
        image = matrix @ (vector @ matrix)
        diagonal.append(float(image @ vector))
        for _ in range(2):  # once leaves rounding errors that bring converged vectors back
            image -= (known @ image) @ known
        rest = float(np.linalg.norm(image))
        last = step == size - 1 or rest == 0
        if last or step % 4 == 3:
            values, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(beside, -1))  # reads the lower triangle
            if last or rest * abs(vectors[-1, -1]) <= TOLERANCE * values[-1]:
                break
        beside.append(rest)
        vector = image / rest
    return _unit(vectors[:, -1] @ known)


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    length: float = np.sqrt(np.square(vector).sum())
    return vector / length


@dataclass(frozen=True)
class EigenCAM(Explainer):
    """The first principal component of the activation: what the layer shows most, whatever the class.

    Muhammad and Yeasin 2020, arXiv:2008.00299, section III: with ``A = U S V'`` (positions x channels), the map is ``A
    v1``. The paper does not centre ``A``; ``centred=True`` takes each channel's mean off first, as pytorch-grad-cam
    does. The paper does not say which of the two signs to take: here the one that agrees with the positions' norm, of
    which the positive part is kept. ``values`` is ``(H', W')``, not negative; it depends neither on the target nor on a
    gradient.
    """

    title: ClassVar[str] = "Eigen-CAM"
    summary: ClassVar[str] = "first principal component of the layer, for no class in particular"
    family: ClassVar[str] = "Class activation maps"
    at_layer: ClassVar[bool] = True
    needs_gradient: ClassVar[bool] = False

    centred: bool = field(default=False, metadata=limits(help="subtract each channel's mean first"))

    def estimates(self, question: Question) -> Iterator[Estimate]:
        yield Estimate(first_component(question.maps, centred=self.centred).relu())


@dataclass(frozen=True)
class EigenGradCAM(CAM):
    """The first principal component of gradient times activation: Eigen-CAM that depends on the class.

    pytorch-grad-cam's variant of arXiv:2008.00299 (it has no paper of its own); sign and ``centred`` as in
    ``EigenCAM``. ``values`` is ``(H', W')``, not negative.
    """

    title: ClassVar[str] = "EigenGrad-CAM"
    summary: ClassVar[str] = "first principal component of gradient times activation"

    centred: bool = field(default=False, metadata=limits(help="subtract each channel's mean first"))

    def attribute(self, activation: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        return first_component(gradient * activation, centred=self.centred).relu()
