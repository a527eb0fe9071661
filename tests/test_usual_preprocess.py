"""How a model says that its images are prepared."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import interp_widgets as iw
from interp_widgets.inputs import Preprocess, usual_preprocess
from interp_widgets.session.session import Session

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 420, 3), dtype=np.uint8))


def test_a_timm_model_is_given_what_timms_own_transform_gives() -> None:
    timm = pytest.importorskip("timm")
    model = timm.create_model("test_vit", pretrained=False)  # 160 pixels, 0.5 taken off
    transform = timm.data.create_transform(**timm.data.resolve_data_config(model.pretrained_cfg))
    expected = transform(PICTURE)[None]
    found = usual_preprocess(model)(PICTURE)
    assert found.shape == expected.shape
    # PIL resizes both; where the centre falls between two pixels they may take different ones
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    recorded = iw.record(model, PICTURE)
    torch.testing.assert_close(recorded.activation("input"), found)


def said(**attributes: Any) -> nn.Module:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    for name, value in attributes.items():
        setattr(model, name, value)
    return model


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, Preprocess()),
        ({"config": SimpleNamespace(image_size=384)}, Preprocess(384)),
        ({"config": SimpleNamespace(image_size=[192, 256])}, Preprocess((192, 256))),
        ({"config": SimpleNamespace(image_size="large")}, Preprocess()),
        ({"config": SimpleNamespace()}, Preprocess()),
        ({"default_cfg": {"input_size": (3, 96, 96), "mean": (0.5,) * 3, "std": (0.5,) * 3, "crop_pct": 1.0}},
         Preprocess(96, (0.5,) * 3, (0.5,) * 3, 96, "bicubic")),
        ({"pretrained_cfg": {"url": ""}}, Preprocess()),
        ({"pretrained_cfg": {"input_size": (4, 96, 96), "mean": (0.5,) * 4, "std": (0.5,) * 4}}, Preprocess()),
    ],
)  # fmt: skip
def test_what_a_model_says_is_taken_and_nonsense_is_not(attributes: dict[str, Any], expected: Preprocess) -> None:
    assert usual_preprocess(said(**attributes)) == expected


def test_a_model_of_grey_images_gets_grey_ones_when_recorded_too() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    value = iw.record(model, PICTURE).activation("input")
    assert value.shape == (1, 1, 224, 224)
    assert 0 <= value.min() < value.max() <= 1


@pytest.mark.parametrize(
    ("preprocess", "words"),
    [
        (None, "224 x 224, ImageNet mean"),
        (Preprocess(64, (0.0,) * 3, (1.0,) * 3), "64 x 64, in 0..1"),
        (Preprocess((32, 48), (0.5,) * 3, (0.25,) * 3), "32 x 48, mean 0.5, std 0.25"),
    ],
)
def test_a_session_says_how_its_image_was_prepared(preprocess: Preprocess | None, words: str) -> None:
    session = Session(said(), PICTURE, preprocess=preprocess)
    assert session.preparation() == words
    session.close()


def test_a_function_and_a_tensor_are_said_too() -> None:
    def halved(picture: Image.Image) -> torch.Tensor:
        return torch.from_numpy(np.asarray(picture, dtype=np.float32).transpose(2, 0, 1)[:, :64, :64] / 255)

    for given, preprocess, words in (
        (PICTURE, halved, "prepared by halved"),
        (torch.rand(1, 3, 32, 32), None, "given as the model takes it"),
    ):
        session = Session(said(), given, preprocess=preprocess)
        assert session.preparation() == words
        session.close()
