"""Which axis counts examples: one decision for a recording, told by its repr, asked by every explainer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import interp_widgets as iw
from interp_widgets.errors import InputError, ParameterError
from interp_widgets.trace import record
from tests.trace.test_cases import Net

RANDOM = torch.Generator().manual_seed(0)
EDGES = torch.randint(0, 20, (2, 60), generator=RANDOM)
NODES = torch.randn(20, 5, generator=RANDOM)
SEQUENCES, LENGTHS = torch.randn(4, 7, 5, generator=RANDOM), torch.tensor([7, 3, 5, 1])
IMAGES, STEP = torch.randn(4, 3, 6, 6, generator=RANDOM), torch.tensor(0.3)


def neighbours(self: Any, nodes: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
    """A graph convolution: each node adds up what its neighbours say."""
    said = torch.zeros_like(nodes).index_add(0, edges[1], nodes[edges[0]])
    scores: torch.Tensor = self.head(said.tanh())
    return scores


def last_step(self: Any, sequences: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """The scores at each sequence's last step."""
    steps = self.head(sequences.cumsum(dim=1).tanh())
    scores: torch.Tensor = steps[torch.arange(len(lengths)), lengths - 1]
    return scores


def denoised(self: Any, images: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
    """Features of images, scaled by one time step for all."""
    scores: torch.Tensor = self.head((self.conv(images) * step.exp()).relu().mean(dim=(2, 3)))
    return scores


def normed(self: Any, nodes: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
    """As graph networks have it: nodes are normed as if they were a batch."""
    return neighbours(self, self.norm(nodes), edges)


def mixed(self: Any, rows: torch.Tensor) -> torch.Tensor:
    """Attention among the rows of a table, as among the words of a sentence without a batch."""
    scores: torch.Tensor = self.head((rows @ rows.T / 5).softmax(dim=-1) @ rows)
    return scores


def net(function: Callable[..., torch.Tensor]) -> Net:
    torch.manual_seed(0)
    return Net(function, head=nn.Linear(5, 3), conv=nn.Conv2d(3, 5, 3), norm=nn.BatchNorm1d(5))


def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(6, 3)


CASES = {
    "rows of features": (linear, (torch.randn(4, 6),), 4, {"input"}),
    "one row of features": (linear, (torch.randn(1, 6),), 1, {"input"}),
    "features without a batch": (linear, (torch.randn(6),), 1, set()),
    "nodes of a graph": (lambda: net(neighbours), (NODES, EDGES), 1, set()),
    "nodes of a graph that are normed": (lambda: net(normed), (NODES, EDGES), 1, set()),
    "rows that look at each other": (lambda: net(mixed), (NODES,), 1, set()),
    "lengths beside sequences": (lambda: net(last_step), (SEQUENCES, LENGTHS), 4, {"input[0]", "input[1]"}),
    "one time step for all images": (lambda: net(denoised), (IMAGES, STEP), 4, {"input[0]"}),
    "as many features as classes": (lambda: nn.Linear(3, 3), (torch.randn(3),), 1, set()),
}


@pytest.mark.parametrize("case", CASES)
def test_the_batch_is_found_from_inputs_and_outputs_together(case: str) -> None:
    make, inputs, examples, by_row = CASES[case]
    trace = iw.record(make(), inputs if len(inputs) > 1 else inputs[0])
    assert trace.examples == examples
    assert {name for name in trace.input_sites if trace.has_rows(name)} == by_row
    assert trace.is_batch is bool(by_row)
    assert (f"a batch of {examples}" if by_row else "no batch axis") in repr(trace)


def test_a_batch_norm_in_training_mode_does_not_make_one_example_of_a_batch() -> None:
    model = Net(lambda self, x: self.head(self.norm(x)), norm=nn.BatchNorm1d(6), head=nn.Linear(6, 3))
    assert iw.record(model.train(), torch.randn(4, 6), evaluation=False).examples == 4


def test_an_image_without_a_batch_with_as_many_channels_as_classes_is_one_example() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(0), nn.Linear(32, 3))
    image = torch.rand(3, 6, 6)
    trace = iw.record(model, image, batch_axis=None)
    assert not record(model, image).is_batch  # iw.record gives it a batch of one unless told
    assert not trace.is_batch
    (gradient,) = torch.autograd.grad(model(leaf := image.clone().requires_grad_())[1], leaf)
    torch.testing.assert_close(trace.gradient("input", 1), gradient)
    torch.testing.assert_close(iw.Gradient()(trace, target=1).values, gradient.abs().amax(dim=0))
    torch.testing.assert_close(iw.InputXGradient()(trace, target=1).values, (gradient * image).sum(dim=0))


@pytest.mark.parametrize("method", [iw.Gradient, iw.InputXGradient, iw.LRP, iw.GuidedBackprop, iw.Deconvnet])
def test_features_without_a_batch_get_a_value_each(method: type[iw.explainers.Explainer]) -> None:
    model, features = linear(), torch.randn(6)
    alone = method()(iw.record(model, features), target=1).values
    assert alone.shape == (6,)
    torch.testing.assert_close(alone, method()(iw.record(model, features[None]), target=1).values)


def test_all_nodes_of_a_graph_are_explained_and_add_up() -> None:
    model = net(neighbours).double()
    trace = iw.record(model, (NODES.double(), EDGES))
    attribution = iw.IntegratedGradients(steps=200)(trace, target=1)
    assert attribution.values.shape == NODES.shape
    change = trace.score(1) - model(torch.zeros_like(NODES).double(), EDGES)[:, 1].sum()
    # the midpoint rule of 200 steps over tanh: measured 2e-7, far above the rounding of float64
    torch.testing.assert_close(attribution.values.sum().double(), change.detach(), rtol=1e-4, atol=1e-4)


def test_an_input_that_is_shared_by_all_examples_stays_whole_in_other_passes() -> None:
    model = net(denoised)
    trace = iw.record(model, (IMAGES, STEP))
    others = torch.randn(6, 3, 6, 6)
    found = trace.probe("input[0]", others, 2, example=1)
    torch.testing.assert_close(found.scores, model(others, STEP)[:, 2].detach())
    with trace.rerun({"input[0]": others}) as other:
        assert other.examples == 6
        assert not other.has_rows("input[1]")


def test_a_shared_input_is_not_explained_for_one_example_of_several() -> None:
    trace = iw.record(net(denoised), (IMAGES, STEP))
    with pytest.raises(InputError, match=r"'input\[1\]' .* does not count the 4 examples .* record one at a time"):
        iw.Gradient()(trace, target=1, layer="input[1]")
    alone = iw.record(net(denoised), (IMAGES[:1], STEP))
    assert iw.Gradient()(alone, target=1, layer="input[1]").values.shape == ()


def test_the_user_has_the_last_word() -> None:
    model = linear()
    rows = torch.randn(4, 6)
    whole = iw.record(model, rows, batch_axis=None)
    assert (whole.is_batch, whole.examples) == (False, 1)
    assert iw.Gradient()(whole, target=1).values.shape == (4, 6)
    with whole.rerun({"input": rows[None] * 2}) as other:
        assert not other.is_batch
    nodes = iw.record(net(neighbours), (NODES, EDGES), batch_axis=0)
    assert (nodes.is_batch, nodes.examples) == (True, 20)


@pytest.mark.parametrize("given", [1, "first", True, 0.0, (0,)])
def test_another_batch_axis_is_refused(given: Any) -> None:
    with pytest.raises(ParameterError, match=r"batch_axis must be 'auto', 0 .* or None .*, got"):
        iw.record(linear(), torch.randn(4, 6), batch_axis=given)


def test_an_input_without_an_axis_is_no_batch() -> None:
    model = Net(lambda self, x: self.head(x.expand(6)), head=nn.Linear(6, 3))
    with pytest.raises(InputError, match="batch_axis=0, but no input has an axis"):
        iw.record(model, torch.tensor(1.0), batch_axis=0).examples  # noqa: B018 - the question is what raises


def test_a_layer_with_the_steps_of_a_sequence_first_is_explained_whole() -> None:
    torch.manual_seed(0)
    model = Net(
        lambda self, x: self.head(self.mix(x.transpose(0, 1)).tanh()[-1]), mix=nn.Linear(5, 5), head=nn.Linear(5, 3)
    )
    trace = iw.record(model, SEQUENCES[:1])
    assert not trace.has_rows("mix")
    assert iw.InputXGradient()(trace, target=1, layer="mix").values.shape == (7, 1, 5)


def test_a_layer_with_as_many_channels_in_front_as_there_are_images_is_not_taken_for_a_batch() -> None:
    torch.manual_seed(0)
    model = Net(
        lambda self, x: self.turned(self.conv(x).permute(1, 0, 2, 3)).mean(dim=(2, 3)).T,
        conv=nn.Conv2d(3, 4, 3),
        turned=nn.Identity(),
    )
    trace = iw.record(model, IMAGES)
    assert trace.examples == 4
    assert trace.has_rows("conv")
    assert not trace.has_rows("turned")
