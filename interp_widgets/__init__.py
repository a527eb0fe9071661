"""See into a PyTorch model: record one pass, then click, drag and scrub through it.

The names are loaded when they are first used, so that ``import interp_widgets.trace`` brings nothing of Jupyter.
"""

import importlib.util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the same names for type checkers and editors; a test compares the two lists
    from interp_widgets import explainers as explainers
    from interp_widgets import zoo as zoo
    from interp_widgets.errors import InterpError as InterpError
    from interp_widgets.evaluation.check import check as check
    from interp_widgets.explainers import *  # noqa: F403 - a new explainer is listed in one place
    from interp_widgets.inputs import Preprocess as Preprocess
    from interp_widgets.inputs import load_input as load_input
    from interp_widgets.inputs import record as record
    from interp_widgets.inspectors.activations import activation_stream as activation_stream
    from interp_widgets.inspectors.activations import activations as activations
    from interp_widgets.inspectors.diff import diff as diff
    from interp_widgets.inspectors.feature_visualization import feature_visualization as feature_visualization
    from interp_widgets.inspectors.graph import graph as graph
    from interp_widgets.inspectors.intervention import Edit as Edit
    from interp_widgets.inspectors.intervention import Intervention as Intervention
    from interp_widgets.inspectors.intervention import intervene as intervene
    from interp_widgets.inspectors.summary import summary as summary
    from interp_widgets.inspectors.top_activating import top_activating as top_activating
    from interp_widgets.inspectors.top_activating import top_activating_stream as top_activating_stream
    from interp_widgets.inspectors.weights import weights as weights
    from interp_widgets.render.look import Look as Look
    from interp_widgets.session import Session as Session
    from interp_widgets.trace import Against as Against
    from interp_widgets.trace import ClassScore as ClassScore
    from interp_widgets.trace import ClassSum as ClassSum
    from interp_widgets.trace import Contrast as Contrast
    from interp_widgets.trace import Layout as Layout
    from interp_widgets.trace import OutputScore as OutputScore
    from interp_widgets.trace import Site as Site
    from interp_widgets.trace import SiteScore as SiteScore
    from interp_widgets.trace import Trace as Trace
    from interp_widgets.widgets.compare import compare as compare
    from interp_widgets.widgets.comparison import Comparison as Comparison
    from interp_widgets.widgets.explorer import Explorer as Explorer
    from interp_widgets.widgets.explorer import explore as explore
    from interp_widgets.widgets.views.activations import ActivationView as ActivationView
    from interp_widgets.widgets.views.graph import ModelGraph as ModelGraph
    from interp_widgets.widgets.views.intervention import InterventionView as InterventionView
    from interp_widgets.widgets.views.summary import SummaryTable as SummaryTable
    from interp_widgets.widgets.views.weights import WeightView as WeightView

# Where each public name lives; the names of ``explainers`` are public too.
_HOME = {
    **dict.fromkeys(("explainers", "zoo"), ""),  # the module itself
    "InterpError": "errors",
    "check": "evaluation.check",
    **dict.fromkeys(("Preprocess", "load_input", "record"), "inputs"),
    **{name: f"inspectors.{name}" for name in ("diff", "feature_visualization", "graph", "summary", "weights")},
    **dict.fromkeys(("activation_stream", "activations"), "inspectors.activations"),
    **dict.fromkeys(("top_activating", "top_activating_stream"), "inspectors.top_activating"),
    **dict.fromkeys(("Edit", "Intervention", "intervene"), "inspectors.intervention"),
    "Look": "render.look",
    "Session": "session",
    **dict.fromkeys(
        ("Against", "ClassScore", "ClassSum", "Contrast", "Layout", "OutputScore", "Site", "SiteScore", "Trace"),
        "trace",
    ),
    "Comparison": "widgets.comparison",
    "compare": "widgets.compare",
    **dict.fromkeys(("Explorer", "explore"), "widgets.explorer"),
    "ModelGraph": "widgets.views.graph",
    "ActivationView": "widgets.views.activations",
    "InterventionView": "widgets.views.intervention",
    "SummaryTable": "widgets.views.summary",
    "WeightView": "widgets.views.weights",
}


def __getattr__(name: str) -> Any:
    """A public name, loaded when it is first used."""
    if name == "__all__":
        return sorted({*_HOME, *importlib.import_module(f"{__name__}.explainers").__all__})
    if not name.startswith("_") and importlib.util.find_spec(f"{__name__}.{name}") is not None:
        return importlib.import_module(f"{__name__}.{name}")
    if not name.startswith("_"):
        module = importlib.import_module(f"{__name__}.{_HOME.get(name, 'explainers')}")
        if name in module.__all__:
            found = globals()[name] = getattr(module, name)
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """What a completion offers."""
    return [*globals(), *__getattr__("__all__")]
