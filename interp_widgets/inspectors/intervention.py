"""``intervene``: what the model would say if some channels were louder, softer, flat or silent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Literal, get_args

import torch

from interp_widgets.errors import InputError, LayoutError, ParameterError
from interp_widgets.inspectors.table import shape_text
from interp_widgets.inspectors.units import check_channel
from interp_widgets.trace import Trace
from interp_widgets.trace.arguments import as_list, check_is, check_number, check_text, check_whole, is_name_of, shown
from interp_widgets.trace.suffix import Replayed
from interp_widgets.trace.targets import TargetLike
from interp_widgets.words import say

__all__ = ["MOST", "Edit", "Intervention", "Kind", "check_edit", "intervene"]

MOST = 3.0
"""The largest factor."""

Kind = Literal["scale", "mean", "ablate"]


@dataclass(frozen=True)
class Edit:
    """A change of one channel, or of all channels, of one layer.

    Args:
        layer: a layer or input, as ``trace.layers`` and ``trace.input_sites`` name them; a module that is called
            several times is changed at its last call, ``"layer:0"`` is its first.
        channel: its number along ``trace.channel_axis(layer)``; ``None``: all of them.
        kind: ``"scale"``: times ``factor``; ``"ablate"``: times 0; ``"mean"``: every position gets the channel's mean
            over all positions of the same input.
        factor: 0..3, of ``"scale"`` alone.

    Raises:
        ParameterError: no text, no whole number from 0, no such kind, or a factor outside 0..3.
    """

    layer: str
    channel: int | None = None
    kind: Kind = "scale"
    factor: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        check_text(self.layer, "layer")
        if self.channel is not None:
            object.__setattr__(self, "channel", check_whole(self.channel, "channel", 0))
        if not is_name_of(self.kind, get_args(Kind)):
            raise ParameterError(
                say("kind must be one of {known}, got {given}", known=", ".join(get_args(Kind)), given=shown(self.kind))
            )
        check_number(self.factor, "factor", 0.0, MOST)
        if self.kind != "scale" and self.factor not in (0, 1):  # 1: nobody gave one; 0: that of an edit made before
            raise ParameterError(
                say(
                    "factor is of edits that scale; {kind!r} takes none, got {factor}",
                    kind=self.kind,
                    factor=self.factor,
                )
            )
        object.__setattr__(self, "factor", 0.0 if self.kind == "ablate" else float(self.factor))

    def __str__(self) -> str:
        what = self.layer
        if self.channel is not None:
            what = say("{layer}, channel {number}", layer=self.layer, number=self.channel)
        return f"{what}: {self.effect}"

    @property
    def effect(self) -> str:
        """What is done to the channel, in words."""
        return say("its mean") if self.kind == "mean" else say("times {factor:g}", factor=self.factor)


@dataclass(frozen=True, eq=False)
class Intervention:
    """What the recorded pass says with some channels changed; made by ``intervene``.

    Args:
        trace: the recorded pass; what is asked for here must be asked for before it is closed.
        edits: the changes, in the order in which those of one layer act.
        value: the value at a layer or site.
    """

    trace: Trace
    edits: tuple[Edit, ...]
    value: Replayed = field(repr=False)

    def activation(self, layer: str) -> torch.Tensor:
        """The value at a layer or site, after the edits of that layer; detached.

        Raises:
            LayerError: no such layer was recorded.
        """
        return self.value(layer)

    @property
    def logits(self) -> torch.Tensor:
        """The class scores before a final softmax or sigmoid, of the shape of ``trace.logits``; detached.

        Raises:
            TargetError: the output has no tensor of class scores.
        """
        return self.trace.class_scores(self.value(self.trace.logits_site))

    @cached_property
    def probabilities(self) -> torch.Tensor:
        """Probability of each class for each input, ``(N, K)`` in 0..1, as ``trace.probabilities`` gives them.

        Raises:
            TargetError: the output has no tensor of class scores.
        """
        return self.trace.probabilities_from(self.value)

    @property
    def change(self) -> torch.Tensor:
        """How much higher each probability is than in the recorded pass, ``(N, K)`` in -1..1.

        Raises:
            TargetError: the output has no tensor of class scores.
        """
        return self.probabilities - self.trace.probabilities

    def score(self, target: TargetLike = None) -> torch.Tensor:
        """The target's score, ``()``; ``None`` means the class that was predicted in the recorded pass.

        Raises:
            TargetError: no such target.
        """
        return self.trace.score_from(self.value, target)


def intervene(trace: Trace, edits: Edit | Iterable[Edit]) -> Intervention:
    """What the model says when some channels are scaled, silenced or replaced by their mean, for all inputs recorded.

    The same as forward hooks that change what the layers return: several edits of one layer act in the order given, and
    a later layer's edit acts on what the earlier ones have led to. Only what comes after runs again, where that is
    proven to be the same; see ``Trace.replay``. Model and recording stay as they are.

    Raises:
        ParameterError: no trace, or no edits; no such channel.
        LayerError: no such layer, or a value that cannot be changed.
        LayoutError: a layer without channels, or without positions to take a mean over.
        InputError: a layer of whole numbers.
        StaleError, ClosedError: the model changed since the recording; the trace is closed.

    >>> import torch, interp_widgets as iw
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 2, bias=False), torch.nn.ReLU())
    >>> _ = model[0].weight.data.copy_(torch.eye(2))
    >>> trace = iw.record(model, torch.tensor([[1.0, 2.0]]))
    >>> iw.intervene(trace, iw.Edit("0", 1, factor=0.5)).logits
    tensor([[1., 1.]])
    """
    check_is(trace, Trace, say("an intervention changes a recorded pass: iw.intervene(iw.record(model, x), edits)"))
    given = tuple(as_list(edits))
    for edit in given:
        check_is(edit, Edit, say('edits are made by iw.Edit, such as iw.Edit("layer4", 3, factor=0.5)'))
    trace.tape.check_open()
    by_site: dict[str, list[Edit]] = {}
    for edit in given:
        check_edit(trace, edit)
        by_site.setdefault(trace.site(edit.layer).name, []).append(edit)
    changes = {name: partial(_changed, trace, tuple(each)) for name, each in by_site.items()}
    return Intervention(trace, given, trace.replay(changes))


def check_edit(trace: Trace, edit: Edit) -> None:
    """Refuse an edit that cannot be done in a recorded pass; see ``intervene``."""
    trace.check_changeable(edit.layer)
    site = trace.site(edit.layer)
    if not (site.dtype.is_floating_point or site.dtype.is_complex):
        raise InputError(
            say("{layer!r} holds values of {kind}, which cannot be scaled", layer=edit.layer, kind=site.dtype)
        )
    if not site.shape or trace.channel_axis(edit.layer) == _batch_axis(trace, edit.layer):
        raise LayoutError(
            say("{layer!r} has no channels: its shape is {shape}", layer=edit.layer, shape=shape_text(site.shape))
        )
    if edit.kind == "mean" and not _positions(trace, edit.layer):
        raise LayoutError(
            say(
                "{layer!r} has one value per channel and no positions to take a mean over, its shape is {shape}: "
                "scale it",
                layer=edit.layer,
                shape=shape_text(site.shape),
            )
        )
    if edit.channel is not None:
        check_channel(edit.channel, edit.layer, trace.channels(edit.layer))


def _changed(trace: Trace, edits: Sequence[Edit], value: torch.Tensor) -> torch.Tensor:
    """A layer's value after its edits, one after the other."""
    for edit in edits:
        axis = trace.channel_axis(edit.layer)
        value = value.clone()
        part = value if edit.channel is None else value.narrow(axis, edit.channel, 1)
        if edit.kind == "mean":
            part.copy_(part.mean(dim=_positions(trace, edit.layer), keepdim=True))
        else:
            part.mul_(edit.factor)
    return value


def _positions(trace: Trace, layer: str) -> tuple[int, ...]:
    """The axes of a layer that count neither inputs nor channels."""
    others = (trace.channel_axis(layer), _batch_axis(trace, layer))
    return tuple(axis for axis in range(len(trace.site(layer).shape)) if axis not in others)


def _batch_axis(trace: Trace, layer: str) -> int:
    """The axis of a layer that counts the inputs, -1 where none does."""
    layout = trace.site(layer).layout
    axis = -1 if layout is None else layout.axes.find("N")
    return axis if axis >= 0 or not trace.has_rows(layer) else 0
