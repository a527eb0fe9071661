"""What others wrote to prepare images, read as a `Preprocess`: torchvision's transforms, Hugging Face's processors.

The stand-ins do what the image processors of transformers 5 do, in torchvision's functions, and have their attributes.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision import models
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

import interp_widgets as iw
from interp_widgets.errors import InputError, ParameterError
from interp_widgets.inputs import IMAGENET_MEAN, IMAGENET_STD, Preprocess, in_words, load_input, understood

PICTURE = Image.fromarray(np.random.default_rng(3).integers(0, 256, (300, 420, 3), dtype=np.uint8))
MODES = {0: InterpolationMode.NEAREST_EXACT, 2: InterpolationMode.BILINEAR, 3: InterpolationMode.BICUBIC}
HALF = (0.5, 0.5, 0.5)
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Sizes:
    """transformers' ``SizeDict``: attributes, of which all but some are ``None``."""

    height: int | None = None
    width: int | None = None
    shortest_edge: int | None = None
    longest_edge: int | None = None


@dataclass(eq=False)
class Processor:
    """An image processor on torchvision's functions."""

    size: Any
    crop_size: Any = None
    resample: int = 2
    do_resize: bool = True
    do_center_crop: bool | None = None
    do_rescale: bool = True
    rescale_factor: float = 1 / 255
    do_normalize: bool = True
    image_mean: Any = HALF
    image_std: Any = HALF

    def __call__(self, image: Image.Image, return_tensors: str) -> dict[str, torch.Tensor]:
        assert return_tensors == "pt"
        value = self.resized(F.pil_to_tensor(image))
        if self.do_center_crop:
            value = F.center_crop(value, sides(self.crop_size))
        value = value.float()
        if self.do_rescale:
            value = value * self.rescale_factor
        if self.do_normalize:
            value = F.normalize(value, list(self.image_mean), list(self.image_std))
        return {"pixel_values": value[None]}

    def resized(self, value: torch.Tensor) -> torch.Tensor:
        return F.resize(value, sides(self.size), MODES[self.resample], antialias=True) if self.do_resize else value


def sides(size: Any) -> list[int]:
    if isinstance(size, int):
        return [size, size]
    given = size if isinstance(size, dict) else vars(size)
    return [given["shortest_edge"]] if given.get("shortest_edge") else [given["height"], given["width"]]


@pytest.mark.parametrize(
    ("processor", "expected"),
    [
        (Processor(Sizes(224, 224)), Preprocess(224, HALF, HALF)),
        (Processor({"height": 192, "width": 256}, resample=3), Preprocess((192, 256), HALF, HALF, None, "bicubic")),
        (
            Processor({"shortest_edge": 256}, {"height": 224, "width": 224}, 3, do_center_crop=True),
            Preprocess(224, HALF, HALF, 256, "bicubic"),
        ),
        (
            Processor(Sizes(256, 256), 224, do_center_crop=True, image_mean=IMAGENET_MEAN, image_std=IMAGENET_STD),
            Preprocess(224, resize=(256, 256)),
        ),
        # a crop that is written down and switched off
        (Processor(Sizes(96, 96), Sizes(64, 64), do_center_crop=False), Preprocess(96, HALF, HALF)),
        (Processor(Sizes(64, 64), do_normalize=False), Preprocess(64, (0.0,) * 3, (1.0,) * 3)),
        (
            Processor(Sizes(64, 64), resample=0, do_rescale=False, do_normalize=False),
            Preprocess(64, (0.0,) * 3, (1 / 255,) * 3, None, "nearest"),
        ),
        # (pixel / 127.5 - 1) / 1 is (pixel / 255 - 0.5) / 0.5
        (
            Processor(Sizes(64, 64), rescale_factor=1 / 127.5, image_mean=(1.0,) * 3, image_std=(1.0,) * 3),
            Preprocess(64, HALF, HALF),
        ),
        (
            Processor(
                Sizes(shortest_edge=224), 224, 3, do_center_crop=True, image_mean=CLIP_MEAN, image_std=CLIP_STD
            ),
            Preprocess(224, CLIP_MEAN, CLIP_STD, 224, "bicubic"),
        ),
    ],
)  # fmt: skip
def test_an_image_processor_is_read_and_does_the_same(processor: Processor, expected: Preprocess) -> None:
    found = understood(processor)
    assert isinstance(found, Preprocess)
    assert (found.size, found.resize, found.interpolation) == (expected.size, expected.resize, expected.interpolation)
    assert found.mean == pytest.approx(expected.mean)
    assert found.std == pytest.approx(expected.std)
    theirs = processor(PICTURE, return_tensors="pt")["pixel_values"]
    levels = (found(PICTURE) - theirs).abs() * torch.tensor(found.std).reshape(-1, 1, 1) * 255
    # both round to whole grey levels between the two directions of a resize and after, and cut off what overshoots
    assert levels.max() <= 3
    assert levels.mean() < 0.3
    assert load_input(PICTURE, processor).equal(found(PICTURE))  # type: ignore[arg-type]


def test_attributes_alone_are_enough() -> None:
    class Attributes:
        do_resize = do_rescale = do_normalize = True
        size = {"height": 32, "width": 48}  # noqa: RUF012 - as theirs
        rescale_factor, image_mean, image_std, resample = 1 / 255, list(HALF), list(HALF), 3

    assert understood(Attributes()) == Preprocess((32, 48), HALF, HALF, None, "bicubic")


class Inverted(Processor):
    def resized(self, value: torch.Tensor) -> torch.Tensor:
        return 255 - super().resized(value)


class Sharp(Processor):
    def resized(self, value: torch.Tensor) -> torch.Tensor:
        return F.resize(value, sides(self.size), MODES[self.resample], antialias=False)


@pytest.mark.parametrize(
    "processor",
    [
        Inverted(Sizes(64, 64)),  # does what no attribute says
        Sharp(Sizes(64, 64)),
        Processor(Sizes(shortest_edge=64)),  # as large as the picture is
        Processor(Sizes(64, 64), do_resize=False),
        Processor(Sizes(20_000, 1), resample=0),
    ],
)
def test_a_processor_that_does_something_else_is_used_as_it_is(processor: Processor) -> None:
    found = understood(processor)
    assert found is not None
    assert not isinstance(found, Preprocess)
    assert load_input(PICTURE, found).equal(processor(PICTURE, return_tensors="pt")["pixel_values"])
    assert in_words(found) == f"prepared by {type(processor).__name__}"
    assert found == understood(processor)


def test_a_processor_of_something_else_than_pixels_is_refused() -> None:
    class Sounds(Processor):
        def __call__(self, image: Image.Image, return_tensors: str) -> dict[str, torch.Tensor]:
            return {"input_values": super().__call__(image, return_tensors)["pixel_values"]}

    with pytest.raises(InputError, match="Sounds returns no 'pixel_values' but 'input_values': give preprocess="):
        load_input(PICTURE, Sounds(Sizes(shortest_edge=64)))  # type: ignore[arg-type]


def test_transformers_and_torchvision_are_not_imported() -> None:
    import subprocess

    code = (
        "import sys; from interp_widgets.inputs import understood\n"
        "class P: image_mean = image_std = (.5,) * 3; size = {'height': 8, 'width': 8}; do_resize = True\n"
        "assert understood(P()); assert not {'transformers', 'torchvision'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize(
    "weights",
    [
        models.ResNet50_Weights.IMAGENET1K_V2,  # 232 and 224 pixels
        models.EfficientNet_B1_Weights.IMAGENET1K_V1,  # bicubic
        models.MaxVit_T_Weights.IMAGENET1K_V1,
        models.GoogLeNet_Weights.IMAGENET1K_V1,
        models.Inception_V3_Weights.IMAGENET1K_V1,  # crop 299 of 342: an odd difference
    ],
)
def test_torchvisions_transforms_are_read_and_do_the_same(weights: Any) -> None:
    preset = weights.transforms()
    found = understood(preset)
    assert isinstance(found, Preprocess)
    assert found.resize == preset.resize_size[0]
    # Pillow resizes for both; they divide and subtract in another order of roundings
    torch.testing.assert_close(found(PICTURE)[0], preset(PICTURE), atol=1e-5, rtol=0)


def test_torchvisions_transforms_are_put_in_words() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    with iw.Session(model, PICTURE, preprocess=models.ResNet50_Weights.IMAGENET1K_V2.transforms()) as session:
        assert session.preparation() == "shorter side 232, centre 224 x 224, ImageNet mean"
        assert session.tensor_of(0).shape == (1, 3, 224, 224)


def test_transforms_that_keep_the_pictures_shape_stay_a_function() -> None:
    preset = models.segmentation.FCN_ResNet50_Weights.DEFAULT.transforms()
    found = understood(preset)
    assert found is preset
    assert load_input(PICTURE, found).shape == (1, 3, 520, 728)
    assert in_words(found) == "prepared by SemanticSegmentation"


@pytest.mark.parametrize("wrong", [3, "imagenet", Preprocess, Processor, models.ResNet50_Weights.DEFAULT])
def test_what_prepares_nothing_is_refused(wrong: Any) -> None:
    with pytest.raises(ParameterError, match="preprocess must be a Preprocess or a function of a PIL image, got "):
        understood(wrong)


@pytest.mark.parametrize(
    ("preprocess", "words"),
    [
        (Preprocess(64, HALF, HALF), "64 x 64, in -1..1"),
        (Preprocess(64, 0, 1 / 255), "64 x 64, in 0..255"),
        (Preprocess(64, 0, 1, 72), "shorter side 72, centre 64 x 64, in 0..1"),
        (Preprocess((64, 32), resize=(72, 40)), "stretched to 72 x 40, centre 64 x 32, ImageNet mean"),
    ],
)
def test_a_preprocessing_says_what_it_does(preprocess: Preprocess, words: str) -> None:
    assert preprocess.words == words


def test_a_picture_is_stretched_before_its_centre_is_cut_out() -> None:
    wide = Image.new("RGB", (80, 20), "black")
    wide.paste("white", (20, 5, 60, 15))  # the middle half of each side
    found = Preprocess((8, 8), 0, 1, resize=(16, 16), interpolation="nearest")(wide)
    assert found.shape == (1, 1, 8, 8)
    assert found.min() == 1  # white only: the crop is the middle half of the stretched picture
