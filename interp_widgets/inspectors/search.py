"""``Search``: for each channel of a layer the inputs with the largest activation, over one batch after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from interp_widgets.errors import InputError, LayerError
from interp_widgets.inspectors.loading import as_real
from interp_widgets.inspectors.units import by_channel
from interp_widgets.trace import Trace
from interp_widgets.words import say

__all__ = ["By", "Example", "Search", "Wanted"]

By = Literal["maximum", "mean"]
Example = Mapping[str, torch.Tensor]
"""One input of the data set: its tensors ``(1, ...)`` by the names of the model's inputs."""


@dataclass(frozen=True)
class Wanted:
    """What is searched for.

    Args:
        layer: the site whose values are read.
        axis: which of its axes counts channels.
        channels: their numbers, in the order of the answer.
        k: how many inputs of each.
        by: what of a channel is compared: its largest value, or its mean.
    """

    layer: str
    axis: int
    channels: tuple[int, ...]
    k: int
    by: By


class Search:
    """The largest activations so far. Of equal ones the earlier input comes first.

    They are put together on the model's device, all channels at once; the device is waited for once in a batch.

    Attributes:
        best: ``(3, n, C)`` float64, the largest first: values, numbers of the inputs, numbers of the positions.
        examples: the inputs that are among them, by number.
        inputs, batches: how many were taken.
    """

    def __init__(self, trace: Trace, wanted: Wanted) -> None:
        self.wanted = wanted
        self.best: NDArray[np.float64] = np.zeros((3, 0, len(wanted.channels)))
        self.examples: dict[int, Example] = {}
        self.inputs = 0
        self.batches = 0
        self._trace = trace
        self._best: torch.Tensor | None = None  # the same on the model's device
        count = trace.site(wanted.layer).shape[wanted.axis]
        self._is_part = wanted.channels != tuple(range(count))

    def resume(self, best: NDArray[np.float64], examples: Mapping[int, Example], *, inputs: int, batches: int) -> None:
        """Go on from where another search of the same has come."""
        self.best, self.examples, self.inputs, self.batches = best, dict(examples), inputs, batches
        self._best = None

    def take(self, batch: Mapping[str, torch.Tensor]) -> None:
        """Take a batch, by a pass that is not recorded.

        Raises:
            InputError: NaN at the layer for one of the inputs; as ``Trace.rerun``.
            LayerError: the layer did not run.
            StaleError: the model was changed meanwhile.
        """
        layer = self.wanted.layer
        found = self._trace.read(batch, [layer], self._peaks)
        if layer not in found:
            raise LayerError(say("layer {layer!r} did not run for the inputs of this batch", layer=layer))
        peaks: torch.Tensor = found[layer]  # (2, B, C)
        count = peaks.shape[1]
        numbers = torch.arange(self.inputs, self.inputs + count, dtype=torch.float64, device=peaks.device)
        new = torch.stack([peaks[0], numbers[:, None].expand(peaks.shape[1:]), peaks[1]])  # (3, B, C)
        known = torch.from_numpy(self.best).to(new.device) if self._best is None else self._best
        self._best = _largest(torch.cat([known, new], dim=1), self.wanted.k)
        is_nan = peaks[0].isnan().any(dim=1)  # (B,)
        told = torch.cat([self._best.flatten(), is_nan.double()]).cpu().numpy()  # the one wait for the device
        self._check_numbers(told[-count:])
        self.best = told[:-count].reshape(self._best.shape)
        self._keep_examples(batch)
        self.inputs += count
        self.batches += 1

    def _peaks(self, _site: str, value: torch.Tensor) -> torch.Tensor:
        """What is compared of each input's channels, and where the largest value is, ``(2, B, C)`` float64."""
        real = as_real(value)
        if self._is_part:
            chosen = torch.tensor(self.wanted.channels, device=real.device)
            real = real.index_select(self.wanted.axis, chosen)
        if not real.is_floating_point():
            real = real.double()
        channels = by_channel(real, self.wanted.axis)  # (B, C, P)
        highest, positions = channels.max(dim=2)  # of equal ones the first
        compared = highest if self.wanted.by == "maximum" else channels.mean(dim=2, dtype=torch.float64)
        return torch.stack([compared.double(), positions.double()])

    def _check_numbers(self, is_nan: NDArray[np.float64]) -> None:
        places = np.flatnonzero(is_nan)
        if len(places):
            raise InputError(
                say(
                    "layer {layer!r} has NaN for input {index} of the loader: take it out, or mend it",
                    layer=self.wanted.layer,
                    index=self.inputs + int(places[0]),
                )
            )

    def _keep_examples(self, batch: Mapping[str, torch.Tensor]) -> None:
        """Keep the inputs that are among the largest now, and no others."""
        among: Sequence[int] = np.unique(self.best[1]).astype(np.int64).tolist()
        kept = {number: self.examples[number] for number in among if number < self.inputs}
        for number in among:
            if number >= self.inputs:
                row = number - self.inputs
                kept[number] = {name: tensor[row : row + 1].clone() for name, tensor in batch.items()}
        self.examples = kept


def _largest(found: torch.Tensor, k: int) -> torch.Tensor:
    """The k largest of each channel, from values, numbers and positions ``(3, n, C)`` in the order of the inputs."""
    order = found[0].argsort(dim=0, descending=True, stable=True)[:k]  # stable: the earlier input comes first
    return found.gather(1, order.expand(3, *order.shape))
