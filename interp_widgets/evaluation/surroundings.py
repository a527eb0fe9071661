"""What makes every map of a recording doubtful, in words: random numbers in the forward, an input of a wrong range."""

from __future__ import annotations

from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch

from interp_widgets.errors import InterpError
from interp_widgets.evaluation.zeros import of_first, plain_name, site_of
from interp_widgets.trace import Trace
from interp_widgets.trace.torch_calls import draws
from interp_widgets.trace.values import Operation, Ref
from interp_widgets.words import say

__all__ = ["Surroundings", "surroundings_of"]

MOST_DEVIATIONS = 10
"""Root mean square of what the first batch norm sees, in the deviations it saw in training; about 1 for an input like
those of training, about 60 (255 times ImageNet's deviation of 0.23) and more for bytes in place of 0..1."""


DARK = 64  # of 255: the brightest number of a photograph is larger, that of most other counts is smaller


class Surroundings(NamedTuple):
    """What is wrong with a recording, each in words; empty where nothing is seen.

    Args:
        noise: random numbers that the output depends on.
        strangeness: an input far from those of training.
    """

    noise: str = ""
    strangeness: str = ""


_KNOWN: WeakKeyDictionary[Trace, Surroundings] = WeakKeyDictionary()  # a map is looked at again and again


def surroundings_of(trace: Trace) -> Surroundings:
    """What is wrong with a recording; read off it once."""
    if trace not in _KNOWN:
        try:
            _KNOWN[trace] = Surroundings(_noise(trace), _strangeness(trace))
        except InterpError:  # a value that was overwritten, or a model that has changed: other places say so
            return Surroundings()
    return _KNOWN[trace]


def _noise(trace: Trace) -> str:
    """Where the output depends on random numbers that the forward draws, in words; empty where it does not.

    Read off the tape. Numbers that are multiplied by zero on the way count for nothing. Where numbers of numpy and
    Python go is not on the tape: they are taken to reach the output.
    """
    origins: dict[int, Operation] = {}  # of each value that depends on random numbers, where they were drawn
    for operation in trace.tape.operations:
        if draws(operation.name, operation.args, operation.kwargs):
            origin = operation
        else:
            known = (origins[ref.index] for ref in operation.refs if ref.index in origins)
            first = next(known, None)
            if first is None:
                continue
            origin = first
        made = [index for _, index in trace.tape.made_by(operation)]
        origins.update(dict.fromkeys((index for index in made if _is_nonzero(trace, index)), origin))
    outputs = [trace.site(name).index for name in trace.output_sites]
    drawn = next((origins[index] for index in outputs if index in origins), None)
    if drawn is None and trace.draws_elsewhere:
        return say(
            "the model draws random numbers from numpy or Python in its forward, "
            "so another pass may give another score and this map explains one draw: switch the noise off in evaluation"
        )
    if drawn is None:
        return ""
    return say(
        "the model draws random numbers in its forward ({operation} at {site!r}), so each pass gives another score and "
        "this map explains one draw: switch the noise off in evaluation",
        operation=plain_name(drawn),
        site=site_of(trace, drawn),
    )


def _is_nonzero(trace: Trace, index: int) -> bool:
    name = trace.tape.names.get(index)
    return name is None or bool(trace.activation(name).any())


def _strangeness(trace: Trace) -> str:
    """How far the first input is from those of training, in words; empty where it is not, or nothing tells.

    The first batch norm has kept mean and variance of what it saw in training. Where there is none, the bytes of an
    image tell themselves: whole numbers up to 255 that go straight into a convolution.
    """
    found = next((each for each in trace.tape.operations if each.name == "batch_norm" and each.refs), None)
    if found is None:
        return _bytes_in_a_convolution(trace)
    mean, variance = (_given(trace, found, place, name) for place, name in ((1, "running_mean"), (2, "running_var")))
    if mean is None or variance is None or (not mean.any() and bool((variance == 1).all())):
        return ""  # it has kept nothing, or was never trained
    name = trace.tape.names[found.refs[0].index]
    seen = of_first(trace, name, trace.activation(name)).float()
    if seen.ndim < 2 or seen.shape[1] != len(mean):
        return ""
    eps = _argument(found, 7, "eps") or 1e-5
    shape = (1, -1, *[1] * (seen.ndim - 2))
    deviations = (seen - mean.float().reshape(shape)) / (variance.float() + eps).sqrt().reshape(shape)
    sizes = deviations.square().transpose(0, 1).flatten(1).mean(dim=1).sqrt()  # (C,)
    size = float(sizes.median())
    if size <= MOST_DEVIATIONS:
        return ""
    layer = trace.tape.names[found.outputs[0]]
    if _looks_like_bytes(trace):
        return say(
            "the input lies in 0..255, but the model was trained on another range: divide by 255, or prepare it as the "
            "training images were (what reaches {layer!r} is {size:.0f} times as large as in training)",
            layer=layer,
            size=size,
        )
    return say(
        "the input is unlike those of training: prepare it as the training images were "
        "(what reaches {layer!r} is {size:.0f} times as large as there)",
        layer=layer,
        size=size,
    )


def _bytes_in_a_convolution(trace: Trace) -> str:
    """That the first input is read as it lies in an image file, in words; empty where it is not.

    A model that is made for bytes divides them first, so that no convolution reads them.
    """
    site = trace.site(trace.input_sites[0])
    reader = next((each for each in trace.tape.operations if any(ref.index == site.index for ref in each.refs)), None)
    if reader is None or reader.name != "conv2d" or len(site.shape) != 4 or not site.dtype.is_floating_point:
        return ""
    value = of_first(trace, site.name, trace.activation(site.name))
    if not _looks_like_bytes(trace) or float(value.max()) < DARK or bool((value != value.round()).any()):
        return ""
    return say(
        "the input holds whole numbers in 0..255, as an image file does: divide by 255, or prepare it as the training "
        "images were (it goes straight into a convolution, and nearly all networks are trained on 0..1 or less)"
    )


def _looks_like_bytes(trace: Trace) -> bool:
    """Whether the first input has the range of an image file's numbers."""
    value = of_first(trace, trace.input_sites[0], trace.activation(trace.input_sites[0]))
    return float(value.min()) >= 0 and 1 < float(value.max()) <= 255


def _argument(operation: Operation, place: int, name: str) -> Any:
    return operation.kwargs.get(name, operation.args[place] if len(operation.args) > place else None)


def _given(trace: Trace, operation: Operation, place: int, name: str) -> torch.Tensor | None:
    """An argument's numbers."""
    found = _argument(operation, place, name)
    if isinstance(found, Ref):
        return trace.tape.value(found.index)
    return found if isinstance(found, torch.Tensor) else None
