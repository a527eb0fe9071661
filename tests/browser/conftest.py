"""One JupyterLab and one Voila for all browser tests; a fresh notebook and kernel for each."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from interp_widgets.cli import any_free_port
from tests.browser.harness import Lab, Voila
from tests.demo_server import jupyter_environment, running_demo, stop

HERE = Path(__file__).parent
EMPTY_NOTEBOOK = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
AUTOSAVE_OFF = "config/lab/user-settings/@jupyterlab/docmanager-extension/plugin.jupyterlab-settings"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs the browser."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("browser")


@pytest.fixture(scope="session")
def _lab_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The folder and the address of a JupyterLab that `interp-widgets demo` started."""
    folder = tmp_path_factory.mktemp("lab")
    settings = folder / AUTOSAVE_OFF
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps({"autosave": False}))
    notebooks = folder / "notebooks"
    notebooks.mkdir()
    start = notebooks / "start.ipynb"
    start.write_text(json.dumps(EMPTY_NOTEBOOK))
    options = ("--port", str(any_free_port()), "--notebook", str(start), "--", "--LabApp.expose_app_in_browser=True")
    with running_demo(folder, *options) as (_, address):
        yield notebooks, address


@pytest.fixture
def lab(chromium: Browser, _lab_server: tuple[Path, str]) -> Iterator[Lab]:
    """Opens notebooks in JupyterLab; any error in the browser's console fails the test."""
    opened = Lab(chromium, *_lab_server)
    yield opened
    errors = opened.close()
    assert not errors, "the browser reported:\n" + "\n".join(errors)


@pytest.fixture(scope="session")
def _voila_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The folder and the address of a Voila."""
    folder = tmp_path_factory.mktemp("voila")
    notebooks = folder / "notebooks"
    notebooks.mkdir()
    port = any_free_port()
    with (folder / "stderr.txt").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "voila", str(notebooks), "--no-browser", f"--port={port}", "--Voila.ip=127.0.0.1"],
            stdout=log,
            stderr=log,
            text=True,
            env=jupyter_environment(folder),
        )
    address = f"http://127.0.0.1:{port}"
    try:
        while not _answers(address):
            assert process.poll() is None, (folder / "stderr.txt").read_text()
        yield notebooks, address
    finally:
        stop(process)


@pytest.fixture
def voila(chromium: Browser, _voila_server: tuple[Path, str]) -> Iterator[Voila]:
    """Opens notebooks in Voila; any error in the browser's console fails the test."""
    opened = Voila(chromium, *_voila_server)
    yield opened
    errors = opened.close()
    assert not errors, "the browser reported:\n" + "\n".join(errors)


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=10):  # noqa: S310 - our own server
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
