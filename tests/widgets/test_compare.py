"""``compare``: the grid, its scales, and how much the maps disagree."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from ipywidgets import HTML
from ipywidgets.widgets.widget import _instances
from PIL import Image
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
from interp_widgets.explainers.estimate import Estimate
from interp_widgets.explainers.question import Question
from interp_widgets.render.look import look_of_all
from interp_widgets.widgets.kit.agreement import Agreement
from interp_widgets.widgets.kit.browser_widget import close_whole
from interp_widgets.widgets.kit.picture import Picture
from tests.explainers.subjects import SmallNet
from tests.widgets.models import Gate

IMAGE = torch.rand(1, 3, 16, 20, generator=torch.Generator().manual_seed(1))
METHODS = ["GradCAM", "InputXGradient", "Gradient"]


def _pictures(comparison: iw.Comparison) -> list[Picture]:
    return [view.picture for view in comparison.views]


def _figure(correlation: float) -> str:
    return f"{correlation:.2f}".replace("-", "\N{MINUS SIGN}")


class Turnstile(Gate):
    """A gate that lets one through."""

    def pass_one(self) -> None:
        self._once = True
        self._opened.set()

    def passing(self) -> None:
        super().passing()
        if getattr(self, "_once", False):
            self._once = False
            self._opened.clear()


GATE = Turnstile()


@dataclass(frozen=True)
class Held(iw.Gradient):
    """Signed pixels, each estimate as soon as the test opens the gate."""

    title: ClassVar[str] = "Held"
    refines: ClassVar[bool] = True
    steps: int = field(default=1, metadata=limits(1, 100))

    def estimates(self, question: Question) -> Iterator[Estimate]:
        for step in range(1, self.steps + 1):
            GATE.passing()
            values = torch.linspace(-1, 1, 16 * 20).reshape(16, 20)
            yield Estimate(values, step, self.steps)


@pytest.fixture(autouse=True)
def _opened() -> Iterator[None]:
    GATE.open()
    yield
    GATE.open()
    assert not GATE.late


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
    usual = look_of_all(found.look for found in maps)
    assert [picture.look for picture in _pictures(comparison)] == [usual] * 3
    comparison.scale.value = "one"
    assert comparison.error == ""
    most = max(found.display(usual).high for found in maps)
    assert [picture.look for picture in _pictures(comparison)] == [replace(usual, limit=most)] * 3
    assert all(picture.signed for picture in _pictures(comparison))
    assert all(picture.note.startswith(f"shown up to {most:.3g}, ") for picture in _pictures(comparison))
    comparison.scale.value = "own"
    assert [picture.look for picture in _pictures(comparison)] == [usual] * 3
    assert [picture.signed for picture in _pictures(comparison)] == [found.signed for found in maps]


def test_one_look_moves_all_maps_and_its_end_is_the_scale(comparison: iw.Comparison) -> None:
    comparison.look.set_state({"look": asdict(replace(comparison.look.look, smoothing=0.1, percentile=90))})
    assert {picture.look for picture in _pictures(comparison)} == {comparison.look.look}
    assert all("percentile 90" in picture.note for picture in _pictures(comparison))
    comparison.look.set_state({"look": asdict(replace(comparison.look.look, limit=0.25))})
    assert comparison.scale.value == "one"
    assert all(picture.signed for picture in _pictures(comparison))
    assert all(picture.note.startswith("shown up to 0.25, ") for picture in _pictures(comparison))
    comparison.look.set_state({"look": asdict(replace(comparison.look.look, limit=None))})
    assert comparison.scale.value == "own"
    assert not _pictures(comparison)[0].signed
    comparison.scale.value = "one"
    comparison.scale.value = "own"
    assert {picture.look for picture in _pictures(comparison)} == {comparison.look.look}
    assert (comparison.look.look.smoothing, comparison.look.look.limit) == (0.1, None)


def test_look_and_opacity_are_linked_in_the_browser(comparison: iw.Comparison) -> None:
    links = set(comparison._links._links)
    for picture in _pictures(comparison):
        assert ((comparison.look, "look"), (picture, "look")) in links
        assert ((comparison.opacity, "value"), (picture, "opacity")) in links


def test_a_chosen_look_stays_when_another_map_arrives() -> None:
    GATE.shut()
    with iw.compare(SmallNet(), IMAGE, methods=["GradCAM", Held()]) as found:
        assert GATE.entered.wait(20)
        found.look.set_state({"look": asdict(replace(found.look.look, smoothing=0.07))})
        assert not found.look.look.by_strength
        GATE.open()
        assert found.wait()
        assert found.error == ""
        looks = {picture.look for picture in _pictures(found)}
        assert looks == {replace(look_of_all(each.look for each in found.attributions if each), smoothing=0.07)}
        assert all(look.by_strength for look in looks)  # not chosen: as is usual with a signed map among them


def test_the_sign_names_what_is_computed_and_what_waits() -> None:
    GATE.shut()
    with iw.compare(SmallNet(), IMAGE, methods=["GradCAM", Held(), "IntegratedGradients"]) as found:
        assert GATE.entered.wait(20)
        done, computed, waiting = _pictures(found)
        assert [picture.busy for picture in (done, computed, waiting)] == [False, True, True]
        assert computed.doing == found.status == "computing Held…"
        assert waiting.doing == "Integrated Gradients waits for its turn"
        GATE.open()
        assert found.wait()
        assert not any(picture.busy for picture in _pictures(found))


def test_an_estimate_says_which_share_of_it_is_computed() -> None:
    GATE.shut()
    with iw.compare(SmallNet(), IMAGE, methods=["GradCAM", Held(steps=4)]) as found:
        assert GATE.entered.wait(20)
        GATE.entered.clear()
        GATE.pass_one()
        assert GATE.entered.wait(20)
        picture = _pictures(found)[1]
        assert (picture.busy, picture.label) == (False, "25% of Held")
        found.stop()
        assert picture.label == "25% of Held"
        GATE.open()
        assert found.wait()
        assert found.correlations.shape == (2, 2)
        assert "<th scope='row'>2 Held</th>" in found.agreement.matrix.value


def test_what_is_stopped_before_it_has_a_map_says_so() -> None:
    GATE.shut()
    with iw.compare(SmallNet(), IMAGE, methods=["GradCAM", Held()]) as found:
        assert GATE.entered.wait(20)
        found.stop()
        GATE.open()
        assert found.wait()
        assert _pictures(found)[1].label == _pictures(found)[1].alt == "Held: stopped, no map yet"


def test_the_title_says_what_all_maps_have_in_common() -> None:
    names = ["ant", "bee", "cat", "dog", "<b>"]
    with iw.compare(SmallNet(), IMAGE, methods=["GradCAM", "Gradient"], targets=[4], class_names=names) as found:
        assert found.title == "SmallNet · input 1 · for “<b>” · at conv2 and at the input"
    with iw.compare(SmallNet(), IMAGE, layers=["conv1", "conv2"], class_names=names) as found:
        session = found.cells[0].session
        session.target = 2
        assert found.wait()
        assert found.title == "SmallNet · input 1 · for “cat”"
        session.target = 0
        assert found.wait()
        assert found.title == "SmallNet · input 1 · for “ant”"
    with iw.compare(models={"one": SmallNet(), "two": SmallNet()}, inputs=IMAGE, targets=[1]) as found:
        assert found.title == "one, two · input 1 · for “class 1” · at conv2"


def test_correlations_are_spearmans(comparison: iw.Comparison) -> None:
    from scipy.stats import spearmanr

    maps = on_shared_cells([found.array for found in comparison.attributions if found is not None])
    expected = spearmanr(maps.reshape(3, -1), axis=1).statistic
    np.testing.assert_allclose(comparison.correlations, expected, atol=1e-12)
    assert f">{_figure(comparison.correlations[0, 1])}<" in comparison.agreement.matrix.value
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
    assert f">{_figure(expected[0, 1])}<" in comparison.agreement.matrix.value


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


def test_what_failed_is_not_tried_again_because_a_browser_shows_it() -> None:
    tried: list[str] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Failing, "estimates", lambda *_: tried.append("once") or 1 // 0)
        with iw.compare(SmallNet(), IMAGE, methods=[Failing(), "GradCAM"]) as found:
            assert found.wait()
            picture = _pictures(found)[0]
            picture._receive(picture, {"type": "need", "row": 0, "column": 0}, [])
            assert not picture.busy
            assert found.wait()
    assert tried == ["once"]


@dataclass(frozen=True)
class Hostile(iw.Gradient):
    """A method for the first class only, with markup in what it says."""

    title: ClassVar[str] = "Hostile"

    def estimates(self, question: Question) -> Iterator[Estimate]:
        label = question.target.label(question.trace.class_names)
        if label != "a":
            raise errors.InputError(f"<img src=x> is not for {label}")
        yield from super().estimates(question)


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
        assert "by its author" in _reason(found)
        assert found._bar.error == ""  # the line says how far the others are
        assert all(picture.view == "overlay" for picture in others)
        assert not any(picture.busy for picture in _pictures(found))
        assert found._bar.stop.layout.visibility == "hidden"
        assert found.status.startswith("2 of 3 maps")
        assert found.status.endswith("; no map of Failing")
        assert found.correlations.shape == (2, 2)


def _reason(found: iw.Comparison) -> str:
    """What the first cell says below its picture."""
    (text,) = [child for child in found.views[0].children if isinstance(child, HTML)]
    assert text.layout.display in ("none", None, "")
    return str(text.value) if text.layout.display != "none" else ""


def test_a_reason_goes_when_the_question_can_be_answered() -> None:
    hostile = Hostile()
    with iw.compare(SmallNet(), IMAGE, methods=[hostile, "GradCAM"], class_names=list("abcde")) as found:
        found.cells[0].session.target = 1
        assert found.wait()
        assert "&lt;img src=x&gt; is not for b" in _reason(found)
        assert "<img" not in _reason(found)
        assert found.error == "Hostile: <img src=x> is not for b"
        found.cells[0].session.target = 0
        assert found.wait()
        assert (_reason(found), found.error) == ("", "")
        assert _pictures(found)[0].label == "Hostile"


# A picture without a kernel


def _still(found: iw.Comparison) -> bytes:
    bundle = found._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert "application/vnd.jupyter.widget-view+json" in data
    still: bytes = data["image/png"]
    return still


def test_the_mime_bundle_has_a_still_with_every_map(comparison: iw.Comparison) -> None:
    data = _still(comparison)
    assert len(data) <= 200_000
    sheet = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    side = 224
    for place, picture in enumerate(_pictures(comparison)):
        pixels = Image.fromarray(picture.as_array())
        expected = np.asarray(pixels.resize((side, round(side * pixels.height / pixels.width)))).astype(int)
        left = 16 + place * (side + 16)
        shown = sheet[40 : 40 + expected.shape[0], left : left + side]
        assert np.abs(shown - expected).mean() < 6  # of 255: the sheet has 256 colours in all
    assert comparison.snapshot().data == data
    assert comparison.snapshot().alt == "; ".join([comparison.title, *(each.alt for each in _pictures(comparison))])


def test_a_still_of_the_most_maps_of_noise_is_small_enough_to_be_saved() -> None:
    noise = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(2))
    with iw.compare(SmallNet(), noise, methods=["InputXGradient"] * 36) as found:
        assert found.wait()
        assert len(_still(found)) <= 200_000


def test_a_closed_comparison_is_still_displayed_without_an_error() -> None:
    found = iw.compare(SmallNet(), IMAGE, methods=["GradCAM"])
    found.close()
    assert found._repr_mimebundle_() == {"text/plain": "<Comparison of 1 maps: closed>"}


# The table


def test_the_table_has_real_minuses_no_negative_zero_and_says_what_is_compared() -> None:
    rng = np.random.default_rng(0)
    values = np.arange(16.0).reshape(4, 4)
    nearly = rng.permutation(16).reshape(4, 4).astype(float)
    while not -0.005 < rank_correlations([values, nearly])[0, 1] < 0:
        nearly = rng.permutation(16).reshape(4, 4).astype(float)
    shown = Agreement(["a", "b", "c"], 100)
    shown.show({0: values, 1: 15 - values, 2: nearly})
    table = shown.matrix.value
    assert ">\N{MINUS SIGN}1.00</td>" in table
    assert table.count(">0.00</td>") == 4  # of two, and two that are rounded from below
    assert "\N{MINUS SIGN}0.00" not in table
    assert "-" not in re.sub("<[^>]*>", "", table)
    assert "rank correlation of each two maps: evidence for the target, mean of each of 4 by 4 cells</caption>" in table
    shown.kind.value = Evidence.ABSOLUTE.value
    assert "evidence for and against it, mean of each of 4 by 4 cells</caption>" in shown.matrix.value
    assert shown.difference.alt == "a less b, by rank: \N{MINUS SIGN}1.00 to 1.00"
    close_whole(shown)


def test_one_map_is_compared_with_nothing() -> None:
    shown = Agreement(["a", "b"], 100)
    maps = {0: np.arange(4.0).reshape(2, 2), 1: np.ones((2, 2))}
    shown.show(maps)
    assert shown.disagreement.label == "disagreement of 2 maps"
    shown.show({0: maps[0]})  # the other is computed anew: what was shown is not true any more
    assert shown.matrix.value == ""
    assert shown.difference.label == shown.difference.alt == "first less second: it takes two maps"
    assert shown.disagreement.label == "disagreement of all: it takes two maps"
    assert not any(picture.has(0, 0) for picture in (shown.difference, shown.disagreement))
    close_whole(shown)


def test_another_class_is_compared_anew_after_a_stop() -> None:
    with iw.compare(SmallNet(), IMAGE, methods=METHODS) as found:
        assert found.wait()
        before = found.agreement.matrix.value
        found.stop()
        assert found.status.startswith("stopped")
        session = found.cells[0].session
        session.target = (session.target + 1) % 5
        assert found.wait()
        assert found.status.startswith("3 of 3 maps")
        assert found.agreement.matrix.value != before


def test_a_map_without_order_says_why_it_has_no_correlations() -> None:
    shown = Agreement(["a", "<b>", "c"], 100)
    shown.show({0: np.arange(4.0).reshape(2, 2), 1: np.full((2, 2), -1.0), 2: np.full((2, 2), 3.0)})
    assert shown.matrix.value.count("<td>none</td>") == 8
    assert ">none: &lt;b&gt; has no evidence for the target</p>" in shown.matrix.value
    assert ">none: c is the same everywhere, so its cells have no order</p>" in shown.matrix.value
    close_whole(shown)


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
