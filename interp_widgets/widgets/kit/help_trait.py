"""``help_trait``: the trait by which a control says what it is for."""

from __future__ import annotations

import traitlets as t

__all__ = ["help_trait"]


def help_trait() -> t.Unicode[str, str | bytes]:
    """What a control is for, in one line: its tooltip, and its description for screen readers."""
    return t.Unicode("", help="what it is for, in one line: tooltip and description").tag(sync=True)
