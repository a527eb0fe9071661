"""What checksums of memory see: every way to write that torch does not count."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from interp_widgets.trace import checksum
from interp_widgets.trace.checksum import Blocks, Memory

Read = Callable[[], list[int]]


def on_processor(tensors: dict[str, torch.Tensor]) -> Read:
    memory = Memory(tensors)
    return lambda: memory.sums(memory.names)


def in_blocks(tensors: dict[str, torch.Tensor]) -> Read:
    """As those of an accelerator are read; the arithmetic is the same on any device."""
    blocks = Blocks(tensors)
    return lambda: [blocks.sums()[name] for name in tensors]


WAYS = pytest.mark.parametrize("way", [on_processor, in_blocks])


def tensors() -> dict[str, torch.Tensor]:
    """Of each width, longer and shorter than a row or a block, and lying in memory in different ways."""
    draw = torch.Generator().manual_seed(0)
    return {
        "bias": torch.rand(7, generator=draw),
        "matrix": torch.rand(70, 90, generator=draw),
        "half": torch.rand(33, 50, generator=draw).half(),
        "double": torch.rand(40, 50, generator=draw).double(),
        "complex": torch.rand(40, 50, generator=draw, dtype=torch.complex128),
        "bytes": torch.randint(0, 255, (1100,), generator=draw).to(torch.uint8),
        "flags": torch.rand(5, generator=draw) > 0.5,
        "counter": torch.tensor(3),
        "channels last": torch.rand(4, 5, 6, 7, generator=draw).to(memory_format=torch.channels_last),
        "loose": torch.rand(60, 80, generator=draw)[:, ::2],
        "transposed": torch.rand(60, 80, generator=draw).T,
        "unaligned": torch.rand(9001, generator=draw)[1:],
    }


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksum, "BLOCK", 4000)  # so that some are large, and others packed together


@WAYS
@pytest.mark.parametrize("name", list(tensors()))
def test_one_number_written_changes_the_sum_of_its_tensor_alone(
    way: Callable[[dict[str, torch.Tensor]], Read], name: str
) -> None:
    held = tensors()
    read = way(held)
    before = read()
    assert read() == before
    place = (-1,) * held[name].ndim
    held[name].data[place] = held[name].data[place].logical_not() if name == "flags" else held[name].data[place] + 1
    changed = [each for each, was, now in zip(held, before, read(), strict=True) if was != now]
    assert changed == [name]


@WAYS
@pytest.mark.parametrize("apart", [1, 64, 1024, 2048, 4096])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_two_numbers_exchanged_change_the_sum(
    way: Callable[[dict[str, torch.Tensor]], Read], apart: int, dtype: torch.dtype
) -> None:
    weight = torch.ones(6000, dtype=dtype)
    weight[3] = 2
    read = way({"weight": weight})
    before = read()
    weight.data[3], weight.data[3 + apart] = 1, 2
    assert read() != before


@WAYS
@pytest.mark.parametrize("size", [2**10, 2**11, 2**14, 1021 * 64])
@pytest.mark.parametrize("factor", [-1, 2, 0.5, -2])
def test_the_same_change_everywhere_changes_the_sum(
    way: Callable[[dict[str, torch.Tensor]], Read], size: int, factor: float
) -> None:
    """The bits of each number change alike: times regular weights that could sum to zero."""
    weight = torch.ones(size)
    read = way({"weight": weight})
    before = read()
    weight.data.mul_(factor)
    assert read() != before


def test_weights_without_a_pattern_see_every_sign_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """Odd numbers in a row sum to a square: with them 2**17 signs would add 2**31 * 2**34, which is 0 modulo 2**64."""
    monkeypatch.setattr(checksum, "BLOCK", 2**18)
    weight = torch.ones(2**17)
    read = in_blocks({"weight": weight})
    before = read()
    weight.data.neg_()
    assert read() != before


def test_some_names_are_read_as_all_of_them_are() -> None:
    memory = Memory(tensors() | {"array": np.arange(3)})
    everything = dict(zip(memory.names, memory.sums(memory.names), strict=True))
    for some in (["array"], ["loose", "bias"], ["matrix"]):
        assert memory.sums(some) == [everything[name] for name in some]


def test_what_has_no_plain_memory_reads_as_nothing() -> None:
    empty = {
        "none": torch.empty(0, 4),
        "lazy": nn.LazyLinear(3).weight,
        "sparse": torch.eye(3).to_sparse(),
        "meta": torch.empty(3, device="meta"),
    }
    assert Memory(empty).sums(empty) == [0, 0, 0, 0]
