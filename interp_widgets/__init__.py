"""See into a PyTorch model: record one pass, then click, drag and scrub through it."""

from interp_widgets import explainers, zoo
from interp_widgets.errors import InterpError
from interp_widgets.evaluation import check
from interp_widgets.explainers import *  # noqa: F403 - a new explainer is listed in one place
from interp_widgets.inputs import Preprocess, load_input, record
from interp_widgets.trace import ClassScore, ClassSum, Contrast, Layout, OutputScore, Site, SiteScore, Trace
from interp_widgets.widgets.compare import Comparison, compare
from interp_widgets.widgets.explorer import Explorer, explore
from interp_widgets.widgets.session import Session

__all__ = [
    "ClassScore",
    "ClassSum",
    "Comparison",
    "Contrast",
    "Explorer",
    "InterpError",
    "Layout",
    "OutputScore",
    "Preprocess",
    "Session",
    "Site",
    "SiteScore",
    "Trace",
    "check",
    "compare",
    "explainers",
    "explore",
    "load_input",
    "record",
    "zoo",
]
__all__ += explainers.__all__
