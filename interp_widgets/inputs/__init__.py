"""From what a user has (a path, an image, an array, a tensor) to what a model takes, and back to what a person sees."""

from interp_widgets.inputs.foreign import Prepare, in_words, of_torchvision, understood
from interp_widgets.inputs.image import load_image
from interp_widgets.inputs.load import counts_examples, hinted, load_input, record, with_batch_axis
from interp_widgets.inputs.numbers import as_numbers, column_names
from interp_widgets.inputs.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess, to_picture
from interp_widgets.inputs.typed import typed_path
from interp_widgets.inputs.usual import Choice, choices, first_convolution, takes_images, usual_preprocess

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Choice",
    "Prepare",
    "Preprocess",
    "as_numbers",
    "choices",
    "column_names",
    "counts_examples",
    "first_convolution",
    "hinted",
    "in_words",
    "load_image",
    "load_input",
    "of_torchvision",
    "record",
    "takes_images",
    "to_picture",
    "typed_path",
    "understood",
    "usual_preprocess",
    "with_batch_axis",
]
