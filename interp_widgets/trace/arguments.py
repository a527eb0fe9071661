"""Arguments as users give them, made into what the package works with, or refused in a sentence.

One function per kind of argument; ``record``, ``Session``, ``explore``, ``compare`` and ``check`` call the same ones.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, Protocol, cast

import torch
from torch import nn

from interp_widgets.errors import CopyError, InputError, ModelError, ParameterError
from interp_widgets.words import say

__all__ = [
    "as_bytes",
    "as_items",
    "as_kwargs",
    "as_list",
    "as_names",
    "check_batches",
    "check_count",
    "check_example",
    "check_features",
    "check_is",
    "check_number",
    "check_tensor",
    "check_text",
    "check_whole",
    "is_name_of",
    "other_path",
    "plain_module",
    "refuse_copy",
    "shown",
    "whole_number",
]

# Wrappers whose own ``forward`` is no computation: it raises, or predicts on files; the network is their ``model``.
WRAPPERS = ("lightning", "pytorch_lightning", "ultralytics.engine")
UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
BINARY = {"k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


class Output(Protocol):
    """What of a recording tells how many classes there are."""

    @property
    def has_classes(self) -> bool:
        """Whether the output has class scores."""

    @property
    def class_count(self) -> int:
        """How many."""


def shown(value: object) -> str:
    """A wrong value as a message shows it: short, on one line, with its type where that says more."""
    if isinstance(value, torch.Tensor):
        kind = str(value.dtype).removeprefix("torch.")
        return say("a {kind} tensor of shape {shape}", kind=kind, shape=tuple(value.shape))
    if type(value).__module__ == "numpy" and hasattr(value, "shape") and value.shape != ():
        kind, shape = value.dtype, tuple(value.shape)  # type: ignore[attr-defined]  # numpy's have it
        return say("a {kind} array of shape {shape}", kind=kind, shape=shape)
    if isinstance(value, type):
        return say("the class {name}", name=value.__name__)
    if isinstance(value, nn.Module):
        return say("a model ({kind})", kind=type(value).__name__)
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


# Models


def plain_module(model: Any) -> nn.Module:
    """The module to record: inside ``torch.compile``, ``DataParallel``, Lightning and Ultralytics wrappers.

    Raises:
        ModelError: no ``nn.Module``, a class instead of an object, a ScriptModule, a wrapper without a network.
    """
    while True:
        _check_module(model)
        if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            model = cast("nn.Module", model.module)
        elif hasattr(model, "_orig_mod"):
            model = cast("nn.Module", model._orig_mod)
        elif _computes(model):
            return cast("nn.Module", model)
        elif isinstance(getattr(model, "model", None), nn.Module):
            model = cast("nn.Module", model.model)
        else:
            kind = type(model).__name__
            inside = [name for name, child in model.named_children() if _computes(child)]
            if inside:
                raise ModelError(
                    say(
                        "this {kind} has no forward of its own: "
                        "give the module inside it that computes, such as its .{child}",
                        kind=kind,
                        child=inside[0],
                    )
                )
            raise ModelError(
                say("this {kind} has no forward of its own: give the module inside it that computes", kind=kind)
            )


def _check_module(model: Any) -> None:
    if isinstance(model, torch.jit.ScriptModule):
        raise ModelError(
            say(
                "a ScriptModule ({kind}) cannot be recorded: its operations are not visible from Python; "
                "give the nn.Module it was scripted or traced from",
                kind=type(model).__name__,
            )
        )
    if isinstance(model, nn.Module):
        return
    given, kind = shown(model), type(model).__name__
    if isinstance(model, type) and issubclass(model, nn.Module):
        raise ModelError(
            say(
                "model must be a torch.nn.Module, got {given} itself: make a model of it first, such as {name}(...)",
                given=given,
                name=model.__name__,
            )
        )
    if isinstance(model, str):
        raise ModelError(
            say(
                "model must be a torch.nn.Module, got {given}: "
                "load a model of that name first, with iw.zoo.load({name!r}).model",
                given=given,
                name=model,
            )
        )
    if isinstance(getattr(model, "model", None), nn.Module) and not isinstance(model, type):
        raise ModelError(
            say(
                "model must be a torch.nn.Module, got {given} ({kind}): give the model inside it, its .model",
                given=given,
                kind=kind,
            )
        )
    raise ModelError(say("model must be a torch.nn.Module, got {given} ({kind})", given=given, kind=kind))


def _computes(model: nn.Module) -> bool:
    """Whether the module has a ``forward`` that is a computation on tensors."""
    forward = type(model).forward
    home = f"{forward.__module__}."
    is_wrapper = any(home.startswith(f"{name}.") for name in WRAPPERS)
    return not is_wrapper and (forward is not nn.Module.forward or "forward" in vars(model))


def other_path(model: nn.Module, path: str) -> str | None:
    """The path under which a module was recorded that goes by ``path`` too; ``None`` when there is none.

    A module that is used in several places is recorded under the first. Inside a wrapper, paths begin with the
    wrapper's own attribute, as ``module.layer4`` does in a ``DataParallel``.
    """
    first, _, rest = path.partition(".")
    if first in ("module", "_orig_mod", "model") and rest and first not in dict(model.named_children()):
        return other_path(model, rest) or rest
    module_path, sign, part = re.match(r"([^:/\[]*)([:/\[]?)(.*)", path, re.DOTALL).groups()  # type: ignore[union-attr]  # it always matches
    every = dict(model.named_modules(remove_duplicate=False))
    known = {id(module): name for name, module in model.named_modules()}
    recorded = known[id(every[module_path])] if module_path in every else module_path
    return f"{recorded}{sign}{part}" if recorded != module_path else None


# Names


def as_names(names: Any, what: str = "class_names") -> tuple[str, ...] | None:
    """Names of classes or features: a sequence or array, ``{0: "cat"}``, ``{"cat": 0}``; ``None`` where none are given.

    Raises:
        ParameterError: something else, a plain string, a mapping with gaps.
    """
    if names is None:
        return None
    wanted = say("{what} must be a sequence of names, one each, or a mapping such as {{0: 'cat', 1: 'dog'}}", what=what)
    if isinstance(names, (str, bytes, bytearray, type, nn.Module)) or not isinstance(names, Iterable):
        raise ParameterError(say("{wanted}, got {given}", wanted=wanted, given=shown(names)))
    if isinstance(names, Mapping):
        return _in_order(names, wanted)
    if isinstance(names, torch.Tensor) or getattr(names, "ndim", 1) != 1:
        raise ParameterError(say("{wanted}, got {given}", wanted=wanted, given=shown(names)))
    listed = list(names)
    unfit = [name for name in listed if not _is_name(name)]
    if unfit:
        raise ParameterError(say("{wanted}, got {given} among them", wanted=wanted, given=shown(unfit[0])))
    return tuple(str(name) for name in listed) or None


def _is_name(name: object) -> bool:
    """Text or a number, Python's or numpy's."""
    return isinstance(name, str) or (hasattr(name, "__index__") and not isinstance(name, (torch.Tensor, type)))


def _in_order(names: Mapping[Any, Any], wanted: str) -> tuple[str, ...] | None:
    """The names of a mapping from index to name, or from name to index as torchvision's ``class_to_idx`` is."""
    by_index = dict(names)
    if all(isinstance(key, str) and not key.isdigit() for key in names):
        by_index = {index: name for name, index in names.items()}
    try:
        numbered = {int(index): name for index, name in by_index.items()}
    except (TypeError, ValueError) as error:
        raise ParameterError(say("{wanted}, got {given}", wanted=wanted, given=shown(names))) from error
    missing = [index for index in range(len(names)) if index not in numbered]
    if missing:
        raise ParameterError(
            say(
                "{wanted} with the indices 0..{last}, got none for {missing}",
                wanted=wanted,
                last=len(names) - 1,
                missing=missing[0],
            )
        )
    if not all(_is_name(name) for name in numbered.values()):
        raise ParameterError(say("{wanted}, got {given}", wanted=wanted, given=shown(names)))
    return tuple(str(numbered[index]) for index in range(len(numbered))) or None


def as_items(given: Any, what: str, kind: type) -> list[Any]:
    """A sequence whose items are of a kind, or ``None`` where they are not known.

    Raises:
        ParameterError: a text, no sequence, another kind of item.
    """
    if given is None:
        return []
    is_one = isinstance(given, (str, bytes, dict, type)) or getattr(given, "ndim", 1) != 1
    if isinstance(given, Iterable) and not is_one:
        items = [item.item() if hasattr(item, "item") else item for item in given]  # numpy's and torch's numbers
        if all(item is None or (isinstance(item, kind) and not isinstance(item, bool)) for item in items):
            return items
    raise ParameterError(
        say(
            "{what} must be a sequence of {kind} (None where unknown), got {given}",
            what=what,
            kind=kind.__name__,
            given=shown(given),
        )
    )


def check_count(class_names: Sequence[str] | None, output: Output) -> None:
    """Refuse class names that are not one per class of the output.

    Raises:
        ParameterError: too few or too many.
    """
    if class_names is None or not output.has_classes:
        return
    if len(class_names) != output.class_count:
        raise ParameterError(
            say(
                "class_names must be one per class: the model has {classes}, got {count} ({names})",
                classes=output.class_count,
                count=len(class_names),
                names=shown(list(class_names)),
            )
        )


def check_features(feature_names: Sequence[str] | None, shapes: Iterable[Sequence[int]]) -> None:
    """Refuse feature names that no input has as many features for.

    Args:
        shapes: of the inputs; features are the last axis of ``(F,)`` or ``(N, F)``.

    Raises:
        ParameterError: too few or too many, or no input is a list of numbers.
    """
    if feature_names is None:
        return
    lists = [shape for shape in shapes if len(shape) in (1, 2)]
    if len(feature_names) not in [shape[-1] for shape in lists]:
        raise ParameterError(
            say(
                "feature_names must be one per feature of an input (N, F), here {features}, got {count} ({names})",
                features=", ".join(str(shape[-1]) for shape in lists) or say("none"),
                count=len(feature_names),
                names=shown(list(feature_names)),
            )
        )


# Numbers


def as_bytes(limit: Any, what: str = "memory_limit") -> int | None:
    """A number of bytes from a number or a text such as ``"1GB"`` or ``"512 MiB"``; ``None`` stays ``None``.

    Raises:
        ParameterError: anything else, or less than nothing.
    """
    if limit is None:
        return None
    if isinstance(limit, str):
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*([kmgt]?)(i?)b?\s*", limit.lower())
        if found is not None:
            number, unit, binary = found.groups()
            return int(float(number) * (BINARY.get(unit, 1) if binary else UNITS[unit]))
    elif isinstance(limit, (int, float)) and not isinstance(limit, bool) and math.isfinite(limit) and limit >= 0:
        return int(limit)
    raise ParameterError(
        say(
            "{what} must be a number of bytes of 0 or more, or a text such as '1GB' or '512 MiB', got {given}",
            what=what,
            given=shown(limit),
        )
    )


def check_number(number: Any, what: str, low: float, high: float) -> None:
    """Refuse what is no number in ``low..high``.

    Raises:
        ParameterError: anything else.
    """
    is_scalar = type(number).__module__ == "numpy" and number.ndim == 0 and number.dtype.kind in "iuf"
    is_number = is_scalar or (isinstance(number, (int, float)) and not isinstance(number, bool))
    if not is_number or not low <= number <= high:
        raise ParameterError(
            say("{what} must be in {low}..{high}, got {given}", what=what, low=low, high=high, given=shown(number))
        )


def whole_number(given: Any) -> int | None:
    """A whole number, Python's, numpy's or torch's; ``None`` for anything else, a truth value too."""
    try:
        return None if isinstance(given, (bool, type)) else operator.index(given)
    except (TypeError, ValueError, RuntimeError):
        return None


def check_whole(number: Any, what: str, low: int) -> int:
    """A whole number that is not too small.

    Raises:
        ParameterError: anything else.
    """
    whole = whole_number(number)
    if whole is None or whole < low:
        raise ParameterError(
            say("{what} must be a whole number of {low} or more, got {given}", what=what, low=low, given=shown(number))
        )
    return whole


def check_example(example: Any, count: int) -> int:
    """Which input of a batch.

    Raises:
        InputError: no whole number, or not so many inputs.
    """
    number = whole_number(example)
    if number is None or not 0 <= number < count:
        raise InputError(
            say(
                "example must be in 0..{last} (the trace holds {count} inputs), got {given}",
                last=count - 1,
                count=count,
                given=shown(example),
            )
        )
    return number


def as_list(given: Any) -> list[Any]:
    """What may be one or several: text, numbers and single objects stand for a list of one."""
    if isinstance(given, (list, tuple, range, set, frozenset, dict)) or (
        isinstance(given, Iterable)
        and not isinstance(given, (str, bytes, torch.Tensor, nn.Module, type))
        and getattr(given, "ndim", 1) == 1
    ):
        return list(given)
    return [given]


def is_name_of(given: Any, known: Container[str]) -> bool:
    """Whether it is one of some names; whatever is no text is none of them."""
    return isinstance(given, str) and given in known


def check_text(text: Any, what: str) -> str:
    """A text.

    Raises:
        ParameterError: anything else.
    """
    if not isinstance(text, str):
        raise ParameterError(say("{what} must be a text, got {given}", what=what, given=shown(text)))
    return text


# Tensors


def as_kwargs(kwargs: Any) -> dict[str, Any]:
    """Keyword arguments of a model; ``None`` for none.

    Raises:
        InputError: no mapping from names.
    """
    if kwargs is None:
        return {}
    if not isinstance(kwargs, Mapping) or not all(isinstance(name, str) for name in kwargs):
        raise InputError(
            say("kwargs must be a mapping from argument names to values, got {given}", given=shown(kwargs))
        )
    return dict(kwargs)


def check_tensor(given: Any, what: str) -> torch.Tensor:
    """A tensor.

    Raises:
        InputError: anything else.
    """
    if not isinstance(given, torch.Tensor):
        raise InputError(say("{what} must be a tensor, got {given}", what=what, given=shown(given)))
    return given


def check_batches(values: Any) -> Mapping[str, torch.Tensor]:
    """Values at inputs, layers or sites: a batch for each name.

    Raises:
        InputError: no mapping, an empty one, something that is no batch.
    """
    if not isinstance(values, Mapping) or not values:
        raise InputError(
            say("values must be a mapping from names of inputs or layers to batches, got {given}", given=shown(values))
        )
    for name, batch in values.items():
        if not isinstance(batch, torch.Tensor) or batch.ndim == 0:
            raise InputError(
                say(
                    "values for {name!r} must be a tensor of 1 or more axes, got {given}", name=name, given=shown(batch)
                )
            )
    return values


# Objects of this package


def check_is(given: Any, kind: type, wanted: str) -> None:
    """Refuse an object of another kind; ``wanted`` says what is wanted, and how it is made.

    Raises:
        ParameterError: it is of another kind.
    """
    if not isinstance(given, kind):
        raise ParameterError(say("{wanted}; got {given}", wanted=wanted, given=shown(given)))


def refuse_copy() -> CopyError:
    """The error for a trace, which holds an autograd graph, that is about to be copied or pickled."""
    return CopyError(
        say(
            "a trace cannot be copied or pickled: it holds the autograd graph of one pass; "
            "keep what you need of it (trace.activation(...), attribution.values), or record again where you need it"
        )
    )
