"""``TopActivating``: the inputs that excite channels most, with their regions, crops and pictures."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from interp_widgets.errors import InputError, InterpError, ParameterError
from interp_widgets.inputs.preprocess import Preprocess, to_picture
from interp_widgets.inspectors.regions import Region, grid_of, regions
from interp_widgets.inspectors.search import By, Example, Search
from interp_widgets.inspectors.table import Column, Table, figure_text
from interp_widgets.render.figure import Tile, tiles_figure
from interp_widgets.trace import Trace
from interp_widgets.trace.arguments import as_list, check_is, shown, whole_number
from interp_widgets.words import say

if TYPE_CHECKING:
    from interp_widgets.render.still import StillFigure

__all__ = ["TopActivating", "TopRow"]

SHOWN_CHANNELS = 4  # rows of pictures in a notebook: each costs some passes for its regions
MOST_CHANNELS = 40  # rows of a figure


@dataclass(frozen=True)
class TopRow:
    """One input of one channel.

    Args:
        channel: its number.
        rank: 0 of the largest activation.
        input: the number of the input, in the order of the loader.
        value: the activation that was compared.
        position: where in the layer's map the channel is largest; empty of a layer without positions.
    """

    channel: int
    rank: int
    input: int
    value: float
    position: tuple[int, ...]


@dataclass(frozen=True)
class TopTable(Table[TopRow]):
    """The inputs of all channels as a table."""

    name: str
    said: str

    def columns(self) -> Sequence[Column[TopRow]]:
        return [
            Column[TopRow](say("channel"), lambda row: str(row.channel)),
            Column[TopRow](say("rank"), lambda row: str(row.rank + 1)),
            Column[TopRow](say("input"), lambda row: str(row.input)),
            Column[TopRow](say("activation"), lambda row: figure_text(row.value)),
            Column[TopRow](say("position"), lambda row: ", ".join(map(str, row.position))),
        ]

    def title(self) -> str:
        return self.name

    def notes(self) -> Sequence[str]:
        return [self.said]


@dataclass(frozen=True, eq=False, repr=False)
class TopActivating:
    """For each channel the inputs with the largest activation; see ``top_activating``.

    C counts the channels asked for and n their inputs: k, or all where the loader has fewer.

    Args:
        layer: the site that was read.
        channels: their numbers.
        by: what of a channel was compared.
        indices: ``(C, n)`` numbers of the inputs in the order of the loader, the largest activation first.
        values: ``(C, n)`` activations.
        positions: ``(C, n, axes)`` where the channel is largest in each input, in the layer's own positions.
        inputs, batches: how many were seen.
        total_batches: how many there are, ``None`` where the loader does not say.
        seconds_left: how long the others will take; ``None`` where nobody knows.
        examples: the inputs themselves, by their numbers.
        trace: of the model, which is asked for regions.
    """

    layer: str
    channels: tuple[int, ...]
    by: By
    indices: NDArray[np.int64]
    values: NDArray[np.float64]
    positions: NDArray[np.int64]
    inputs: int
    batches: int
    total_batches: int | None
    seconds_left: float | None
    examples: Mapping[int, Example]
    trace: Trace

    @classmethod
    def of(cls, search: Search, trace: Trace, total: int | None, seconds_left: float | None) -> TopActivating:
        """What a search has found so far."""
        values, numbers, places = search.best.transpose(0, 2, 1)  # (C, n) each
        wanted = search.wanted
        grid = grid_of(trace, wanted.layer)
        found = np.unravel_index(places.astype(np.int64), grid) if grid else ()
        positions = np.stack(found, axis=-1) if grid else np.zeros((*places.shape, 0))
        return cls(
            layer=wanted.layer,
            channels=wanted.channels,
            by=wanted.by,
            indices=numbers.astype(np.int64),
            values=values.copy(),
            positions=positions.astype(np.int64),
            inputs=search.inputs,
            batches=search.batches,
            total_batches=total,
            seconds_left=seconds_left,
            examples=search.examples,
            trace=trace,
        )

    def regions(self, channel: int) -> list[Region]:
        """For each input, the part of it that the channel's largest value depends on, as a slice for each axis.

        It is the box around all positions of the input where the gradient of that one value is not zero, in that very
        input; see ``inspectors.regions`` for where no gradient exists. Found when it is asked for, by one recorded
        pass over the channel's inputs.

        Raises:
            ParameterError: a channel that was not searched for.
            StaleError, ClosedError: the model was changed meanwhile, or its trace was closed.
        """
        row = self._row(channel)
        grid = grid_of(self.trace, self.layer)
        positions = (
            np.ravel_multi_index(tuple(self.positions[row].T), grid) if grid else np.zeros(len(self.indices[row]))
        )
        examples = [self.examples[number] for number in self.indices[row].tolist()]
        return regions(self.trace, self.layer, int(channel), positions.astype(int).tolist(), examples)

    def boxes(self, channel: int) -> NDArray[np.int64]:
        """The same of images in pixels, ``(n, 4)``: left, top, right, bottom; right and bottom are just outside.

        Raises:
            InputError: inputs that are no images ``(N, C, H, W)``.
            ParameterError, StaleError, ClosedError: as ``regions``.
        """
        self._check_images()
        found = [(across.start, down.start, across.stop, down.stop) for _, down, across in self.regions(channel)]
        return np.array(found, dtype=np.int64)

    def crops(self, channel: int) -> list[torch.Tensor]:
        """For each input, the part of it that the channel's largest value depends on, as the model is given it.

        Raises:
            ParameterError, StaleError, ClosedError: as ``regions``.
        """
        inputs = [self._input(number) for number in self.indices[self._row(channel)].tolist()]
        return [each[region] for each, region in zip(inputs, self.regions(channel), strict=True)]

    def figure(
        self, channel: int | Iterable[int] | None = None, *, preprocess: Preprocess | None = None
    ) -> StillFigure:
        """A matplotlib figure: a row of crops for each channel, the largest activation first.

        Args:
            channel: one or several of those searched for; ``None``: all.
            preprocess: how images were prepared, which is undone; without it see ``to_picture``.

        Raises:
            InputError: inputs that are no images.
            ParameterError: a channel that was not searched for, or more than 40 of them.
            StaleError, ClosedError: as ``regions``.
        """
        self._check_images()
        if preprocess is not None:
            check_is(preprocess, Preprocess, say("preprocess must be an iw.Preprocess"))
        asked = list(self.channels if channel is None else as_list(channel))
        if not 0 < len(asked) <= MOST_CHANNELS:
            raise ParameterError(
                say(
                    "a figure shows 1 to {most} channels, got {count}: give some by number",
                    most=MOST_CHANNELS,
                    count=len(asked),
                )
            )
        rows = [self._tiles(each, preprocess) for each in asked]
        return tiles_figure(rows, [str(each) for each in asked], title=self.title)

    @property
    def title(self) -> str:
        """What it shows, in words."""
        if self.by == "mean":
            return say("{layer}: inputs with the largest mean of a channel", layer=self.layer)
        return say("{layer}: inputs with the largest value of a channel", layer=self.layer)

    @property
    def table(self) -> TopTable:
        """The inputs of all channels as a table."""
        rows = [
            TopRow(channel, rank, *found)
            for row, channel in enumerate(self.channels)
            for rank, found in enumerate(zip(*self._lists(row), strict=True))
        ]
        return TopTable(tuple(rows), self.title, self._said())

    def to_dataframe(self) -> Any:
        """A ``pandas.DataFrame`` with a row for each input of each channel.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        return self.table.to_dataframe()

    def __str__(self) -> str:
        return str(self.table)

    def __repr__(self) -> str:
        return f"<TopActivating of {self.layer}: {len(self.channels)} channels, {self.inputs} inputs>"

    def _repr_html_(self) -> str:
        table = self.table._repr_html_()
        if not self._is_of_images():
            return table
        try:
            data = base64.b64encode(self.figure(self.channels[:SHOWN_CHANNELS]).png()).decode()
        except InterpError as error:  # the table is right; why there are no pictures is said above it
            return f"<p>{html.escape(str(error))}</p>{table}"
        picture = f'<img alt="{html.escape(self.title)}" src="data:image/png;base64,{data}">'
        return f"{picture}<details><summary>{html.escape(self._said())}</summary>{table}</details>"

    def _said(self) -> str:
        if self.total_batches is not None and self.batches < self.total_batches:
            return say(
                "{count:,} inputs, {done:,} of {all:,} batches",
                count=self.inputs,
                done=self.batches,
                all=self.total_batches,
            )
        return say("{count:,} inputs", count=self.inputs)

    def _lists(self, row: int) -> tuple[list[int], list[float], list[tuple[int, ...]]]:
        """Numbers, activations and positions of a channel's inputs."""
        positions = [tuple(each) for each in self.positions[row].tolist()]
        return self.indices[row].tolist(), self.values[row].tolist(), positions

    def _row(self, channel: Any) -> int:
        number = whole_number(channel)
        if number is None or number not in self.channels:
            raise ParameterError(
                say(
                    "channel must be one that was searched for ({channels}), got {given}",
                    channels=shown(list(self.channels)),
                    given=shown(channel),
                )
            )
        return self.channels.index(number)

    def _input(self, number: int) -> torch.Tensor:
        """An input of the data set without the axis that counts inputs; of several tensors the first."""
        return next(iter(self.examples[number].values()))[0]

    def _is_of_images(self) -> bool:
        shape = self._input(int(self.indices[0, 0])).shape
        return len(shape) == 3 and shape[0] in (1, 3)

    def _check_images(self) -> None:
        if not self._is_of_images():
            raise InputError(
                say(
                    "inputs of shape {shape} are no images of 1 or 3 channels, so they have no boxes and pictures; "
                    "see regions and crops",
                    shape=tuple(self._input(int(self.indices[0, 0])).shape),
                )
            )

    def _tiles(self, channel: Any, preprocess: Preprocess | None) -> list[Tile]:
        row = self._row(channel)
        tiles = []
        for rank, (_, down, across) in enumerate(self.regions(channel)):
            number = int(self.indices[row, rank])
            pixels = to_picture(self._input(number), preprocess)[down, across]
            tiles.append(Tile(pixels, f"{number}: {figure_text(self.values[row, rank])}"))
        return tiles
