"""`Picture` without a browser: what it holds, what it sends, what it answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from traitlets import TraitError

from interp_widgets.errors import InputError, ParameterError
from interp_widgets.render.blend import render_pixels
from interp_widgets.render.look import Look
from interp_widgets.widgets.kit.picture import Picture


@pytest.fixture
def picture() -> Iterator[Picture]:
    shown = Picture(size=32)
    yield shown
    shown.close()


@pytest.fixture
def sent(picture: Picture, monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, Any], list[Any]]]:
    """Every message to the browser."""
    messages: list[tuple[dict[str, Any], list[Any]]] = []
    monkeypatch.setattr(picture, "_send", lambda message, buffers=None: messages.append((message, buffers or [])))
    return messages


def _say(picture: Picture, **content: Any) -> None:
    """A message as the browser sends it."""
    picture._handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": []})


def _map(seed: int, shape: tuple[int, int] = (4, 5)) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def test_a_frame_is_kept_to_half_a_256th_of_its_range(picture: Picture) -> None:
    values = _map(0)
    picture.put(2, 7, values)
    (row, column, height, width, lo, hi, start, value_bytes), data = (
        picture.frames["blocks"][0]["index"][0],
        picture.frames["blocks"][0]["data"],
    )
    assert (row, column, height, width, start, value_bytes) == (2, 7, 4, 5, 0, 1)
    kept = lo + np.frombuffer(data, np.uint8).reshape(4, 5) / 255 * (hi - lo)
    # the ends travel as six significant figures: a step of the 256 is a thousand times coarser
    np.testing.assert_allclose(kept, values, atol=(hi - lo) / 255 / 2 + 1e-5 * max(abs(lo), abs(hi)))
    np.testing.assert_allclose((lo, hi), (values.min(), values.max()), rtol=1e-5)


def test_before_a_browser_says_hello_the_whole_stack_is_sent(picture: Picture, sent: list[Any]) -> None:
    picture.put(0, 0, _map(0))
    picture.put(0, 1, _map(1))
    assert [message["method"] for message, _ in sent] == ["update", "update"]
    assert sent[1][1] == [picture.frames["blocks"][0]["data"]]


def test_after_hello_only_what_is_new_is_sent(picture: Picture, sent: list[Any]) -> None:
    picture.put(0, 0, _map(0))
    _say(picture, type="hello", revision=1)
    sent.clear()
    picture.put_many([(0, 1, _map(1)), (0, 2, _map(2))])
    ((message, buffers),) = sent
    assert message["method"] == "custom"
    assert (message["content"]["since"], message["content"]["revision"]) == (1, 2)
    assert [entry[:2] for entry in message["content"]["index"]] == [[0, 1], [0, 2]]
    assert [len(buffer) for buffer in buffers] == [40]
    assert len(picture.get_state()["frames"]["blocks"][0]["index"]) == 3


def test_a_browser_that_missed_something_gets_everything(picture: Picture, sent: list[Any]) -> None:
    picture.put(0, 0, _map(0))
    sent.clear()
    _say(picture, type="hello", revision=0)
    assert [message["method"] for message, _ in sent] == ["update"]
    _say(picture, type="hello", revision=1)
    assert len(sent) == 1


def test_frames_used_longest_ago_are_dropped_but_never_the_one_shown(picture: Picture, sent: list[Any]) -> None:
    picture.byte_limit = 60
    picture.put_many([(0, column, _map(column)) for column in range(3)])
    _say(picture, type="hello", revision=1)
    picture.column = 1  # used again: now column 2 was used longest ago, and 1 is shown
    picture.column = 0
    picture.put(5, 5, _map(9))
    assert [picture.has(0, column) for column in range(3)] == [True, True, False]
    assert sent[-1][0]["content"]["drop"] == [(0, 2)]
    assert picture.nbytes == 60


def test_one_batch_larger_than_the_limit_keeps_the_shown_and_the_newest(picture: Picture) -> None:
    picture.byte_limit = 40
    picture.put_many([(0, column, _map(column)) for column in range(9)])
    assert [column for column in range(9) if picture.has(0, column)] == [0, 8]


def test_clear_forgets_all_or_some_rows(picture: Picture) -> None:
    picture.put_many([(row, 0, _map(row)) for row in range(3)])
    picture.clear(rows=[0, 2])
    assert [picture.has(row, 0) for row in range(3)] == [False, True, False]
    picture.clear()
    assert picture.frames["blocks"] == []


def test_a_needed_frame_is_asked_for_until_it_is_there(picture: Picture) -> None:
    asked: list[tuple[int, int]] = []
    picture.on_need(lambda row, column: asked.append((row, column)))
    _say(picture, type="need", row=3, column=4)
    picture.put(3, 4, _map(0))
    _say(picture, type="need", row=3, column=4)  # crossed the answer on its way
    assert asked == [(3, 4)]


def test_a_callback_can_be_taken_back(picture: Picture) -> None:
    asked: list[int] = []

    def ask(row: int, _column: int) -> None:
        asked.append(row)

    picture.on_need(ask)
    picture.on_need(ask, remove=True)
    _say(picture, type="need", row=3, column=4)
    assert asked == []


def test_as_array_is_render_pixels_of_the_chosen_frame(picture: Picture) -> None:
    base = np.random.default_rng(4).integers(0, 256, (16, 32, 3), dtype=np.uint8)
    picture.set_base(base)
    levels = np.arange(20, dtype=np.uint8).reshape(4, 5)
    picture.put(0, 0, levels, lo=0.0, hi=255.0)
    grey = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    expected = render_pixels(base, levels, grey, 0, 255, opacity=0.6)
    np.testing.assert_array_equal(picture.as_array(), expected)
    picture.view = "base"
    np.testing.assert_array_equal(picture.as_array(), base)
    picture.view, picture.look = "map", Look(limit=9)
    np.testing.assert_array_equal(picture.as_array(), render_pixels(base, levels, grey, 0, 9))


def test_an_exact_frame_keeps_float32_however_small_the_part_of_the_range_that_is_shown(picture: Picture) -> None:
    values = np.array([[1e-6, 2e-6, 3e-6], [0.0, -1e-6, 1.0]], dtype=np.float32)
    picture.put(0, 0, values, exact=True)
    block = picture.frames["blocks"][0]
    assert block["index"][0][6:] == [0, 4]
    np.testing.assert_array_equal(np.frombuffer(block["data"], "<f4").reshape(2, 3), values)
    assert picture.nbytes == 24
    picture.view, picture.look = "map", Look(limit=4e-6)
    picture.smooth = False
    grey = np.unique(picture.as_array()[..., 0])
    assert grey.tolist() == [0, 51, 102, 153, 204, 255]  # fifths of the range from -1e-6, the frame's lower end


def test_the_look_is_that_of_an_attribution_and_the_note_says_what_it_does(picture: Picture) -> None:
    random = np.random.default_rng(4)
    base, values = random.integers(0, 256, (32, 32, 3), dtype=np.uint8), random.normal(size=(32, 32))
    picture.set_base(base)
    picture.put(0, 0, values, exact=True)
    picture.signed = True
    picture.look = Look(smoothing=0.05, photo="grey", by_strength=True)
    display = picture.look.applied_to(values.astype(np.float32), signed=True)
    table = np.frombuffer(picture.table, np.uint8).reshape(256, 3)
    np.testing.assert_array_equal(picture.as_array(), display.over(base, table, picture.opacity))
    assert picture.note == display.note
    picture.view = "base"
    assert picture.note == ""


def test_the_look_travels_as_json_and_comes_back(picture: Picture) -> None:
    picture.look = Look(percentile=95, photo="grey")
    sent = picture.get_state("look")["look"]
    assert sent == {"percentile": 95, "limit": None, "smoothing": 0.0, "photo": "grey", "by_strength": False}
    picture.set_state({"look": {**sent, "smoothing": 0.02}})
    assert picture.look == Look(percentile=95, smoothing=0.02, photo="grey")
    picture.look = Look(percentile=np.float32(98.5), limit=np.float64(0.25))
    json.dumps(picture.get_state("look"))  # numpy's numbers would not travel


def test_an_already_quantised_map_is_taken_as_it_is(picture: Picture) -> None:
    levels = np.array([[0, 9], [200, 255]], dtype=np.uint8)
    picture.put(0, 0, levels, lo=-1.0, hi=1.0)
    assert picture.frames["blocks"][0]["data"] == levels.tobytes()


@pytest.mark.parametrize(
    ("array", "options", "sentence"),
    [
        (np.zeros(3), {}, r"frame \(1, 2\) must be an array of shape \(height, width\), got \(3,\)"),
        (np.zeros((0, 3)), {}, r"got \(0, 3\)"),
        ([[0.0, np.nan, np.inf]], {}, r"frame \(1, 2\) must be finite, got 2 NaN or infinite among 3 values"),
        (np.zeros((3000, 3000)), {}, r"more than byte_limit \(8000000\)"),
        ([[0.0, 1.0]], {"lo": 2.0, "hi": 1.0}, r"needs finite lo <= hi, got lo=2\.0, hi=1\.0"),
        ([[0.0, 1.0]], {"lo": float("nan")}, r"needs finite lo <= hi, got lo=nan"),
    ],
)
def test_a_map_that_cannot_be_shown_is_refused_in_words(
    picture: Picture, array: Any, options: dict[str, float], sentence: str
) -> None:
    with pytest.raises((InputError, ParameterError), match=sentence):
        picture.put(1, 2, array, **options)
    assert not picture.has(1, 2)


def test_wrong_traits_are_refused_in_words(picture: Picture) -> None:
    with pytest.raises(TraitError, match=r"table must be 768 bytes \(256 colours, RGB\), got 3"):
        picture.table = b"abc"
    with pytest.raises(TraitError, match="base_size must be"):
        picture.base_size = (-1, 3)
    with pytest.raises(TraitError, match="opacity"):
        picture.opacity = 1.5
    with pytest.raises(TraitError, match="view"):
        picture.view = "both"
    with pytest.raises(InputError, match=r"uint8 array of shape \(height, width, 3\), got float64 \(2, 2, 3\)"):
        picture.set_base(np.zeros((2, 2, 3)))


def test_closing_frees_the_frames(picture: Picture) -> None:
    picture.put(0, 0, _map(0))
    picture.close()
    assert picture.nbytes == 0
