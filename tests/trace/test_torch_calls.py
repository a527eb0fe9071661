"""What is known of a torch call from its name and arguments."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

import interp_widgets as iw
from interp_widgets.trace.torch_calls import draws
from tests.trace.test_cases import Net

MODULES = {
    "lstm": lambda share: nn.LSTM(4, 4, num_layers=2, dropout=share, batch_first=True),
    "gru": lambda share: nn.GRU(4, 4, num_layers=2, dropout=share, batch_first=True, bidirectional=True),
    "rnn": lambda share: nn.RNN(4, 4, num_layers=2, dropout=share, batch_first=True),
    "attention": lambda share: nn.MultiheadAttention(4, 2, dropout=share, batch_first=True),
}


@pytest.mark.parametrize("kind", MODULES)
@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("training", [False, True])
def test_a_layer_with_dropout_inside_draws_only_where_two_passes_differ(
    kind: str, dropout: float, *, training: bool
) -> None:
    torch.manual_seed(0)
    part = MODULES[kind](dropout)
    model = Net(lambda self, x: (self.part(x, x, x) if kind == "attention" else self.part(x))[0], part=part)
    given = torch.randn(1, 5, 4)
    model.train(training)
    differs = not torch.equal(model(given), model(given))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of random numbers in the forward
        trace = iw.record(model, given, evaluation=not training)
    assert any(draws(each.name, each.args, each.kwargs) for each in trace.tape.operations) == differs
