"""How many floating-point operations a recorded pass took, as ``torch.utils.flop_counter`` counts: 2 a multiply-add."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from interp_widgets.trace.tape import Tape
from interp_widgets.trace.values import Operation, Ref, Value, map_structure

__all__ = ["Flops", "count_flops"]

# Their results depend on values, so that they cannot be done without any; but they multiply and add nothing.
CHOOSING = frozenset(("__getitem__", "__setitem__", "nonzero", "masked_select", "unique", "argwhere", "item"))
UNRECORDED = frozenset(("input", "edit", "alias"))  # no calls of the model's


@dataclass(frozen=True)
class Flops:
    """What was counted.

    Args:
        by_call: of the operations that ran in each module call itself, by its name; not of calls inside it.
        uncounted: names of operations that could not be looked into, and how many there were of each.
    """

    by_call: Mapping[str, int]
    uncounted: Mapping[str, int]

    @property
    def total(self) -> int:
        """Of the whole pass."""
        return sum(self.by_call.values())


def count_flops(tape: Tape) -> Flops:
    """Count the multiplications and additions of a pass, each as one; matrix products, convolutions and attention.

    Each recorded operation is done once more on tensors without values (``meta``), where torch breaks it down into
    what its own counter knows: attention into two products, an LSTM into those of its gates. So nothing is computed,
    and what a fused kernel does is counted too.
    """
    counter = _Counter()
    known: dict[Any, int | None] = {}
    by_call: Counter[str] = Counter()
    uncounted: Counter[str] = Counter()
    for operation in tape.operations:
        if operation.name in UNRECORDED:
            continue
        key = (operation.function, repr(_described(operation, tape.values)))
        if key not in known:
            known[key] = _count(counter, operation, tape.values)
        found = known[key]
        if found is None and operation.name not in CHOOSING:
            uncounted[operation.name] += 1
        elif found:
            by_call[operation.scope] += found
    return Flops(by_call, uncounted)


def _described(operation: Operation, values: list[Value]) -> Any:
    def described(tensor: torch.Tensor | Value) -> str:
        return f"{tuple(tensor.shape)} {tensor.dtype}"

    arguments = map_structure(described, (operation.args, operation.kwargs))
    return map_structure(lambda ref: described(values[ref.index]), arguments, Ref)


def _count(counter: _Counter, operation: Operation, values: list[Value]) -> int | None:
    """Of one operation, ``None`` where torch cannot tell what it does without values."""

    def without_values(tensor: torch.Tensor | Value) -> torch.Tensor:
        return torch.empty(tuple(tensor.shape), dtype=tensor.dtype, device="meta")

    arguments = map_structure(without_values, (operation.args, operation.kwargs))
    args, kwargs = map_structure(lambda ref: without_values(values[ref.index]), arguments, Ref)
    counter.count = 0
    try:
        with torch.no_grad(), counter:
            operation.function(*args, **kwargs)
    except Exception:  # noqa: BLE001 - whatever an operation raises that wants to see values
        return counter.count or None
    return counter.count


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has no type for it
    """Adds up what torch's formulas say of each operation."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch has no type for it
        from torch.utils.flop_counter import flop_registry  # noqa: PLC0415 - 70 MB, and only counting needs it

        self.formulas = flop_registry
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        formula = self.formulas.get(func.overloadpacket)
        if formula is None:
            with self:
                found = func.decompose(*args, **kwargs)
            if found is not NotImplemented:
                return found
        found = func(*args, **kwargs)
        if formula is not None:
            self.count += int(formula(*args, **kwargs, out_val=found))
        return found
