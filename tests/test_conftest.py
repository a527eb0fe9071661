"""The fixtures every test relies on do what they promise."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import ipywidgets
import matplotlib as mpl
import pytest
import torch

from tests.conftest import pytest_collection_modifyitems
from tests.cpu_time import CpuTime


def fail(*_: object) -> None:
    message = "from the callback"
    raise ZeroDivisionError(message)


def test_what_a_click_raises_reaches_the_test() -> None:
    button = ipywidgets.Button()
    button.on_click(fail)
    with pytest.raises(ZeroDivisionError, match="from the callback"):
        button.click()


def test_what_a_message_of_the_browser_raises_reaches_the_test() -> None:
    slider = ipywidgets.IntSlider()
    slider.observe(fail, "value")
    message = {"content": {"data": {"method": "update", "state": {"value": 3}, "buffer_paths": []}}, "buffers": []}
    with pytest.raises(ZeroDivisionError, match="from the callback"):
        slider._handle_msg(message)


@pytest.mark.parametrize("_run", [1, 2])
def test_each_test_draws_the_same_random_numbers(_run: int) -> None:
    assert torch.initial_seed() == 0
    torch.rand(3)


def test_pictures_are_drawn_without_a_window() -> None:
    assert mpl.get_backend().lower() == "agg"


QUICK_RUN = """
import time, pytest

def busy():
    begun = time.process_time()
    while time.process_time() - begun < 0.3: pass

def test_of_no_time(): pass
def test_unmarked(): busy()
@pytest.mark.slow
def test_marked(): busy()
def test_broken(): busy(); raise KeyError("its own error")
"""


def test_an_unmarked_test_that_takes_long_fails_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "test_inner.py").write_text(QUICK_RUN)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n slow\n browser\n")
    monkeypatch.chdir(tmp_path)
    code = pytest.main(["-q", "-p", "no:cacheprovider", str(tmp_path)], plugins=[CpuTime(0.2)])
    printed = capsys.readouterr().out
    assert code == 1
    assert "2 failed, 2 passed" in printed
    assert "test_unmarked took 0.3 s of processor time; without the mark `slow` a test may take 0.2" in printed
    assert "its own error" in printed


def test_a_test_whose_name_differs_from_run_to_run_is_refused() -> None:
    item = SimpleNamespace(nodeid=f"tests/test_x.py::test_y[{object()!r}]", name="test_y")
    with pytest.raises(pytest.UsageError, match="holds an address in memory: give the case an id"):
        pytest_collection_modifyitems([item])  # type: ignore[list-item]
