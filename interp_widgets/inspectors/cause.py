"""Why a model's forward failed, read off what was recorded until then."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from interp_widgets.trace.names import SiteName
from interp_widgets.trace.recording import Attempt
from interp_widgets.trace.values import Operation, Value
from interp_widgets.words import say

__all__ = ["likely_cause"]


def likely_cause(found: Attempt) -> str:
    """A sentence that compares what the module that failed takes with what it was given; empty where both agree."""
    calls = [name for name in found.calls.given if SiteName.parse(name).path == found.failed]
    given = found.calls.given[calls[-1]] if calls else ()
    if not found.failed or not given:
        return ""
    module, value = found.tape.model.get_submodule(found.failed), found.tape.values[given[0]]
    wanted = _wanted(module, value)
    if wanted is None:
        return ""
    expected, got, what = wanted
    if expected == got:
        return ""
    return say(
        "Likely cause: {path} ({kind}) takes {expected} {what}, and was given {got}: a tensor {shape}{origin}.",
        path=found.failed,
        kind=type(module).__name__,
        expected=expected,
        what=what,
        got=got,
        shape=value.shape,
        origin=_origin(found, value),
    )


def _wanted(module: nn.Module, value: Value) -> tuple[object, object, str] | None:
    """What a module takes and what it was given, and what that counts; ``None`` where nobody knows."""
    shape = value.shape
    found: tuple[object, object, str] | None = None
    if isinstance(module, nn.Linear):
        found = module.in_features, _size(shape, -1), say("features")
    elif isinstance(module, nn.RNNBase):
        found = module.input_size, _size(shape, -1), say("features")
    elif isinstance(module, nn.LayerNorm):
        found = tuple(module.normalized_shape), shape[-len(module.normalized_shape) :], say("features")
    elif isinstance(module, _ConvNd):
        is_batch = len(shape) == len(module.kernel_size) + 2
        found = module.in_channels, _size(shape, 1 if is_batch else 0), say("channels")
    elif isinstance(module, _NormBase):
        found = module.num_features, _size(shape, 1), say("channels")
    elif isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
        if value.dtype.is_floating_point:
            found = say("whole"), value.dtype, say("numbers")
        elif value.tensor is not None and not value.tensor.is_meta and value.tensor.numel():
            largest = int(value.tensor.max())
            found = module.num_embeddings, max(largest, module.num_embeddings), say("ids, from 0 on")
    return found


def _size(shape: tuple[int, ...], axis: int) -> int | None:
    return shape[axis] if -len(shape) <= axis < len(shape) else None


def _origin(found: Attempt, value: Value) -> str:
    """Which module the tensor comes from, behind what only reshapes it."""
    operation: Operation | None = value.operation
    while operation is not None and not operation.scope and operation.refs:
        value = found.tape.values[operation.refs[0].index]
        operation = value.operation
    if operation is None or not operation.scope:
        return ""
    return say(", which comes from {layer} as {shape}", layer=SiteName.parse(operation.scope).path, shape=value.shape)
