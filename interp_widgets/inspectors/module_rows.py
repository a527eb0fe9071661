"""A model's modules as rows: what each takes, gives out, holds and costs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import nn

from interp_widgets.inspectors.flops import Flops
from interp_widgets.trace.calls import Calls
from interp_widgets.trace.names import SiteName
from interp_widgets.trace.recording import Attempt
from interp_widgets.trace.tape import Tape
from interp_widgets.trace.values import tensors_in
from interp_widgets.words import say

__all__ = ["ModuleRow", "Shape", "module_rows"]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class ModuleRow:
    """A module with all that is in it.

    Args:
        path: empty for the model.
        type: name of its class.
        depth: how many modules it is in; 0 for the model.
        input_shape, output_shape: of the first tensor that it was given in its first call, and of the main one that
            its last call returned; ``None`` where there was none.
        parameters: how many numbers, each counted once.
        trainable: how many of these are not frozen.
        share: of the model's parameters, 0..1.
        flops: multiplications and additions of all its calls.
        seconds: of all its calls, recording included; on an accelerator until the work was handed over.
        nbytes: of what all its calls returned.
        calls: how often it was called.
        note: what is odd about it, in words: shared, not called, where the pass failed.
    """

    path: str
    type: str
    depth: int
    input_shape: Shape | None
    output_shape: Shape | None
    parameters: int
    trainable: int
    share: float
    flops: int
    seconds: float
    nbytes: int
    calls: int
    note: str = ""


def module_rows(model: nn.Module, found: Attempt, flops: Flops, total: int) -> Iterator[ModuleRow]:
    """The model's row, then those of its modules in the order in which they ran, each before those in it.

    Args:
        total: parameters of the whole model.
    """
    modules = dict(model.named_modules())
    calls = _calls_by_path(found.calls)
    spent = _spent(found, flops)
    outputs = _outputs(found)
    others: dict[int, list[str]] = defaultdict(list)
    for path, module in model.named_modules(remove_duplicate=False):
        others[id(module)].append(path)
    for path in _in_order(modules, calls):
        module = modules[path]
        parameters = {id(each): each for each in module.parameters()}.values()
        count = sum(each.numel() for each in parameters)
        trainable = sum(each.numel() for each in parameters if each.requires_grad)
        shapes, nbytes = outputs.get(path, ([], 0))
        given = found.calls.given[calls[path][0]] if path in calls else ()
        inner = path in calls or any(each.startswith(f"{path}.") for each in calls)
        notes = [
            say("the pass failed here") if found.error is not None and path == found.failed else "",
            "" if inner or not path else say("not called"),
            say("called {count} times", count=len(calls[path])) if len(calls.get(path, ())) > 1 else "",
            say("also {paths}", paths=", ".join(others[id(module)][1:])) if len(others[id(module)]) > 1 else "",
            say("frozen") if count and not trainable else "",
        ]
        yield ModuleRow(
            path=path,
            type=type(module).__name__,
            depth=path.count(".") + 1 if path else 0,
            input_shape=found.tape.values[given[0]].shape if given else None,
            output_shape=shapes[-1] if shapes else None,
            parameters=count,
            trainable=trainable,
            share=count / total if total else 0.0,
            flops=spent[path].flops,
            seconds=spent[path].seconds,
            nbytes=nbytes,
            calls=len(calls.get(path, ())),
            note="; ".join(filter(None, notes)),
        )


def _calls_by_path(calls: Calls) -> dict[str, list[str]]:
    """Names of each module's calls, in the order in which they began."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in calls.given:
        found[SiteName.parse(name).path].append(name)
    return dict(found)


@dataclass
class _Spent:
    flops: int = 0
    seconds: float = 0.0


def _spent(found: Attempt, flops: Flops) -> dict[str, _Spent]:
    """What was spent in each module: where it was not called itself, such as a list of blocks, in what it holds."""
    spent: dict[str, _Spent] = defaultdict(_Spent)
    calls = found.calls
    for name, count in flops.by_call.items():
        for path in {SiteName.parse(call).path for call in (name, *calls.around(name))} | {""}:
            spent[path].flops += count
    for name, seconds in calls.seconds.items():
        if not any(SiteName.parse(call).path == SiteName.parse(name).path for call in calls.around(name)):
            spent[SiteName.parse(name).path].seconds += seconds
    called = {SiteName.parse(name).path for name in calls.given}
    for path in called - {""}:
        parent = path.rpartition(".")[0]
        while parent and parent not in called:
            spent[parent].flops += spent[path].flops
            spent[parent].seconds += spent[path].seconds
            parent = parent.rpartition(".")[0]
    return spent


def _outputs(found: Attempt) -> dict[str, tuple[list[Shape], int]]:
    """Of each module the shapes of the main tensors that its calls returned, and the bytes of all."""
    shapes: dict[str, list[Shape]] = defaultdict(list)
    nbytes: dict[str, int] = defaultdict(int)
    tape: Tape = found.tape
    for name in tape.sites:
        site, place = tape.sites[name], SiteName.parse(name)
        if place.path and not place.part.startswith("/"):
            nbytes[place.path] += math.prod(site.shape) * site.dtype.itemsize
            if place.is_output:
                shapes[place.path].append(site.shape)
    if found.trace is not None:
        returned = [tensor for _, tensor in tensors_in(found.trace.output)]
        shapes[""] = [tuple(tensor.shape) for tensor in returned[:1]]
        nbytes[""] = sum(tensor.nbytes for tensor in returned)
    return {path: (shapes[path], nbytes[path]) for path in nbytes}


def _in_order(modules: Mapping[str, nn.Module], calls: Mapping[str, object]) -> list[str]:
    """Paths as they ran, each before those in it; what did not run comes last among its neighbours."""
    first: dict[str, int] = {}
    for place, path in enumerate(calls):
        parts = path.split(".")
        for depth in range(len(parts) + 1):
            first.setdefault(".".join(parts[:depth]), place)
    never = len(calls)
    inner: dict[str, list[str]] = defaultdict(list)
    for path in modules:
        if path:
            inner[path.rpartition(".")[0]].append(path)
    ordered: list[str] = []

    def visit(path: str) -> None:
        ordered.append(path)
        for child in sorted(inner[path], key=lambda each: first.get(each, never)):
            visit(child)

    visit("")
    return ordered
