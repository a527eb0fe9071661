"""Each view shows one thing of a Session; ``VIEWS`` lists them by name."""

from collections.abc import Mapping
from types import MappingProxyType

from interp_widgets.widgets.views.activations import ActivationView
from interp_widgets.widgets.views.attribution import AttributionView
from interp_widgets.widgets.views.base import SessionView
from interp_widgets.widgets.views.channels import ChannelsView
from interp_widgets.widgets.views.graph import ModelGraph
from interp_widgets.widgets.views.histogram import HistogramView
from interp_widgets.widgets.views.inputs import InputsView
from interp_widgets.widgets.views.intervention import InterventionView
from interp_widgets.widgets.views.map import MapView
from interp_widgets.widgets.views.network import NetworkView
from interp_widgets.widgets.views.prediction import PredictionView
from interp_widgets.widgets.views.summary import SummaryTable
from interp_widgets.widgets.views.weights import WeightView

__all__ = ["VIEWS", "SessionView"]

VIEWS: Mapping[str, type[SessionView]] = MappingProxyType(
    {
        "activations": ActivationView,
        "attribution": AttributionView,
        "channels": ChannelsView,
        "graph": ModelGraph,
        "histogram": HistogramView,
        "inputs": InputsView,
        "intervention": InterventionView,
        "map": MapView,
        "network": NetworkView,
        "prediction": PredictionView,
        "summary": SummaryTable,
        "weights": WeightView,
    }
)
