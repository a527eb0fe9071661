"""What a widget sends to the browser: its ES module behind the few DOM helpers all of them share, as one text.

There is no bundler: a widget's module is loaded from a blob and cannot import a neighbour, so ``dom.js`` goes in front.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["STYLE", "module"]

_FOLDER = Path(__file__).parent

STYLE = (_FOLDER / "theme.css").read_text(encoding="utf-8")
"""One style sheet for all widgets: their colours come from JupyterLab's theme."""


def module(name: str) -> str:
    """The text of ``<name>.js`` with the shared helpers in front."""
    return "\n".join((_FOLDER / file).read_text(encoding="utf-8") for file in ("dom.js", f"{name}.js"))
