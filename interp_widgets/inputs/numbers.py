"""Numbers that are no image, as a tensor: arrays, lists and data frames. pandas is not imported."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from interp_widgets.errors import InputError
from interp_widgets.inputs.usual import takes_images
from interp_widgets.trace.arguments import shown
from interp_widgets.words import say

__all__ = ["as_numbers", "column_names"]

NUMERIC = "biuf"  # numpy's kinds: truth values, whole numbers with and without sign, floats


def as_numbers(given: Any, model: nn.Module, preprocess: object | None) -> torch.Tensor | None:
    """The tensor of an array, a list of numbers or of rows, or a data frame, for a model that takes no images.

    float32; whole numbers stay whole (int64) where the model has an embedding, which looks them up.

    Args:
        given: whatever a user gives.
        model: what is asked whether it takes images, see ``takes_images``.
        preprocess: what the user says about images; with one the model takes them.

    Returns:
        ``None`` for anything else, and where arrays are images.

    Raises:
        InputError: text or objects among the numbers, rows of different lengths, none at all.
    """
    if preprocess is not None or takes_images(model):
        return None
    if _is_frame(given):
        array = _of_frame(given)
    elif isinstance(given, np.ndarray) or _is_listed(given):
        array = _of_rows(given)
    else:
        return None
    if array.size == 0:
        raise InputError(say("an input must hold at least one number, got {given}", given=shown(given)))
    is_whole = array.dtype.kind in "iu"
    keeps_whole = is_whole and any(isinstance(module, (nn.Embedding, nn.EmbeddingBag)) for module in model.modules())
    return torch.tensor(array.astype(np.int64 if keeps_whole else np.float32))


def column_names(given: Any) -> tuple[str, ...] | None:
    """The names of a data frame's columns; ``None`` for anything else."""
    return tuple(str(name) for name in given.columns) if _is_frame(given) and hasattr(given, "columns") else None


def _is_frame(given: Any) -> bool:
    """Whether it is a data frame or a series, pandas' or one that has its methods."""
    return not isinstance(given, type) and callable(getattr(given, "to_numpy", None))


def _is_listed(given: Any) -> bool:
    """Whether it is a list or tuple of numbers, or of such lists, or of arrays with one axis."""
    return isinstance(given, (list, tuple)) and bool(given) and all(_is_row(item) for item in given)


def _is_row(item: Any) -> bool:
    if isinstance(item, np.ndarray):
        return item.ndim <= 1 and item.dtype.kind in NUMERIC
    return isinstance(item, (int, float, np.number)) or _is_listed(item)


def _of_frame(frame: Any) -> NDArray[Any]:
    array: NDArray[Any] = np.asarray(frame.to_numpy())
    if array.dtype.kind in NUMERIC:
        return array
    columns = zip(column_names(frame) or ("",), array.reshape(len(array), -1).T, strict=True)
    for name, values in columns:
        unfit = _first_unfit(values)
        if unfit is not None:
            raise InputError(
                say(
                    "column {name!r} must hold numbers, got {given} in it: leave it out or encode it",
                    name=name,
                    given=unfit,
                )
            )
    return array.astype(np.float64)  # columns of several kinds, numbers all


def _first_unfit(values: Iterable[Any]) -> str | None:
    """What is no number among values, as a message shows it."""
    return next((shown(value) for value in values if not isinstance(value, (int, float, np.number, np.bool_))), None)


def _of_rows(rows: Any) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.asarray(rows)
    except ValueError as error:  # numpy's word for it is "inhomogeneous shape"
        lengths = dict.fromkeys(np.size(row) if _is_flat(row) else -1 for row in rows)
        raise InputError(
            say(
                "the rows of an input must have equally many numbers, got {lengths}",
                lengths=", ".join(str(length) for length in lengths if length >= 0) or shown(rows),
            )
        ) from error
    if array.dtype.kind not in NUMERIC:
        raise InputError(
            say(
                "the model takes no images, so an array or list is its input as it is "
                "and must hold real numbers, got {given}",
                given=shown(rows),
            )
        )
    return array


def _is_flat(row: Any) -> bool:
    return all(not isinstance(item, (list, tuple)) for item in row) if isinstance(row, (list, tuple)) else True
