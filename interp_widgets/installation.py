"""What ``interp-widgets demo --check`` reports: versions, the machine, extras, and whether what is installed works.

Nothing is imported before it is checked, so that the report comes out where torch or JupyterLab are broken.
"""

from __future__ import annotations

import getpass
import importlib
import os
import platform
import re
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement

from interp_widgets.words import say

__all__ = ["HOST", "Finding", "any_free_port", "checks", "report", "without_names"]

HOST = "127.0.0.1"
PACKAGE = "interp-widgets"
GROUPS = {"all", "test", "bench", "dev"}  # extras that are made of others, or are for developers
# What JupyterLab loads, and the package that brings it.
LAB_EXTENSIONS = {
    "@jupyter-widgets/jupyterlab-manager": "jupyterlab_widgets",
    "anywidget": "anywidget",
    "ipycanvas": "ipycanvas",
}
REINSTALL = "pip install --force-reinstall --no-deps"
MODEL = "scenes"


class Finding(NamedTuple):
    """What one check found.

    Args:
        name: what was checked.
        result: what came out, in words.
        remedy: what mends it; empty where nothing is wrong.
    """

    name: str
    result: str
    remedy: str = ""


def report() -> tuple[str, bool]:
    """The report as plain text, without the names of the user and of the home folder; and whether all is well."""
    found = list(checks())
    broken = [each for each in found if each.remedy]
    lines = [
        *_section(say("Versions"), [("Python", platform.python_version()), *_versions()]),
        *_section(say("Machine"), _machine()),
        *_section(say("Extras"), list(_extras())),
        *_section(say("What works"), [(each.name, each.result) for each in found]),
    ]
    if broken:
        lines += _section(say("To mend"), [(each.name, each.remedy) for each in broken])
    else:
        lines.append(say("All is well."))
    return without_names("\n".join(lines)), not broken


def checks() -> Iterator[Finding]:
    """Each thing the demo needs, tried."""
    broken = list(_requirements())
    yield from broken
    first = say("mend the packages above first") if broken else ""
    together = say("pip install --force-reinstall torch torchvision, both from one place: pytorch.org, Start Locally")
    yield _tried("torchvision", _load_torchvision, first or together)
    again = f"{REINSTALL} {PACKAGE}"
    yield _tried(say("record {model}, Grad-CAM", model=MODEL), _explain, first or again)
    yield from _lab_extensions()
    yield _tried(say("free port"), _free_port, say("let Python open ports on {host}", host=HOST))
    packages = _packages("imagenet")
    if not any(_version(name) is None for name in packages):
        again = f"{REINSTALL} {' '.join(packages)}"
        yield _tried("efficientnet_lite0", _load_imagenet, first or again)


def any_free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port


def without_names(text: str) -> str:
    """A text for a bug report: the home folder is ``~``, and the user's name is taken out of other paths."""
    for home in _homes():
        text = re.sub(re.escape(home) + r"(?![\w.-])", "~", text)
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may have no name for its user
        return text
    return re.sub(rf"(?<=[/\\]){re.escape(user)}(?![\w.-])", "...", text)


def _homes() -> list[str]:
    """The ways in which the home folder may be written, the longest first."""
    try:
        home = Path.home()
    except RuntimeError:  # a container may have none
        return []
    if home == home.parent:  # nor does the root of all folders name anybody
        return []
    paths = {str(home), str(home.resolve())}
    written = {form for path in paths for form in (path, path.replace("\\", "\\\\"), path.replace("\\", "/"))}
    return sorted(written, key=len, reverse=True)


# Versions, machine, extras


def _section(title: str, rows: list[tuple[str, str]]) -> list[str]:
    width = max(len(name) for name, _ in rows)
    return [title, *(f"  {name:<{width}}  {value}" for name, value in rows), ""]


def _versions() -> list[tuple[str, str]]:
    """The installed version of this package and of each it needs."""
    names = [PACKAGE, *(each.name for each in _needed(""))]
    return [("platform", platform.platform()), *((name, _version(name) or say("not installed")) for name in names)]


def _machine() -> list[tuple[str, str]]:
    rows = [(say("processors"), _processors()), (say("memory"), _memory())]
    accelerator = _tried(say("accelerator"), _accelerator, "-")
    return [*rows, (accelerator.name, accelerator.result)]


def _processors() -> str:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return say("{usable} of {count}, {kind}", usable=usable, count=os.cpu_count(), kind=platform.machine())


def _memory() -> str:
    try:
        import psutil  # noqa: PLC0415 - it comes with JupyterLab's kernel, which may be missing
    except ImportError:
        return say("unknown: psutil is not installed")
    memory = psutil.virtual_memory()
    return say("{total:.1f} GB, {free:.1f} GB free", total=memory.total / 1e9, free=memory.available / 1e9)


def _accelerator() -> str:
    torch = importlib.import_module("torch")
    if not torch.accelerator.is_available():
        return say("none (torch is built for {build})", build=_build(torch.version))
    device = torch.accelerator.current_accelerator()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return say("{name} (torch is built for {build})", name=name, build=_build(torch.version))


def _build(version: object) -> str:
    """What torch was built for."""
    builds = (("cuda", "CUDA"), ("hip", "ROCm"), ("xpu", "XPU"))
    return next((f"{name} {found}" for key, name in builds if (found := getattr(version, key, None))), "CPU")


def _extras() -> Iterator[tuple[str, str]]:
    extras = metadata.metadata(PACKAGE).get_all("Provides-Extra") or []
    for extra in sorted(set(extras) - GROUPS):
        missing = [name for name in _packages(extra) if _version(name) is None]
        command = say(
            "not installed: {missing}; pip install '{package}[{extra}]'",
            missing=", ".join(missing),
            package=PACKAGE,
            extra=extra,
        )
        yield extra, command if missing else say("installed")


def _packages(extra: str) -> list[str]:
    """The packages that an extra adds."""
    without = {each.name for each in _needed("")}
    return [each.name for each in _needed(extra) if each.name not in without]


def _needed(extra: str) -> list[Requirement]:
    """What the package requires here, with that extra; without any for ``""``."""
    listed = [Requirement(line) for line in metadata.requires(PACKAGE) or []]
    return [each for each in listed if each.marker is None or each.marker.evaluate({"extra": extra})]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


# What works


def _tried(name: str, attempt: Callable[[], str], remedy: str) -> Finding:
    """What came out of an attempt; a failure of any kind is what is reported."""
    try:
        return Finding(name, attempt())
    except Exception as error:  # noqa: BLE001 - a broken installation raises anything
        what = " ".join(f"{type(error).__name__}: {error}".split())
        return Finding(name, say("FAILED: {what}", what=what), remedy)


def _requirements() -> Iterator[Finding]:
    """The packages that are missing, or of another version than is needed."""
    for each in _needed(""):
        version = _version(each.name)
        if version is None:
            remedy = f"pip install '{each.name}{each.specifier}'"
            yield Finding(each.name, say("FAILED: not installed"), remedy)
        elif not each.specifier.contains(version, prereleases=True):
            result = say("FAILED: {version} is installed, not {wanted}", version=version, wanted=each.specifier)
            remedy = f"pip install '{each.name}{each.specifier}'"
            yield Finding(each.name, result, remedy)


def _load_torchvision() -> str:
    importlib.import_module("torchvision.ops")  # registers operators: fails beside a torch of another build
    return say("loads")


def _explain() -> str:
    """Record a small model and explain what it says: with what it took."""
    started = time.perf_counter()
    zoo = importlib.import_module("interp_widgets.zoo")
    explainers = importlib.import_module("interp_widgets.explainers")
    inputs = importlib.import_module("interp_widgets.inputs")
    entry = zoo.load(MODEL)
    loaded = time.perf_counter()
    with inputs.record(entry.model, entry.inputs[:1]) as trace:
        recorded = time.perf_counter()
        explainers.GradCAM()(trace, target=int(trace.logits[0].argmax()))
        done = time.perf_counter()
    return say(
        "loaded in {load:.2f} s, recorded in {record:.3f} s, explained in {explain:.3f} s",
        load=loaded - started,
        record=recorded - loaded,
        explain=done - recorded,
    )


def _lab_extensions() -> Iterator[Finding]:
    """Whether JupyterLab finds what draws the widgets."""
    for extension, package in LAB_EXTENSIONS.items():
        name = say("JupyterLab extension {extension}", extension=extension)
        remedy = f"{REINSTALL} {package}"
        yield _tried(name, partial(_find_extension, extension), remedy)


def _find_extension(name: str) -> str:
    paths = importlib.import_module("jupyter_core.paths").jupyter_path("labextensions")
    if not any((Path(folder) / name / "package.json").is_file() for folder in paths):
        raise FileNotFoundError(say("in none of JupyterLab's folders"))
    return say("found")


def _free_port() -> str:
    return f"{HOST}:{any_free_port()}"


def _load_imagenet() -> str:
    imagenet = importlib.import_module("interp_widgets.zoo.imagenet")
    imagenet.load_imagenet()  # compares the hash of its weights
    return say("the weights are right")
