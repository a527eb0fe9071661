"""The texts that widgets send: each file once, in front of those that import it, its private names inside."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from interp_widgets.widgets.kit import assets
from interp_widgets.widgets.kit.assets import LOADER, module

KIT = Path(assets.__file__).parent
WIDGETS = sorted(path.stem for path in KIT.glob("*.js") if (KIT / f"{path.stem}.py").exists())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(assets, "_FOLDER", tmp_path)
    return tmp_path


def test_a_file_that_imports_nothing_stays_as_it_is(folder: Path) -> None:
    (folder / "alone.js").write_text("export default { render() {} };\n")
    assert module("alone") == "export default { render() {} };\n"


def test_what_is_imported_stands_in_front_as_a_function_that_returns_what_it_exports(folder: Path) -> None:
    (folder / "part.js").write_text("const inner = 1;\nexport const outer = 2;\nexport async function go() {}\n")
    (folder / "widget.js").write_text('import { go, outer } from "./part.js";\n\nexport default { render: go };\n')
    assert module("widget") == (
        "const part_js = (() => {\nconst inner = 1;\nconst outer = 2;\nasync function go() {}\n\n"
        "return { outer, go };\n})();\n"
        "const { go, outer } = part_js;\n\nexport default { render: go };\n"
    )


def test_a_part_that_several_import_is_there_once_and_before_them(folder: Path) -> None:
    (folder / "low.js").write_text("export const low = 1;\n")
    (folder / "high.js").write_text('import { low } from "./low.js";\nexport const high = low;\n')
    (folder / "widget.js").write_text(
        'import {\n  high,\n} from "./high.js";\nimport { low } from "./low.js";\nexport default { high, low };\n'
    )
    text = module("widget")
    assert re.findall(r"^const (\w+_js) = ", text, re.MULTILINE) == ["low_js", "high_js"]
    assert "const {\n  high,\n} = high_js;" in text


@pytest.mark.parametrize("name", WIDGETS)
def test_a_widgets_text_imports_nothing_any_more(name: str) -> None:
    text = module(name)
    assert re.findall(r"^\s*import\b.*", text, re.MULTILINE) == []
    assert len(re.findall(r"^export default ", text, re.MULTILINE)) == 1
    names = re.findall(r"^const (\w+_js) = ", text, re.MULTILINE)
    assert sorted(names) == sorted(set(names))


def test_every_file_is_a_widgets_own_or_a_part_of_one() -> None:
    used = {name for widget in WIDGETS for name in re.findall(r"^const (\w+)_js = ", module(widget), re.MULTILINE)}
    files = {path.stem for path in KIT.glob("*.js")}
    assert files == {*WIDGETS, *used, "loader"}
    assert "import(" in LOADER
