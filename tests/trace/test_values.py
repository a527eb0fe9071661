"""What an operation on the tape says of itself."""

from __future__ import annotations

import torch

from interp_widgets.trace.values import Operation, Ref


def test_an_operation_reads_every_recorded_value_among_its_arguments() -> None:
    first, second, third = Ref(4), Ref(2), Ref(7)
    operation = Operation("index", torch.cat, ([first, (second, 3)], torch.ones(1)), {"out": {"deep": third}})
    assert operation.refs == (first, second, third)
    assert Operation("ones", torch.ones, (3,), {"dtype": torch.float32}).refs == ()
