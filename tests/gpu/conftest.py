"""The graphics card of these tests; without one they are skipped, and say so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent


def _card(config: pytest.Config) -> str | None:
    """The device asked for, else the one that there is."""
    if config.option.device is not None:
        return str(config.option.device)
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Everything in this folder needs a card."""
    if _card(config) is None:
        reason = "no graphics card here: neither CUDA nor MPS is available to torch"
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def device(pytestconfig: pytest.Config) -> torch.device:
    """The card."""
    return torch.device(str(_card(pytestconfig)))


@pytest.fixture
def is_cuda(device: torch.device) -> None:
    """Skips what other cards do not have."""
    if device.type != "cuda":
        pytest.skip(f"needs CUDA, this is {device}")


@pytest.fixture(autouse=True)
def _full_precision() -> Iterator[None]:
    """Products in all bits of single precision, so that they can be compared with the processor's."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
