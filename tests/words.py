"""Every sentence the package says, read from its source: what is translated, and what is still said past `say`."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from string import Formatter
from typing import NamedTuple

import interp_widgets
from interp_widgets import errors
from interp_widgets.explainers import EXPLAINERS, Explainer
from interp_widgets.widgets.kit.assets import said

PACKAGE = Path(interp_widgets.__file__).parent
ERRORS = {name for name in errors.__all__ if name.endswith("Error")}


class Saying(NamedTuple):
    """One call of `say` with the sentence written in it."""

    place: str
    sentence: str
    given: frozenset[str]


def sayings() -> list[Saying]:
    """All of them in the Python files."""
    return [each for path in _files("py") for each in _sayings_in(path)]


def browser_sentences() -> set[str]:
    """What the JavaScript says."""
    return {sentence for path in _files("js") for sentence in said(path.read_text(encoding="utf-8"))}


def explainer_sentences() -> set[str]:
    """What explainers say of themselves: their files hold it, the widgets say it."""
    found = {Explainer.family}  # of those that come from elsewhere
    found |= {kind.summary for kind in EXPLAINERS.values()} | {kind.family for kind in EXPLAINERS.values()}
    for kind in EXPLAINERS.values():
        for field in dataclasses.fields(kind):
            found |= {field.metadata["help"], field.name.replace("_", " ")}
    return found - {""}


def gaps(sentence: str) -> frozenset[str]:
    """The names of a sentence's gaps."""
    return frozenset(name for _, name, _, _ in Formatter().parse(sentence) if name is not None)


def unsaid_errors() -> list[str]:
    """Where an error of ours is raised with a sentence that is not said in the language set."""
    found = []
    for path in _files("py"):
        calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        unsaid = [call for call in calls if _name(call.func) in ERRORS and any(map(_is_text, call.args))]
        found += [f"{path.relative_to(PACKAGE)}:{call.lineno}" for call in unsaid]
    return found


def _files(ending: str) -> Iterator[Path]:
    return (path for path in sorted(PACKAGE.rglob(f"*.{ending}")) if "node_modules" not in path.parts)


def _sayings_in(path: Path) -> Iterator[Saying]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.Call) and _name(node.func) == "say" and node.args):
            continue
        sentence = node.args[0]
        if isinstance(sentence, ast.Constant) and isinstance(sentence.value, str):
            given = frozenset(each.arg for each in node.keywords if each.arg)
            yield Saying(f"{path.relative_to(PACKAGE)}:{node.lineno}", sentence.value, given)


def _is_text(node: ast.expr) -> bool:
    """A string written there, also one put together from others."""
    if isinstance(node, ast.BinOp):
        return _is_text(node.left) or _is_text(node.right)
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
