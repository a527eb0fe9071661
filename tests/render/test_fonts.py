"""Chinese names are drawn with a font that has them, where one is installed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from matplotlib import rcParams
from PIL.ImageFont import FreeTypeFont

from interp_widgets.render import fonts
from interp_widgets.render.fonts import families, font_for

THERE = "DejaVu Serif"  # matplotlib brings it; it stands for a font of the system


@pytest.fixture(autouse=True)
def _other_fonts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(fonts, "EAST_ASIAN", getattr(request, "param", ("No Such Font", THERE)))
    fonts._installed.cache_clear()
    yield
    fonts._installed.cache_clear()


def test_the_users_fonts_come_first_and_then_the_first_that_is_installed() -> None:
    assert families() == [*rcParams["font.family"], THERE]


def test_a_text_with_other_letters_is_written_in_that_font() -> None:
    font = font_for("红色圆盘", 15)
    assert isinstance(font, FreeTypeFont)
    assert (font.getname()[0], font.size) == (THERE, 15)
    assert font_for("red disc", 15).getname() != font.getname()


@pytest.mark.parametrize("_other_fonts", [("No Such Font",)], indirect=True)
def test_without_such_a_font_the_usual_one_is_taken() -> None:
    assert families() == [*rcParams["font.family"]]
    assert font_for("红色圆盘", 15).getname() == font_for("red disc", 15).getname()
