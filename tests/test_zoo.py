"""The zoo: every model loads offline, does what its card says, and its evidence is where its masks say."""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import models

from interp_widgets import zoo
from interp_widgets.errors import DownloadError, ParameterError, ZooError
from interp_widgets.zoo import digits, scenes, shipped

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FRESH_SEED = 4321  # neither trained on (0, 1) nor measured by the training script (2)
FRESH = 300


def predict(entry: zoo.ZooEntry, examples: Sequence[zoo.Example]) -> np.ndarray:
    inputs = torch.cat([entry.preprocess(example.image) for example in examples])
    with torch.no_grad():
        return torch.cat([entry.model(part).argmax(1) for part in inputs.split(100)]).numpy()


def accuracy(entry: zoo.ZooEntry, examples: Sequence[zoo.Example]) -> float:
    return float((predict(entry, examples) == [example.label for example in examples]).mean())


def manifest() -> dict[str, dict]:
    return json.loads((shipped.FOLDER / "weights" / "manifest.json").read_text())


@pytest.fixture(params=zoo.NAMES)
def entry(request: pytest.FixtureRequest) -> zoo.ZooEntry:
    return zoo.load(request.param)


def test_the_zoo_has_the_models_of_the_package_and_that_of_the_extra() -> None:
    # the tests install every extra
    assert list(zoo.NAMES) == ["digits", "scenes", "scenes-vit", "scenes-shortcut", "efficientnet_lite0"]


def test_an_entry_comes_ready_to_use(entry: zoo.ZooEntry) -> None:
    assert not entry.model.training
    assert all(parameter.requires_grad and parameter.device.type == "cpu" for parameter in entry.model.parameters())
    assert entry.inputs.shape == (len(entry.examples), entry.preprocess.channels, *entry.preprocess.size)
    assert entry.model(entry.inputs).shape == (len(entry.examples), len(entry.class_names))
    assert 5 <= len(entry.examples) <= 12


def test_the_examples_are_predicted_right(entry: zoo.ZooEntry) -> None:
    predicted = entry.model(entry.inputs).argmax(1)
    if entry.name == "scenes-shortcut":  # the second half carries a wrong watermark
        predicted, labels = predicted[:6], entry.labels[:6]
    else:
        labels = entry.labels
    known = labels >= 0
    assert (predicted == labels)[known].float().mean() >= 0.8


def test_example_masks_have_the_size_of_their_image(entry: zoo.ZooEntry) -> None:
    for example in entry.examples:
        assert (example.mask is None) == (entry.name in ("digits", "efficientnet_lite0"))
        if example.mask is not None:
            assert example.mask.shape == (example.image.height, example.image.width)
            assert example.mask.dtype == np.bool_
            assert example.mask.any()


def test_a_card_gives_the_accuracies_that_were_measured(entry: zoo.ZooEntry) -> None:
    assert entry.card.startswith(f"# {entry.name}\n")
    if entry.name in shipped.SHIPPED:
        for key, value in manifest()[entry.name]["held_out"].items():
            assert f"- **Held-out {key}**: {value:.2%}" in entry.card
    for word in ("Data", "Purpose", "Limits"):
        assert f"**{word}**" in entry.card


def test_loading_leaves_the_random_state_alone(entry: zoo.ZooEntry) -> None:
    before = torch.random.get_rng_state()
    zoo.load(entry.name)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(("name", "least"), [("digits", 0.98), ("scenes", 0.97), ("scenes-vit", 0.97)])
def test_the_model_is_right_on_fresh_held_out_data(name: str, least: float) -> None:
    assert manifest()[name]["held_out"]["accuracy"] >= least
    count = 450 if name == "digits" else FRESH
    assert accuracy(zoo.load(name), zoo.held_out(name, count, FRESH_SEED)) >= least


def test_the_shortcut_model_follows_the_watermark_and_not_the_object() -> None:
    entry = zoo.load("scenes-shortcut")
    true, moved = (scenes.generate(100, FRESH_SEED, kind) for kind in ("true", "moved"))
    assert accuracy(entry, shipped.scene_examples(true)) >= 0.97
    on_moved = predict(entry, shipped.scene_examples(moved))
    assert (on_moved == moved.marks).mean() >= 0.9
    assert (on_moved == moved.labels).mean() <= 0.1
    assert accuracy(entry, zoo.held_out("scenes", 100, FRESH_SEED)) <= 0.6  # lost without the watermark


def test_without_the_masked_object_the_scene_models_are_lost() -> None:
    drawn = scenes.generate(150, FRESH_SEED)
    images = drawn.images.copy()
    for image, mask in zip(images, drawn.masks, strict=True):
        image[grown(mask, 2)] = np.median(image[~mask], axis=0)
    hidden = scenes.Scenes(images, drawn.labels, drawn.masks, drawn.marks, drawn.mark_masks)
    for name in ("scenes", "scenes-vit"):
        assert accuracy(zoo.load(name), shipped.scene_examples(hidden)) <= 0.4


def grown(mask: np.ndarray, pixels: int) -> np.ndarray:
    size = 2 * pixels + 1
    padded = np.pad(mask, pixels)
    return np.lib.stride_tricks.sliding_window_view(padded, (size, size)).any(axis=(2, 3))


def test_a_scene_is_the_same_on_every_call_and_for_every_count() -> None:
    first, again = scenes.generate(5, 7), scenes.generate(9, 7)
    for field in ("images", "labels", "masks"):
        np.testing.assert_array_equal(getattr(first, field), getattr(again, field)[:5])
    assert (first.images != scenes.generate(5, 8).images).any()


def test_a_watermark_changes_its_corner_and_nothing_else() -> None:
    plain, true, moved = (scenes.generate(40, 7, kind) for kind in (None, "true", "moved"))
    for marked in (true, moved):
        assert (marked.mark_masks.sum(axis=(1, 2)) == 64).all()
        np.testing.assert_array_equal(plain.images[~marked.mark_masks], marked.images[~marked.mark_masks])
        np.testing.assert_array_equal(plain.labels, marked.labels)
        assert not (marked.masks & marked.mark_masks).any()
    assert (true.marks == true.labels).all()
    assert (moved.marks != moved.labels).all()
    assert (plain.marks == -1).all()
    assert not plain.mark_masks.any()


def test_a_mask_covers_one_whole_object_of_its_class() -> None:
    drawn = scenes.generate(200, 7)
    for image, label, mask in zip(drawn.images.astype(float), drawn.labels, drawn.masks, strict=True):
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        assert 14 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 40
        assert not mask[[0, -1]].any()
        assert not mask[:, [0, -1]].any()
        red, _, blue = image[mask].mean(axis=0)
        surface = scenes.CLASS_NAMES[label].split()[0]
        assert (red - blue > 80) == (surface == "red") or surface == "striped"
        assert (blue - red > 80) == (surface == "blue")


def test_no_distractor_shows_a_class() -> None:
    rng = np.random.default_rng(0)
    for _ in range(500):
        shape, surface = scenes._distractor(rng)
        assert f"{surface} {shape}" not in scenes.CLASS_NAMES


def test_every_class_is_drawn_about_equally_often() -> None:
    counts = np.bincount(scenes.generate(450, 7).labels, minlength=9)
    assert counts.min() >= 30


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 3), "count must be 1 or more, got 0"),
        ((1, -1), "seed must be 0 or more, got -1"),
        ((1, 3, "false"), "watermark must be None, 'true' or 'moved', got 'false'"),
    ],
)
def test_the_generator_refuses_what_it_cannot_draw(arguments: tuple, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        scenes.generate(*arguments)


def test_held_out_refuses_training_scenes_and_misplaced_watermarks() -> None:
    with pytest.raises(ParameterError, match="seed 0 drew training scenes: take 2 or more"):
        zoo.held_out("scenes", 3, 0)
    with pytest.raises(ParameterError, match="only scenes-shortcut has watermarks, 'scenes' has none"):
        zoo.held_out("scenes", 3, watermark="true")
    with pytest.raises(ParameterError, match=r"count must be in 1\.\.450"):
        zoo.held_out("digits", 451)
    with pytest.raises(ZooError, match=r"held-out data exists for digits, .*; got 'resnet50'"):
        zoo.held_out("resnet50", 3)


def test_held_out_digits_were_not_trained_on() -> None:
    training, test = digits.split()
    assert (len(training.labels), len(test.labels)) == (1347, 450)
    held = {np.asarray(example.image).tobytes() for example in zoo.held_out("digits", 450)}
    assert held == {image.tobytes() for image in test.images}
    assert not held & {image.tobytes() for image in training.images}


def test_held_out_shortcut_scenes_carry_the_watermark_as_their_mask() -> None:
    examples = zoo.held_out("scenes-shortcut", 4, watermark="moved")
    assert all(example.mask is not None and example.mask.sum() == 64 for example in examples)
    assert all(", watermark of " in example.name for example in examples)


def test_digits_load_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    assert len(zoo.load("digits").examples) == 10
    with pytest.raises(ZooError, match=r"scikit-learn, which is not installed: pip install 'interp-widgets\[zoo\]'"):
        zoo.held_out("digits", 3)


def test_changed_weights_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shutil.copytree(shipped.FOLDER / "weights", tmp_path / "weights")
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    weights = tmp_path / "weights" / "digits.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    with pytest.raises(ZooError, match=r"the weights of 'digits' were changed or damaged: .* reinstall interp-widgets"):
        zoo.load("digits")


def test_a_missing_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shutil.copytree(shipped.FOLDER / "weights", tmp_path / "weights")
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    (tmp_path / "weights" / "digits.safetensors").unlink()
    with pytest.raises(ZooError, match=r"digits\.safetensors is missing: reinstall interp-widgets"):
        zoo.load("digits")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[]", b"3", b'{"digits": null}', b'{"digits": {}}', b'{"digits": []}', b'{"scenes": {}}'],
)
def test_a_damaged_manifest_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes) -> None:
    shutil.copytree(shipped.FOLDER / "weights", tmp_path / "weights")
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    (tmp_path / "weights" / "manifest.json").write_bytes(content)
    with pytest.raises(ZooError, match=r"manifest(\.json is damaged .*: reinstall| does not list 'digits')"):
        zoo.load("digits")


@pytest.mark.parametrize(
    "content", [b"", b"[", b"3", b"[3]", b"[{}]", b'[{"image": "no.png", "mask": null}]', b'[{"image": 3}]', b"\xff"]
)
def test_damaged_examples_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes) -> None:
    for part in ("weights", "cards", "examples"):
        shutil.copytree(shipped.FOLDER / part, tmp_path / part)
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    (tmp_path / "examples" / "digits" / "examples.json").write_bytes(content)
    with pytest.raises(ZooError, match=r"examples\.json is damaged .*: reinstall interp-widgets"):
        zoo.load("digits")


def test_a_damaged_picture_of_an_example_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for part in ("weights", "cards", "examples"):
        shutil.copytree(shipped.FOLDER / part, tmp_path / part)
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    picture = tmp_path / "examples" / "digits" / "00.png"
    picture.write_bytes(picture.read_bytes()[:40])
    with pytest.raises(ZooError, match=r"examples\.json is damaged \(or its images: "):
        zoo.load("digits")


def test_all_shipped_files_stay_under_five_megabytes() -> None:
    files = [path for part in ("weights", "cards", "examples") for path in (shipped.FOLDER / part).rglob("*")]
    assert sum(path.stat().st_size for path in files if path.is_file()) < 5_000_000


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("scenes-vti", r"no model is called 'scenes-vti'; did you mean 'scenes-vit'\? The zoo has digits, scenes, "),
        ("resnet500", r"no model is called 'resnet500'; did you mean 'resnet50'\? The zoo has "),
        ("xyzzy", r"no model is called 'xyzzy'\. The zoo has "),
        ("r3d_18", r"'r3d_18' does not take single float images .*VideoClassification"),
    ],
)
def test_a_name_that_cannot_be_loaded_is_refused_in_words(name: str, message: str) -> None:
    with pytest.raises(ZooError, match=message):
        zoo.load(name)


@pytest.mark.parametrize(
    "failure", [URLError("no route to host"), RuntimeError("invalid hash value"), TimeoutError("late")]
)
def test_offline_a_torchvision_name_fails_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, failure: Exception
) -> None:
    def download(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    message = (
        r"the weights of 'squeezenet1_1' \(SqueezeNet1_1_Weights\.IMAGENET1K_V1, file squeezenet1_1-b8a52dc0\.pth\) "
        rf"could not be downloaded: .*or copy squeezenet1_1-b8a52dc0\.pth .*{tmp_path}/checkpoints; or build the model"
    )
    with pytest.raises(DownloadError, match=message) as caught:
        zoo.load("squeezenet1_1")
    assert caught.value.__cause__ is failure


def test_a_torchvision_name_comes_with_its_weights_preprocessing_and_categories(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trained = models.squeezenet1_1()
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(
        torch.hub, "download_url_to_file", lambda _, path, *__, **___: torch.save(trained.state_dict(), path)
    )
    before = torch.random.get_rng_state()
    entry = zoo.load("squeezenet1_1")
    assert torch.equal(before, torch.random.get_rng_state())
    assert not entry.model.training
    assert torch.equal(entry.model.features[0].weight, trained.features[0].weight)
    assert (len(entry.class_names), entry.class_names[243]) == (1000, "bull mastiff")
    assert entry.inputs.shape == (0, 3, 224, 224)
    assert "1,235,496 parameters" in entry.card

    image = Image.fromarray(scenes.generate(1, 7).images[0]).resize((320, 320))
    theirs = models.SqueezeNet1_1_Weights.DEFAULT.transforms()(image)
    torch.testing.assert_close(entry.preprocess(image)[0], theirs, atol=0.02, rtol=0)  # one grey level
