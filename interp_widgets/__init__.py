"""See into a PyTorch model: record one pass, then click, drag and scrub through it."""

from interp_widgets import explainers, zoo
from interp_widgets.errors import InterpError
from interp_widgets.explainers import (
    EXPLAINERS,
    Attribution,
    BlurIG,
    EigenCAM,
    EigenGradCAM,
    ExpectedGradients,
    Explainer,
    GradCAM,
    GradCAMPlusPlus,
    Gradient,
    HiResCAM,
    InputXGradient,
    IntegratedGradients,
    LayerCAM,
    SmoothGrad,
    SmoothGradSquared,
    VarGrad,
    XGradCAM,
)
from interp_widgets.inputs import Preprocess, load_input, record
from interp_widgets.trace import ClassScore, Contrast, Layout, OutputScore, Site, SiteScore, Trace
from interp_widgets.widgets.explorer import Explorer, explore
from interp_widgets.widgets.session import Session

__all__ = [
    "EXPLAINERS",
    "Attribution",
    "BlurIG",
    "ClassScore",
    "Contrast",
    "EigenCAM",
    "EigenGradCAM",
    "ExpectedGradients",
    "Explainer",
    "Explorer",
    "GradCAM",
    "GradCAMPlusPlus",
    "Gradient",
    "HiResCAM",
    "InputXGradient",
    "IntegratedGradients",
    "InterpError",
    "LayerCAM",
    "Layout",
    "OutputScore",
    "Preprocess",
    "Session",
    "Site",
    "SiteScore",
    "SmoothGrad",
    "SmoothGradSquared",
    "Trace",
    "VarGrad",
    "XGradCAM",
    "explainers",
    "explore",
    "load_input",
    "record",
    "zoo",
]
