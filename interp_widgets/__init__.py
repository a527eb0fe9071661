"""See into a PyTorch model: record one pass, then click, drag and scrub through it."""

from interp_widgets import zoo
from interp_widgets.errors import InterpError
from interp_widgets.explainers import (
    EXPLAINERS,
    Attribution,
    EigenCAM,
    EigenGradCAM,
    Explainer,
    GradCAM,
    GradCAMPlusPlus,
    Gradient,
    HiResCAM,
    InputXGradient,
    LayerCAM,
    XGradCAM,
)
from interp_widgets.inputs import Preprocess, load_input, record
from interp_widgets.trace import ClassScore, Contrast, Layout, OutputScore, Site, SiteScore, Trace
from interp_widgets.widgets.explorer import Explorer, explore
from interp_widgets.widgets.session import Session

__all__ = [
    "EXPLAINERS",
    "Attribution",
    "ClassScore",
    "Contrast",
    "EigenCAM",
    "EigenGradCAM",
    "Explainer",
    "Explorer",
    "GradCAM",
    "GradCAMPlusPlus",
    "Gradient",
    "HiResCAM",
    "InputXGradient",
    "InterpError",
    "LayerCAM",
    "Layout",
    "OutputScore",
    "Preprocess",
    "Session",
    "Site",
    "SiteScore",
    "Trace",
    "XGradCAM",
    "explore",
    "load_input",
    "record",
    "zoo",
]
