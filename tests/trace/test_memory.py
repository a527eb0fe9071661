"""How much memory a batch of passes may take."""

from __future__ import annotations

import pytest
import torch

from interp_widgets.trace import memory


def test_what_is_free_sets_the_size_of_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    assert memory.LEAST <= memory.batch_bytes(torch.device("cpu")) <= memory.MOST
    monkeypatch.setattr(memory, "_free_on_machine", lambda: 2**31)
    monkeypatch.setattr(memory, "_free_in_container", lambda: 2**30)
    assert memory.batch_bytes(torch.device("cpu")) == 2**28  # a quarter of the smaller one
    monkeypatch.setattr(memory, "_free_in_container", lambda: 0)
    assert memory.batch_bytes(torch.device("cpu")) == memory.LEAST
    monkeypatch.setattr(memory, "_free_on_machine", lambda: None)
    monkeypatch.setattr(memory, "_free_in_container", lambda: None)
    assert memory.batch_bytes(torch.device("cpu")) == memory.UNKNOWN
