"""Methods that say which positions made the score what it is. To add one: its file, and a line in ``EXPLAINERS``."""

from collections.abc import Mapping
from types import MappingProxyType

from interp_widgets.explainers.attribution import Attribution
from interp_widgets.explainers.base import CAM, Explainer
from interp_widgets.explainers.eigen_cam import EigenCAM, EigenGradCAM
from interp_widgets.explainers.grad_cam import GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM, XGradCAM
from interp_widgets.explainers.gradient import Gradient, InputXGradient

EXPLAINERS: Mapping[str, type[Explainer]] = MappingProxyType(
    {
        kind.__name__: kind
        for kind in (
            GradCAM,
            GradCAMPlusPlus,
            XGradCAM,
            HiResCAM,
            LayerCAM,
            EigenCAM,
            EigenGradCAM,
            Gradient,
            InputXGradient,
        )
    }
)
"""Every explainer by its class name, in the order of the menu."""

__all__ = [
    "CAM",
    "EXPLAINERS",
    "Attribution",
    "EigenCAM",
    "EigenGradCAM",
    "Explainer",
    "GradCAM",
    "GradCAMPlusPlus",
    "Gradient",
    "HiResCAM",
    "InputXGradient",
    "LayerCAM",
    "XGradCAM",
]
