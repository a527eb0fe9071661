"""The controls of an explainer's hyper-parameters, built from its fields: a new explainer needs none of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
import numpy as np
from numpy.typing import NDArray

from interp_widgets.explainers import Explainer
from interp_widgets.explainers.hyper_parameters import limits
from interp_widgets.widgets.kit.browser_widget import close_whole
from interp_widgets.widgets.kit.check_box import CheckBox
from interp_widgets.widgets.kit.menu import Menu
from interp_widgets.widgets.kit.slider import Slider
from interp_widgets.widgets.kit.thumbnails import Thumbnails
from interp_widgets.words import say

__all__ = ["Parameters"]

SLIDER_STEPS = 64  # a slider ends where it can still be set to the number that is meant; Python takes larger ones


class Parameters:
    """A row of controls, one per hyper-parameter; none for a method without any.

    A method's controls are kept when another method is shown: anywidget reports an error for a widget that is closed
    before the browser has drawn it, and an arrow key steps through methods faster than that.
    """

    def __init__(self) -> None:
        self._callback: Callable[[str, Any], object] = lambda _name, _value: None
        self._made: dict[type[Explainer], dict[str, widgets.Widget]] = {}
        self._controls: dict[str, widgets.Widget] = {}  # those shown, by hyper-parameter
        self._showing = False
        self.at_layer = CheckBox(
            label=say("at the layer"),
            help=say("explain the layer looked at instead of the input"),
            layout={"width": "auto", "flex": "0 0 auto"},
        )
        self.baseline = Thumbnails(
            size=28,
            names=[say("the baseline")],
            help=say("what the input is compared with"),
            layout={"display": "none", "flex": "0 0 auto"},
        )
        self.root = widgets.HBox(layout={"width": "100%", "align_items": "center", "grid_gap": "0 8px"})
        self.root.add_class("iw-parameters")

    @property
    def controls(self) -> dict[str, widgets.Widget]:
        """The control of each hyper-parameter of the method shown, by its name."""
        return dict(self._controls)

    def on_change(self, callback: Callable[[str, Any], object]) -> None:
        """Call ``callback(name, value)`` when a control is moved."""
        self._callback = callback

    def show(self, explainer: Explainer, *, at_layer: bool = False) -> None:
        """The controls of this explainer, at its values; and whether it explains the layer, where it has the choice."""
        self._showing = True
        try:
            self._controls = self._controls_of(explainer)
            self.root.children = (*self._controls.values(), self.at_layer, self.baseline)
            self.at_layer.value = at_layer
            self.at_layer.layout.display = "none" if explainer.at_layer or explainer.input_only else ""
            for name, control in self._controls.items():
                _place(control, getattr(explainer, name))
        finally:
            self._showing = False

    def show_baseline(self, picture: NDArray[np.uint8] | None) -> None:
        """What the input is compared with, ``(H, W, 3)`` uint8; ``None`` when that is no picture, or nothing."""
        self.baseline.layout.display = "none" if picture is None else ""
        if picture is not None:
            self.baseline.show([picture], [say("the baseline: what the input is compared with")])

    def close(self) -> None:
        """Close the row with the controls of every method that was shown."""
        for controls in self._made.values():
            for control in controls.values():
                close_whole(control)
        close_whole(self.root)

    def _controls_of(self, explainer: Explainer) -> dict[str, widgets.Widget]:
        kind = type(explainer)
        if kind not in self._made:
            self._made[kind] = {field.name: self._control(field) for field in _ordered(explainer)}
        return self._made[kind]

    def _control(self, field: dataclasses.Field[Any]) -> widgets.Widget:
        meta = {**limits(), **field.metadata}  # an explainer from elsewhere need not say all
        name, help_text = say(field.name.replace("_", " ")), say(meta["help"])
        layout = {"flex": "1 1 132px", "min_width": "104px", "max_width": "220px", "width": "auto"}
        control: widgets.Widget
        if meta["options"]:
            options = [(f"{name}: {option}", str(option)) for option in meta["options"]]
            control = Menu(options=options, value=str(field.default), label=name, help=help_text, layout=layout)
        elif isinstance(field.default, bool):
            control = CheckBox(value=field.default, label=name, help=help_text, layout=layout)
        else:
            control = self._slider(field, meta, layout)
            control.label, control.help = name, help_text
        control.observe(lambda change: self._changed(field, change["new"]), "value")
        return control

    def _slider(self, field: dataclasses.Field[Any], meta: dict[str, Any], layout: dict[str, str]) -> Slider:
        default: Any = field.default
        is_whole = isinstance(default, int)
        low = float(meta["low"] or 0)
        high = float(meta["high"] or np.inf)
        span = 4 * default or (SLIDER_STEPS if is_whole else 1)
        end = min(high, low + span)
        step = 1.0 if is_whole else (end - low) / SLIDER_STEPS
        return Slider(value=float(default), min=low, max=end, step=step, readout=True, layout=layout)

    def _changed(self, field: dataclasses.Field[Any], value: Any) -> None:
        if self._showing or value == "":
            return
        is_whole = isinstance(field.default, int) and not isinstance(field.default, bool)
        self._callback(field.name, round(value) if is_whole else value)


def _ordered(explainer: Explainer) -> list[dataclasses.Field[Any]]:
    """The hyper-parameters as they are shown: a method's own, then those it shares with others, the seed last.

    One that is neither a choice nor a number, which only an explainer from elsewhere has, is set from Python alone.
    """
    own = vars(type(explainer)).get("__annotations__", {})
    shown = [
        field
        for field in dataclasses.fields(explainer)
        if field.metadata.get("options") or isinstance(field.default, (bool, int, float))
    ]
    return sorted(shown, key=lambda field: (field.name == "seed", field.name not in own))


def _place(control: widgets.Widget, value: Any) -> None:
    """Show a value, also one that only Python can give."""
    if isinstance(control, Slider):
        control.max = max(control.max, float(value))
        control.value = float(value)
    elif isinstance(control, Menu):
        known = str(value) in [option for _, option in control.options]
        control.value = str(value) if known else ""
    else:
        control.value = value
