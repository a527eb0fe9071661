"""What several errors say in the same words: what else might be meant, and what to install."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from interp_widgets.errors import MissingExtraError
from interp_widgets.words.speech import say

__all__ = ["did_you_mean", "missing_extra"]


def missing_extra(what: str, extra: str) -> MissingExtraError:
    """The error for something that needs an optional extra, with the command that installs it.

    Args:
        what: a sentence without its full stop, such as ``"superpixels need scikit-image"``.
    """
    return MissingExtraError(
        say("{what}, which is not installed: pip install 'interp-widgets[{extra}]'", what=what, extra=extra)
    )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``"; did you mean 'layer4'?"`` when a known name is close to ``name``, else an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return say("; did you mean {name!r}?", name=close[0]) if close else ""
