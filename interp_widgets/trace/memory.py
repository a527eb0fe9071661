"""How much memory there is for a batch of passes."""

from __future__ import annotations

from pathlib import Path

__all__ = ["batch_bytes"]

LEAST, MOST = 128 * 2**20, 2**30
SHARE = 4  # of the free memory: others want some too
UNKNOWN = 256 * 2**20  # where nobody says how much is free


def batch_bytes() -> int:
    """Bytes that the values of one batch may take: a quarter of what is free, 128 MiB to 1 GiB."""
    known = [free for free in (_free_on_machine(), _free_in_container()) if free is not None]
    return min(MOST, max(LEAST, min(known) // SHARE)) if known else UNKNOWN


def _free_on_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, StopIteration):
        return None


def _free_in_container() -> int | None:
    """What a control group leaves, as on Binder; ``None`` without a limit."""
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            most, now = (int(Path("/sys/fs/cgroup", name).read_text(encoding="ascii")) for name in (limit, used))
        except (OSError, ValueError):  # no such file, or "max"
            continue
        return max(0, most - now)
    return None
