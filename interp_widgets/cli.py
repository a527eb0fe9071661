"""The ``interp-widgets`` command."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

from interp_widgets.errors import InterpError
from interp_widgets.installation import HOST, any_free_port, report
from interp_widgets.words import say

__all__ = ["CommandError", "main"]

USUAL_PORT = 8888

# JupyterLab asks the internet for news and updates, and the user whether it may: a demo does neither.
LAB_SETTINGS = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}


class CommandError(InterpError):
    """A command line that cannot be carried out."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command's exit status; ``arguments`` are those of the shell unless given."""
    words, server_options = _split_at_dashes(sys.argv[1:] if arguments is None else arguments)
    parser = _parser()
    options = parser.parse_args(words)
    if options.command is None:
        parser.print_help()
        return 0
    if options.check:
        text, is_well = report()
        print(text)
        return 0 if is_well else 1
    try:
        demo(options.notebook, options.port, server_options, open_browser=not options.no_browser)
    except CommandError as error:
        print(f"interp-widgets: {error}", file=sys.stderr)
        return 1
    return 0


def demo(notebook: Path | None, port: int | None, server_options: Sequence[str], *, open_browser: bool) -> None:
    """Run JupyterLab on ``notebook``, or on a copy of the quickstart, until it is stopped.

    Raises:
        CommandError: JupyterLab is not installed, the port is taken, or the notebook does not exist.
    """
    if importlib.util.find_spec("jupyterlab") is None:
        raise CommandError(say("JupyterLab is not installed in this Python; install it with: pip install jupyterlab"))
    source = quickstart() if notebook is None else notebook.resolve()
    if not source.is_file():
        sentence = say(
            "there is no notebook {path!r}; give the path of an .ipynb file after --notebook", path=str(source)
        )
        raise CommandError(sentence)
    port = choose_port(port)

    folder = Path(tempfile.mkdtemp(prefix="interp-widgets-"))
    try:
        shown = source if notebook is not None else Path(shutil.copy(source, folder))
        settings = folder / ".settings"
        settings.mkdir()
        (settings / "overrides.json").write_text(json.dumps(LAB_SETTINGS), encoding="utf-8")
        _serve(shown, port, ["--LabApp.app_settings_dir=" + str(settings), *server_options], open_browser=open_browser)
    finally:
        _remove_unless_edited(folder, source)


def quickstart() -> Path:
    """The quickstart notebook: inside an installed package, beside it in a checkout."""
    package = Path(__file__).parent
    installed = package / "notebooks" / "quickstart.ipynb"
    return installed if installed.is_file() else package.parent / "notebooks" / "quickstart.ipynb"


def choose_port(wanted: int | None) -> int:
    """``wanted`` if it is free; without a wish the usual port of Jupyter, or any free one.

    Raises:
        CommandError: the wanted port is taken or not a port.
    """
    if wanted is None:
        return USUAL_PORT if _is_free(USUAL_PORT) else any_free_port()
    if not 1 <= wanted <= 65535:
        raise CommandError(say("--port must be in 1..65535, got {port}", port=wanted))
    if not _is_free(wanted):
        sentence = say(
            "port {port} is taken; give another after --port, or leave --port out to use a free one", port=wanted
        )
        raise CommandError(sentence)
    return wanted


def server_arguments(notebook: Path, port: int, token: str, *, open_browser: bool) -> list[str]:
    """What JupyterLab is told: this machine only, this port only, a token, one notebook."""
    arguments = [
        f"--ServerApp.ip={HOST}",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={notebook.parent}",
        f"--ServerApp.open_browser={open_browser}",
        "--ServerApp.answer_yes=True",
        "--ServerApp.base_url=/",
        f"--IdentityProvider.token={token}",
        f"--LabApp.default_url=/lab/tree/{quote(notebook.name)}",
        "--Application.log_level=WARN",
    ]
    # Jupyter refuses root, which is the usual user of a container; the server answers this machine and the token only.
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        arguments.append("--ServerApp.allow_root=True")
    return arguments


def _serve(notebook: Path, port: int, options: Sequence[str], *, open_browser: bool) -> None:
    from interp_widgets._server import serve  # noqa: PLC0415 - JupyterLab may be missing; `--version` must not need it

    token = secrets.token_urlsafe(24)

    def announce() -> None:
        print(say("JupyterLab on {notebook}; Ctrl-C ends it. Open:", notebook=notebook), flush=True)
        print(f"http://{HOST}:{port}/lab/tree/{quote(notebook.name)}?token={token}", flush=True)

    serve([*server_arguments(notebook, port, token, open_browser=open_browser), *options], announce)


def _remove_unless_edited(folder: Path, source: Path) -> None:
    copy = folder / source.name
    if copy.is_file() and copy.read_bytes() != source.read_bytes():
        print(say("Your edited copy of the notebook is kept: {copy}", copy=copy))
    else:
        shutil.rmtree(folder)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _split_at_dashes(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    words = list(arguments)
    if "--" not in words:
        return words, []
    at = words.index("--")
    return words[:at], words[at + 1 :]


def _parser() -> argparse.ArgumentParser:
    description = say("Look inside a PyTorch model from a notebook.")
    parser = argparse.ArgumentParser(prog="interp-widgets", description=description)
    parser.add_argument("--version", action="version", version=f"interp-widgets {version('interp-widgets')}")
    commands = parser.add_subparsers(dest="command")
    demo_parser = commands.add_parser(
        "demo",
        help=say("start JupyterLab on the quickstart notebook"),
        description=say("Start JupyterLab on a copy of the quickstart notebook and print its address."),
        epilog=say("Arguments after -- go to JupyterLab: interp-widgets demo -- --LabApp.expose_app_in_browser=True"),
    )
    check_help = say("start nothing: print what is installed here, what works, and what mends the rest")
    demo_parser.add_argument("--check", action="store_true", help=check_help)
    demo_parser.add_argument("--no-browser", action="store_true", help=say("only print the address"))
    port_help = say("the port to use (default: 8888, or a free one)")
    demo_parser.add_argument("--port", type=int, metavar="N", help=port_help)
    notebook_help = say("open this notebook itself, not a copy")
    demo_parser.add_argument("--notebook", type=Path, metavar="PATH", help=notebook_help)
    return parser


if __name__ == "__main__":
    sys.exit(main())
