"""The `interp-widgets` command: what it says, what it starts, and that it ends."""

from __future__ import annotations

import importlib.util
import json
import signal
import socket
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import websocket

from interp_widgets import cli
from tests.demo_server import running_demo

EMPTY_NOTEBOOK = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
# Loaded by the started server: it writes down what TCP_NODELAY is on the first websocket to a kernel.
PROBE = """
import socket
from interp_widgets._server import PromptConnection
original = PromptConnection.connect
def connect(self):
    result = original(self)
    stream = self.websocket_handler.ws_connection.stream
    with open({path!r}, "w") as file:
        file.write(str(stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))
    return result
PromptConnection.connect = connect
"""


def fetch(address: str, data: bytes | None = None) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(address, data=data), timeout=60) as answer:  # noqa: S310 - our own server
        content: bytes = answer.read()
    return content


def api(address: str, path: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}{path}?{parts.query}"


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    path = tmp_path / "a notebook.ipynb"
    path.write_text(json.dumps(EMPTY_NOTEBOOK))
    return path


def test_version_is_the_installed_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--version"])
    assert capsys.readouterr().out == "interp-widgets 0.1.0\n"


def test_without_a_command_it_prints_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    assert "demo" in capsys.readouterr().out


def test_the_quickstart_is_a_notebook() -> None:
    assert json.loads(cli.quickstart().read_text(encoding="utf-8"))["nbformat"] == 4


def test_a_missing_notebook_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["demo", "--notebook", str(tmp_path / "nowhere.ipynb")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("interp-widgets: there is no notebook ")
    assert "nowhere.ipynb" in error


def test_a_missing_jupyterlab_says_how_to_install_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "jupyterlab" else find(name))
    assert cli.main(["demo", "--no-browser"]) == 1
    assert "pip install jupyterlab" in capsys.readouterr().err


def test_a_taken_port_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert cli.main(["demo", "--no-browser", "--port", str(port)]) == 1
        assert f"port {port} is taken" in capsys.readouterr().err


def test_a_port_out_of_range_is_refused() -> None:
    with pytest.raises(cli.CommandError, match=r"--port must be in 1\.\.65535, got 70000"):
        cli.choose_port(70000)


def test_without_a_wish_a_free_port_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "USUAL_PORT", 0)
    assert cli.choose_port(None) == 0  # 0 can always be bound
    monkeypatch.setattr(cli, "_is_free", lambda _port: False)
    assert cli.choose_port(None) > 1023


def test_the_server_listens_to_this_machine_and_asks_for_a_token(notebook: Path) -> None:
    arguments = cli.server_arguments(notebook, 1234, "secret", open_browser=False)
    assert "--ServerApp.ip=127.0.0.1" in arguments
    assert "--ServerApp.open_browser=False" in arguments
    assert "--IdentityProvider.token=secret" in arguments
    assert "--LabApp.default_url=/lab/tree/a%20notebook.ipynb" in arguments


@pytest.mark.slow
def test_the_demo_serves_a_copy_of_the_quickstart_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    with running_demo(tmp_path) as (process, address):
        assert urlsplit(address).path == "/lab/tree/quickstart.ipynb"
        served = json.loads(fetch(api(address, "/api/contents/quickstart.ipynb")))["content"]
        assert [cell["source"] for cell in served["cells"]] == [
            "".join(cell["source"]) for cell in json.loads(cli.quickstart().read_text(encoding="utf-8"))["cells"]
        ]
        settings = json.loads(fetch(api(address, "/lab/api/settings/@jupyterlab/apputils-extension:notification")))
        assert settings["schema"]["properties"]["fetchNews"]["default"] == "false"
        assert settings["schema"]["properties"]["checkForUpdates"]["default"] is False
        with pytest.raises(urllib.error.HTTPError, match="403"):
            fetch(api(address, "/api/contents").split("?")[0])

        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    assert list(tmp_path.glob("interp-widgets-*")) == []
    assert "Traceback" not in (tmp_path / "stderr.txt").read_text()


@pytest.mark.slow
def test_the_demos_websockets_do_not_wait_to_send(tmp_path: Path, notebook: Path) -> None:
    measured, probe = tmp_path / "nodelay.txt", tmp_path / "probe.py"
    probe.write_text(PROBE.format(path=str(measured)))
    with running_demo(tmp_path, "--notebook", str(notebook), "--", f"--config={probe}") as (_, address):
        kernel = json.loads(fetch(api(address, "/api/kernels"), data=b"{}"))["id"]
        channels = api(address, f"/api/kernels/{kernel}/channels").replace("http", "ws", 1)
        connection = websocket.create_connection(channels, timeout=60)
        connection.recv()
        connection.close()
    assert measured.read_text() not in ("", "0")


def test_an_edited_copy_is_kept(tmp_path: Path, notebook: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / notebook.name).write_text("edited")
    cli._remove_unless_edited(folder, notebook)
    assert (folder / notebook.name).read_text() == "edited"
    assert str(folder / notebook.name) in capsys.readouterr().out

    (folder / notebook.name).write_bytes(notebook.read_bytes())
    cli._remove_unless_edited(folder, notebook)
    assert not folder.exists()
