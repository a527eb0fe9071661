"""How much memory there is for a batch of passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

__all__ = ["batch_bytes", "free_cached"]

LEAST, MOST = 128 * 2**20, 2**30
SHARE = 4  # of the free memory: others want some too
SHARE_OF_DEVICE = 2
UNKNOWN = 256 * 2**20  # where nobody says how much is free


def batch_bytes(device: torch.device) -> int:
    """Bytes that the values of one batch may take.

    On the CPU a quarter of what is free, 128 MiB to 1 GiB; on an accelerator half of what is free there.
    """
    if device.type != "cpu":
        return _free_on_device(device) // SHARE_OF_DEVICE
    known = [free for free in (_free_on_machine(), _free_in_container()) if free is not None]
    return min(MOST, max(LEAST, min(known) // SHARE)) if known else UNKNOWN


def free_cached(device: torch.device) -> None:
    """Give memory back to an accelerator that torch holds for later: a smaller batch may find another place in it."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _free_on_device(device: torch.device) -> int:
    if device.type == "cuda":
        free, _total = torch.cuda.mem_get_info(device)
        held: int = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free) + held
    if device.type == "mps":
        module: Any = torch.mps
        return int(module.recommended_max_memory() - module.current_allocated_memory())
    return UNKNOWN * SHARE_OF_DEVICE


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
