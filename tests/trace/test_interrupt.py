"""A pass that nobody wants any more stops, and the model is as it was."""

from __future__ import annotations

import pytest
import torch

import interp_widgets as iw
from interp_widgets.trace.interrupt import Interrupted, interruptible, interruption
from tests.trace.models import TARGET, asked, others, recorded, small, state_of


def test_a_probe_can_be_interrupted_after_every_operation() -> None:
    """Sooner or later it is no longer asked, and then the result is right; until then it always raises."""
    model = small("Stages")
    trace = iw.record(model, torch.randn(1, 3, 6, 8))
    values = others(trace, "body.0", 2)
    expected = trace.probe("body.0", values, TARGET, gradient=True)
    before = state_of(model)
    stopped = 0
    for number in range(1000):
        try:
            with interruptible(asked(number)):
                found = trace.probe("body.0", values, TARGET, gradient=True)
        except Interrupted:
            stopped += 1
            assert state_of(model) == before
            continue
        torch.testing.assert_close(found, expected)
        break
    assert 10 < stopped < 1000


def test_an_interruption_ends_with_its_block() -> None:
    _, _, trace = recorded("SmallNet")
    values = others(trace, "conv1", 1)
    expected = trace.probe("conv1", values, TARGET).scores
    with interruptible(lambda: False):
        with interruptible(lambda: True), pytest.raises(Interrupted, match=r"^$"):
            trace.probe("conv1", values, TARGET)
        assert torch.equal(trace.probe("conv1", values, TARGET).scores, expected)
    assert interruption() is None
    assert torch.equal(trace.probe("conv1", values, TARGET).scores, expected)
