"""What the recorder keeps: values, the operations that made them, and the names they go by.

A value is one version of one tensor. It shares its memory with what autograd keeps anyway. When an operation is about
to write into that memory, the value lets go of it: it is computed again from the tape when somebody asks (one cheap
operation, such as the batch norm before an in-place ReLU), or cloned where that would not give the same numbers.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch.autograd.graph import GradientEdge, get_gradient_edge

from interp_widgets.trace.axes.layout import Layout

__all__ = [
    "PLAIN",
    "Change",
    "Edge",
    "Operation",
    "Ref",
    "Site",
    "Value",
    "edge_of",
    "map_structure",
    "refs_in",
    "tensors_in",
    "window_of",
]


PLAIN = frozenset((int, float, bool, str, type(None), torch.dtype, torch.device, torch.Size, slice, type(...)))
"""Kinds of arguments that hold no tensor."""

Change = Callable[[torch.Tensor], torch.Tensor]
"""Makes another value of the one that was computed at a site; it leaves that one as it is."""


class Ref:
    """Stands for a recorded value in the arguments of an operation."""

    __slots__ = ("index",)

    def __init__(self, index: int) -> None:
        self.index = index

    def __repr__(self) -> str:
        return f"Ref({self.index})"


class Edge(NamedTuple):
    """Where a value's gradient is found in the autograd graph.

    ``window`` is ``None`` for the gradient itself. After an in-place write to a view, autograd has the gradient of the
    view's base only; then it is ``(base size, base stride, view size, view stride, view offset)``.
    """

    node: GradientEdge
    window: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...], int] | None = None

    def gradient(self, found: torch.Tensor) -> torch.Tensor:
        """The value's gradient, from what autograd found at the node."""
        if self.window is None:
            return found
        base_size, base_stride, size, stride, offset = self.window
        base = torch.empty_strided(base_size, base_stride, dtype=found.dtype, device=found.device)
        return base.copy_(found).as_strided(size, stride, offset)


@dataclass(slots=True, eq=False)
class Operation:
    """One torch call on the tape, with ``Ref`` in place of every recorded tensor.

    ``scope`` is the name of the module call that it ran in, empty for the model's own code.
    """

    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: tuple[int, ...] = ()
    writes: bool = False
    repeatable: bool = True
    scope: str = ""
    _refs: tuple[Ref, ...] | None = field(default=None, repr=False)

    @property
    def refs(self) -> tuple[Ref, ...]:
        """What it reads: every ``Ref`` in its arguments, in their order."""
        if self._refs is None:
            self._refs = tuple(refs_in((self.args, self.kwargs)))
        return self._refs

    def again(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[torch.Tensor]:
        """Its outputs for tensors in place of the ``Ref``; what it writes into are copies."""
        if not self.writes:
            return [tensor for _, tensor in tensors_in(self.function(*args, **kwargs))]
        if kwargs.get("out") is not None:
            kwargs = {key: value for key, value in kwargs.items() if key != "out"}
            return [tensor for _, tensor in tensors_in(self.function(*args, **kwargs))]
        kwargs = dict(kwargs)
        target = map_structure(torch.clone, args[0] if args else kwargs.pop("input"))
        self.function(target, *args[1:], **kwargs)
        return [tensor for _, tensor in tensors_in(target)]


@dataclass(slots=True, eq=False)
class Value:
    """One version of one recorded tensor."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    tensor: torch.Tensor | None
    version: int
    edge: Edge | None
    operation: Operation | None
    output: int = 0
    depth: int = 0
    no_grad: bool = False


@dataclass(frozen=True)
class Site:
    """One recorded tensor: the output of one operation or module call.

    ``name`` is ``layer4.2.conv1`` for a module that ran once, ``layer4.2.relu:0`` and ``layer4.2.relu:2`` for the
    first and the
    third call of one that ran more often, ``layer4.2/add`` for an operation in the module's own code, ``layer[1]``
    for a further tensor a module returned, ``input`` for an input.
    """

    name: str
    module: str | None
    operation: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    differentiable: bool
    index: int = field(repr=False)
    _layout: Callable[[int], Layout | None] = field(repr=False, compare=False)

    @property
    def layout(self) -> Layout | None:
        """Which axis is batch, channel, height and width (or tokens); ``None`` where the tape lost them."""
        return self._layout(self.index)


def edge_of(tensor: torch.Tensor) -> Edge | None:
    """The gradient edge of a tensor as it is now, ``None`` when autograd does not follow it."""
    if not tensor.requires_grad or _is_cut_off(tensor):
        return None
    return Edge(get_gradient_edge(tensor))


def _is_cut_off(tensor: torch.Tensor) -> bool:
    """Whether it is a view taken while autograd was off: it requires a gradient as its base does, and has no node."""
    base = tensor._base
    return tensor.grad_fn is None and base is not None and base.requires_grad


def window_of(view: torch.Tensor, base: torch.Tensor) -> Edge | None:
    """The gradient edge of a view, by way of its base."""
    if not base.requires_grad:
        return None
    window = (
        tuple(base.shape),
        base.stride(),
        tuple(view.shape),
        view.stride(),
        int(view.storage_offset() - base.storage_offset()),
    )
    return Edge(get_gradient_edge(base), window)


def refs_in(structure: Any) -> Iterator[Ref]:
    """Every ``Ref`` in nested arguments."""
    if isinstance(structure, Ref):
        yield structure
    elif isinstance(structure, (tuple, list)):
        for item in structure:
            yield from refs_in(item)
    elif isinstance(structure, dict):
        yield from refs_in([*structure.values()])


def tensors_in(structure: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor of nested tuples, lists, mappings and dataclasses, with its path such as ``[0]['boxes']``."""
    if isinstance(structure, torch.Tensor):
        yield "", structure
        return
    for key, item in _items(structure):
        if isinstance(item, torch.Tensor):
            yield f"[{key!r}]", item
        elif type(item) not in PLAIN:
            for path, tensor in tensors_in(item):
                yield f"[{key!r}]{path}", tensor


def _items(structure: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(structure, (tuple, list)):
        yield from enumerate(structure)
    elif hasattr(structure, "items") and hasattr(structure, "keys"):
        yield from structure.items()
    elif hasattr(structure, "__dataclass_fields__") and not isinstance(structure, type):
        yield from ((name, getattr(structure, name)) for name in structure.__dataclass_fields__)


def map_structure(function: Callable[[Any], Any], structure: Any, kind: type = torch.Tensor) -> Any:
    """The same nested structure with ``function`` applied to every tensor (or every instance of ``kind``)."""
    if isinstance(structure, kind):
        return function(structure)
    if isinstance(structure, tuple) and hasattr(structure, "_fields"):
        return type(structure)(*(map_structure(function, item, kind) for item in structure))
    if isinstance(structure, (tuple, list)):
        items = [map_structure(function, item, kind) for item in structure]
        return items if type(structure) is list else type(structure)(items)
    if isinstance(structure, dict):
        mapped = {key: map_structure(function, item, kind) for key, item in structure.items()}
        return mapped if type(structure) is dict else _rebuild(structure, mapped)
    if hasattr(structure, "__dataclass_fields__") and not isinstance(structure, type):
        return _rebuild(structure, {key: map_structure(function, item, kind) for key, item in _items(structure)})
    return structure


def _rebuild(structure: Any, mapped: dict[str, Any]) -> Any:
    """A copy of a dataclass or dict subclass with other tensors in it, without running its constructor."""
    rebuilt = copy.copy(structure)
    for key, item in mapped.items():
        if isinstance(structure, dict):
            rebuilt[key] = item
        else:
            object.__setattr__(rebuilt, key, item)
    return rebuilt
