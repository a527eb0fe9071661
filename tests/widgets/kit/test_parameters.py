"""The controls of hyper-parameters: one for each field of every explainer, kept while another method is shown."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from ipywidgets.widgets.widget import _instances

from interp_widgets.explainers import EXPLAINERS, Explainer, GradCAM, SmoothGrad
from interp_widgets.explainers.estimate import Estimate
from interp_widgets.explainers.question import Question
from interp_widgets.widgets.kit.check_box import CheckBox
from interp_widgets.widgets.kit.parameters import Parameters


@pytest.fixture
def parameters() -> Iterator[Parameters]:
    made = Parameters()
    yield made
    made.close()


@pytest.mark.parametrize("name", list(EXPLAINERS))
def test_every_hyper_parameter_has_a_control_at_its_value(name: str, parameters: Parameters) -> None:
    explainer = EXPLAINERS[name]()
    parameters.show(explainer)
    assert set(parameters.controls) == {field.name for field in dataclasses.fields(explainer)}
    for field_name, control in parameters.controls.items():
        value = getattr(explainer, field_name)
        assert control.value == value or float(control.value) == value


@pytest.mark.parametrize("name", list(EXPLAINERS))
def test_every_position_of_a_control_is_allowed(name: str, parameters: Parameters) -> None:
    explainer = EXPLAINERS[name]()
    asked: list[tuple[str, Any]] = []
    parameters.on_change(lambda changed, value: asked.append((changed, value)))
    parameters.show(explainer)
    for control in parameters.controls.values():
        options = [value for _, value in getattr(control, "options", [])]
        for value in options or ([False, True] if isinstance(control, CheckBox) else _ends(control)):
            control.value = value
    for changed, value in asked:
        dataclasses.replace(explainer, **{changed: value})  # refuses what is not allowed
    assert {changed for changed, _ in asked} == set(parameters.controls)


@pytest.mark.parametrize("name", list(EXPLAINERS))
def test_every_control_says_what_its_hyper_parameter_does(name: str, parameters: Parameters) -> None:
    explainer = EXPLAINERS[name]()
    parameters.show(explainer)
    told = {field_name: (control.label, control.help) for field_name, control in parameters.controls.items()}
    fields = dataclasses.fields(explainer)
    assert told == {field.name: (field.name.replace("_", " "), field.metadata["help"]) for field in fields}


def _ends(slider: Any) -> list[float]:
    return [slider.max, slider.min, slider.min + slider.step]


def test_a_methods_controls_are_kept_and_show_its_present_values(parameters: Parameters) -> None:
    parameters.show(SmoothGrad(samples=4))
    before = parameters.controls
    parameters.show(GradCAM())
    assert [*parameters.controls] == ["relu"]
    assert all(control.comm is not None for control in before.values())
    parameters.show(SmoothGrad(samples=6))
    assert parameters.controls == before
    assert set(before.values()) <= set(parameters.root.children)
    assert before["samples"].value == 6


def test_closing_closes_the_controls_of_every_method_that_was_shown() -> None:
    before = set(_instances)
    parameters = Parameters()
    for kind in EXPLAINERS.values():
        parameters.show(kind())
    assert set(_instances) > before
    parameters.close()
    assert set(_instances) == before


@dataclass(frozen=True)
class Foreign(Explainer):
    """As somebody writes it who knows nothing of ``limits``: no title, no metadata, a list."""

    times: int = 3
    share: float = field(default=0.5, metadata={"low": 0.0, "help": "of {something}"})
    ranks: tuple[int, ...] = (1, 2)

    def estimates(self, question: Question) -> Iterator[Estimate]:
        yield Estimate(question.as_map(question.value * self.times))


def test_an_explainer_from_elsewhere_need_not_say_what_is_allowed(parameters: Parameters) -> None:
    parameters.show(Foreign())
    assert [*parameters.controls] == ["times", "share"]
    assert (Foreign.title, Foreign.summary) == ("Foreign", "")
