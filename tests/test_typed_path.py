"""What people type and paste as a path."""

from __future__ import annotations

from pathlib import Path

import pytest

from interp_widgets.inputs import typed_path


@pytest.mark.parametrize(
    ("typed", "path"),
    [
        ("/a/b.jpg", "/a/b.jpg"),
        (" /a/b.jpg\n", "/a/b.jpg"),
        ('"/a/b.jpg"', "/a/b.jpg"),
        ("'/a/b c.jpg' ", "/a/b c.jpg"),
        ("“/a/b.jpg”", "/a/b.jpg"),
        ("file:///a/b%20c.jpg", "/a/b c.jpg"),
        ("'file:///a/b.jpg'", "/a/b.jpg"),
        ("FILE://localhost/a/b.jpg", "/a/b.jpg"),
        ("file:/a/b%23%3F.jpg", "/a/b#?.jpg"),
        ("file:///a/b#c?d.jpg", "/a/b#c?d.jpg"),
        ("file://elsewhere/a/b.jpg", "file://elsewhere/a/b.jpg"),
        ("file://[/a", "file://[/a"),
        ("it's.jpg", "it's.jpg"),
        ("'", "'"),
        ('""', ""),
        ("", ""),
        ("~nobody-of-this-name/a.jpg", "~nobody-of-this-name/a.jpg"),
    ],
)
def test_the_path_that_is_meant(typed: str, path: str) -> None:
    assert typed_path(typed) == path


def test_a_home_is_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert typed_path('"~/cat.jpg"') == str(Path("/home/somebody/cat.jpg"))
