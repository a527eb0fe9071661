"""The line below the views: what went wrong with each of them, told once."""

from __future__ import annotations

from interp_widgets.widgets.views.status_bar import StatusBar


def test_what_went_wrong_with_two_views_is_told_once() -> None:
    bar = StatusBar()
    bar.complain("map", "a picture needs finite values")
    bar.complain("channels", "a picture needs finite values")
    bar.complain("network", "no layer")
    assert bar.error == "a picture needs finite values · no layer"
    bar.forgive("map")
    assert bar.error == "a picture needs finite values · no layer"
    bar.forgive("channels")
    bar.forgive("network")
    assert bar.error == ""
