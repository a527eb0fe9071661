"""A ``Look`` as a trait: what a picture and its controls share, so that one link in the browser carries all of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import traitlets as t

from interp_widgets.render.look import Look

__all__ = ["look_trait"]


def look_trait(**default: Any) -> t.Instance[Look]:
    """A synchronised trait that holds a ``Look``; ``default`` are the arguments of the first one."""
    trait = t.Instance(Look, kw=default, help="where colours end, smoothing, photo, opacity by strength")
    return trait.tag(sync=True, to_json=_to_json, from_json=_from_json)


def _to_json(look: Look, _widget: Any) -> dict[str, Any]:
    return {name: _plain(value) for name, value in asdict(look).items()}


def _plain(value: Any) -> Any:
    """A number of numpy's as Python's own: the others do not travel."""
    return value.item() if isinstance(value, np.generic) else value


def _from_json(given: dict[str, Any], _widget: Any) -> Look:
    return Look(**given)
