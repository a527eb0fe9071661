"""What is explained beside a class: contrasts, sums, units."""

from __future__ import annotations

import pytest
import torch

import interp_widgets as iw


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
