"""`Profile` without a browser: boxes that do not fit the names are refused in words."""

from __future__ import annotations

from typing import Any

import pytest

from interp_widgets.errors import InputError
from interp_widgets.widgets.kit.profile import Profile

BOX = [0.0, 1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize(
    "given",
    [
        (["a", "b"], [BOX], [1.0, 1.0]),
        (["a"], [BOX], []),
        (["a"], [BOX[:4]], [1.0]),
        (["a"], [BOX], [1.0], [1.0, 2.0]),
    ],
)
def test_boxes_that_do_not_fit_are_refused_and_nothing_changes(given: Any) -> None:
    profile = Profile()
    with pytest.raises(InputError, match="layers need a box of five quantiles, or an empty one, and a mean each, got"):
        profile.show(*given)
    assert profile.names == []
    profile.close()


def test_what_is_missing_is_none() -> None:
    profile = Profile()
    profile.show(["a", "b"], [BOX, []], [2.0, None], [0.5, None])
    assert (profile.boxes, profile.means, profile.norms) == ([BOX, []], [2.0, None], [0.5, None])
    profile.close()
