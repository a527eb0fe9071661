"""The inputs of a session: each is read when it is looked at, and not before."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from copy import copy
from itertools import count
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
    as_numbers,
    counts_examples,
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

    Each has a key, which stays its own when others are removed; a position counts those that are there.

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
        self._model = model
        self._preprocess = preprocess
        self._own = usual_preprocess(model)  # where none is given
        self._takes_images = first_convolution(model) is not None
        self._given, self._place = self._separate(given)
        if not len(self._given):
            raise InputError(say("give at least one input, got an empty list"))
        self._keys = list(range(len(self._given)))  # by position
        self._added: dict[int, Any] = {}  # what was added later, by key
        self._next_key = count(len(self._given))
        self._names = dict(enumerate(names))
        self._labels = dict(enumerate(labels))
        self._read: OrderedDict[int, Any] = OrderedDict()  # by key
        self._versions: dict[int, Hashable] = {}  # of the files that were read, by key

    def __len__(self) -> int:
        return len(self._keys)

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
        """The inputs as they were given, the rows of a table each by itself."""
        return [self.source(example) for example in range(len(self))]

    def source(self, example: int) -> Any:
        """An input as it was given."""
        key = self._keys[example]
        return self._added[key] if key in self._added else _one_of(self._given, key)

    def key(self, example: int) -> int:
        """What an input goes by, whatever is added or removed: its number at first, from 0."""
        return self._keys[example]

    def place(self, example: int) -> str | None:
        """Where an input lies in what was given, as Python: ``"[2]"`` of a list; ``None`` for one that was added."""
        key = self._keys[example]
        return None if key in self._added else self._place.format(first=key, after=key + 1)

    def name(self, example: int) -> str:
        """What an input is called."""
        key = self._keys[example]
        return self._names.get(key) or say("input {number}", number=key + 1)

    def label(self, example: int) -> int | None:
        """The true class of an input, where known."""
        return self._labels.get(self._keys[example])

    def where(self, key: int) -> int:
        """The position of the input of a key.

        Raises:
            InputError: it was removed.
        """
        if key not in self._keys:
            raise InputError(say("input {number} was removed", number=key + 1))
        return self._keys.index(key)

    def find(self, source: Any) -> int | None:
        """Where a file is that is there already: the same path and not written since it was read, or the same bytes."""
        if not isinstance(source, (str, Path, bytes)):
            return None
        wanted = _file_of(source)
        for example, key in enumerate(self._keys):
            # a tensor is no file, and a table has very many
            other = self._added.get(key) if isinstance(self._given, torch.Tensor) else self.source(example)
            is_file = isinstance(other, (str, Path, bytes)) and _file_of(other) == wanted
            if is_file and self._versions.get(key, _version_of(source)) == _version_of(source):
                return example
        return None

    def add(self, source: Any, name: str) -> int:
        """One more input, not read yet; its position."""
        found = as_numbers(source, self._model, self._preprocess)
        key = next(self._next_key)
        self._added[key] = source if found is None else found
        self._names[key] = name
        self._keys.append(key)
        return len(self._keys) - 1

    def remove(self, example: int) -> None:
        """Take away an input."""
        key = self._keys.pop(example)
        for kept in (self._read, self._added, self._names, self._labels, self._versions):
            kept.pop(key, None)

    def check(self, example: int) -> None:
        """Raise ``InputError`` unless there is such an input."""
        if not 0 <= example < len(self):
            raise InputError(
                say(
                    "example must be in 0..{last} (there are {count} inputs), got {example}",
                    last=len(self) - 1,
                    count=len(self),
                    example=example,
                )
            )

    def tensor(self, example: int) -> Any:
        """An input as the model takes it.

        Raises:
            InputError: not something a model takes, or not an image.
        """
        key = self._keys[example]
        found = self._read.get(key)
        if found is None:
            source = self.source(example)
            self._versions[key] = _version_of(source)
            found = self._read[key] = self._load(source)
            while len(self._read) > KEPT:
                self._read.popitem(last=False)
        return found

    def _separate(self, given: Any) -> tuple[Sequence[Any] | torch.Tensor, str]:
        """Several inputs when a list or tuple of images was given, or a batch; otherwise one.

        With them how one is taken from what was given, as Python with the gaps ``{first}`` and ``{after}``.
        """
        numbers = as_numbers(given, self._model, self._preprocess)
        given = given if numbers is None else numbers
        if isinstance(given, torch.Tensor):
            is_batch = given.ndim == 4 or counts_examples(self._model, given)
            return (given, "[{first}:{after}]") if is_batch else ([given], "")
        is_pair = isinstance(given, tuple) and any(isinstance(item, torch.Tensor) for item in given)
        if isinstance(given, (list, tuple)) and not is_pair:
            found = [as_numbers(item, self._model, self._preprocess) for item in given]
            return [item if each is None else each for item, each in zip(given, found, strict=True)], "[{first}]"
        return [given], ""

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
        return isinstance(self.source(example), IMAGES)

    def preparation(self, example: int) -> str:
        """How an input became a tensor, in words."""
        if not self.prepares(example):
            return say("given as the model takes it")
        return in_words(self._own if self._preprocess is None else self._preprocess)

    def as_picture(self, tensor: torch.Tensor, example: int) -> NDArray[np.uint8]:
        """A tensor ``(C, H, W)`` that stands for an input, such as its baseline, as a person sees it."""
        given = self._preprocess
        if given is None and not isinstance(self.source(example), torch.Tensor):
            given = self._own
        return to_picture(tensor, given if isinstance(given, Preprocess) else None)


def _one_of(given: Sequence[Any] | torch.Tensor, position: int) -> Any:
    """One of several inputs; of a batch a batch of one."""
    return given[position : position + 1] if isinstance(given, torch.Tensor) else given[position]


def _file_of(source: str | Path | bytes) -> Path | bytes:
    """What two sources of the same file have in common."""
    return source if isinstance(source, bytes) else Path(os.path.realpath(Path(source).expanduser()))


def _version_of(source: Any) -> Hashable:
    """What is another once a file on the disk was written again; ``None`` for what is no file there."""
    if not isinstance(source, (str, Path)):
        return None
    try:
        found = Path(source).expanduser().stat()
    except (OSError, RuntimeError, ValueError):  # none, a home that does not exist, a name that cannot be
        return None
    return found.st_mtime_ns, found.st_size
