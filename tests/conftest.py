"""What every test gets: callbacks that raise, drawing without a window, a seed, few threads; one Chromium, one measure.

``--threads`` and ``--rounding`` choose how torch computes, ``--most-cpu`` how long an unmarked test may take.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator

import matplotlib as mpl
import pytest
import torch
from ipywidgets.widgets import widget as ipywidgets_widget
from playwright.sync_api import Browser, sync_playwright

from tests.cpu_time import LIMIT, CpuTime

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")  # the Makefile's too

mpl.use("Agg")


def pytest_addoption(parser: pytest.Parser) -> None:
    """How the tests compute: what they say must hold on any processor."""
    group = parser.getgroup("interp_widgets")
    group.addoption(
        "--threads", type=int, help="of torch in each process (default: 2, and 1 where pytest-xdist runs several)"
    )
    group.addoption(
        "--rounding",
        choices=("fastest", "plain"),
        default="fastest",
        help="plain: without oneDNN, whose kernels add up in an order that depends on the processor",
    )
    group.addoption(
        "--device", help="of tests/gpu (default: cuda, or mps, where there is one); cpu tries the tests themselves"
    )
    group.addoption(
        "--most-cpu",
        type=float,
        help=f"seconds of processor time that a test without the mark `slow` may take (`make quick`: {LIMIT:g})",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Set up torch as the options say."""
    is_one_of_many = hasattr(config, "workerinput")  # pytest-xdist's
    torch.set_num_threads(config.option.threads or (1 if is_one_of_many else 2))
    if config.option.rounding == "plain":
        torch.backends.mkldnn.set_flags(False)
    if config.option.most_cpu is not None:
        config.pluginmanager.register(CpuTime(config.option.most_cpu))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what is quick first, then what is slow, the browser last.

    Raises:
        pytest.UsageError: a test's name differs from run to run, which the processes of pytest-xdist cannot agree on.
    """
    for item in items:
        if re.search(r" at 0x[0-9a-f]{6}", item.nodeid):
            raise pytest.UsageError(f"the name of {item.nodeid} holds an address in memory: give the case an id")
    for item in items:
        if "PartitionSHAP" in item.name:
            item.add_marker("slow")  # its package compiles itself for ten seconds when it is first used
    items.sort(
        key=lambda item: (item.get_closest_marker("browser") is not None, item.get_closest_marker("slow") is not None)
    )


class _RaisingShell:
    """Stands in for IPython where ipywidgets hands it an exception to print."""

    def showtraceback(self) -> None:
        raise  # noqa: PLE0704 - ipywidgets calls this while it handles the exception to be raised


@pytest.fixture(autouse=True)
def _callbacks_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default ipywidgets only logs what a callback or a message handler raises: a broken one would pass."""
    shell = _RaisingShell()
    monkeypatch.setattr(ipywidgets_widget, "get_ipython", lambda: shell)


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    """The same random numbers in each test, whichever ran before it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A headless Chromium; its absence is a failure."""
    found = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if found is None:
        pytest.fail(f"no browser: none of {', '.join(CHROMIUM_NAMES)} is on PATH; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield browser
        browser.close()


@pytest.fixture
def close() -> Callable[..., None]:
    """Compare two maps relative to the larger one's maximum.

    Maps of random models differ in size by orders of magnitude, and near zero a sum over hundreds of channels holds
    rounding errors only: what a person sees is the difference as a share of the strongest value.
    """

    def compare(found: object, expected: object, tolerance: float = 1e-4) -> None:
        left, right = (torch.as_tensor(each, dtype=torch.float64) for each in (found, expected))
        assert left.shape == right.shape
        most = float(right.abs().max())
        assert most > 0
        worst = float((left - right).abs().max()) / most
        assert worst <= tolerance, f"differs by {worst:.2g} of the maximum {most:.3g}"

    return compare
