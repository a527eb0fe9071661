"""Numbers as people read them, in little room."""

from __future__ import annotations

__all__ = ["figures"]


def figures(value: float, digits: int = 3) -> str:
    """A number of so many figures; a power of ten only where digits would not do, and in as few letters as it takes.

    >>> figures(-0.0000123456), figures(12345.6), figures(0.5)
    ('-1.23e-5', '12346', '0.5')
    """
    if 10**digits <= abs(value) < 1e5:
        return f"{value:.0f}"
    mantissa, e, power = f"{value:.{digits}g}".partition("e")
    return f"{mantissa}e{int(power)}" if e else mantissa
