"""``TorchCall``: what the name of a torch function tells of every call of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F

__all__ = ["NOT_REPEATED", "VIEWING_ATTRIBUTES", "TorchCall", "draws", "torch_call"]

IN_PLACE_DUNDERS = frozenset(
    f"__{name}__"
    for name in (
        *("iadd", "isub", "imul", "itruediv", "idiv", "ifloordiv", "imod", "ipow", "imatmul"),
        *("iand", "ior", "ixor", "ilshift", "irshift", "setitem"),
    )
)
# Calls that neither make nor change a value.
NOT_OPERATIONS = frozenset(
    """
    requires_grad_ retain_grad __set__ __delete__ register_hook is_contiguous stride size dim numel nelement
    is_floating_point is_complex element_size storage_offset data_ptr get_device item tolist untyped_storage
    is_inference __len__ __bool__ __int__ __float__ __index__ __repr__ __format__ __hash__
    """.split()  # noqa: SIM905 - a list of many names reads better as words
)
# Those of them that hand numbers to Python, which may go another way by them.
TELLS = frozenset(("item", "tolist", "__bool__", "__int__", "__float__", "__index__"))
# Attributes of a tensor that are values made from it; those in the second line are values of their own.
VIEWING_ATTRIBUTES = frozenset(("T", "mT", "H", "mH", "real", "imag", "data"))
OTHER_TENSORS = frozenset(("grad", "_base"))
# Operations that draw random numbers, some of them only in training.
ALWAYS_RANDOM = frozenset(
    """
    rand randn randint randperm rand_like randn_like randint_like bernoulli multinomial normal poisson
    uniform_ normal_ bernoulli_ exponential_ random_ gumbel_softmax native_dropout log_normal_ geometric_ cauchy_
    binomial _standard_gamma _sample_dirichlet fractional_max_pool2d fractional_max_pool3d
    fractional_max_pool2d_with_indices fractional_max_pool3d_with_indices
    """.split()  # noqa: SIM905
)
RANDOM_IN_TRAINING = frozenset(
    """
    dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout feature_dropout rrelu
    dropout_ alpha_dropout_ feature_alpha_dropout_ feature_dropout_ rrelu_
    scaled_dot_product_attention multi_head_attention_forward lstm gru rnn_tanh rnn_relu
    """.split()  # noqa: SIM905
)
# These, and operations that cost too much to be done again or leave memory as it was.
NOT_REPEATED = ALWAYS_RANDOM | RANDOM_IN_TRAINING | frozenset(("empty", "empty_like", "new_empty"))
# Read off the code objects: `inspect.signature` would take longer than the rest of the import.
INPLACE_POSITION: dict[Any, int] = {
    function: function.__code__.co_varnames.index("inplace")
    for function in vars(F).values()
    if inspect.isfunction(function) and "inplace" in function.__code__.co_varnames[: function.__code__.co_argcount]
}


@dataclass(frozen=True, slots=True)
class TorchCall:
    """What the name of a torch function tells of every call of it.

    Args:
        name: of the operation, for the tape.
        ignored: it neither makes nor changes a value.
        tells: it hands a tensor's numbers to Python.
        attribute: it reads an attribute of a tensor.
        writes_first: it writes into its first argument.
        inplace_position: where ``inplace`` stands among the positional arguments, -1 for nowhere.
    """

    name: str
    ignored: bool
    tells: bool
    attribute: bool
    writes_first: bool
    inplace_position: int

    @classmethod
    def of(cls, func: Callable[..., Any]) -> TorchCall:
        """What is known of a function."""
        name = getattr(func, "__name__", type(func).__name__)
        attribute = name == "__get__"
        if attribute:
            name = getattr(getattr(func, "__self__", None), "__name__", "get")
        return cls(
            name=name,
            ignored=name in (OTHER_TENSORS if attribute else NOT_OPERATIONS),
            tells=not attribute and name in TELLS,
            attribute=attribute,
            writes_first=(name.endswith("_") and not name.endswith("__")) or name in IN_PLACE_DUNDERS,
            inplace_position=INPLACE_POSITION.get(func, -1),
        )

    def written(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Sequence[torch.Tensor]:
        """The tensors that a call is about to write into, none for one that makes new ones."""
        target: Any = ()
        if kwargs.get("out") is not None:
            target = kwargs["out"]
        elif (
            self.writes_first
            or kwargs.get("inplace")
            or (0 <= self.inplace_position < len(args) and args[self.inplace_position])
        ):
            target = args[0] if args else kwargs.get("input")
        if isinstance(target, torch.Tensor):
            return (target,)
        several = target if isinstance(target, (tuple, list)) else ()  # ``torch._foreach_mul_``, ``out=`` of a maximum
        return [tensor for tensor in several if isinstance(tensor, torch.Tensor)]


_CALLS: dict[Any, TorchCall] = {}  # of torch's own functions


def torch_call(func: Callable[..., Any]) -> TorchCall:
    """What is known of a function; for torch's own it is found out once."""
    try:
        return _CALLS[func]
    except (KeyError, TypeError):  # a function may be unhashable
        found = TorchCall.of(func)
    if str(getattr(func, "__module__", "") or "torch").startswith("torch"):
        _CALLS[func] = found
    return found


def draws(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Whether a call draws random numbers: dropout and its kind do only where they are told to."""
    if name in ALWAYS_RANDOM:
        return True
    if name == "scaled_dot_product_attention":
        return bool(kwargs.get("dropout_p", args[4] if len(args) > 4 else 0.0))
    if name in ("lstm", "gru", "rnn_tanh", "rnn_relu"):
        # (..., has_biases, num_layers, dropout, train, ...): the only float, and what follows it
        drops = [bool(share and train) for share, train in pairwise(args) if isinstance(share, float)]
        return any(drops)
    if name == "multi_head_attention_forward":
        share = kwargs.get("dropout_p", args[10] if len(args) > 10 else 0.0)
        return bool(share and kwargs.get("training", args[13] if len(args) > 13 else True))
    flag = 3 if name.startswith("rrelu") else 2
    given = args[flag] if len(args) > flag else True
    return name in RANDOM_IN_TRAINING and bool(kwargs.get("training", given))
