"""A path as people type or paste it, as a path."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

__all__ = ["typed_path"]

QUOTES = ('""', "''", "“”")
HERE = ("", "localhost")  # what a file address may name as its machine


def typed_path(text: str) -> str:
    """The path that is meant, without what stands around it; of a ``file:`` address its path; ``~`` written out.

    What cannot be resolved (another machine, an unknown home) stays as it is; nothing is looked up on the disk.

    >>> typed_path(' "/photos/cat 1.jpg" '), typed_path("file:///photos/cat%201.jpg")
    ('/photos/cat 1.jpg', '/photos/cat 1.jpg')
    """
    path = text.strip()
    while len(path) > 1 and path[0] + path[-1] in QUOTES:
        path = path[1:-1].strip()
    if path.lower().startswith("file:"):
        path = _of_address(path)
    try:
        return str(Path(path).expanduser()) if path.startswith("~") else path
    except RuntimeError:  # no such home
        return path


def _of_address(address: str) -> str:
    """The path of ``file:///a/b`` or ``file:/a/b``; signs behind ``?`` and ``#`` belong to a name."""
    try:
        machine = urlsplit(address).hostname or ""
    except ValueError:  # brackets that are no address of a machine
        return address
    rest = address[len("file:") :]
    if rest.startswith("//"):
        rest = rest[2 + len(rest[2:].partition("/")[0]) :]
    return url2pathname(rest) if machine in HERE and unquote(rest) else address
