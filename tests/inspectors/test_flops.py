"""Operations are counted as torch's own counter does, also where a fused kernel hides them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import interp_widgets as iw
from interp_widgets.inspectors.flops import count_flops


def counted_by_torch(model: nn.Module, *inputs: torch.Tensor) -> int:
    """Without values, where nothing is fused."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model.to("meta")(*(each.to("meta") for each in inputs))
    return int(counter.get_total_flops())


class Function(nn.Module):
    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


B, T, D = 2, 7, 16
# By hand: 2 for each multiply-add.
BY_HAND = {
    "linear": (nn.Linear(D, 5), 2 * B * T * D * 5),
    "grouped": (nn.Conv1d(T, 2 * T, 3, groups=T), 2 * B * 2 * T * (D - 2) * 3),
    "transposed": (nn.ConvTranspose1d(T, 3, 4), 2 * B * T * 3 * 4 * D),
    "lstm": (nn.LSTM(D, 8, batch_first=True), 2 * B * T * (4 * 8 * D + 4 * 8 * 8)),
    "gru both ways": (nn.GRU(D, 8, batch_first=True, bidirectional=True), 2 * 2 * B * T * (3 * 8 * D + 3 * 8 * 8)),
    "attention": (Function(lambda x: F.scaled_dot_product_attention(x, x, x)), 2 * 2 * B * T * T * D),
    "einsum": (Function(lambda x: torch.einsum("btd,bsd->bts", x, x)), 2 * B * T * T * D),
    "product": (Function(lambda x: x @ x.mT), 2 * B * T * T * D),
    "nothing": (Function(lambda x: x.relu() + x[x > 0].sum()), 0),
}


@pytest.mark.parametrize("name", list(BY_HAND))
def test_each_kind_of_operation_is_counted_as_by_hand(name: str) -> None:
    model, expected = BY_HAND[name]
    with iw.record(model.eval(), torch.rand(B, T, D)) as trace:
        found = count_flops(trace.tape)
    assert found.total == expected
    assert not found.uncounted


def test_self_attention_of_a_module_is_counted() -> None:
    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.TransformerEncoderLayer(D, 4, 32, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x)

    with iw.record(Encoder().eval(), torch.rand(B, T, D)) as trace:
        found = count_flops(trace.tape)
    projections, attention, mlp = 4 * D * D, 2 * T * D, 2 * D * 32
    assert found.total == 2 * B * T * (projections + attention + mlp)
    assert found.by_call["layer.linear1"] == 2 * B * T * D * 32


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "vit_b_16", "swin_t", "mobilenet_v3_small"])
def test_of_torchvisions_models_it_is_what_torch_counts(name: str) -> None:
    model, image = getattr(torchvision.models, name)().eval(), torch.rand(1, 3, 224, 224)
    twin = model.to("meta")
    with iw.record(twin, image.to("meta")) as trace:
        found = count_flops(trace.tape)
    assert found.total == counted_by_torch(model, image) > 1e7
    assert not found.uncounted


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning", "ignore:.*torch.jit:DeprecationWarning")
def test_what_cannot_be_looked_into_is_named() -> None:
    scripted = torch.jit.script(nn.Linear(D, 5))
    with iw.record(nn.Sequential(scripted, nn.ReLU()), torch.rand(B, D)) as trace:
        found = count_flops(trace.tape)
    assert found.uncounted
