"""A line that says how far long work is, in a notebook or a terminal; it is gone when the work ends."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["progress_line"]


@contextmanager
def progress_line() -> Iterator[Callable[..., None]]:
    """A function that writes a line over the one it wrote before, in a notebook's output or in a terminal.

    Where the output goes to a file nothing is written.
    """
    tell = _in_a_notebook() or _in_a_terminal() or (lambda *_words: None)
    try:
        yield tell
    finally:
        tell()


def _in_a_notebook() -> Callable[..., None] | None:
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if getattr(shell, "kernel", None) is None:
        return None
    from IPython.display import display  # noqa: PLC0415 - there, since this is a notebook

    handle = display({"text/plain": ""}, raw=True, display_id=True)  # type: ignore[no-untyped-call]
    return lambda *words: handle.update({"text/plain": "".join(words)}, raw=True)


def _in_a_terminal() -> Callable[..., None] | None:
    if not sys.stderr.isatty():
        return None
    shown = 0

    def tell(*words: str) -> None:
        nonlocal shown
        text = "".join(words)
        sys.stderr.write("\r" + text.ljust(shown) + ("" if text else "\r"))
        sys.stderr.flush()
        shown = len(text)

    return tell
