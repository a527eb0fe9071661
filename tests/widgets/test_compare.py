"""``compare``: the grid, its scales, and how much the maps disagree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from ipywidgets.widgets.widget import _instances
from torch import nn

import interp_widgets as iw
from interp_widgets import errors
from interp_widgets.evaluation.agreement import (
    Evidence,
    disagreement,
    on_one_grid,
    on_shared_cells,
    rank_correlations,
    ranks,
)
from interp_widgets.explainers.base import limits
from interp_widgets.explainers.question import Question
from interp_widgets.widgets.kit.picture import Picture
from tests.explainers.subjects import SmallNet

IMAGE = torch.rand(1, 3, 16, 20, generator=torch.Generator().manual_seed(1))
METHODS = ["GradCAM", "InputXGradient", "Gradient"]


def _pictures(comparison: iw.Comparison) -> list[Picture]:
    return [view.picture for view in comparison.views]


@pytest.fixture
def comparison() -> Iterator[iw.Comparison]:
    with iw.compare(SmallNet(), IMAGE, methods=METHODS) as found:
        assert found.wait()
        yield found


def test_every_map_is_the_one_the_method_gives(comparison: iw.Comparison) -> None:
    assert comparison.error == ""
    assert "3 of 3 maps" in comparison.status
    for cell, found, name in zip(comparison.cells, comparison.attributions, METHODS, strict=True):
        assert found is not None
        assert cell.title == iw.EXPLAINERS[name].title
        expected = iw.EXPLAINERS[name]()(iw.record(cell.session.model, IMAGE), found.target)
        torch.testing.assert_close(found.values, expected.values)


def test_one_scale_is_the_same_for_all_maps_and_symmetric_when_one_is_signed(comparison: iw.Comparison) -> None:
    maps = [found for found in comparison.attributions if found is not None]
    usual = [found.look for found in maps]
    assert [picture.look for picture in _pictures(comparison)] == usual
    comparison.scale.value = "one"
    assert comparison.error == ""
    most = max(found.display().high for found in maps)
    assert [picture.look for picture in _pictures(comparison)] == [replace(look, limit=most) for look in usual]
    assert all(picture.signed for picture in _pictures(comparison))
    assert all(picture.note.startswith(f"shown up to {most:.3g}, ") for picture in _pictures(comparison))
    comparison.scale.value = "own"
    assert [picture.look for picture in _pictures(comparison)] == usual
    assert [picture.signed for picture in _pictures(comparison)] == [found.signed for found in maps]


def test_correlations_are_spearmans(comparison: iw.Comparison) -> None:
    from scipy.stats import spearmanr

    maps = on_shared_cells([found.array for found in comparison.attributions if found is not None])
    expected = spearmanr(maps.reshape(3, -1), axis=1).statistic
    np.testing.assert_allclose(comparison.correlations, expected, atol=1e-12)
    assert f">{comparison.correlations[0, 1]:.2f}<" in comparison.agreement.matrix.value
    np.testing.assert_allclose(
        comparison.agreement.disagreement._frames[0, 0].hi, comparison.disagreement.max(), rtol=1e-5
    )


def test_two_maps_are_taken_from_each_other_by_rank(comparison: iw.Comparison) -> None:
    comparison.agreement.first.value, comparison.agreement.second.value = "2", "1"
    assert comparison.error == ""
    _, second, first = on_shared_cells([found.array for found in comparison.attributions if found is not None])
    shown = comparison.agreement.difference._frames[0, 0]
    step = (shown.hi - shown.lo) / 255  # one of the 256 steps
    np.testing.assert_allclose(shown.values(), ranks(first) - ranks(second), atol=step)


def test_what_is_compared_can_be_chosen(comparison: iw.Comparison) -> None:
    maps = [found.array for found in comparison.attributions if found is not None]
    comparison.agreement.kind.value = Evidence.ABSOLUTE.value
    expected = rank_correlations(on_shared_cells(maps, Evidence.ABSOLUTE))
    np.testing.assert_allclose(comparison.correlations, expected)
    assert f">{expected[0, 1]:.2f}<" in comparison.agreement.matrix.value


def test_layers_targets_images_and_models_vary_too() -> None:
    with iw.compare(SmallNet(), IMAGE, layers=["conv1", "conv2"], targets=[0, iw.Contrast(1, 2)]) as found:
        assert found.wait()
        assert [cell.title for cell in found.cells] == [
            *("conv1 · class 0", "conv1 · class 1 rather than class 2"),
            *("conv2 · class 0", "conv2 · class 1 rather than class 2"),
        ]
        assert [each.layer for each in found.attributions if each] == ["conv1", "conv1", "conv2", "conv2"]
    models = {"first": SmallNet(), "second": SmallNet()}
    with iw.compare(models=models, images=[IMAGE, IMAGE / 2]) as found:
        assert found.wait()
        assert [cell.title for cell in found.cells] == [f"{m} · image {i}" for m in models for i in (1, 2)]
        assert [each.method for each in found.attributions if each] == ["Grad-CAM"] * 4


def test_one_cursor_for_all(comparison: iw.Comparison) -> None:
    targets = {target for _, (target, trait) in comparison._links._links if trait == "cursor"}
    assert targets == {*_pictures(comparison)[1:], comparison.agreement.difference, comparison.agreement.disagreement}


def test_a_map_that_cannot_be_is_said_and_the_others_stay() -> None:
    with iw.compare(SmallNet(), IMAGE, methods=["GradCAM", "Gradient"], layers=["head"]) as found:
        assert found.wait()
        # Grad-CAM moves to the layer that has maps, as in the Explorer
        assert [each is not None for each in found.attributions] == [True, True]
    linear = nn.Sequential(nn.Flatten(), nn.Linear(960, 3))
    with iw.compare(linear, IMAGE, methods=["GradCAM", "Gradient"]) as found:
        assert found.wait()
        assert [each is not None for each in found.attributions] == [False, True]
        assert "Grad-CAM: no layer of this Sequential has maps" in found.error
        assert "no map" in _pictures(found)[0].label


@dataclass(frozen=True)
class Failing(iw.Gradient):
    """Somebody else's method, with a fault."""

    title: ClassVar[str] = "Failing"
    error: type[BaseException] = field(default=ValueError, metadata=limits(convert=lambda kind: kind))

    def estimates(self, question: Question) -> Iterator[torch.Tensor]:
        raise self.error("by its author")


@pytest.mark.parametrize("error", [ZeroDivisionError, errors.InputError, KeyboardInterrupt, SystemExit])
def test_a_method_that_fails_is_named_and_the_others_go_on(error: type[BaseException]) -> None:
    methods = [Failing(error=error), "IntegratedGradients", "GradCAM"]
    with iw.compare(SmallNet(), IMAGE, methods=methods) as found:
        assert found.wait()
        assert [each is not None for each in found.attributions] == [False, True, True]
        assert found.error.startswith("Failing: ")
        assert "by its author" in found.error
        first, *others = _pictures(found)
        assert (first.view, first.label) == ("base", "Failing: no map")
        assert "by its author" in first.alt
        assert all(picture.view == "overlay" for picture in others)
        assert not any(picture.busy for picture in _pictures(found))
        assert found._bar.stop.layout.visibility == "hidden"
        assert found.status.startswith("2 of 3 maps")
        assert found.correlations.shape == (2, 2)


def test_wrong_requests_are_refused_in_words() -> None:
    with pytest.raises(errors.ParameterError, match="no explainer is named 'Grad'"):
        iw.compare(SmallNet(), IMAGE, methods=["Grad"])
    with pytest.raises(errors.ParameterError, match="give either model or models"):
        iw.compare(SmallNet(), IMAGE, models=[SmallNet()])
    with pytest.raises(errors.ParameterError, match="compare shows 1 to 36 maps, got 40"):
        iw.compare(SmallNet(), IMAGE, methods=["GradCAM"] * 40)
    with pytest.raises(errors.ParameterError, match="give an input"):
        iw.compare(SmallNet())


def test_names_from_outside_stay_text() -> None:
    hostile = {"<img src=x onerror=alert(1)>": SmallNet(), "b": SmallNet()}
    with iw.compare(models=hostile, inputs=IMAGE) as found:
        assert found.wait()
        assert "<img" not in found.agreement.matrix.value
        assert "&lt;img" in found.agreement.matrix.value


def test_stop_keeps_what_is_there_and_ends_the_thread() -> None:
    slow = [iw.RISE(samples=20000), iw.IntegratedGradients(steps=1000)]
    with iw.compare(SmallNet(), IMAGE, methods=slow) as found:
        found._bar.stop.click()
        assert found.wait(5)
        assert "stopped" in found.status
        assert found.attributions[1] is None


def test_closing_leaves_no_widget_behind() -> None:
    before = set(_instances)
    found = iw.compare(SmallNet(), IMAGE, methods=METHODS)
    assert found.wait()
    found.close()
    found.close()
    after = set(_instances)
    assert after <= before
    assert repr(found) == "<Comparison of 3 maps: closed>"


# The measures


def test_ranks_share_the_mean_of_ties() -> None:
    np.testing.assert_allclose(ranks([[3.0, 1.0], [1.0, 5.0]]), np.array([[2, 0.5], [0.5, 3]]) / 3)


def test_the_same_map_agrees_with_itself_and_its_opposite_does_not() -> None:
    values = np.random.default_rng(0).normal(size=(6, 7))
    np.testing.assert_allclose(rank_correlations([values, np.exp(values), -values])[0], [1, 1, -1])
    assert disagreement([values, np.exp(values)]).max() == 0
    assert np.isnan(rank_correlations([values, np.zeros((6, 7))])[0, 1])


def test_maps_only() -> None:
    with pytest.raises(errors.InputError, match=r"maps must be arrays of shape \(height, width\)"):
        on_one_grid([np.zeros(3)])
