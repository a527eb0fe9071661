"""A kernel that does nothing at all: what still moves, the browser moves."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from tests.browser.harness import NotebookPage


@contextmanager
def frozen(notebook: NotebookPage) -> Iterator[None]:
    """Stop the notebook's kernel process, and let it go on afterwards."""
    kernel = int(notebook.execute("import os; os.getpid()"))
    os.kill(kernel, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(kernel, signal.SIGCONT)
