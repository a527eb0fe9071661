"""How an operation carries a change of its inputs to its output: its secant, where its gradient is the tangent.

A rule maps the finite changes of the inputs linearly to the change of the output, exactly: ``rule(dx) = f(x) - f(x')``
for that one pair of ends. Products follow ``d(ab) = mean(a) db + mean(b) da``; roots and exponentials have the slope
between their two ends; quotients have a rule without a pole. Each rule is symmetric in the two ends, and becomes the
operation's Jacobian when they meet.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F

__all__ = ["ELEMENTWISE", "RULES", "Change", "slope"]

# Operations that act on each number alone: the slope between the ends is all there is to know (the rescale rule).
ELEMENTWISE = frozenset(
    """
    relu relu6 hardtanh hardswish hardsigmoid leaky_relu rrelu elu selu celu gelu silu mish softplus softsign softshrink
    hardshrink tanhshrink threshold logsigmoid prelu sigmoid tanh exp expm1 exp2 log log1p log2 log10 sqrt rsqrt square
    pow ipow rpow float_power abs absolute sin cos tan asin acos atan sinh cosh erf erfc clamp clip clamp_min clamp_max
    reciprocal rtruediv rdiv sign round floor ceil trunc frac nan_to_num logit sinc asinh acosh atanh
    """.split()  # noqa: SIM905 - a list of seventy names reads better as words
)
# Below this share of the ends' sizes a quotient of differences holds rounding errors only: the gradient is better.
SMALL = 1e-4


@dataclass(frozen=True)
class Change:
    """A tensor at the reference and at the input, and a stand-in for their difference that autograd follows."""

    start: torch.Tensor
    end: torch.Tensor
    step: torch.Tensor

    @property
    def mean(self) -> torch.Tensor:
        """Half-way between the two ends."""
        return (self.start + self.end) / 2

    def through(self, linear: Callable[[torch.Tensor], torch.Tensor]) -> Change:
        """What a linear function makes of it."""
        return Change(linear(self.start), linear(self.end), linear(self.step))

    def plus(self, constant: torch.Tensor | None) -> Change:
        """Both ends moved by the same."""
        if constant is None:
            return self
        return Change(self.start + constant, self.end + constant, self.step)


def slope(start: torch.Tensor, end: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """``(high - low) / (end - start)``, NaN where the ends are too close to tell."""
    step = end - start
    clear = step.abs() > SMALL * (start.abs() + end.abs())
    return torch.where(clear, (high - low) / torch.where(clear, step, 1), math.nan)


def _constant(value: Any) -> Change:
    """A constant as a change of nothing."""
    if isinstance(value, Change):
        return value
    tensor = torch.as_tensor(value)
    return Change(tensor, tensor, torch.zeros_like(tensor, dtype=torch.get_default_dtype()))


def _product(a: Change, b: Change, times: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Change:
    """``d(ab) = mean(a) db + mean(b) da``."""
    step = times(a.step, b.mean) + times(a.mean, b.step)
    return Change(times(a.start, b.start), times(a.end, b.end), step)


def _quotient(a: Change, b: Change) -> Change:
    """``dq = ((b + b') da - (b' q + b q') db) / (b^2 + b'^2)``, exact for ``q = a / b``.

    Where ``b'`` is next to nothing, as the deviation of a plain reference is, that is ``da / b``: no pole.
    """
    start, end = a.start / b.start, a.end / b.end
    step = (b.start + b.end) * a.step - (b.start * end + b.end * start) * b.step
    return Change(start, end, step / (b.start.square() + b.end.square()))


def _division(numerator: Any, denominator: Any, *, rounding_mode: str | None = None) -> torch.Tensor | None:
    if rounding_mode is not None or not isinstance(denominator, Change):
        return None
    return _quotient(_constant(numerator), denominator).step


def _standardised(x: Change, axes: Sequence[int], eps: float, *, centred: bool = True) -> Change:
    """``c / s`` with ``s^2 = mean(c^2) + eps``: ``ds = mean(c dc) / s`` with the means of ``c`` and ``s``, exactly."""
    axes = tuple(axes)
    c = x.through(lambda value: value - value.mean(dim=axes, keepdim=True)) if centred else x
    ends = [(end.square().mean(dim=axes, keepdim=True) + eps).sqrt() for end in (c.start, c.end)]
    step = (c.mean * c.step).mean(dim=axes, keepdim=True) / ((ends[0] + ends[1]) / 2)
    return _quotient(c, Change(ends[0], ends[1], step))


def _scaled(step: torch.Tensor, weight: Any, shape: Sequence[int] | None = None) -> torch.Tensor | None:
    if weight is None:
        return step
    if not isinstance(weight, torch.Tensor):
        return None  # a weight that changes too
    return step * (weight if shape is None else weight.reshape(shape))


def _layer_norm(
    x: Any, normalized_shape: Sequence[int], weight: Any = None, _bias: Any = None, eps: float = 1e-5, **others: Any
) -> torch.Tensor | None:
    if not isinstance(x, Change) or isinstance(others.get("bias", _bias), Change):
        return None
    axes = range(-len(normalized_shape), 0)
    return _scaled(_standardised(x, axes, eps).step, weight)


def _rms_norm(
    x: Any, normalized_shape: Sequence[int], weight: Any = None, eps: float | None = None
) -> torch.Tensor | None:
    if not isinstance(x, Change):
        return None
    eps = torch.finfo(x.end.dtype).eps if eps is None else eps
    return _scaled(_standardised(x, range(-len(normalized_shape), 0), eps, centred=False).step, weight)


def _group_norm(
    x: Any, num_groups: int, weight: Any = None, _bias: Any = None, eps: float = 1e-5, *_: Any, **others: Any
) -> torch.Tensor | None:
    if not isinstance(x, Change) or isinstance(others.get("bias", _bias), Change):
        return None
    shape = x.end.shape
    grouped = x.through(lambda value: value.reshape(shape[0], num_groups, -1))
    return _scaled(_standardised(grouped, (-1,), eps).step.reshape(shape), weight, (-1, *[1] * (len(shape) - 2)))


def _instance_norm(  # noqa: PLR0913, PLR0917 - torch's signature
    x: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,  # noqa: FBT001, FBT002 - as above
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    axes: Sequence[int] = (),
) -> torch.Tensor | None:
    del running_mean, running_var, momentum
    if not use_input_stats or not isinstance(x, Change) or isinstance(bias, Change):
        return None  # with given statistics it is linear
    axes = axes or range(2, x.end.ndim)
    return _scaled(_standardised(x, axes, eps).step, weight, (-1, *[1] * (x.end.ndim - 2)))


def _batch_norm(  # noqa: PLR0917 - torch's signature
    x: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,  # noqa: FBT001, FBT002 - as above
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> torch.Tensor | None:
    axes = (0, *range(2, x.end.ndim)) if isinstance(x, Change) else ()
    return _instance_norm(x, running_mean, running_var, weight, bias, training, momentum, eps, axes=axes)


def _softmax(x: Any, dim: int | None = None, *_: Any, **others: Any) -> torch.Tensor | None:
    if not isinstance(x, Change) or dim is None or others.get("dtype") is not None:
        return None
    return _softened(x, dim).step


def _softened(x: Change, dim: int) -> Change:
    """``dp = L (dz - sum(L dz) / sum(L))`` with the logarithmic mean ``L = dp / d(log p)`` of the two probabilities."""
    low, high = x.start.log_softmax(dim), x.end.log_softmax(dim)
    mean = _logarithmic_mean(low, high)
    step = mean * (x.step - (mean * x.step).sum(dim, keepdim=True) / mean.sum(dim, keepdim=True))
    return Change(low.exp(), high.exp(), step)


def _logarithmic_mean(low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """``(p - q) / (log p - log q)`` from the logarithms; 0 where one of the two is 0."""
    apart = (high - low).abs().nan_to_num(0.0)
    safe = torch.where(apart > SMALL, apart, 1)
    return torch.maximum(low, high).exp() * torch.where(apart > SMALL, -torch.expm1(-safe) / safe, 1 - apart / 2)


def _log_softmax(x: Any, dim: int | None = None, *_: Any, **others: Any) -> torch.Tensor | None:
    if not isinstance(x, Change) or dim is None or others.get("dtype") is not None:
        return None
    mean = _logarithmic_mean(x.start.log_softmax(dim), x.end.log_softmax(dim))
    return x.step - (mean * x.step).sum(dim, keepdim=True) / mean.sum(dim, keepdim=True)


def _normalize(x: Any, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: Any = None) -> torch.Tensor | None:
    """``x / n`` with ``n = max(|x|, eps)``, and ``d|x| = x dx / |x|`` with the means of ``x`` and ``|x|``."""
    if not isinstance(x, Change) or p != 2.0 or out is not None:
        return None
    low, high = (end.norm(dim=dim, keepdim=True) for end in (x.start, x.end))
    length = (x.mean * x.step).sum(dim, keepdim=True) / ((low + high) / 2).clamp(min=torch.finfo(low.dtype).tiny)
    start, end = low.clamp(min=eps), high.clamp(min=eps)
    along = slope(low, high, start, end)
    along = torch.where(along.isnan(), (low + high > 2 * eps).to(low), along)
    return _quotient(x, Change(start, end, along * length)).step


def _attended(  # noqa: PLR0917 - torch's signature
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,  # noqa: FBT001, FBT002 - torch's signature
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor | None:
    if dropout_p or enable_gqa or isinstance(attn_mask, Change):
        return None
    return _attention(_constant(query), _constant(key), _constant(value), attn_mask, scale=scale, causal=is_causal).step


def _attention(
    query: Change, key: Change, value: Change, mask: torch.Tensor | None, *, scale: float | None, causal: bool = False
) -> Change:
    """Scores as a product, their softmax, and its product with the values."""
    factor = query.end.shape[-1] ** -0.5 if scale is None else scale
    scores = _product(query, key, lambda q, k: factor * (q @ k.transpose(-2, -1)))
    if causal:
        mask = torch.ones(scores.end.shape[-2:], dtype=torch.bool, device=scores.end.device).tril()
    if mask is not None and mask.dtype == torch.bool:
        mask = torch.zeros(mask.shape, dtype=scores.end.dtype, device=mask.device).masked_fill(~mask, -math.inf)
    return _product(_softened(scores.plus(mask), -1), value, torch.matmul)


def _multi_head_attention(  # noqa: PLR0913, PLR0917 - torch's signature
    query: Any,
    key: Any,
    value: Any,
    _width: int,
    heads: int,
    weight: Any,
    bias: Any,
    bias_k: Any,
    bias_v: Any,
    add_zero_attn: bool,  # noqa: FBT001 - as above
    dropout_p: float,
    out_weight: Any,
    out_bias: Any,
    **others: Any,
) -> torch.Tensor | None:
    """The plain case: one matrix for the three projections, no mask, nothing added to keys and values."""
    del out_bias  # adds the same to both ends
    unusual = ("key_padding_mask", "attn_mask", "use_separate_proj_weight", "static_k", "static_v", "is_causal")
    changes = [_constant(each) for each in (query, key, value)]
    if (
        any(each is not None for each in (bias_k, bias_v))
        or add_zero_attn
        or (dropout_p and others.get("training", True))
        or any(others.get(name) not in (None, False) for name in unusual)
        or not all(isinstance(each, torch.Tensor) for each in (weight, out_weight))
        or any(each.end.ndim != 3 for each in changes)
    ):
        return None
    biases = (None,) * 3 if bias is None else bias.chunk(3)
    q, k, v = (
        _heads(each.through(lambda end, part=part: F.linear(end, part)).plus(shift), heads)  # type: ignore[misc]  # the default binds the loop's value
        for each, part, shift in zip(changes, weight.chunk(3), biases, strict=True)
    )
    mixed = _attention(q, k, v, None, scale=None).step  # (N, heads, L, width of a head)
    return F.linear(mixed.permute(2, 0, 1, 3).flatten(2), out_weight)


def _heads(x: Change, count: int) -> Change:
    """``(L, N, E)`` as ``(N, heads, L, E / heads)``."""
    return x.through(lambda end: end.reshape(*end.shape[:2], count, -1).permute(1, 2, 0, 3))


def _max_pool(axes: int, pool: Callable[..., Any]) -> Callable[..., torch.Tensor | None]:
    """The place of the larger end's maximum alone carries the change: it moves at least as far as the maximum.

    As in SHAP's DeepExplainer.
    """

    def rule(x: Any, *args: Any, **options: Any) -> torch.Tensor | None:
        if not isinstance(x, Change):
            return None
        options.pop("return_indices", None)
        (low, there), (high, here) = (pool(end, *args, return_indices=True, **options) for end in (x.start, x.end))
        chosen = torch.where(high >= low, here, there).flatten(-axes)
        flat = x.through(lambda end: end.flatten(-axes).gather(-1, chosen))
        moved = slope(flat.start, flat.end, low.flatten(-axes), high.flatten(-axes)).nan_to_num(1.0)
        return (moved * flat.step).reshape(high.shape)

    return rule


RULES: Mapping[str, Callable[..., torch.Tensor | None]] = MappingProxyType(
    {
        **dict.fromkeys(("div", "divide", "true_divide", "truediv", "itruediv"), _division),
        **dict.fromkeys(("softmax", "_softmax"), _softmax),
        **dict.fromkeys(("log_softmax", "_log_softmax"), _log_softmax),
        "layer_norm": _layer_norm,
        "rms_norm": _rms_norm,
        "group_norm": _group_norm,
        "instance_norm": _instance_norm,
        "batch_norm": _batch_norm,
        "normalize": _normalize,
        "scaled_dot_product_attention": _attended,
        "multi_head_attention_forward": _multi_head_attention,
        "max_pool1d": _max_pool(1, F.max_pool1d),
        "max_pool2d": _max_pool(2, F.max_pool2d),
        "max_pool3d": _max_pool(3, F.max_pool3d),
        "adaptive_max_pool1d": _max_pool(1, F.adaptive_max_pool1d),
        "adaptive_max_pool2d": _max_pool(2, F.adaptive_max_pool2d),
        "adaptive_max_pool3d": _max_pool(3, F.adaptive_max_pool3d),
    }
)
"""The change of the output from the arguments of an operation, a ``Change`` for each that changes, by its name.

``None`` from a rule means that it does not know these arguments.
"""
