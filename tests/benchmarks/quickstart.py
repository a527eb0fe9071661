"""What the quickstart notebook costs from top to bottom on one core, in a kernel of its own: Binder gives one and 2 GB.

``python -m tests.benchmarks.quickstart`` runs it with the cat, and as it is without the extra ``imagenet``.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest import mock

import nbformat
from nbclient import NotebookClient

from interp_widgets import cli
from tests.benchmarks.measure import Parts, Row, describe_machine, parser_for, write_json
from tests.demo_server import jupyter_environment

NETWORKS = ("efficientnet_lite0", "scenes")
MOST_SECONDS = 15
MOST_MEMORY = 1024  # MiB

ONE_CORE = "import os\nos.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"
WITHOUT_THE_EXTRA = "import interp_widgets as iw\niw.zoo.NAMES = iw.zoo.NAMES[:4]"
WHAT_CAME_OUT = """
import json, time
status = open("/proc/self/status").read()
session = explorer.session
report = {
    "network": name,
    "predicted": session.class_names[int(session.trace.output[0].argmax())],
    "explained": session.class_names[session.target],
    "processor": time.process_time(),
    "memory": int(status.split("VmHWM:")[1].split()[0]) / 1024,
}
print(json.dumps(report))
"""


def run(network: str, folder: Path) -> tuple[nbformat.NotebookNode, dict[str, Any]]:
    """The notebook with its outputs, and what came out.

    That is: ``network``, the class that it ``predicted``, the one that the first Explorer ``explained`` at the end,
    ``seconds``, seconds of the ``processor``, and the kernel's highest ``memory`` in MiB.
    """
    notebook = nbformat.read(cli.quickstart(), as_version=4)
    hidden = ONE_CORE if network != "scenes" else f"{ONE_CORE}\n{WITHOUT_THE_EXTRA}"
    before, after = nbformat.v4.new_code_cell(hidden), nbformat.v4.new_code_cell(WHAT_CAME_OUT)
    notebook.cells = [before, *notebook.cells, after]
    environment = {**jupyter_environment(folder), "OMP_NUM_THREADS": "1"}
    client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": folder}})
    started = time.perf_counter()
    with mock.patch.dict(os.environ, environment):
        client.execute()
    seconds = time.perf_counter() - started
    notebook.cells = notebook.cells[1:-1]
    return notebook, {"seconds": seconds, **json.loads(after.outputs[0].text)}


def rows(network: str, found: dict[str, Any]) -> list[Row]:
    """The costs beside their limits; the clock's seconds have none, for others may be at work on the core."""
    return [
        Row("quickstart, all cells, with the kernel's start", network, found["seconds"], "s"),
        Row("quickstart, processor time", network, found["processor"], "s", MOST_SECONDS),
        Row("quickstart, the kernel's highest memory", network, found["memory"], "MiB", MOST_MEMORY),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the notebook with each network, print the rows, write the JSON; the exit code."""
    options = parser_for("quickstart", __doc__).parse_args(arguments)
    measured: list[Row] = []
    parts = Parts()
    for network in NETWORKS:
        with parts.part(network), tempfile.TemporaryDirectory() as folder:
            measured += rows(network, run(network, Path(folder))[1])
    print("\n".join(map(str, measured)))
    document = {"machine": describe_machine(1), "rows": [asdict(row) for row in measured]}
    print(f"written to {write_json(options.results, 'quickstart', document)}")
    return parts.exit_code()


if __name__ == "__main__":
    sys.exit(main())
