"""``KeptSearch``: a search for the largest activations on disk, so that it can go on after it was stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from interp_widgets.errors import InputError, ParameterError
from interp_widgets.inspectors.loading import as_dense
from interp_widgets.inspectors.search import Example, Search
from interp_widgets.trace.arguments import shown
from interp_widgets.words import say

__all__ = ["KeptSearch", "checksum_of_batch", "checksum_of_model"]

INDEX = "search.json"
FORMAT = 1


@dataclass(frozen=True)
class KeptSearch:
    """A folder with one search: ``search.json``, and beside it the ``.npz`` file that it names.

    A new ``.npz`` is written first and named then, so that whatever stops the writing leaves the search before it.

    Args:
        folder: made where it is missing.
        key: what the search is of; only one of the same is gone on with.
    """

    folder: Path
    key: Mapping[str, Any]

    @classmethod
    def at(cls, given: Any, key: Mapping[str, Any]) -> KeptSearch:
        """That of a folder as users give it.

        Raises:
            ParameterError: no path, or a path that is no folder.
        """
        if not isinstance(given, (str, Path)) or not str(given):
            raise ParameterError(say("kept must be the path of a folder, got {given}", given=shown(given)))
        folder = Path(given).expanduser()
        if folder.exists() and not folder.is_dir():
            raise ParameterError(say("kept must be the path of a folder, and {path} is a file", path=folder))
        return cls(folder, key)

    def load(self, search: Search) -> bool:
        """Let a search go on from where it was kept; whether it has come to the end of the loader.

        Raises:
            InputError: what is kept is broken, or of another model, layer, question or loader.
        """
        path = self.folder / INDEX
        if not path.exists():
            return False
        try:
            index = json.loads(path.read_text(encoding="utf-8"))
            self._check_key(index["key"])
            data = (self.folder / index["file"]).read_bytes()
            if hashlib.sha256(data).hexdigest() != index["sha256"]:
                raise self._broken(say("{file} was changed or cut short", file=index["file"]))
            best, examples = _unpacked(self.folder / index["file"], index["tensors"])
            search.resume(best, examples, inputs=index["inputs"], batches=index["batches"])
            return bool(index["complete"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, InputError):
                raise
            raise self._broken(f"{type(error).__name__}: {error}") from error

    def save(self, search: Search, *, complete: bool) -> None:
        """Keep a search as far as it has come."""
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"search-{search.batches}.npz"
        arrays, tensors = _packed(search)
        draft = self.folder / f"{name}.part"
        with draft.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        draft.replace(self.folder / name)
        index = {
            "key": dict(self.key),
            "file": name,
            "sha256": hashlib.sha256((self.folder / name).read_bytes()).hexdigest(),
            "tensors": tensors,
            "inputs": search.inputs,
            "batches": search.batches,
            "complete": complete,
        }
        draft = self.folder / f"{INDEX}.part"
        draft.write_text(json.dumps(index, indent=1), encoding="utf-8")
        draft.replace(self.folder / INDEX)
        for older in self.folder.glob("search-*.npz"):
            if older.name != name:
                older.unlink()

    def _check_key(self, kept: Mapping[str, Any]) -> None:
        now = json.loads(json.dumps(self.key))  # as it is read back: tuples are lists
        other = next((name for name in now if kept.get(name) != now[name]), None)
        if other is not None:
            raise InputError(
                say(
                    "the search kept in {folder} is of another {part} ({kept}) than this one ({now}): "
                    "give another folder, or delete this one",
                    folder=self.folder,
                    part=_parts()[other],
                    kept=shown(kept.get(other)),
                    now=shown(now[other]),
                )
            )

    def _broken(self, reason: str) -> InputError:
        return InputError(
            say(
                "the search kept in {folder} cannot be read ({reason}): delete the folder, or give another one",
                folder=self.folder,
                reason=reason,
            )
        )


def _parts() -> dict[str, str]:
    """What the parts of a key are called."""
    return {
        "format": say("version of the format"),
        "weights": say("model"),
        "layer": say("layer"),
        "channels": say("choice of channels"),
        "k": say("number of inputs for each channel"),
        "by": say("measure"),
        "batches": say("number of batches"),
        "first_batch": say("order or content of the loader, whose first batch differs"),
    }


def _packed(search: Search) -> tuple[dict[str, NDArray[Any]], dict[str, dict[str, Any]]]:
    """A search as arrays, and for each input of the model the type and shape of its tensors.

    The inputs are rows of bytes: numpy does not know all types that torch has.
    """
    arrays: dict[str, NDArray[Any]] = {"best": search.best, "numbers": np.array(list(search.examples), np.int64)}
    tensors: dict[str, dict[str, Any]] = {}
    examples = list(search.examples.values())
    for place, name in enumerate(examples[0] if examples else ()):
        together = torch.cat([example[name] for example in examples]).cpu()
        arrays[f"input{place}"] = _bytes_of(together)
        kind = str(together.dtype).removeprefix("torch.")
        tensors[name] = {"array": f"input{place}", "dtype": kind, "shape": list(together.shape)}
    return arrays, tensors


def _unpacked(path: Path, tensors: Mapping[str, Mapping[str, Any]]) -> tuple[NDArray[np.float64], dict[int, Example]]:
    """The largest activations, and the inputs that are among them."""
    with np.load(path, allow_pickle=False) as arrays:
        best, numbers = arrays["best"], arrays["numbers"].tolist()
        read = {name: _tensor_of(arrays[told["array"]], told) for name, told in tensors.items()}
    examples: dict[int, Example] = {
        number: {name: tensor[row : row + 1] for name, tensor in read.items()} for row, number in enumerate(numbers)
    }
    return best, examples


def _bytes_of(tensor: torch.Tensor) -> NDArray[np.uint8]:
    found: NDArray[np.uint8] = as_dense(tensor).cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return found


def _tensor_of(data: NDArray[np.uint8], told: Mapping[str, Any]) -> torch.Tensor:
    kind = getattr(torch, told["dtype"])
    return torch.from_numpy(data).view(kind).reshape(told["shape"])


def checksum_of_model(model: nn.Module) -> str:
    """SHA-256 of a model's classes, parameters and buffers, the same in every process."""
    digest = hashlib.sha256()
    for path, module in model.named_modules():
        digest.update(f"{path}: {type(module).__qualname__}\n".encode())
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        digest.update(f"{name}: {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(_bytes_of(tensor).data)
    return digest.hexdigest()


def checksum_of_batch(batch: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of the inputs in a batch."""
    digest = hashlib.sha256()
    for name, tensor in batch.items():
        digest.update(f"{name}: {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(_bytes_of(tensor).data)
    return digest.hexdigest()
