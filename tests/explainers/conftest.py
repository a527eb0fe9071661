"""What the explainers' tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

import interp_widgets as iw


@pytest.fixture
def take_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A function after whose call every part that fits into memory is one evaluation."""

    def one_by_one(_trace: iw.Trace, count: int, **_options: object) -> Iterator[range]:
        return (range(place, place + 1) for place in range(count))

    return lambda: monkeypatch.setattr(iw.Trace, "batches", one_by_one)
