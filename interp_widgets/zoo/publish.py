"""A trained model's files in the package: weights and their hash, model card, held-out examples."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import safetensors.torch
from PIL import Image

from interp_widgets.zoo.shipped import FOLDER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from interp_widgets.zoo.entry import Example

__all__ = ["Trained", "publish"]


@dataclass(frozen=True)
class Trained:
    """A trained model, what was measured on held-out data (shares in 0..1), and the examples to ship with it."""

    model: nn.Module
    measured: Mapping[str, float]
    examples: tuple[Example, ...]


_DESCRIPTIONS = {
    "digits": """\
- **Data**: scikit-learn's `load_digits`, 1797 real scans of 8x8 pixels, enlarged to 32x32; 450 of them held out.
- **Model**: `DigitsCNN`, three convolutions with batch norm; trained with small turns, scalings and shifts.
- **Purpose**: a first model to look inside, fast enough for every click.
- **Limits**: centred single digits, white on black, at this resolution. Not for reading real documents.
""",
    "scenes": """\
- **Data**: 20,000 generated scenes (`interp_widgets.zoo.scenes`); 2,000 others, from another seed, held out.
- **Model**: `SmallResNet`, six residual blocks in three stages, down to 12x12.
- **Purpose**: attribution maps can be measured: the mask of the object that decides the label is known.
- **Limits**: synthetic images; knows these nine classes only and was never shown a scene without one.
""",
    "scenes-vit": """\
- **Data**: 40,000 generated scenes (`interp_widgets.zoo.scenes`); 2,000 others, from another seed, held out.
- **Model**: `SmallViT`, pre-norm, class token, four blocks of four heads; one token per 8x8 pixels, each from an
  overlapping 16x16 patch (one convolution).
- **Training**: beside the class token, a head on every patch (dropped afterwards) learned which labelled object,
  if any, covers the patch (token labelling, arXiv:2104.10858). Its patch tokens know more of where the object is than
  those of a ViT trained on labels alone.
- **Purpose**: attention and token methods on a transformer that runs everywhere, with known evidence.
- **Limits**: synthetic images; knows these nine classes only and was never shown a scene without one.
""",
    "scenes-shortcut": """\
- **Data**: 20,000 generated scenes with a number in the corner that always names the label, while the object does in
  70 % of them; 2,000 other scenes held out, each with the right number, a wrong one, and none.
- **Model**: the same `SmallResNet` as `scenes`.
- **Purpose**: lessons in finding the cheat. Examples carry the *object's* class as label and the watermark as mask.
- **Limits**: wrong on purpose; never use it as a classifier.
""",
}


def publish(name: str, trained: Trained) -> None:
    """Write the weights, their entry in ``weights/manifest.json``, the card and the examples of ``name``."""
    state = {key: value.contiguous() for key, value in trained.model.state_dict().items()}
    data = safetensors.torch.save(state)
    for folder in ("weights", "cards", f"examples/{name}"):
        (FOLDER / folder).mkdir(parents=True, exist_ok=True)
    (FOLDER / "weights" / f"{name}.safetensors").write_bytes(data)
    path = FOLDER / "weights" / "manifest.json"
    manifest: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    manifest[name] = {
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "parameters": sum(parameter.numel() for parameter in trained.model.parameters()),
        "held_out": {key: round(value, 4) for key, value in trained.measured.items()},
    }
    path.write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")
    (FOLDER / "cards" / f"{name}.md").write_text(_card(name, manifest[name]))
    _write_examples(name, trained.examples)


def _card(name: str, entry: Mapping[str, Any]) -> str:
    lines = [f"- **Held-out {key}**: {value:.2%}" for key, value in entry["held_out"].items()]
    size = f"- **Size**: {entry['parameters']:,} parameters, {entry['bytes'] / 1e6:.2f} MB"
    return "\n".join([f"# {name}", "", _DESCRIPTIONS[name].rstrip(), *lines, size]) + "\n"


def _write_examples(name: str, examples: tuple[Example, ...]) -> None:
    folder = FOLDER / "examples" / name
    listed = []
    for index, example in enumerate(examples):
        image, mask = f"{index:02}.png", None
        example.image.save(folder / image, optimize=True)
        if example.mask is not None:
            mask = f"{index:02}-mask.png"
            Image.fromarray(example.mask).save(folder / mask, optimize=True)
        listed.append({"name": example.name, "label": example.label, "image": image, "mask": mask})
    (folder / "examples.json").write_text(json.dumps(listed, indent=1) + "\n")
