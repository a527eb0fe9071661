"""The inputs of a session: each is read when it is looked at, and not before."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from interp_widgets.errors import InputError
from interp_widgets.inputs import (
    Prepare,
    Preprocess,
    first_convolution,
    in_words,
    load_image,
    load_input,
    to_picture,
    usual_preprocess,
)
from interp_widgets.words import say

__all__ = ["Inputs"]

IMAGES = (str, Path, bytes, Image.Image, np.ndarray)  # what is prepared; anything else is given as it is
KEPT = 4  # inputs that were read last are kept as the model takes them


class Inputs:
    """What can be looked at: paths, images, arrays or tensors, with their names and true labels.

    Args:
        given: one input, a list of them, or a batch.
        model: its first convolution tells whether images are grey.
        preprocess: how an image becomes the model's input, as ``understood`` returns it.
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
        self._own = usual_preprocess(model)  # where none is given
        self._preprocess = preprocess
        self._takes_images = first_convolution(model) is not None
        self._read: OrderedDict[int, Any] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sources)

    @property
    def preprocess(self) -> Prepare | None:
        """How an image becomes the model's input; ``None`` where that is left to the model."""
        return self._preprocess

    def prepared_by(self, preprocess: Prepare | None) -> Self:
        """The same inputs, also those that will be added, prepared in another way; none is read yet."""
        other = copy(self)
        other._preprocess = preprocess  # noqa: SLF001 - of its own class
        other._read = OrderedDict()  # noqa: SLF001 - the same
        return other

    @property
    def sources(self) -> list[Any]:
        """The inputs as they were given."""
        return list(self._sources)

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
            made = load_input(source, given or self._own)
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

    def prepares(self, example: int) -> bool:
        """Whether an input is made into what the model takes; a tensor is given as it is."""
        return isinstance(self._sources[example], IMAGES)

    def preparation(self, example: int) -> str:
        """How an input became a tensor, in words."""
        if not self.prepares(example):
            return say("given as the model takes it")
        return in_words(self._own if self._preprocess is None else self._preprocess)

    def as_picture(self, tensor: torch.Tensor, example: int) -> NDArray[np.uint8]:
        """A tensor ``(C, H, W)`` that stands for an input, such as its baseline, as a person sees it."""
        given = self._preprocess
        if given is None and not isinstance(self._sources[example], torch.Tensor):
            given = self._own
        return to_picture(tensor, given if isinstance(given, Preprocess) else None)


def _separate(inputs: Any) -> tuple[list[Any], str]:
    """Several inputs when a list or tuple of images was given, or a batch; otherwise one.

    With them how one is taken from what was given, as Python with the gaps ``{first}`` and ``{after}``.
    """
    if isinstance(inputs, torch.Tensor) and inputs.ndim == 4:
        return [inputs[i : i + 1] for i in range(len(inputs))], "[{first}:{after}]"
    if isinstance(inputs, list) or (isinstance(inputs, tuple) and not any(isinstance(i, torch.Tensor) for i in inputs)):
        return list(inputs), "[{first}]"
    return [inputs], ""
