"""Values at a layer, where beginning behind it could go wrong: hooks, shared modules, memory written into, state."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import interp_widgets as iw
from interp_widgets.trace import SiteScore

IMAGE = torch.randn(1, 3, 5, 6, generator=torch.Generator().manual_seed(1))


def plain(model: nn.Module, image: torch.Tensor, layer: str, values: torch.Tensor, call: int = 0) -> torch.Tensor:
    n = iter(range(99))
    handle = model.get_submodule(layer).register_forward_hook(lambda *_: values.clone() if next(n) == call else None)
    try:
        with torch.no_grad():
            return model(image.expand(len(values), *image.shape[1:]))[:, 0]
    finally:
        handle.remove()


class Skip(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 4, 1)
        self.b = nn.Conv2d(4, 4, 1)
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.a(x)
        return self.head((x + self.b(x)).mean((2, 3)))


@pytest.mark.parametrize("hooked", ["a", "b"])
def test_a_users_forward_hook_is_applied_once(hooked: str) -> None:
    model = Skip().eval()
    model.get_submodule(hooked).register_forward_hook(lambda _m, _a, o: o * 2)
    trace = iw.record(model, IMAGE)
    v = torch.randn(2, 4, 5, 6)
    torch.testing.assert_close(trace.probe("b", v, 0).scores, plain(model, IMAGE, "b", v))


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 1), self.act)
        self.mid = nn.Conv2d(4, 4, 1)
        self.last = nn.Conv2d(4, 4, 1)
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        y = self.act(self.mid(x))
        return self.head((y + self.last(y)).mean((2, 3)))


@pytest.mark.parametrize(("layer", "path", "call"), [("last", "last", 0), ("act", "act", 1), ("act:0", "act", 0)])
def test_calls_of_a_shared_module_are_counted_rightly(layer: str, path: str, call: int) -> None:
    model = Shared().eval()
    trace = iw.record(model, IMAGE)
    v = torch.randn(2, 4, 5, 6)
    torch.testing.assert_close(trace.probe(layer, v, 0).scores, plain(model, IMAGE, path, v, call))


@pytest.mark.parametrize("layer", ["stem", "mid", "last"])
def test_a_target_inside_a_module_that_need_not_run_is_found(layer: str) -> None:
    trace = iw.record(Shared().eval(), IMAGE)
    v = torch.randn(2, 4, 5, 6)
    expected = trace.probe(layer, v, SiteScore("stem.0", 1), gradient=True).scores
    torch.testing.assert_close(trace.probe(layer, v, SiteScore("stem.0", 1)).scores, expected)


class Fills(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3, padding=1)
        self.b = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.a(x)
        self.change(x)
        return self.head(self.b(x).mean((2, 3)))

    def change(self, x: torch.Tensor) -> None:
        x[:, :, 0] = 0


class Masks(Fills):
    def change(self, x: torch.Tensor) -> None:
        x.masked_fill_(x < 0, 0)


@pytest.mark.parametrize("kind", [Fills, Masks])
def test_a_fill_does_not_reach_the_recording(kind: type[nn.Module]) -> None:
    model = kind().eval()
    trace = iw.record(model, IMAGE)
    v = torch.randn(3, 4, 5, 6)
    before = trace.activation("a").clone()
    torch.testing.assert_close(trace.probe("b", v, 0).scores, plain(model, IMAGE, "b", v))
    assert torch.equal(trace.activation("a"), before)  # OverwrittenError


class Reused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 4, 1)
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.a(x)
        x = (x.relu() + x).clone()
        return self.head((x * 2).clone().mean((2, 3)))


@pytest.mark.parametrize("layer", ["/add", "/relu"])
def test_an_edited_operation_has_a_gradient(layer: str) -> None:
    trace = iw.record(Reused().eval(), IMAGE)
    trace.probe(layer, torch.randn(2, 4, 5, 6), 0, gradient=True)  # LayerError: '/add' was not recorded


def test_so_integrated_gradients_explain_an_operation() -> None:
    trace = iw.record(Reused().eval(), IMAGE)
    iw.IntegratedGradients(steps=4)(trace, 0, "/add")


def test_an_edit_adds_no_sites() -> None:
    trace = iw.record(Reused().eval(), IMAGE)
    v = torch.randn(2, 4, 5, 6)
    with trace.rerun({"a": v}) as other:
        assert [s for s in other.sites if "clone" in s or "detach" in s] == [s for s in trace.sites if "clone" in s]
        torch.testing.assert_close(other.activation("/clone:1"), 2 * (v.relu() + v))


class Mixed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(5, 4)
        self.lin = nn.Linear(4, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor, i: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.lin(x + self.emb(i).mean(1))))


def test_the_baseline_at_a_layer_takes_the_other_inputs_of_its_example() -> None:
    model = Mixed().eval()
    x = torch.randn(2, 4)
    i = torch.tensor([[1, 2], [3, 4]])
    whole, alone = iw.record(model, (x, i)), iw.record(model, (x[1:], i[1:]))
    assert whole.is_batch
    found = iw.IntegratedGradients(steps=32)(whole, 0, "lin", example=1)
    torch.testing.assert_close(found.values, iw.IntegratedGradients(steps=32)(alone, 0, "lin").values)


class Keeps(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.kept = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.kept = x.tanh()
        return self.conv(x)


class Beside(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = Keeps()
        self.b = nn.Conv2d(3, 3, 1)
        self.head = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.b(self.a(x))
        return self.head((y * self.a.kept).mean((2, 3)))


def test_what_a_module_leaves_for_others_is_of_the_same_pass() -> None:
    model = Beside().eval()
    trace = iw.record(model, IMAGE)
    v = torch.randn(1, 3, 5, 6)
    expected = plain(model, IMAGE, "b", v)
    with torch.no_grad():
        model(torch.randn(1, 3, 5, 6))  # another pass by the user
    torch.testing.assert_close(trace.probe("b", v, 0).scores, expected)


@pytest.mark.parametrize("layer", ["0.linear1", "0.self_attn", "0"])
def test_a_fused_transformer_layer_does_not_pass_over_an_edit(layer: str) -> None:
    model = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.Flatten(), nn.Linear(40, 3)).eval()
    with iw.record(model, torch.rand(1, 5, 8)) as trace:
        unedited = trace.score(0)
        values = torch.randn(2, *trace.activation(layer).shape[1:])
        quick = trace.probe(layer, values, 0).scores
        with trace.rerun({layer: values}) as other:
            recorded = other.logits[:, 0]
    # 1e-5: the same operations in float32 over a batch, with and without a recording
    assert torch.allclose(quick, recorded, atol=1e-5)
    assert (quick - unedited).abs().min() > 1e-3
