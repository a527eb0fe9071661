"""The rules of the package's modules hold, and the checker that says so can fail."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

import interp_widgets
from tests.layering import (
    KNOWN_CIRCLES,
    KNOWN_FOREIGN_READS,
    PACKAGE,
    RANK,
    circles,
    foreign_reads,
    read_package,
    violations,
)

ROOT = Path(__file__).parents[1]
JUPYTER = ("anywidget", "ipycanvas", "ipykernel", "ipywidgets", "jupyter", "matplotlib", "traitlets", "IPython")


def test_every_import_of_the_package_keeps_the_dependency_rule() -> None:
    sources = read_package(ROOT / PACKAGE)
    assert len(sources) > 1
    assert violations(sources) == []


def test_what_needs_no_screen_pulls_in_nothing_of_jupyter() -> None:
    """In one fresh process, because each takes seconds: the modules of low rank, then a recording and a map."""
    modules = ["trace", "propagation.relevance", "inputs", "explainers", "inspectors.outline", "evaluation", "zoo"]
    steps = {
        **{f"import {PACKAGE}.{module}": module for module in modules},
        f"import torch, {PACKAGE} as iw\n"
        "with iw.record(torch.nn.Linear(2, 2), torch.ones(1, 2)) as trace: iw.Gradient()(trace, 0)": "a map",
    }
    loaded = _loaded_by_each(list(steps))
    assert "torch" in loaded[0]
    for what, names in zip(steps.values(), loaded, strict=True):
        assert [name for name in names if name.startswith(JUPYTER)] == [], what


def test_every_public_name_is_told_to_type_checkers_too() -> None:
    tree = ast.parse((ROOT / PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    told = {
        alias.asname: f"{node.module}"
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname
    }
    homes = {name: f"{PACKAGE}.{home}".rstrip(".") for name, home in interp_widgets._HOME.items()}
    assert told == homes
    for name in interp_widgets.__all__:
        assert getattr(interp_widgets, name) is not None
    assert {"GradCAM", "record", "explore"} <= set(interp_widgets.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = interp_widgets.nothing


def _loaded_by_each(steps: Sequence[str]) -> list[list[str]]:
    """The top-level modules that a fresh process has loaded after each step of some code."""
    tell = "import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    code = "\n".join(f"{step}\n{tell}" for step in steps)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    return [line.split() for line in result.stdout.splitlines()]


def test_a_sound_package_has_no_violation() -> None:
    assert (
        violations(
            {
                "interp_widgets": "from interp_widgets.trace import record",
                "interp_widgets.errors": "import difflib",
                "interp_widgets.trace": "from interp_widgets.trace.recorder import record",
                "interp_widgets.trace.recorder": "import torch\nfrom interp_widgets.errors import InterpError",
                "interp_widgets.render": "from interp_widgets.errors import InterpError",
                "interp_widgets.explainers": "from interp_widgets.render import pixels",
                "interp_widgets.session": "import traitlets\nfrom interp_widgets.trace import record",
                "interp_widgets.widgets.kit.picture": "import anywidget\nfrom interp_widgets.render import pixels",
                "interp_widgets.widgets.views.map": "from interp_widgets.widgets.kit.picture import Picture",
                "interp_widgets.widgets": "import ipywidgets\nfrom interp_widgets.session import Session",
                "interp_widgets.widgets.kit.canvas": "from ipycanvas import Canvas",
            }
        )
        == []
    )


@pytest.mark.parametrize(
    ("module", "source", "sentence"),
    [
        ("trace.bad", "from interp_widgets.widgets import Picture", "trace may not import widgets"),
        ("trace.bad", "import interp_widgets.explainers", "trace may not import explainers"),
        ("trace.bad", "def late():\n    from interp_widgets import cli", "trace may not import cli"),
        ("trace.bad", "from ..widgets import Picture", "trace may not import widgets"),
        (
            "trace.bad",
            "if TYPE_CHECKING:\n    from interp_widgets.widgets import Picture",
            "trace may not import widgets",
        ),
        ("inputs", "from interp_widgets.render import pixels", "inputs may not import render"),
        ("zoo.bad", "from interp_widgets.evaluation import score", "zoo may not import evaluation"),
        ("session.bad", "from interp_widgets.widgets.kit import Menu", "session may not import widgets.kit"),
        ("widgets.kit.bad", "from interp_widgets.widgets.views import Map", "widgets.kit may not import widgets.views"),
        ("widgets.views.bad", "from interp_widgets.widgets import Explorer", "widgets.views may not import widgets"),
        ("session.bad", "import ipywidgets", "may import ipywidgets"),
        ("explainers.bad", "from interp_widgets import record", "not from interp_widgets itself"),
        ("surprise", "from interp_widgets.trace import record", "'surprise' has no rank"),
        ("render.bad", "import ipywidgets", "may import ipywidgets"),
        ("explainers.bad", "from traitlets import Int", "may import traitlets"),
        ("widgets.bad", "from ipycanvas import Canvas", "may import ipycanvas"),
        ("zoo.bad", "import pickle", "pickle runs code"),
        ("zoo.bad", "import torch\nweights = torch.load('x')", "torch.load unpickles"),
        ("zoo.bad", "import torch\nweights = torch.load('x', weights_only=False)", "torch.load unpickles"),
        ("zoo.bad", "import torch\nread = torch.load", "torch.load unpickles"),
        ("zoo.bad", "from torch import load", "torch.load unpickles"),
    ],
)
def test_a_bad_import_is_named(module: str, source: str, sentence: str) -> None:
    package = {"interp_widgets": "", **{f"interp_widgets.{name}": "" for name in RANK}}
    found = violations({**package, f"interp_widgets.{module}": source})
    assert len(found) == 1
    assert sentence in found[0]
    assert f"interp_widgets.{module}, line " in found[0]


def test_weights_only_may_be_loaded() -> None:
    source = "import torch\nweights = torch.load('x', weights_only=True)"
    assert violations({"interp_widgets": "", "interp_widgets.zoo.good": source}) == []


def test_the_circles_of_imports_are_those_that_are_known_and_no_others() -> None:
    """One that is gone comes off the list in ``tests/layering.py``, so that it cannot come back."""
    sources = read_package(ROOT / PACKAGE)
    assert circles(sources) == KNOWN_CIRCLES


def test_the_reads_of_other_classes_underscores_are_those_that_are_known_and_no_others() -> None:
    """Fewer than listed is a failure too: the list in ``tests/layering.py`` shrinks with them."""
    found = foreign_reads(read_package(ROOT / PACKAGE))
    assert Counter(sentence.partition(",")[0] for sentence in found) == KNOWN_FOREIGN_READS, "\n".join(found)


@pytest.mark.parametrize(
    "last", ["import interp_widgets.trace.a", "if TYPE_CHECKING:\n    import interp_widgets.trace.a"]
)
def test_a_circle_is_found_and_types_count(last: str) -> None:
    sources = {
        "interp_widgets.trace.a": "from interp_widgets.trace.b import f",
        "interp_widgets.trace.b": "from interp_widgets.trace import c",
        "interp_widgets.trace.c": last,
        "interp_widgets.trace.d": "from interp_widgets.trace.a import f",  # looks at the circle, is not in it
        "interp_widgets.trace": "",
    }
    circle = ("interp_widgets.trace.a", "interp_widgets.trace.b", "interp_widgets.trace.c")
    assert circles(sources) == (circle,)


OWNER = "class Owner:\n    _shared: int\n    def _do(self): self._set = 1\n"


@pytest.mark.parametrize(
    ("reader", "read"),
    [
        ("def f(owner): return owner._set", "owner._set"),
        ("def f(owner): owner._do()", "owner._do"),
        ("class Other:\n    def f(self): return self.owner._shared", "self.owner._shared"),
        ("class Other:\n    def f(self, owner): owner._set = 2", "owner._set"),
    ],
)
def test_a_read_of_another_classes_underscore_is_named(reader: str, read: str) -> None:
    found = foreign_reads({"interp_widgets.owner": OWNER, "interp_widgets.reader": reader})
    assert len(found) == 1
    assert found[0].startswith("interp_widgets.reader, line ")
    assert found[0].endswith(f"{read} is private to interp_widgets.owner.Owner")


@pytest.mark.parametrize(
    "reader",
    [
        "class Owner2:\n    _set = 0\n    def f(self, other): return other._set",  # a class knows its own kind
        "class Sub(Owner):\n    def f(self): return self._set + super()._do() + type(self)._shared",
        "def f(tensor): return tensor._version + tensor._base",  # torch's
        "def f(named): return named.__len__() + named._fields",
    ],
)
def test_what_is_no_read_of_another_classes_underscore_passes(reader: str) -> None:
    assert foreign_reads({"interp_widgets.owner": OWNER, "interp_widgets.reader": reader}) == []
