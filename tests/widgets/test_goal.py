"""What is explained beside a class: contrasts, sums, units; and a layer by methods that could explain the input."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

import interp_widgets as iw
from interp_widgets import errors
from interp_widgets.trace.target import as_target


@pytest.fixture
def explorer() -> Iterator[iw.Explorer]:
    with iw.explore("scenes", explainer="GradCAM") as found:
        found.wait()
        yield found


def _choose(explorer: iw.Explorer, value: str) -> None:
    explorer._prediction.goal.menu.value = value
    assert explorer.wait()
    assert explorer.error == ""


def test_the_menu_offers_contrasts_sums_and_the_channel(explorer: iw.Explorer) -> None:
    values = [value for _, value in explorer._prediction.goal.menu.options]
    assert values[0] == "class"
    assert "top 3" in values
    assert values[-1] == "unit"
    assert sum(value.startswith("rather") for value in values) == explorer.session.ready().class_count


def test_a_contrast_and_its_dial_move_the_target(explorer: iw.Explorer) -> None:
    chosen = explorer.session.target
    other = (chosen + 1) % 9
    _choose(explorer, f"rather {other}")
    assert explorer.session.target == iw.Contrast(chosen, other)
    assert explorer._prediction.goal.dial.layout.display == ""
    trace = explorer.session.ready()
    difference = trace.gradient("layer3", chosen) - trace.gradient("layer3", other)
    torch.testing.assert_close(trace.gradient("layer3", explorer.session.target), difference)
    explorer._prediction.goal.dial.value = 0.25
    assert explorer.wait()
    assert explorer.session.target == iw.Contrast(chosen, other, 0.25)
    assert "by 25%" in explorer.status
    part = trace.gradient("layer3", chosen) - 0.25 * trace.gradient("layer3", other)
    torch.testing.assert_close(trace.gradient("layer3", explorer.session.target), part)


def test_a_dial_at_zero_explains_the_class_alone(explorer: iw.Explorer) -> None:
    chosen = explorer.session.target
    alone = explorer.attribution.values
    explorer.session.target = iw.Contrast(chosen, (chosen + 1) % 9, 0.0)
    assert explorer.wait()
    torch.testing.assert_close(explorer.attribution.values, alone)


def test_the_likeliest_classes_are_taken_together(explorer: iw.Explorer) -> None:
    _choose(explorer, "top 3")
    trace = explorer.session.ready()
    assert explorer.session.target == iw.ClassSum.top(trace, 3)
    best = trace.logits[0].topk(3).values.sum()
    assert float(trace.score(explorer.session.target)) == pytest.approx(float(best), rel=1e-5)


def test_the_channel_looked_at_becomes_the_target(explorer: iw.Explorer) -> None:
    explorer.session.layer, explorer.session.channel = "layer2", 5
    explorer.session.explainer = "Gradient"
    _choose(explorer, "unit")
    assert explorer.session.target == iw.SiteScore("layer2", 5)
    assert "channel 5 of layer2" in explorer.status
    trace = explorer.session.ready()
    assert float(trace.score(explorer.session.target)) == pytest.approx(float(trace.activation("layer2")[0, 5].sum()))


def test_another_class_ends_the_contrast_and_the_menu_says_so(explorer: iw.Explorer) -> None:
    _choose(explorer, "top 3")
    explorer.controls["classes"].selected = 4
    assert explorer.wait()
    assert explorer.session.target == 4
    assert explorer._prediction.goal.menu.value == "class"


def test_a_target_that_only_python_can_give_leaves_the_menu_empty(explorer: iw.Explorer) -> None:
    explorer.session.target = lambda output: output[0, 1] * 2
    assert explorer.wait()
    assert explorer._prediction.goal.menu.value == ""
    assert explorer.error == ""


def test_targets_have_names_and_refuse_what_cannot_be() -> None:
    trace = iw.record(torch.nn.Linear(4, 3), torch.ones(1, 4), class_names=["ant", "bee", "cat"])
    names = {
        as_target(target, trace).label(trace.class_names)
        for target in (iw.Contrast(0, 1), iw.Contrast(0, 1, 0.5), iw.ClassSum((0, 2)))
    }
    assert names == {"ant rather than bee", "ant rather than bee, by 50%", "ant + cat"}
    with pytest.raises(errors.TargetError, match=r"count must be in 1\.\.3 \(the model's classes\), got 4"):
        iw.ClassSum.top(trace, 4)
    with pytest.raises(errors.TargetError, match=r"target must be in 0\.\.2"):
        trace.score(iw.ClassSum((0, 3)))


# The layer instead of the input


def test_a_method_on_the_input_can_be_asked_for_the_layer(explorer: iw.Explorer) -> None:
    explorer.session.explainer = "InputXGradient"
    assert explorer.wait()
    assert explorer.attribution.layer == "input"
    explorer._attribution.parameters.at_layer.value = True
    assert explorer.wait()
    assert explorer.session.at_layer
    assert explorer.attribution.layer == "layer3"
    explorer.session.layer = "layer1"
    assert explorer.wait()
    assert explorer.attribution.values.shape == (48, 48)
    assert explorer.controls["attribution"].resolution(explorer._attribution.drawn.row, explorer.session.target) == (
        48,
        48,
    )
    assert "at layer1" in explorer.status


def test_a_method_for_inputs_only_stays_there(explorer: iw.Explorer) -> None:
    explorer.session.at_layer = True
    explorer.session.explainer = iw.Occlusion(patch=0.5)
    assert explorer.wait()
    assert explorer.attribution.layer == "input"
    assert explorer._attribution.parameters.at_layer.layout.display == "none"


# Lists of values


@pytest.fixture
def table() -> Iterator[iw.Explorer]:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    names = ["age", "<b>mass</b>", "height", "dose", "rate"]
    with iw.explore(model, torch.randn(1, 5), explainer="KernelSHAP", feature_names=names) as found:
        found.wait()
        yield found


def test_a_list_of_values_is_shown_as_bars_by_feature_name_and_said_to_add_up(table: iw.Explorer) -> None:
    found = table.attribution
    assert found.names == ("age", "<b>mass</b>", "height", "dose", "rate")
    order = found.values.abs().argsort(descending=True).tolist()
    assert table._attribution.bars.names == [found.names[i] for i in order]
    assert found.change is not None
    assert float(found.values.sum()) == pytest.approx(found.change, abs=1e-5)
    assert found.additivity in table.status
    assert f"at {found.names[int(found.values.argmax())]}" in found.describe()


def test_the_figure_of_a_list_is_a_bar_chart(table: iw.Explorer) -> None:
    (panel,) = table.attribution.figure().axes
    labels = [label.get_text() for label in panel.get_yticklabels()]
    assert set(labels) == set(table.attribution.names)
    assert [bar.get_width() for bar in panel.patches] == sorted(
        table.attribution.values.tolist(), key=abs, reverse=True
    )
    assert "values add up to" in table.attribution.figure().get_suptitle()


@pytest.mark.parametrize("name", ["DeepLift", "IntegratedGradients", "ShapleySampling", "KernelSHAP"])
def test_every_method_that_promises_it_adds_up_on_data(name: str) -> None:
    """A small network trained on scikit-learn's wine data: thirteen named features, three classes."""
    from sklearn.datasets import load_wine

    wine = load_wine()
    inputs = torch.tensor((wine.data - wine.data.mean(0)) / wine.data.std(0)).float()
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(13, 16), torch.nn.Tanh(), torch.nn.Linear(16, 3))
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(inputs), torch.tensor(wine.target)).backward()
        optimizer.step()
    trace = iw.record(model, inputs[:1], feature_names=wine.feature_names)
    found = iw.EXPLAINERS[name]()(trace)
    change = float((model(inputs[:1]) - model(torch.zeros(1, 13)))[0, trace.prediction].detach())
    assert found.names == tuple(wine.feature_names)
    # 32 Gauss-Legendre nodes leave 1e-4 of this smooth change; the others sum up to rounding
    assert float(found.values.sum()) == pytest.approx(change, rel=1e-3)
    assert found.change == pytest.approx(change, rel=1e-4)
