"""The named tensors of a model, a state dict or a file, and their values in blocks that fit into little memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from interp_widgets.errors import InputError, LayerError, ModelError
from interp_widgets.trace.arguments import shown
from interp_widgets.words import did_you_mean, say

__all__ = ["NamedTensor", "blocks", "parameters_of", "state_of", "tensor_named"]

BLOCK = 2**18  # values that are looked at together: 2 MiB in double precision, which a processor's cache holds
MOST_DENSE = 2**24  # values of a sparse tensor that is made dense
TORCH_FILES = (".pt", ".pth")
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True, eq=False)
class NamedTensor:
    """A tensor and the names it goes by.

    Args:
        paths: all of them; tied parameters have several.
        tensor: as it is found, on its device; nothing is copied.
        groups: of the transposed convolution whose weight it is, and 0 for any other tensor.
    """

    paths: tuple[str, ...]
    tensor: torch.Tensor
    groups: int = 0

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Its shape; ``None`` for one without, lazy or nested."""
        return None if _is_shapeless(self.tensor) else tuple(self.tensor.shape)

    @property
    def obstacle(self) -> str:
        """Why its values cannot be read, in words; empty where they can."""
        tensor = self.tensor
        if is_lazy(tensor):
            return say("lazy: it gets its shape in the first pass")
        if tensor.is_nested:
            return say("nested: its parts have different shapes")
        if tensor.is_meta:
            return say("on the meta device: it has a shape and no values")
        if tensor.layout != torch.strided and tensor.numel() > MOST_DENSE:
            return say("sparse, with more than {most:,} values", most=MOST_DENSE)
        has_numbers = tensor.is_quantized or tensor.is_complex() or _is_convertible(tensor.dtype)
        if not has_numbers:
            return say("torch does not convert {dtype} to numbers", dtype=str(tensor.dtype))
        return ""

    def by_filter(self) -> torch.Tensor:
        """The values with filters along the first axis, ``(out, in / groups, ...)``, detached, on their device.

        The weight of a transposed convolution is stored as ``(in, out / groups, ...)``; all others as they are.
        """
        tensor = self.tensor.detach()
        if tensor.is_quantized:
            tensor = tensor.dequantize()
        if tensor.layout != torch.strided:
            tensor = tensor.to_dense()
        if self.groups:
            grouped = tensor.reshape(self.groups, -1, *tensor.shape[1:])  # (groups, in / groups, out / groups, ...)
            tensor = grouped.transpose(1, 2).flatten(0, 1)
        return tensor


def blocks(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """The rows of a tensor a few at a time, on the CPU, in double precision.

    Args:
        tensor: ``(rows, ...)``, or a scalar, which is a row; of one without values there are no blocks.
    """
    if tensor.numel() == 0:
        return
    rows = tensor.reshape(1) if tensor.ndim == 0 else tensor
    size = max(1, BLOCK // rows[0].numel())
    dtype = torch.complex128 if tensor.is_complex() else torch.float64
    for start in range(0, len(rows), size):
        yield rows[start : start + size].to("cpu", dtype)


def parameters_of(source: Any) -> list[NamedTensor]:
    """The parameters of a model, each once, or all tensors of a state dict or a file; in their order.

    Weights of quantised layers are no parameters in torch's sense; they are taken from the state dict.

    Raises:
        ModelError: it is none of these.
        InputError: a file that cannot be read, or a mapping without tensors.
    """
    if isinstance(source, nn.Module):
        named: dict[str, torch.Tensor] = dict(source.named_parameters(remove_duplicate=False))
        named |= {name: tensor for name, tensor in _tensors_in(source.state_dict()) if tensor.is_quantized}
        return _tied(named, _transposed(source))
    return _tied(dict(_tensors_in(_mapping_of(source, "model"))), {})


def state_of(source: Any, what: str) -> dict[str, NamedTensor]:
    """The tensors of a model's state dict, of a state dict or of a file, by name; tied ones under each name.

    Args:
        what: the argument's name, for the error.

    Raises:
        ModelError: it is none of these.
        InputError: a file that cannot be read, or a mapping without tensors.
    """
    groups = _transposed(source) if isinstance(source, nn.Module) else {}
    state = source.state_dict() if isinstance(source, nn.Module) else _mapping_of(source, what)
    return {name: NamedTensor((name,), tensor, groups.get(name, 0)) for name, tensor in _tensors_in(state)}


def tensor_named(name: Any, known: Mapping[str, NamedTensor]) -> str:
    """The name of a tensor from its own name, or from that of the layer whose weight it is.

    Raises:
        LayerError: there is none.
    """
    if isinstance(name, str):
        for path in (name, f"{name}.weight".removeprefix(".")):
            if path in known:
                return path
    listed = ", ".join([*list(known)[:5], *(["..."] if len(known) > 5 else [])])
    layers = [path.removesuffix(".weight") for path in known]
    hint = did_you_mean(name, [*layers, *known]) if isinstance(name, str) else ""
    if hint:
        raise LayerError(
            say(
                "no tensor is named {name}{hint} There are {count}: {listed}",
                name=shown(name),
                hint=hint,
                count=len(known),
                listed=listed,
            )
        )
    raise LayerError(
        say("no tensor is named {name}. There are {count}: {listed}", name=shown(name), count=len(known), listed=listed)
    )


def _tensors_in(state: Mapping[str, Any]) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of a state dict by name, also those in a tuple, where quantised layers have their weight and bias."""
    for name, value in state.items():
        if isinstance(value, torch.Tensor):
            yield name, value
        elif isinstance(value, tuple):
            yield from _tensors_in({f"{name}.{index}": item for index, item in enumerate(value)})


def _is_shapeless(tensor: torch.Tensor) -> bool:
    return is_lazy(tensor) or tensor.is_nested


def _tied(named: Mapping[str, torch.Tensor], groups: Mapping[str, int]) -> list[NamedTensor]:
    """Each tensor once, with all its names."""
    paths: dict[object, list[str]] = {}
    for path, tensor in named.items():
        paths.setdefault(_place(tensor), []).append(path)
    return [NamedTensor(tuple(each), named[each[0]], groups.get(each[0], 0)) for each in paths.values()]


def _place(tensor: torch.Tensor) -> object:
    """Equal for tensors that are the same values in the same memory; a state dict has other objects for tied ones."""
    is_plain = tensor.layout == torch.strided and not _is_shapeless(tensor)
    if not is_plain or tensor.is_meta or tensor.numel() == 0:
        return id(tensor)
    return tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()


def _transposed(model: nn.Module) -> dict[str, int]:
    """The groups of each transposed convolution, by the name of its weight."""
    modules = model.named_modules(remove_duplicate=False)
    return {
        f"{path}.weight".removeprefix("."): module.groups for path, module in modules if isinstance(module, TRANSPOSED)
    }


def _is_convertible(dtype: torch.dtype) -> bool:
    """Whether torch has numbers for the values of a type; it has none for some of less than a byte."""
    try:
        torch.empty(1, dtype=dtype).double()
    except RuntimeError:
        return False
    return True


def _mapping_of(source: Any, what: str) -> Mapping[str, Any]:
    if isinstance(source, (str, Path)):
        return _checked(_read(Path(source)), repr(str(source)))
    if isinstance(source, Mapping):
        return _checked(source, what)
    wanted = say("{what} must be a torch.nn.Module, a state dict or the path of a file with one", what=what)
    raise ModelError(say("{wanted}, got {given}", wanted=wanted, given=shown(source)))


def _checked(mapping: Any, what: str) -> Mapping[str, Any]:
    """A mapping from names with a tensor in it; what else it holds, such as versions of a module, is passed over."""
    wanted = say("{what} must hold tensors by name, as a state dict does", what=what)
    if not isinstance(mapping, Mapping) or not all(isinstance(name, str) for name in mapping):
        raise InputError(say("{wanted}, got {given}", wanted=wanted, given=shown(mapping)))
    if mapping and next(_tensors_in(mapping), None) is None:
        inner = [name for name, each in mapping.items() if isinstance(each, Mapping)]
        if inner:
            raise InputError(say("{wanted}; give the one inside it, at {name!r}", wanted=wanted, name=inner[0]))
        raise InputError(say("{wanted}, got {given}", wanted=wanted, given=shown(dict(mapping))))
    return mapping


def _read(path: Path) -> Any:
    """What a file holds. No code from a file is run."""
    if path.suffix not in (".safetensors", *TORCH_FILES):
        raise InputError(
            say("a file of weights must end in .safetensors, .pt or .pth, got {path}", path=shown(str(path)))
        )
    if not path.is_file():
        raise InputError(say("no file is at {path!r}: give the path of a .safetensors, .pt or .pth", path=str(path)))
    if path.suffix == ".safetensors":
        try:
            return safetensors.torch.load_file(path)
        except (safetensors.SafetensorError, OSError) as error:
            raise InputError(say("the file {path!r} cannot be read: {error}", path=str(path), error=error)) from error
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's unpickler raises anything on a file that is broken
        raise InputError(
            say(
                "the file {path!r} cannot be read with torch.load(..., weights_only=True), which runs no code from it: "
                "save the state dict alone, torch.save(model.state_dict(), path), or as .safetensors ({error})",
                path=str(path),
                error=shown(error),
            )
        ) from error
