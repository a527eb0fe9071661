"""One turn at a time: the kernel's main loop and the worker threads change sessions and widgets under one lock.

traitlets and ipywidgets know nothing of threads: a trait set from one thread while the other holds notifications, or
while a message from the browser is being applied, is mistaken for part of that change. One lock for all sessions, since
sessions can be linked to each other. A worker never holds it while a model runs.
"""

from __future__ import annotations

import threading

__all__ = ["TURN"]

TURN = threading.RLock()
