"""What a widget runs in the browser: its ``.js`` file with the neighbours it imports in front, as one text.

There is no bundler. The files are ES modules, so that node and the linter read them as they are; but a browser loads a
widget's text from a blob, which cannot import a neighbour. So each imported file becomes a function that returns what
the file exports, and an import becomes a choice of names from that.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

from interp_widgets.words import language, translations

__all__ = ["LOADER", "STYLE", "in_language", "module", "said"]

_FOLDER = Path(__file__).parent
_IMPORT = re.compile(r'^import (?P<names>\{[^}]+\}) from "\./(?P<file>\w+)\.js";$', re.MULTILINE)
_COMMENT = re.compile(r"^ *(//|/\*\*).*\n", re.MULTILINE)
_NEEDLESS = re.compile(r"^(?: +|\n)| +// .*$", re.MULTILINE)
_SAID = re.compile(r'\bsay\(\s*(?P<sentence>"(?:[^"\\]|\\.)*")')
_NO_TRANSLATIONS = "const TRANSLATIONS = {};"
_EXPORT = re.compile(r"^export (?=(?:async )?(?:const|let|function|class) (?P<name>\w+))", re.MULTILINE)

LOADER = _NEEDLESS.sub("", _COMMENT.sub("", (_FOLDER / "loader.js").read_text(encoding="utf-8")))
"""The ES module of every widget, without comments and indentation; it finds the text of its class in the page."""

STYLE = (_FOLDER / "theme.css").read_text(encoding="utf-8")
"""One style sheet for all widgets: their colours come from JupyterLab's theme."""


def module(name: str) -> str:
    """The text of ``<name>.js`` as one ES module, with all that it imports in front."""
    parts: dict[str, str] = {}
    text = _linked(name, parts)
    return "\n".join([*parts.values(), text])


def said(text: str) -> list[str]:
    """The sentences that a JavaScript text says, in English."""
    return [json.loads(found["sentence"]) for found in _SAID.finditer(text)]


def in_language(text: str) -> str:
    """What `module` returned, with the sentences it says in the language set."""
    return _translated(text, language())


@cache
def _translated(text: str, code: str) -> str:
    known = translations(code)
    mine = {sentence: known[sentence] for sentence in said(text) if sentence in known}
    if not mine:
        return text
    return text.replace(_NO_TRANSLATIONS, f"const TRANSLATIONS = {json.dumps(mine, ensure_ascii=False)};")


def _linked(name: str, parts: dict[str, str]) -> str:
    """The text of a file that takes what it imports from ``parts``; those still missing are added, in order of need."""
    text = (_FOLDER / f"{name}.js").read_text(encoding="utf-8")
    for found in _IMPORT.finditer(text):
        imported = found["file"]
        if imported not in parts:
            body = _linked(imported, parts)
            parts[imported] = _wrapped(imported, body)
    return _IMPORT.sub(r"const \g<names> = \g<file>_js;", text)


def _wrapped(name: str, text: str) -> str:
    """A file as a function that is called once: its private names stay inside, its exported ones come out."""
    exported = [found["name"] for found in _EXPORT.finditer(text)]
    body = _EXPORT.sub("", text)
    return f"const {name}_js = (() => {{\n{body}\nreturn {{ {', '.join(exported)} }};\n}})();"
