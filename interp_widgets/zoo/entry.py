"""What the zoo hands out: a model with everything needed to look inside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image
    from torch import Tensor, nn

    from interp_widgets.inputs import Preprocess

__all__ = ["Example", "ZooEntry"]


@dataclass(frozen=True)
class Example:
    """An image the model was not trained on, and the truth about it.

    Args:
        name: what the image shows, in words.
        image: what a person sees; RGB, or greyscale for ``digits``.
        label: index into ``class_names``; ``None`` when unknown.
        mask: ``(H, W)`` bool of the image's size, true on the evidence: the object that decides the label, or the
            watermark of ``scenes-shortcut``; ``None`` when there is no such truth.
    """

    name: str
    image: Image.Image
    label: int | None = None
    mask: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class ZooEntry:
    """A trained model with its class names, examples, preprocessing and card.

    Args:
        name: the name it was loaded by.
        model: in eval mode, on the CPU, parameters require gradients.
        class_names: one per output of a classifier; empty when the weights name none.
        examples: a handful of held-out examples; empty for torchvision's models.
        preprocess: from an image to the tensor the model takes.
        card: data, accuracy, purpose and limits, in Markdown.
    """

    name: str
    model: nn.Module
    class_names: tuple[str, ...]
    examples: tuple[Example, ...]
    preprocess: Preprocess
    card: str

    @property
    def inputs(self) -> Tensor:
        """The examples as the model takes them: ``(N, C, H, W)`` float32; ``N`` is 0 without examples."""
        if not self.examples:
            return torch.empty(0, self.preprocess.channels, *self.preprocess.size)
        return torch.cat([self.preprocess(example.image) for example in self.examples])

    @property
    def labels(self) -> Tensor:
        """``(N,)`` int64: the examples' labels, -1 where unknown."""
        labels = [-1 if example.label is None else example.label for example in self.examples]
        return torch.tensor(labels, dtype=torch.int64)
