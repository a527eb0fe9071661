"""Beside the shap package: what it computes for the same question, through our menu and by our own code."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import shap
import torch
from torch import nn

import interp_widgets as iw
from tests.explainers.test_perturbation import ROUNDING, network, picture, small_net, vector

pytestmark = pytest.mark.slow  # shap compiles itself for ten seconds when it is first used


class Linear(nn.Module):
    """The first class's score is ``sum(w x)``, the second's its negative."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(picture(height, width)[0].flip(0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        score = (self.weight * x).sum(dim=(1, 2, 3))
        return torch.stack([score, -score], dim=1)


@pytest.mark.slow
@pytest.mark.parametrize("target", [0, 1])
def test_partition_values_of_a_linear_model_are_weight_times_change(target: int, close: Callable[..., None]) -> None:
    model, image = Linear(4, 6), picture(4, 6)
    with iw.record(model, image) as trace:
        values = iw.PartitionSHAP(samples=20000, baseline="mean")(trace, target).values  # down to every pixel
    expected = model.weight * (image[0] - image[0].mean(dim=(1, 2), keepdim=True))
    close(values, (1, -1)[target] * expected.sum(dim=0).detach(), ROUNDING)


def test_partition_values_sum_up_however_few_evaluations() -> None:
    model, image = small_net(), picture(10, 14)
    with iw.record(model, image) as trace, torch.no_grad():
        change = float(model(image)[0, 3] - model(torch.zeros_like(image))[0, 3])
        for estimate in iw.PartitionSHAP(samples=40).stream(trace, 3):
            assert float(estimate.values.sum()) == pytest.approx(change, rel=ROUNDING)


def test_the_first_picture_of_partition_shap_gives_each_half_its_gain() -> None:
    model = Linear(5, 4)
    with torch.no_grad():
        model.weight[:, 2:] = 0
    image = picture(5, 4)
    with iw.record(model, image) as trace:
        first = next(iw.PartitionSHAP().stream(trace, 0)).values
    gain = float((model.weight * image[0]).sum().detach())
    assert torch.allclose(first[:2], torch.full((2, 4), gain / 8, dtype=torch.float64))
    assert float(first[2:].abs().max()) < ROUNDING * abs(gain)


def test_partition_shap_is_shaps_own_by_hand() -> None:
    model, image = small_net(), picture(10, 14)

    def scores(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return model(torch.from_numpy(np.moveaxis(images, -1, 1).copy()))[:, 2].numpy()

    last = image[0].permute(1, 2, 0).numpy().copy()
    theirs = shap.PartitionExplainer(scores, shap.maskers.Image(np.zeros_like(last)))
    expected = theirs(last[None], max_evals=100, batch_size=7, silent=True).values[0].reshape(10, 14, -1).sum(axis=-1)
    with iw.record(model, image) as trace:
        found = iw.PartitionSHAP(samples=100)(trace, 2).values.numpy()
    np.testing.assert_allclose(found, expected, rtol=ROUNDING, atol=ROUNDING * np.abs(expected).max())


def test_partition_shap_refines_without_asking_anything_twice() -> None:
    model, asked = Linear(8, 8), []
    image = picture(8, 8)
    model.register_forward_pre_hook(lambda _model, args: asked.extend(args[0].unbind()))  # the shadow has it too
    with iw.record(model, image) as trace:
        asked.clear()
        done = [estimate.done for estimate in iw.PartitionSHAP(samples=100).stream(trace, 0)]
    assert done == [4, 25, 50, 100]
    assert len({each.numpy().tobytes() for each in asked}) == len(asked)
    assert len(asked) <= 100 + 4


def test_partition_shap_neither_depends_on_numpys_generator_nor_moves_it() -> None:
    found = []
    with iw.record(Linear(8, 8), torch.ones(1, 3, 8, 8, dtype=torch.float64)) as trace:
        for seed in (0, 1):
            np.random.seed(seed)  # noqa: NPY002 - the generator that shap breaks ties with
            before = np.random.get_state()[1].copy()  # noqa: NPY002
            found.append(iw.PartitionSHAP(samples=50)(trace, 0).values)
            assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    assert torch.equal(*found)


def test_kernel_shap_with_all_coalitions_is_that_of_shap() -> None:
    model, x = network(6), vector(6)
    theirs = shap.KernelExplainer(lambda rows: model(torch.from_numpy(rows)).detach().numpy()[:, 1], np.zeros((1, 6)))
    expected = theirs.shap_values(x.numpy(), nsamples=2**6, l1_reg=False, silent=True)[0]
    with iw.record(model, x) as trace:
        found = iw.KernelSHAP(samples=2**6)(trace, 1).values.numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6)  # shap solves its regression in floats of its own


def test_deep_lift_shap_is_deep_explainer_where_that_is_right() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3)).eval()
    x, background = torch.randn(1, 5), torch.randn(4, 5)
    expected = shap.DeepExplainer(model, background).shap_values(x, check_additivity=False)[0, :, 2]
    with iw.record(model, x) as trace:
        found = iw.DeepLiftSHAP(baseline=background)(trace, 2).values.numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)  # single precision, sums of products


def test_a_shap_explainer_stands_in_the_menu() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 6 * 6, 3)).eval()
    image = torch.randn(1, 3, 8, 8)
    theirs = shap.GradientExplainer(model, torch.zeros(2, 3, 8, 8))
    with iw.record(model, image) as trace:
        found = iw.explainers.adapt(theirs)(trace, 1)
    assert found.values.shape == (8, 8)
    change = float((model(image) - model(torch.zeros_like(image)))[0, 1].detach())
    # GradientExplainer samples 200 points of the way, so the sum has a standard error of some per cent
    assert float(found.values.sum()) == pytest.approx(change, rel=0.2)
