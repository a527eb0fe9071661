"""From what a user has (a path, an image, an array, a tensor) to what a model takes, and back to what a person sees."""

from interp_widgets.inputs.image import load_image
from interp_widgets.inputs.load import load_input, record, with_batch_axis
from interp_widgets.inputs.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess, to_picture
from interp_widgets.inputs.usual import first_convolution, usual_preprocess

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Preprocess",
    "first_convolution",
    "load_image",
    "load_input",
    "record",
    "to_picture",
    "usual_preprocess",
    "with_batch_axis",
]
