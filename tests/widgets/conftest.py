"""What the widgets' tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import interp_widgets as iw


@pytest.fixture
def explorer() -> Iterator[iw.Explorer]:
    with iw.explore("scenes", explainer="GradCAM") as found:
        found.wait()
        yield found
