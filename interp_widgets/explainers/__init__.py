"""Methods that say which positions made the score what it is. To add one: its file, and a line in ``EXPLAINERS``."""

from collections.abc import Mapping

from interp_widgets.explainers.adapters import adapt, from_callable
from interp_widgets.explainers.attribution import Attribution
from interp_widgets.explainers.backward_rules import Deconvnet, GuidedBackprop, GuidedGradCAM
from interp_widgets.explainers.base import CAM, Explainer
from interp_widgets.explainers.coalitions import FeatureAblation, ShapleySampling
from interp_widgets.explainers.deep_lift import DeepLift, DeepLiftSHAP
from interp_widgets.explainers.eigen_cam import EigenCAM, EigenGradCAM
from interp_widgets.explainers.estimate import ErrorKind, Estimate
from interp_widgets.explainers.finer_cam import FinerCAM
from interp_widgets.explainers.full_grad import FullGrad
from interp_widgets.explainers.grad_cam import GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM, XGradCAM
from interp_widgets.explainers.gradient import Gradient, InputXGradient
from interp_widgets.explainers.integrated_gradients import BlurIG, IntegratedGradients
from interp_widgets.explainers.lrp import LRP
from interp_widgets.explainers.occlusion import RISE, Occlusion
from interp_widgets.explainers.partition_shap import PartitionSHAP
from interp_widgets.explainers.question import Question
from interp_widgets.explainers.registry import Registry
from interp_widgets.explainers.score_cam import AblationCAM, ScoreCAM
from interp_widgets.explainers.smooth_grad import ExpectedGradients, SmoothGrad, SmoothGradSquared, VarGrad
from interp_widgets.explainers.surrogates import LIME, KernelSHAP

EXPLAINERS: Mapping[str, type[Explainer]] = Registry(
    (
        GradCAM,
        GradCAMPlusPlus,
        XGradCAM,
        HiResCAM,
        LayerCAM,
        FinerCAM,
        EigenCAM,
        EigenGradCAM,
        ScoreCAM,
        AblationCAM,
        Gradient,
        InputXGradient,
        IntegratedGradients,
        BlurIG,
        ExpectedGradients,
        SmoothGrad,
        SmoothGradSquared,
        VarGrad,
        DeepLift,
        DeepLiftSHAP,
        LRP,
        GuidedBackprop,
        GuidedGradCAM,
        Deconvnet,
        FullGrad,
        Occlusion,
        RISE,
        FeatureAblation,
        LIME,
        KernelSHAP,
        ShapleySampling,
        PartitionSHAP,
    )
)
"""Every explainer by its class name, in the order of the menu; other packages add theirs by entry points."""

__all__ = [
    "CAM",
    "EXPLAINERS",
    "LIME",
    "LRP",
    "RISE",
    "AblationCAM",
    "Attribution",
    "BlurIG",
    "Deconvnet",
    "DeepLift",
    "DeepLiftSHAP",
    "EigenCAM",
    "EigenGradCAM",
    "ErrorKind",
    "Estimate",
    "ExpectedGradients",
    "Explainer",
    "FeatureAblation",
    "FinerCAM",
    "FullGrad",
    "GradCAM",
    "GradCAMPlusPlus",
    "Gradient",
    "GuidedBackprop",
    "GuidedGradCAM",
    "HiResCAM",
    "InputXGradient",
    "IntegratedGradients",
    "KernelSHAP",
    "LayerCAM",
    "Occlusion",
    "PartitionSHAP",
    "Question",
    "ScoreCAM",
    "ShapleySampling",
    "SmoothGrad",
    "SmoothGradSquared",
    "VarGrad",
    "XGradCAM",
    "adapt",
    "from_callable",
]
