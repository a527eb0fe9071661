"""`interp-widgets demo` as a child process, with Jupyter folders of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]


def jupyter_environment(folder: Path) -> Mapping[str, str]:
    """The environment of a server that reads and writes nothing of the user's and imports this working tree."""
    return os.environ | {
        "TMPDIR": str(folder),
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }


def stop(process: subprocess.Popen[str]) -> None:
    """End a server and its kernels, by force if it does not end by itself."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def running_demo(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and the address it printed; what it logs is in `stderr.txt` of the folder."""
    with (folder / "stderr.txt").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "interp_widgets.cli", "demo", "--no-browser", *arguments],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=jupyter_environment(folder),
        )
    assert process.stdout is not None
    with process.stdout as printed:
        try:
            printed.readline()
            address = printed.readline().strip()
            assert address.startswith("http://127.0.0.1:"), (folder / "stderr.txt").read_text()
            yield process, address
        finally:
            stop(process)
