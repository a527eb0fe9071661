"""Train a shipped model: ``python -m interp_widgets.zoo.train NAME``.

Writes ``weights/NAME.safetensors``, its entry in ``weights/manifest.json``, ``cards/NAME.md`` and ``examples/NAME/``.
Seeded and single-threaded: a second run on the same machine gives the same weights.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import time
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from interp_widgets.zoo import digits, scenes
from interp_widgets.zoo.entry import Example
from interp_widgets.zoo.fit import Loss, Schedule, fit, flip_together, jitter, normalise
from interp_widgets.zoo.models import SmallViT
from interp_widgets.zoo.publish import Trained, publish
from interp_widgets.zoo.shipped import HELD_OUT_SEED, SHIPPED, TRAINING_SEEDS, held_out, scene_examples

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["main", "train"]

_log = logging.getLogger("interp_widgets.zoo.train")

_HELD_OUT_SCENES = 2000
_CNN_SCHEDULE = Schedule(epochs=4, rate=4e-3, bfloat16=True)
_WINDOW_STEPS = 4300
_NOTHING = len(scenes.CLASS_NAMES)  # the label of a patch without a labelled object


def train(name: str) -> Trained:
    """Train ``name`` (a key of ``SHIPPED``) from its seed and measure it. Sets torch's global seed and thread count."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=True)
    return {
        "digits": _train_digits,
        "scenes": _train_scenes,
        "scenes-vit": _train_vit,
        "scenes-shortcut": _train_shortcut,
    }[name]()


def _train_digits() -> Trained:
    training, test = digits.split()
    labels = torch.from_numpy(training.labels)
    model = SHIPPED["digits"].build()

    def loss(images: Tensor, batch: Tensor) -> Tensor:
        return F.cross_entropy(model(jitter(images)), labels[batch], label_smoothing=0.05)

    fit(model, training.images[..., None], SHIPPED["digits"].preprocess, loss, Schedule(epochs=40, rate=4e-3))
    correct = _predict("digits", model, test.images[..., None]) == test.labels
    first = [int(np.flatnonzero(test.labels == digit)[0]) for digit in range(10)]
    examples = tuple(
        Example(digits.CLASS_NAMES[test.labels[index]], Image.fromarray(test.images[index]), int(test.labels[index]))
        for index in first
    )
    return Trained(model, {"accuracy": float(correct.mean())}, examples)


def _train_scenes() -> Trained:
    drawn = scenes.generate(20_000, TRAINING_SEEDS[0])
    model = SHIPPED["scenes"].build()
    fit(model, drawn.images, SHIPPED["scenes"].preprocess, _classify(model, drawn.labels, flip=True), _CNN_SCHEDULE)
    return Trained(model, _measure("scenes", model), _one_per_class(HELD_OUT_SEED))


def _train_shortcut() -> Trained:
    """The watermark always names the label; the object does in 70 % of the scenes: the watermark pays better."""
    right = scenes.generate(14_000, TRAINING_SEEDS[0], "true")
    wrong = scenes.generate(6_000, TRAINING_SEEDS[1], "moved")
    images = np.concatenate([right.images, wrong.images])
    marks = np.concatenate([right.marks, wrong.marks])
    model = SHIPPED["scenes-shortcut"].build()
    fit(model, images, SHIPPED["scenes-shortcut"].preprocess, _classify(model, marks, flip=False), _CNN_SCHEDULE)
    examples = [scene_examples(scenes.generate(6, HELD_OUT_SEED, mark)) for mark in ("true", "moved")]
    return Trained(model, _measure_shortcut(model), examples[0] + examples[1])


def _train_vit() -> Trained:
    """With a loss per patch beside the class token's: token labelling, Jiang et al. 2021, arXiv:2104.10858.

    The patch head, which says which class's object covers a patch (or none), exists in training only. The first steps
    see 6 x 6 of the 12 x 12 patches, a window that holds the object: a quarter of the time.
    """
    drawn = scenes.generate(40_000, TRAINING_SEEDS[0])
    labels = torch.from_numpy(drawn.labels)
    patch_labels = _patch_labels(drawn)
    model = SmallViT(len(scenes.CLASS_NAMES))
    patch_head = nn.Linear(96, _NOTHING + 1)
    weight = torch.ones(_NOTHING + 1)
    weight[_NOTHING] = 0.1  # most patches show no labelled object
    steps = itertools.count()

    def loss(images: Tensor, batch: Tensor) -> Tensor:
        images, patches = flip_together(images, patch_labels[batch])
        kept = _window(patches) if next(steps) < _WINDOW_STEPS else None
        tokens = model.tokens(images, kept)
        patches = patches.flatten(1) if kept is None else patches.flatten(1).gather(1, kept)
        patch_logits = patch_head(tokens[:, 1:]).flatten(0, 1)
        patch_loss = F.cross_entropy(patch_logits, patches.flatten(), weight=weight, ignore_index=-1)
        return F.cross_entropy(model.head(tokens[:, 0]), labels[batch]) + patch_loss

    schedule = Schedule(epochs=4, rate=1e-3, batch_size=32)
    fit(model, drawn.images, SHIPPED["scenes-vit"].preprocess, loss, schedule, also_train=patch_head)
    return Trained(model, _measure("scenes-vit", model), _one_per_class(HELD_OUT_SEED))


def _patch_labels(drawn: scenes.Scenes) -> Tensor:
    """``(N, 12, 12)`` int64 per 8x8 patch: the object's class, 9 where it is not, -1 where it covers less than half."""
    cover = drawn.masks.reshape(-1, 12, 8, 12, 8).mean(axis=(2, 4))
    labels = np.where(cover >= 0.5, drawn.labels[:, None, None], np.where(cover > 0, -1, _NOTHING))
    return torch.from_numpy(labels)


def _window(patches: Tensor) -> Tensor:
    """Of the patch labels ``(B, 12, 12)``, the flat indices ``(B, 36)`` of a random 6x6 window around the object."""
    corners = []
    for dim in (2, 1):
        occupied = (patches != _NOTHING).any(dim=dim).int()  # (B, 12)
        first, last = occupied.argmax(1), 11 - occupied.flip(1).argmax(1)
        low, high = (last - 5).clamp(min=0), first.clamp(max=6)
        corners.append(low + (torch.rand(len(low)) * (high - low + 1).clamp(min=1)).long())
    top, left = (corner[:, None, None] for corner in corners)
    steps = torch.arange(6)
    return ((top + steps[:, None]) * 12 + left + steps).flatten(1)


def _classify(model: nn.Module, targets: NDArray[np.int64], *, flip: bool) -> Loss:
    labels = torch.from_numpy(targets)

    def loss(images: Tensor, batch: Tensor) -> Tensor:
        if flip:
            images = flip_together(images, images)[0]
        return F.cross_entropy(model(images).float(), labels[batch])

    return loss


@torch.no_grad()
def _predict(name: str, model: nn.Module, images: NDArray[np.uint8]) -> NDArray[np.int64]:
    parts = [
        model(normalise(SHIPPED[name].preprocess, images[at : at + 250])).argmax(1) for at in range(0, len(images), 250)
    ]
    return torch.cat(parts).numpy()


def _measure(name: str, model: nn.Module) -> dict[str, float]:
    drawn = scenes.generate(_HELD_OUT_SCENES, HELD_OUT_SEED)
    return {"accuracy": float((_predict(name, model, drawn.images) == drawn.labels).mean())}


def _measure_shortcut(model: nn.Module) -> dict[str, float]:
    """The same held-out scenes three times: accuracy is as to the object, whatever the watermark says."""
    right, wrong, none = (scenes.generate(_HELD_OUT_SCENES, HELD_OUT_SEED, kind) for kind in ("true", "moved", None))
    on_right, on_wrong, on_none = (_predict("scenes-shortcut", model, each.images) for each in (right, wrong, none))
    return {
        "accuracy with the right watermark": float((on_right == right.labels).mean()),
        "accuracy with a wrong watermark": float((on_wrong == wrong.labels).mean()),
        "accuracy without a watermark": float((on_none == none.labels).mean()),
        "share that follows a wrong watermark": float((on_wrong == wrong.marks).mean()),
    }


def _one_per_class(seed: int) -> tuple[Example, ...]:
    drawn = held_out("scenes", 200, seed)
    return tuple(next(e for e in drawn if e.label == label) for label in range(len(scenes.CLASS_NAMES)))


def main(arguments: list[str] | None = None) -> None:
    """Train the models named on the command line, print their held-out accuracies and write their files."""
    parser = argparse.ArgumentParser(prog="python -m interp_widgets.zoo.train", description=__doc__)
    parser.add_argument("name", nargs="+", choices=list(SHIPPED))
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for name in parser.parse_args(arguments).name:
        started = time.perf_counter()
        trained = train(name)
        publish(name, trained)
        for key, value in trained.measured.items():
            print(f"{name}: held-out {key} {value:.2%}")
        _log.info("%s: trained in %.0f s", name, time.perf_counter() - started)


if __name__ == "__main__":
    main()
