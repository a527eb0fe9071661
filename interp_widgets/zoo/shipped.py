"""The models in the package: how each is built, where its files lie, and a check that its weights are the trained ones.

``weights/manifest.json`` holds the SHA-256 of every weights file and what the training script measured.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.torch
import torch
from PIL import Image

from interp_widgets.errors import ParameterError, ZooError
from interp_widgets.inputs import Preprocess
from interp_widgets.trace.arguments import check_whole, is_name_of, shown
from interp_widgets.words import say
from interp_widgets.zoo import digits, scenes
from interp_widgets.zoo.entry import Example, ZooEntry
from interp_widgets.zoo.models import DigitsCNN, SmallResNet, SmallViT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import nn

__all__ = ["FOLDER", "HELD_OUT_SEED", "SHIPPED", "TRAINING_SEEDS", "Recipe", "held_out", "load_shipped"]

FOLDER = Path(__file__).parent
TRAINING_SEEDS = (0, 1)
HELD_OUT_SEED = 2
MOST_HELD_OUT = 100_000  # scenes at once: 3 GB


@dataclass(frozen=True)
class Recipe:
    """How a shipped model is built and fed; ``watermark`` is the one in its held-out scenes."""

    build: Callable[[], nn.Module]
    class_names: tuple[str, ...]
    preprocess: Preprocess
    watermark: scenes.Watermark | None = None


_SCENE = Recipe(
    partial(SmallResNet, len(scenes.CLASS_NAMES)),
    scenes.CLASS_NAMES,
    Preprocess((scenes.SIZE, scenes.SIZE), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
)

SHIPPED: Mapping[str, Recipe] = MappingProxyType(
    {
        "digits": Recipe(DigitsCNN, digits.CLASS_NAMES, Preprocess((digits.SIZE, digits.SIZE), (0.25,), (0.3,))),
        "scenes": _SCENE,
        "scenes-vit": replace(_SCENE, build=partial(SmallViT, len(scenes.CLASS_NAMES))),
        "scenes-shortcut": replace(_SCENE, watermark="true"),
    }
)


def load_shipped(name: str) -> ZooEntry:
    """The shipped model ``name`` (a key of ``SHIPPED``) with its examples.

    Raises:
        ZooError: a file of the model is missing, or its weights are not the ones the training script wrote.
    """
    recipe = SHIPPED[name]
    state = safetensors.torch.load(_verified_weights(name))
    with torch.device("meta"):  # no random initialisation: it would cost time and move the user's random state
        model = recipe.build()
    model.to_empty(device="cpu").load_state_dict(state)
    card = _read(FOLDER / "cards" / f"{name}.md").decode()
    return ZooEntry(name, model.eval(), recipe.class_names, _read_examples(name), recipe.preprocess, card)


def held_out(
    name: str, count: int, seed: int = HELD_OUT_SEED, *, watermark: scenes.Watermark | None = None
) -> tuple[Example, ...]:
    """``count`` examples that the shipped model ``name`` was not trained on.

    For the scene models these are fresh scenes with masks; for ``digits`` a draw from the 450 held-out scans.

    Args:
        name: one of the shipped models.
        count: 1 to 100,000; at most 450 for ``digits``.
        seed: another seed gives other examples; 0 and 1 drew the training scenes and are refused for the scene models.
        watermark: for ``scenes-shortcut`` only: ``None`` or ``"true"`` names the right class, ``"moved"`` a wrong one.
            For scenes without a watermark draw from ``"scenes"``.

    Raises:
        ZooError: no shipped model has this name; scikit-learn is missing for ``digits``.
        ParameterError: ``count``, ``seed`` or ``watermark`` outside the above.
    """
    if not is_name_of(name, SHIPPED):
        raise ZooError(say("held-out data exists for {names}; got {name}", names=", ".join(SHIPPED), name=shown(name)))
    count = check_whole(count, "count", 1)
    if count > MOST_HELD_OUT:
        raise ParameterError(say("count must be in 1..{most}, got {count}", most=MOST_HELD_OUT, count=count))
    seed = check_whole(seed, "seed", 0)
    if watermark is not None and not is_name_of(watermark, ("true", "moved")):
        raise ParameterError(say("watermark must be None, 'true' or 'moved', got {given}", given=shown(watermark)))
    recipe = SHIPPED[name]
    if watermark is not None and recipe.watermark is None:
        sentence = say(
            "only scenes-shortcut has watermarks, {name!r} has none: leave out watermark={watermark!r}",
            name=name,
            watermark=watermark,
        )
        raise ParameterError(sentence)
    if name == "digits":
        return _held_out_digits(count, seed)
    if seed in TRAINING_SEEDS:
        sentence = say("seed {seed} drew training scenes: take {least} or more", seed=seed, least=HELD_OUT_SEED)
        raise ParameterError(sentence)
    return scene_examples(scenes.generate(count, seed, watermark or recipe.watermark))


def scene_examples(drawn: scenes.Scenes) -> tuple[Example, ...]:
    """The scenes as examples; the mask is the watermark where there is one, else the labelled object."""
    examples = []
    for image, label, mask, mark, mark_mask in zip(
        drawn.images, drawn.labels, drawn.masks, drawn.marks, drawn.mark_masks, strict=True
    ):
        name = scenes.CLASS_NAMES[label]
        if mark >= 0:
            name += f", watermark of {scenes.CLASS_NAMES[mark]}"
        examples.append(Example(name, Image.fromarray(image), int(label), mark_mask if mark >= 0 else mask))
    return tuple(examples)


def _held_out_digits(count: int, seed: int) -> tuple[Example, ...]:
    scans = digits.split()[1]
    if not 1 <= count <= len(scans.labels):
        sentence = say(
            "count must be in 1..{most} (all held-out digits), got {count}", most=len(scans.labels), count=count
        )
        raise ParameterError(sentence)
    order = np.random.default_rng(seed).permutation(len(scans.labels))[:count]
    return tuple(
        Example(digits.CLASS_NAMES[scans.labels[index]], Image.fromarray(scans.images[index]), int(scans.labels[index]))
        for index in order
    )


def _verified_weights(name: str) -> bytes:
    place = FOLDER / "weights" / "manifest.json"
    manifest = _read_json(place)
    if not isinstance(manifest, dict) or name not in manifest:
        sentence = say(
            "the zoo's manifest does not list {name!r}: run python -m interp_widgets.zoo.train {name}", name=name
        )
        raise ZooError(sentence)
    path = FOLDER / "weights" / f"{name}.safetensors"
    data = _read(path)
    found = hashlib.sha256(data).hexdigest()
    try:
        expected = str(manifest[name]["sha256"])
    except (LookupError, TypeError) as error:
        raise _damaged(place, say("no sha256 of {name!r}", name=name)) from error
    if found != expected:
        sentence = say(
            "the weights of {name!r} were changed or damaged: {path} has SHA-256 {found}..., the manifest says "
            "{expected}...; reinstall interp-widgets, or run python -m interp_widgets.zoo.train {name}",
            name=name,
            path=path,
            found=found[:12],
            expected=expected[:12],
        )
        raise ZooError(sentence)
    return data


def _read_examples(name: str) -> tuple[Example, ...]:
    folder = FOLDER / "examples" / name
    listed = _read_json(folder / "examples.json")
    try:
        return tuple(_example(folder, item) for item in listed)
    except (LookupError, TypeError, AttributeError, ValueError, SyntaxError, OSError) as error:
        why = say("or its images: {kind}: {error}", kind=type(error).__name__, error=error)
        raise _damaged(folder / "examples.json", why) from error


def _example(folder: Path, item: dict[str, Any]) -> Example:
    image, mask = Image.open(folder / item["image"], formats=("PNG",)), None
    if item["mask"] is not None:
        mask = np.asarray(Image.open(folder / item["mask"], formats=("PNG",)).convert("L")) > 127
    image.load()
    return Example(item["name"], image, item["label"], mask)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(_read(path))
    except ValueError as error:  # no JSON, or no text
        raise _damaged(path, f"{type(error).__name__}: {error}") from error


def _damaged(path: Path, why: str) -> ZooError:
    sentence = say(
        "{path} is damaged ({why}): reinstall interp-widgets, or run python -m interp_widgets.zoo.train",
        path=path,
        why=why,
    )
    return ZooError(sentence)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        sentence = say(
            "{path} is missing: reinstall interp-widgets, or run python -m interp_widgets.zoo.train", path=path
        )
        raise ZooError(sentence) from error
    except OSError as error:
        raise _damaged(path, str(error)) from error
