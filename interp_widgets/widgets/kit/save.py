"""``Save``: a menu that takes a picture home, as a file or over the clipboard, and the code that makes it.

The browser asks for what was chosen (``{"type": "make", "kind": ..., "id": ...}``), the kernel makes it then and
answers in one message with one binary buffer, ``made`` with a file name, or ``refused`` with the reason in words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Any, Literal

from interp_widgets.errors import InterpError
from interp_widgets.widgets.kit.assets import module
from interp_widgets.widgets.kit.browser_widget import BrowserWidget
from interp_widgets.words import say

__all__ = ["Kind", "Save", "file_name"]

Kind = Literal["png", "svg", "code"]
ENDINGS: dict[Kind, str] = {"png": "png", "svg": "svg", "code": "py"}
LONGEST = 80  # letters of a file name; four bytes each is still less than file systems take


class Save(BrowserWidget):
    """A button with a menu: download as PNG or SVG, copy the picture or the code.

    Args:
        make: ``make(kind)`` returns what to save: the bytes of a PNG file, the text of an SVG file, or Python. An
            ``InterpError`` is shown as a sentence.
        name: what files are called, without an ending; asked for each.

    >>> save = Save(make=lambda kind: f"# {kind}", name=lambda: "Grad-CAM for “cat”")
    >>> save.file("code")
    ('grad-cam-for-cat.py', b'# code')
    """

    _text = module("save")

    def __init__(self, make: Callable[[Kind], bytes | str], name: Callable[[], str], **traits: Any) -> None:
        self._make = make
        self._name = name
        super().__init__(**traits)
        self.on_msg(self._receive)

    def file(self, kind: Kind) -> tuple[str, bytes]:
        """The name and the content of the file of one kind.

        Raises:
            Whatever ``make`` and ``name`` raise.
        """
        made = self._make(kind)
        content = made.encode() if isinstance(made, str) else made
        return f"{file_name(self._name())}.{ENDINGS[kind]}", content

    def _receive(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        if content.get("type") != "make" or content.get("kind") not in ENDINGS:
            return
        asked = {"id": content.get("id")}
        try:
            name, data = self.file(content["kind"])
        except InterpError as error:
            self.send({"type": "refused", "reason": str(error), **asked})
        except Exception as error:
            self.send({"type": "refused", "reason": f"{type(error).__name__}: {error}", **asked})
            raise
        else:
            self.send({"type": "made", "name": name, **asked}, buffers=[data])


def file_name(words: str) -> str:
    r"""Words as a file may be called on any system, without an ending: small letters, digits and ``-`` alone.

    >>> file_name("../a <b>\n7.5%")
    'a-b-7-5'
    """
    plain = unicodedata.normalize("NFKC", words).lower()
    parts = re.findall(r"[^\W_]+", plain)
    return "-".join(parts)[:LONGEST].strip("-") or say("picture")
