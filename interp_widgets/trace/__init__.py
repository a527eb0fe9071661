"""Record one forward pass of a model and answer questions about it."""

from interp_widgets.trace.axes.layout import Layout
from interp_widgets.trace.recording import record
from interp_widgets.trace.target import Target
from interp_widgets.trace.targets import Against, ClassScore, ClassSum, Contrast, OutputScore, SiteScore, TargetLike
from interp_widgets.trace.trace import Trace
from interp_widgets.trace.values import Site

__all__ = [
    "Against",
    "ClassScore",
    "ClassSum",
    "Contrast",
    "Layout",
    "OutputScore",
    "Site",
    "SiteScore",
    "Target",
    "TargetLike",
    "Trace",
    "record",
]
