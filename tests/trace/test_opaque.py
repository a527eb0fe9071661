"""A part of a model that torch functions do not see into, such as a scripted module, is one opaque site."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import interp_widgets as iw
from interp_widgets.trace import record

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning", "ignore:.*torch.jit:DeprecationWarning")

KINDS = [True, False]  # traced, scripted


def _model(*, traced: bool) -> tuple[nn.Module, torch.Tensor]:
    """A convolution, a compiled part, and a head."""
    torch.manual_seed(0)
    image = torch.rand(1, 3, 8, 8)
    part = nn.Sequential(nn.Conv2d(4, 6, 3), nn.ReLU()).eval()
    compiled = torch.jit.trace(part, torch.rand(1, 4, 6, 6)) if traced else torch.jit.script(part)
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))
    return nn.Sequential(nn.Conv2d(3, 4, 3), compiled, head).eval(), image


@pytest.mark.parametrize("traced", KINDS)
def test_a_scripted_part_is_one_site_of_its_module(traced: bool) -> None:
    model, image = _model(traced=traced)
    expected = model(image)
    trace = record(model, image)
    assert torch.equal(trace.output, expected.detach())
    assert trace.layers == ["0", "1", "2.0", "2.1", "2.2", "2"]
    assert torch.equal(trace.activation("1"), model[1](model[0](image)).detach())
    assert not [name for name in trace.sites if name.startswith("1.")]


@pytest.mark.parametrize("traced", KINDS)
def test_gradients_go_through_a_scripted_part(traced: bool) -> None:
    model, image = _model(traced=traced)
    trace = record(model, image)
    leaf = image.clone().requires_grad_()
    (expected,) = torch.autograd.grad(model(leaf)[0, 1], leaf)
    assert torch.allclose(trace.gradient("input", 1), expected, atol=1e-6)
    inner = model[0](image).detach().requires_grad_()
    middle = model[1](inner)
    (at_part,) = torch.autograd.grad(model[2](middle)[0, 1], middle)
    assert torch.allclose(trace.gradient("1", 1), at_part, atol=1e-6)


@pytest.mark.parametrize("traced", [True, False])
def test_a_scripted_part_is_explained_probed_and_left_as_it_was(traced: bool) -> None:
    model, image = _model(traced=traced)
    modes = [module.training for module in model.modules()]
    trace = record(model, image)
    with pytest.raises(iw.InterpError, match=r"trace.set_layout\(layer, 'NCHW'\)"):
        iw.GradCAM()(trace, 1, "1")  # which of its axes is what, nobody has seen
    trace.set_layout("1", "NCHW")
    assert iw.GradCAM()(trace, 1, "1").values.shape == (4, 4)
    batch = torch.rand(2, 3, 8, 8)
    assert torch.allclose(trace.probe("input", batch, 1).scores, model(batch)[:, 1].detach(), atol=1e-6)
    assert [module.training for module in model.modules()] == modes
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_walk_over_the_tape_says_where_it_cannot_go_on() -> None:
    model, image = _model(traced=True)
    with pytest.raises(iw.InterpError, match="'1'"):
        iw.LRP()(record(model, image), 1)
