"""The inputs of a session: each is read when it is looked at, and not before."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from interp_widgets.errors import InputError
from interp_widgets.inputs import Preprocess, first_convolution, load_image, load_input, to_picture, usual_preprocess
from interp_widgets.words import say

__all__ = ["Inputs"]

IMAGES = (str, Path, bytes, Image.Image, np.ndarray)  # what is prepared; anything else is given as it is
KEPT = 4  # inputs that were read last are kept as the model takes them

Prepare = Preprocess | Callable[[Any], torch.Tensor]


class Inputs:
    """What can be looked at: paths, images, arrays or tensors, with their names and true labels.

    Args:
        given: one input, a list of them, or a batch.
        model: its first convolution tells whether images are grey.
        preprocess: how an image becomes the model's input.
        names, labels: of each input, as far as they are known.

    Raises:
        InputError: an empty list.
    """

    def __init__(
        self,
        given: Any,
        model: nn.Module,
        preprocess: Prepare | None,
        *,
        names: Sequence[str] = (),
        labels: Sequence[int | None] = (),
    ) -> None:
        self._sources, self._place = _separate(given)
        self._count_given = len(self._sources)  # those behind them were added
        if not self._sources:
            raise InputError(say("give at least one input, got an empty list"))
        self._names = list(names)
        self._labels = list(labels)
        self._preprocess = preprocess
        self._undo = _known_preprocess(model, preprocess)  # makes pictures of tensors again
        self._takes_images = first_convolution(model) is not None
        self._read: OrderedDict[int, Any] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sources)

    @property
    def sources(self) -> list[Any]:
        """The inputs as they were given."""
        return list(self._sources)

    @property
    def preprocess(self) -> Prepare | None:
        """How an image becomes the model's input, as it was given."""
        return self._preprocess

    def place(self, example: int) -> str | None:
        """Where an input lies in what was given, as Python: ``"[2]"`` of a list; ``None`` for one that was added."""
        if example >= self._count_given:
            return None
        return self._place.format(first=example, after=example + 1)

    def name(self, example: int) -> str:
        """What an input is called."""
        return self._names[example] if example < len(self._names) else say("input {number}", number=example + 1)

    def label(self, example: int) -> int | None:
        """The true class of an input, where known."""
        return self._labels[example] if example < len(self._labels) else None

    def add(self, source: Any, name: str) -> int:
        """One more input, not read yet; its position."""
        position = len(self._sources)
        self._names += [self.name(place) for place in range(len(self._names), position)]
        self._names.append(name or say("input {number}", number=position + 1))
        self._sources.append(source)
        return position

    def remove(self, position: int) -> None:
        """Take away the input that was added last."""
        self._read.pop(position, None)
        del self._sources[position], self._names[position]

    def check(self, example: int) -> None:
        """Raise ``InputError`` unless there is such an input."""
        count = len(self._sources)
        if not 0 <= example < count:
            raise InputError(
                say(
                    "example must be in 0..{last} (there are {count} inputs), got {example}",
                    last=count - 1,
                    count=count,
                    example=example,
                )
            )

    def tensor(self, example: int) -> Any:
        """An input as the model takes it.

        Raises:
            InputError: not something a model takes, or not an image.
        """
        found = self._read.get(example)
        if found is None:
            found = self._read[example] = self._load(self._sources[example])
            while len(self._read) > KEPT:
                self._read.popitem(last=False)
        return found

    def _load(self, source: Any) -> Any:
        given = self._preprocess
        if given is None or isinstance(given, Preprocess) or isinstance(source, torch.Tensor):
            made = load_input(source, self._undo)
        else:
            made = given(load_image(source))
        has_no_batch = isinstance(made, torch.Tensor) and made.ndim == 3
        return made.unsqueeze(0) if has_no_batch and self._takes_images else made

    def picture(self, example: int) -> NDArray[np.uint8] | None:
        """An input as a person sees it, ``(H, W, 3)`` uint8; ``None`` when it is not an image."""
        tensor = self.tensor(example)
        if isinstance(tensor, torch.Tensor) and tensor.ndim == 4:
            tensor = tensor[0]
        if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
            return None
        if tensor.ndim != 3 or tensor.shape[0] not in (1, 3):
            return None
        return self.as_picture(tensor, example)

    def preparation(self, example: int) -> str:
        """How an input became a tensor, in words."""
        if not isinstance(self._sources[example], IMAGES):
            return say("given as the model takes it")
        if self._undo is None:
            return say("prepared by {function}", function=getattr(self._preprocess, "__name__", "preprocess"))
        return self._undo.words

    def as_picture(self, tensor: torch.Tensor, example: int) -> NDArray[np.uint8]:
        """A tensor ``(C, H, W)`` that stands for an input, such as its baseline, as a person sees it."""
        was_tensor = isinstance(self._sources[example], torch.Tensor) and self._preprocess is None
        return to_picture(tensor, None if was_tensor else self._undo)


def _separate(inputs: Any) -> tuple[list[Any], str]:
    """Several inputs when a list or tuple of images was given, or a batch; otherwise one.

    With them how one is taken from what was given, as Python with the gaps ``{first}`` and ``{after}``.
    """
    if isinstance(inputs, torch.Tensor) and inputs.ndim == 4:
        return [inputs[i : i + 1] for i in range(len(inputs))], "[{first}:{after}]"
    if isinstance(inputs, list) or (isinstance(inputs, tuple) and not any(isinstance(i, torch.Tensor) for i in inputs)):
        return list(inputs), "[{first}]"
    return [inputs], ""


def _known_preprocess(model: nn.Module, given: object) -> Preprocess | None:
    """The one given; else what the model says, or what is usual; ``None`` where a function was given."""
    if given is not None:
        return given if isinstance(given, Preprocess) else None
    return usual_preprocess(model)
