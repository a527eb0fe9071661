"""Whose random numbers a pass may put back: those that the model's own code draws, not another thread's."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from interp_widgets.trace import record
from interp_widgets.trace.drawing import names_random
from tests.trace.test_cases import Net

NUMPY = np.random.default_rng(0)


def helper() -> float:
    return random.random()


class Augmented(nn.Module):
    """Draws in a method that forward calls."""

    def scale(self) -> float:
        return float(np.random.rand())  # noqa: NPY002

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale()


DRAWING: dict[str, Callable[[], nn.Module]] = {
    "a method": Augmented,
    "a method of a part": lambda: nn.Sequential(nn.Linear(4, 4), Augmented()),
    "a function that forward calls": lambda: Net(lambda _, x: x * helper()),
    "a generator of the module's own file": lambda: Net(lambda _, x: x * float(NUMPY.random())),
    "a hook": lambda: hooked(lambda *_: random.random()),
}
PLAIN: dict[str, Callable[[], nn.Module]] = {
    "layers of torch": lambda: nn.Sequential(nn.Linear(4, 4), nn.Dropout(), nn.ReLU()),
    "numbers drawn by torch": lambda: Net(lambda _, x: x + torch.rand(4)),
}


def hooked(hook: Callable[..., Any]) -> nn.Module:
    layer = nn.Linear(4, 4)
    layer.register_forward_pre_hook(lambda *_: hook() and None)
    return layer


@pytest.mark.parametrize("kind", DRAWING)
def test_code_that_names_a_generator_is_found(kind: str) -> None:
    assert names_random(DRAWING[kind]())


@pytest.mark.parametrize("kind", PLAIN)
def test_other_code_is_not(kind: str) -> None:
    assert not names_random(PLAIN[kind]())


@pytest.mark.parametrize("kind", ["a method", "a function that forward calls"])
def test_what_the_model_draws_is_put_back(kind: str) -> None:
    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    record(DRAWING[kind](), torch.ones(1, 4))
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002


def test_numbers_that_another_thread_draws_meanwhile_come_once() -> None:
    model, inputs = nn.Sequential(*(nn.Linear(64, 64) for _ in range(20))), torch.ones(1, 64)
    drawn: list[float] = []
    done = threading.Event()

    def draw() -> None:
        while not done.is_set():
            drawn.extend((random.random(), float(np.random.rand())))  # noqa: NPY002

    thread = threading.Thread(target=draw)
    thread.start()
    try:
        for _ in range(20):
            record(model, inputs).close()
    finally:
        done.set()
        thread.join()
    assert len(drawn) > 100
    repeated = len(drawn) - len(set(drawn))
    assert repeated == 0
