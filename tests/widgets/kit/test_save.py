"""`Save` without a browser: what it answers, what files are called, what a wrong order does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from interp_widgets.errors import InputError
from interp_widgets.widgets.kit.save import LONGEST, Kind, Save, file_name

CONTENT: dict[Kind, bytes | str] = {"png": b"\x89PNG", "svg": "<svg>猫</svg>", "code": "import interp_widgets as iw\n"}
Sent = list[tuple[dict[str, Any], list[Any]]]


def made(kind: Kind) -> bytes | str:
    return CONTENT[kind]


@pytest.fixture
def save_of(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[Save, Sent]]]:
    """A `Save`, and what it sends to the browser."""
    opened: list[Save] = []

    def build(make: Callable[[Kind], bytes | str] = made, name: str = "A <map>") -> tuple[Save, Sent]:
        messages: Sent = []
        save = Save(make=make, name=lambda: name)
        opened.append(save)
        monkeypatch.setattr(save, "_send", lambda message, buffers=None: messages.append((message, buffers or [])))
        return save, messages

    yield build
    for save in opened:
        save.close()


def order(save: Save, **content: Any) -> None:
    """As the browser asks."""
    save._handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": []})


@pytest.mark.parametrize(("kind", "name"), [("png", "a-map.png"), ("svg", "a-map.svg"), ("code", "a-map.py")])
def test_an_order_is_answered_with_a_name_and_the_bytes(
    save_of: Callable[..., tuple[Save, Sent]], kind: Kind, name: str
) -> None:
    save, sent = save_of()
    order(save, type="make", kind=kind, id="first")
    ((message, buffers),) = sent
    assert message["content"] == {"type": "made", "name": name, "id": "first"}
    content = CONTENT[kind]
    assert buffers == [content.encode() if isinstance(content, str) else content]


def test_nothing_is_made_before_it_is_asked_for_and_then_as_it_is_by_then(
    save_of: Callable[..., tuple[Save, Sent]],
) -> None:
    asked: list[Kind] = []

    def make(kind: Kind) -> str:
        asked.append(kind)
        return str(len(asked))

    save, sent = save_of(make)
    assert asked == []
    for number in (1, 2):
        order(save, type="make", kind="svg", id=str(number))
    assert [buffers for _, buffers in sent] == [[b"1"], [b"2"]]


def test_a_refusal_is_answered_in_words(save_of: Callable[..., tuple[Save, Sent]]) -> None:
    def make(_kind: Kind) -> str:
        raise InputError("there is nothing to save yet")

    save, sent = save_of(make)
    order(save, type="make", kind="png", id="first")
    assert sent[0][0]["content"] == {"type": "refused", "reason": "there is nothing to save yet", "id": "first"}


def test_an_unforeseen_error_is_answered_and_not_swallowed(save_of: Callable[..., tuple[Save, Sent]]) -> None:
    def make(_kind: Kind) -> str:
        raise ZeroDivisionError("by a user's explainer")

    save, sent = save_of(make)
    with pytest.raises(ZeroDivisionError, match="by a user's explainer"):
        order(save, type="make", kind="png", id="first")
    assert sent[0][0]["content"]["reason"] == "ZeroDivisionError: by a user's explainer"


@pytest.mark.parametrize(
    "content",
    [{}, {"type": "make"}, {"type": "make", "kind": "exe"}, {"type": "other", "kind": "png"}],
)
def test_an_order_of_nothing_known_is_not_answered(
    save_of: Callable[..., tuple[Save, Sent]], content: dict[str, Any]
) -> None:
    save, sent = save_of()
    order(save, **content, id="first")
    assert sent == []


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("scenes Grad-CAM red disc", "scenes-grad-cam-red-disc"),
        ("../../etc/passwd\x00", "etc-passwd"),
        ('a\\b:c*d?e"f<g>h|i\nj_k', "a-b-c-d-e-f-g-h-i-j-k"),
        ("虎斑猫 \uff27rad", "虎斑猫-grad"),
        ("<<>>", "picture"),
        ("", "picture"),
        ("x" * 300, "x" * LONGEST),
    ],
)
def test_files_have_names_of_letters_digits_and_hyphens(words: str, name: str) -> None:
    assert file_name(words) == name
