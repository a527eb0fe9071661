"""What can go wrong for a user, one class per kind of mistake.

Every class also derives from the built-in exception a caller would expect, so ``except LookupError`` keeps working.
"""

from __future__ import annotations

__all__ = [
    "ClosedError",
    "CopyError",
    "DownloadError",
    "GradientError",
    "InputError",
    "InterpError",
    "LayerError",
    "LayoutError",
    "MissingExtraError",
    "ModelError",
    "NonFiniteError",
    "OverwrittenError",
    "ParameterError",
    "StaleError",
    "TargetError",
    "ZooError",
]


class InterpError(Exception):
    """Any error this package raises on purpose."""


class LayerError(InterpError, LookupError):
    """A layer or site that was not recorded."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class TargetError(InterpError, ValueError):
    """A target that the model's output does not have."""


class InputError(InterpError, ValueError):
    """An input that is not what the model takes."""


class ModelError(InterpError, TypeError):
    """A model that cannot be recorded."""


class GradientError(InterpError, RuntimeError):
    """A gradient that does not exist."""


class OverwrittenError(InterpError, RuntimeError):
    """A recorded value that was overwritten and can no longer be trusted."""


class NonFiniteError(InterpError, ArithmeticError):
    """A NaN or an infinity where a number is needed."""


class StaleError(InterpError, RuntimeError):
    """A trace whose model has changed since it was recorded."""


class LayoutError(InterpError, ValueError):
    """A site without the spatial layout that a method needs."""


class ParameterError(InterpError, ValueError):
    """A hyper-parameter outside its limits."""


class MissingExtraError(InterpError, ImportError):
    """Something that needs an optional package, which is not installed."""


class ClosedError(InterpError, RuntimeError):
    """A trace, session or widget used after it was closed."""


class CopyError(InterpError, TypeError):
    """Something that holds a recording and cannot be copied or pickled."""


class ZooError(InterpError, LookupError):
    """A model name that neither the zoo nor torchvision has."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class DownloadError(InterpError, OSError):
    """Weights that could not be downloaded."""
