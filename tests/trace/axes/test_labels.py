"""Axis labels travel along the tape: tests put one bright position into the input and find it in the maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from interp_widgets.errors import LayoutError
from interp_widgets.trace import Layout, Trace, record


class Net(nn.Module):
    def __init__(self, forward: Callable[..., Any], **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.run = forward

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.run(self, x)


HEIGHT, WIDTH, PATCH = 8, 12, 4  # a grid of 2 x 3 patches


def patches() -> nn.Conv2d:
    return nn.Conv2d(3, 6, PATCH, PATCH)


def trace_of(forward: Callable[..., Any], **layers: nn.Module) -> Trace:
    return record(Net(forward, out=nn.Identity(), **layers).eval(), torch.rand(2, 3, HEIGHT, WIDTH))


def assert_lies_right(
    forward: Callable[..., Any], grid: tuple[int, int] = (2, 3), layer: str = "out", **layers: nn.Module
) -> Trace:
    """Only the map's position over a changed patch may change (the operations under test do not mix positions)."""
    model = Net(forward, out=nn.Identity(), **layers).eval()
    plain = torch.rand(2, 3, HEIGHT, WIDTH)
    calm = record(model, plain)
    assert calm.is_spatial(layer), calm.site(layer).layout
    assert calm.layout(layer).resolution == grid
    for row in range(grid[0]):
        for column in range(grid[1]):
            marked = plain.clone()
            high, wide = HEIGHT // grid[0], WIDTH // grid[1]
            marked[1, :, row * high : (row + 1) * high, column * wide : (column + 1) * wide] += 1
            change = (record(model, marked).maps(layer) - calm.maps(layer)).abs().sum(dim=1)
            expected = torch.zeros(2, *grid, dtype=torch.bool)
            expected[1, row, column] = True
            assert torch.equal(change > 1e-6, expected)
    return calm


def tokens(net: Net, x: torch.Tensor) -> torch.Tensor:
    return net.embed(x).flatten(2).transpose(1, 2)


def test_a_convolution_gives_channels_before_height_and_width() -> None:
    trace = assert_lies_right(lambda net, x: net.out(net.embed(x).relu()), embed=patches())
    assert trace.layout("out").axes == "NCHW"
    assert trace.channels("out") == 6


def test_a_permutation_to_channels_last_is_followed() -> None:
    forward = lambda net, x: net.out(net.fc(net.norm(net.embed(x).permute(0, 2, 3, 1))))  # noqa: E731 - a model's forward
    trace = assert_lies_right(forward, embed=patches(), norm=nn.LayerNorm(6), fc=nn.Linear(6, 5))
    assert trace.layout("out").axes == "NHWC"
    assert trace.channel_axis("out") == 3
    assert trace.channels("out") == 5


@pytest.mark.parametrize(("before", "after"), [(1, 0), (0, 2), (2, 3), (0, 0)])
def test_class_and_register_tokens_at_either_end(before: int, after: int) -> None:
    def forward(net: Net, x: torch.Tensor) -> torch.Tensor:
        x = tokens(net, x)
        x = torch.cat([torch.zeros(2, before, 6), x, torch.zeros(2, after, 6)], dim=1) if before or after else x
        return net.out(net.fc(x + torch.rand(1, 6 + before + after, 6).mul(0)))

    trace = assert_lies_right(forward, embed=patches(), fc=nn.Linear(6, 6))
    layout = trace.layout("out")
    assert (layout.axes, layout.grid, layout.prefix, layout.suffix) == ("NLC", (2, 3), before, after)
    assert trace.maps("out").shape == (2, 6, 2, 3)


def test_a_class_token_that_is_added_and_taken_off_again() -> None:
    def forward(net: Net, x: torch.Tensor) -> torch.Tensor:
        x = torch.cat([net.token.expand(2, -1, -1), tokens(net, x)], dim=1)
        return net.out(x[:, 1:].transpose(1, 2).reshape(2, 6, 2, 3))

    model = Net(forward, out=nn.Identity(), embed=patches())
    model.token = nn.Parameter(torch.rand(1, 1, 6))
    trace = record(model, torch.rand(2, 3, HEIGHT, WIDTH))
    assert trace.layout("out").axes == "NCHW"
    assert torch.equal(trace.maps("out"), trace.maps("embed"))


@pytest.mark.parametrize("empty", [torch.tensor([]), torch.zeros(2, 0, HEIGHT, WIDTH)])
@pytest.mark.parametrize("first", [True, False])
def test_what_is_joined_to_an_empty_cache_keeps_its_axes(empty: torch.Tensor, first: bool) -> None:
    def join(net: Net, x: torch.Tensor) -> torch.Tensor:
        cache = empty.clone()
        return net.out(torch.cat([cache, x] if first else [x, cache], dim=1))

    assert str(trace_of(join).layout("out").axes) == "NCHW"


def test_patches_cut_by_reshape_and_a_linear_layer() -> None:
    def forward(net: Net, x: torch.Tensor) -> torch.Tensor:
        x = x.reshape(2, 3, 2, PATCH, 3, PATCH).permute(0, 2, 4, 3, 5, 1)
        return net.out(net.fc(x.reshape(2, 6, PATCH * PATCH * 3)))

    trace = assert_lies_right(forward, fc=nn.Linear(PATCH * PATCH * 3, 7))
    assert trace.layout("out").axes == "NLC"
    assert trace.layout("out").grid == (2, 3)


def windows(x: torch.Tensor, size: int) -> torch.Tensor:
    n, h, w, c = x.shape
    return x.reshape(n, h // size, size, w // size, size, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, size * size, c)


def from_windows(x: torch.Tensor, size: int, h: int, w: int) -> torch.Tensor:
    c = x.shape[-1]
    return x.reshape(-1, h // size, w // size, size, size, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, h, w, c)


@pytest.mark.parametrize("shift", [0, 1])
def test_windows_are_cut_and_put_together_again_also_when_shifted(shift: int) -> None:
    def forward(net: Net, x: torch.Tensor) -> torch.Tensor:
        x = net.embed(x).permute(0, 2, 3, 1)
        x = torch.roll(x, (-shift, -shift), (1, 2)) if shift else x
        x = net.fc(net.cut(windows(x, 2)))
        x = from_windows(x, 2, 4, 6)
        return net.out(torch.roll(x, (shift, shift), (1, 2)) if shift else x)

    trace = assert_lies_right(forward, grid=(4, 6), embed=nn.Conv2d(3, 6, 2, 2), cut=nn.Identity(), fc=nn.Linear(6, 6))
    assert trace.layout("out").axes == "NHWC"
    assert not trace.is_spatial("cut"), "windows are no map"


def test_a_map_that_is_rolled_and_not_rolled_back_is_not_drawn() -> None:
    trace = trace_of(lambda net, x: net.out(torch.roll(net.embed(x), (1, 1), (2, 3))), embed=patches())
    assert not trace.is_spatial("out")


def test_pixel_shuffle_and_interpolation_keep_the_place() -> None:
    trace = trace_of(lambda net, x: net.out(F.pixel_shuffle(net.embed(x), 2)), embed=nn.Conv2d(3, 8, 4, 4))
    assert trace.layout("out").resolution == (4, 6)
    trace = trace_of(lambda net, x: net.out(F.interpolate(net.embed(x), scale_factor=3)), embed=patches())
    assert trace.layout("out").resolution == (6, 9)


def test_attention_keeps_the_tokens_of_the_query() -> None:
    def forward(net: Net, x: torch.Tensor) -> torch.Tensor:
        x = tokens(net, x)
        q, k, v = net.qkv(x).reshape(2, 6, 3, 2, 3).permute(2, 0, 3, 1, 4).unbind(0)
        x = F.scaled_dot_product_attention(q, k, v)
        return net.out(x.transpose(1, 2).reshape(2, 6, 6))

    trace = trace_of(forward, embed=patches(), qkv=nn.Linear(6, 18))
    assert (trace.layout("out").axes, trace.layout("out").grid) == ("NLC", (2, 3))

    def by_hand(net: Net, x: torch.Tensor) -> torch.Tensor:
        x = tokens(net, x)
        q, k, v = net.qkv(x).chunk(3, dim=-1)
        return net.out((q @ k.transpose(-2, -1)).softmax(dim=-1) @ v)

    trace = trace_of(by_hand, embed=patches(), qkv=nn.Linear(6, 18))
    assert (trace.layout("out").axes, trace.layout("out").grid) == ("NLC", (2, 3))


def test_multi_head_attention_with_the_batch_in_second_place() -> None:
    def forward(net: Net, x: torch.Tensor) -> torch.Tensor:
        x = tokens(net, x).transpose(0, 1)
        return net.out(net.mha(x, x, x)[0])

    trace = trace_of(forward, embed=patches(), mha=nn.MultiheadAttention(6, 2))
    assert trace.layout("out").axes == "LNC"
    assert trace.maps("out").shape == (2, 6, 2, 3)


def test_one_by_one_maps_are_not_spatial() -> None:
    trace = trace_of(lambda net, x: net.out(net.pool(net.embed(x))), embed=patches(), pool=nn.AdaptiveAvgPool2d(1))
    assert not trace.is_spatial("out")
    assert trace.default_layer() == "embed"


def test_video_has_time_and_its_maps_are_averaged_over_it() -> None:
    model = nn.Sequential(nn.Conv3d(3, 4, 3, padding=1), nn.ReLU())
    trace = record(model, torch.rand(1, 3, 4, 6, 8))
    assert trace.layout("1").axes == "NCTHW"
    assert torch.allclose(trace.maps("1"), trace.activation("1").mean(dim=2))


def test_labels_survive_an_in_place_write() -> None:
    def forward(net: Net, x: torch.Tensor) -> torch.Tensor:
        x = tokens(net, x)
        base = x.clone()
        view = base[:, :, :]
        base.relu_()
        return net.out(view + 0)

    trace = trace_of(forward, embed=patches())
    assert trace.layout("out").grid == (2, 3)
    assert trace.default_layer() == "out"


def test_where_the_axes_are_lost_it_says_so_and_set_layout_tells_them() -> None:
    def forward(net: Net, x: torch.Tensor) -> torch.Tensor:
        x = tokens(net, x)
        return net.out(x[:, torch.arange(6)])

    trace = trace_of(forward, embed=patches())
    assert not trace.is_spatial("out")
    with pytest.raises(
        LayoutError,
        match=r"no axis of 'out' \(shape \(2, 6, 6\)\) is known to be height or width; say .* trace.set_layout",
    ):
        trace.maps("out")
    trace.set_layout("out", Layout.tokens(grid=(2, 3)))
    assert trace.is_spatial("out")
    assert torch.equal(trace.maps("out"), trace.maps("embed"))
    trace.set_layout("embed", "NCWH")
    assert torch.equal(trace.maps("embed"), trace.activation("embed").transpose(2, 3))
    with pytest.raises(LayoutError, match="layout NCHW has 4 axes, but 'out' has shape"):
        trace.set_layout("out", "NCHW")
    with pytest.raises(LayoutError, match=r"a layout is written with the letters N, C, T, H, W .* got 'NCHX'"):
        trace.set_layout("embed", "NCHX")
    trace.set_layout("out", Layout.tokens(grid=(2, 2), prefix=1))
    with pytest.raises(LayoutError, match=r"out has 6 tokens; the layout says 1 \+ \(2, 2\) \+ 0"):
        trace.maps("out")


def test_maps_of_a_layer_without_height_and_width_are_refused() -> None:
    trace = record(nn.Sequential(nn.Flatten(), nn.Linear(12, 4)), torch.rand(1, 3, 2, 2))
    with pytest.raises(LayoutError, match=r"'?1'?.*"):
        trace.maps("1")
    assert trace.channels("1") == 4


def test_a_constant_with_four_axes_is_not_taken_for_an_image() -> None:
    model = Net(lambda net, x: net.out(net.table.reshape(1, 6, 4)).sum() + x.mean(dim=(2, 3)), out=nn.Identity())
    model.register_buffer("table", torch.rand(1, 3, 2, 4))
    trace = record(model, torch.rand(1, 3, 4, 4))
    assert not trace.is_spatial("out")


# Maps of one column or one row


def series_net(kernel: tuple[int, int], channels: int) -> nn.Sequential:
    """Two convolutions and a pool along the side that is longer than 1; no position sees further than itself."""
    pool = tuple(min(2, side) for side in kernel)
    one = nn.Conv2d(1, channels, 1)
    return nn.Sequential(one, nn.ReLU(), nn.MaxPool2d(pool), nn.Conv2d(channels, channels, 1)).eval()


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(("size", "kernel", "expected"), [((60, 1), (2, 1), (30, 1)), ((1, 14), (1, 2), (1, 7))])
def test_a_map_of_one_column_or_one_row_is_a_map(
    channels: int, count: int, size: tuple[int, int], kernel: tuple[int, int], expected: tuple[int, int]
) -> None:
    model = series_net(kernel, channels)
    for layer in model:
        if isinstance(layer, nn.Conv2d):
            nn.init.constant_(layer.weight, 1.0)
    plain = torch.full((count, 1, *size), 0.1)
    calm = record(model, plain)
    assert calm.layout("3").axes == "NCHW"
    assert calm.layout("3").resolution == expected
    assert calm.default_layer() == "3"
    marked = plain.clone()
    marked.view(count, -1)[:, 10] = 0.9  # position 10 of the series is position 5 after the pool
    change = (record(model, marked).maps("3") - calm.maps("3")).abs().sum(dim=(0, 1))  # (H', W')
    assert change.flatten().nonzero().flatten().tolist() == [5]
    assert change.shape == expected


def test_one_position_is_no_map() -> None:
    trace = record(nn.Sequential(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1)), torch.rand(1, 3, 5, 5))
    assert trace.layout("1").axes == "NC11"
    assert not trace.is_spatial("1")


@pytest.mark.parametrize("size", [(6, 1), (1, 6)])
def test_a_side_of_one_position_stays_the_side_through_permutations_and_tokens(size: tuple[int, int]) -> None:
    def forward(net: Net, x: torch.Tensor) -> torch.Tensor:
        last = net.last(net.embed(x).permute(0, 2, 3, 1))  # (N, H, W, C)
        tokens = net.tokens(last.flatten(1, 2))  # (N, H * W, C)
        with_class = net.prefixed(torch.cat([tokens.mean(dim=1, keepdim=True), tokens], dim=1))
        grid = with_class[:, 1:].transpose(1, 2).reshape(len(x), 5, *size)
        return net.out(net.squeezed(grid.squeeze(2 if size[0] == 1 else 3)).unsqueeze(2 if size[0] == 1 else 3))

    names = ("last", "tokens", "prefixed", "squeezed", "out")
    model = Net(forward, embed=nn.Conv2d(3, 5, 1), **{name: nn.Identity() for name in names})
    trace = record(model.eval(), torch.rand(2, 3, *size))
    maps = trace.maps("embed")
    assert trace.layout("last").axes == "NHWC"
    assert trace.layout("prefixed").prefix == 1
    for name in names:
        assert trace.is_spatial(name), name
        assert trace.layout(name).resolution == size
        assert torch.equal(trace.maps(name), maps), name
