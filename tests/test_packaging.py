"""What the wheel holds: everything the installed package needs, and nothing of the workshop."""

from __future__ import annotations

import email
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from interp_widgets.explainers import EXPLAINERS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "interp_widgets"
SHIPPED = {".py", ".typed", ".js", ".css", ".safetensors", ".md", ".png", ".jpg", ".json", ".ipynb", ".npz"}
TOP_LEVEL = {
    "pyproject.toml",
    "interp_widgets",
    "notebooks",
    "tests",
    "binder",
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Makefile",
    ".ci",
    ".pre-commit-config.yaml",
    ".gitignore",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    folder = tmp_path_factory.mktemp("wheel")
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def package_files() -> set[str]:
    """Every file of the package in the working tree that is not a tool's leftover."""
    return {
        path.relative_to(ROOT).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file()
        and path.suffix != ".pyc"
        and not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
    }


def test_the_wheel_holds_every_file_of_the_package_and_the_quickstart(wheel: zipfile.ZipFile) -> None:
    names = {name for name in wheel.namelist() if not name.split("/")[0].endswith(".dist-info")}
    assert names == package_files() | {"interp_widgets/notebooks/quickstart.ipynb"}


def test_the_package_is_typed_and_holds_only_known_kinds_of_files() -> None:
    assert "interp_widgets/py.typed" in package_files()
    assert {Path(name).suffix or Path(name).name for name in package_files()} <= SHIPPED


def test_the_wheels_data_stays_small(wheel: zipfile.ZipFile) -> None:
    data = sum(entry.file_size for entry in wheel.infolist() if not entry.filename.endswith(".py"))
    assert data < 8_000_000


def test_the_wheel_says_what_it_needs(wheel: zipfile.ZipFile) -> None:
    (info,) = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    metadata = email.message_from_bytes(wheel.read(f"{info}/METADATA"))
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "BSD-3-Clause"
    runtime = [line for line in metadata.get_all("Requires-Dist") or [] if "extra ==" not in line]
    assert not [line for line in runtime if "<" in line]  # no upper bound
    assert "interp-widgets = interp_widgets.cli:main" in wheel.read(f"{info}/entry_points.txt").decode()


def test_every_extra_that_a_method_asks_for_is_there_and_resolves() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    needed = {kind.requires for kind in EXPLAINERS.values()} - {""}
    assert needed <= set(extras)
    assert [kind.missing() for kind in EXPLAINERS.values()] == [""] * len(EXPLAINERS)  # the tests install all
    import numpy as np
    import shap
    import skimage
    import torch

    assert shap.__version__
    assert skimage.__version__
    assert float(torch.from_numpy(np.ones(3)).sum()) == 3  # torch and numpy still speak to each other


def test_every_method_has_a_row_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in EXPLAINERS if f"`{name}`" not in readme] == []


def test_the_test_extra_brings_what_the_makefile_runs() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert {"zoo", "imagenet", "superpixels", "captum", "shap", "all", "test", "bench", "dev"} == set(extras)
    # with "all" in it the tests install every extra beside today's torch and numpy
    assert "interp-widgets[all]" in extras["test"]
    everything = extras["all"][0].removeprefix("interp-widgets[").removesuffix("]").split(",")
    assert set(everything) == set(extras) - {"all", "test", "bench", "dev"}
    assert any(line.startswith("pytest") for line in extras["test"])
    assert {"ruff", "mypy"} <= set(extras["dev"])


def test_nothing_unexpected_lies_at_the_top_of_the_repository() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert {name.split("/")[0] for name in listed.stdout.splitlines()} <= TOP_LEVEL
