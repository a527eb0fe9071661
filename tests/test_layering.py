"""The dependency rule holds, and the checker that says so can fail."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import interp_widgets
from tests.layering import PACKAGE, RANK, read_package, violations

ROOT = Path(__file__).parents[1]
JUPYTER = ("anywidget", "ipycanvas", "ipykernel", "ipywidgets", "jupyter", "matplotlib", "traitlets", "IPython")


def test_every_import_of_the_package_keeps_the_dependency_rule() -> None:
    sources = read_package(ROOT / PACKAGE)
    assert len(sources) > 1
    assert violations(sources) == []


@pytest.mark.parametrize(
    "module", ["trace", "propagation.relevance", "inputs", "explainers", "inspectors.outline", "evaluation", "zoo"]
)
def test_what_needs_no_screen_pulls_in_nothing_of_jupyter(module: str) -> None:
    loaded = _loaded(f"import {PACKAGE}.{module}")
    assert "torch" in loaded
    assert [name for name in loaded if name.startswith(JUPYTER)] == []


def test_recording_and_explaining_pull_in_nothing_of_jupyter() -> None:
    loaded = _loaded(
        f"import torch, {PACKAGE} as iw\n"
        "with iw.record(torch.nn.Linear(2, 2), torch.ones(1, 2)) as trace:\n"
        "    iw.Gradient()(trace, 0)\n"
    )
    assert [name for name in loaded if name.startswith(JUPYTER)] == []


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


def _loaded(code: str) -> list[str]:
    """The top-level modules of a fresh process that ran some code."""
    code += "\nimport sys\nprint(*sorted({name.partition('.')[0] for name in sys.modules}))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


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
        ("zoo.bad", "from torch import load", "torch.load unpickles"),
    ],
)
def test_a_bad_import_is_named(module: str, source: str, sentence: str) -> None:
    package = {"interp_widgets": "", **{f"interp_widgets.{name}": "" for name in RANK}}
    found = violations({**package, f"interp_widgets.{module}": source})
    assert len(found) == 1
    assert sentence in found[0]
    assert f"interp_widgets.{module}, line " in found[0]


def test_an_import_cycle_is_named_even_if_one_import_is_for_types_only() -> None:
    names = ["interp_widgets.trace.a", "interp_widgets.trace.b", "interp_widgets.trace.c"]
    found = violations(
        {
            names[0]: "from interp_widgets.trace.b import f",
            names[1]: "from interp_widgets.trace import c",
            names[2]: "if TYPE_CHECKING:\n    import interp_widgets.trace.a",
        }
    )
    assert found == [f"import cycle: {' -> '.join([*names, names[0]])}"]
