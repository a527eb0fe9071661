"""What every widget of ours that draws itself in the browser has in common.

Its JavaScript does not travel with each instance. A class names its text (``_text = module("picture")``); the kernel
holds one ``Code`` for each text, every instance refers to it by the trait ``_code``, and the few lines of ``loader.js``
find it in the browser. A reloaded page, a second view, a saved notebook and an exported page hold that model too.
"""

from __future__ import annotations

from collections import Counter
from threading import RLock
from typing import Any, ClassVar

import anywidget
import ipywidgets as widgets
import traitlets as t

from interp_widgets.session.turn import TURN
from interp_widgets.widgets.kit.assets import LOADER, STYLE, in_language

__all__ = ["BrowserWidget", "Code", "close_whole"]


class Code(widgets.Widget):
    """The JavaScript of one class of widgets and the style sheet of all: a model without a view."""

    text = t.Unicode(help="an ES module whose default export has render, and maybe initialize").tag(sync=True)
    style = t.Unicode(STYLE, help="the style sheet").tag(sync=True)


_LOCK = RLock()  # widgets are made by worker threads too
_codes: dict[str, Code] = {}  # by text
_users: Counter[str] = Counter()  # how many open widgets refer to each


def _take(text: str) -> Code:
    """The kernel's one ``Code`` of this text, for one more widget; made anew when ``Widget.close_all`` closed it."""
    with _LOCK:
        code = _codes.get(text)
        if code is None or code.comm is None:
            code = Code(text=text)
            _codes[text] = code
            _users[text] = 0
        _users[text] += 1
        return code


def _let_go(code: Code) -> None:
    """One widget less refers to a ``Code``; the last one closes it, so that nothing is left in the page."""
    with _LOCK:
        if _codes.get(code.text) is not code:
            return
        _users[code.text] -= 1
        if _users[code.text] == 0:
            del _codes[code.text]
            code.close()


class BrowserWidget(anywidget.AnyWidget):
    """An anywidget that finds its JavaScript in the page, and applies messages from the browser in one turn."""

    _esm = LOADER
    _text: ClassVar[str] = ""  # what `module` returns for the class's own file

    _code = t.Instance(Code, help="where the browser finds the JavaScript").tag(
        sync=True, **widgets.widget_serialization
    )

    @t.default("_code")
    def _default_code(self) -> Code:
        return _take(in_language(self._text))

    def close(self) -> None:
        """Close the widget."""
        is_open = self.comm is not None
        super().close()
        if is_open:
            _let_go(self._code)

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Apply what the browser sent."""
        with TURN:
            super().set_state(sync_data)


def close_whole(widget: widgets.Widget) -> None:
    """Close a widget with its children, layout and style, which ``Widget.close`` leaves open."""
    for child in getattr(widget, "children", ()):
        close_whole(child)
    for part in ("layout", "style"):
        inner = getattr(widget, part, None)
        if isinstance(inner, widgets.Widget):
            inner.close()
    widget.close()
