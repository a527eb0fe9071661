"""``say``: a sentence in the language that is set."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from interp_widgets.errors import InputError

__all__ = ["LANGUAGES", "VARIABLE", "language", "say", "speak", "translations"]

LANGUAGES: Final = MappingProxyType({"en": "English", "zh": "中文"})
"""The languages there are, by the code that `speak` takes."""

VARIABLE: Final = "INTERP_WIDGETS_LANGUAGE"
"""The environment variable that chooses a language for a process that does not `speak`."""

_chosen: list[str] = []  # what `speak` was given last


def say(sentence: str, /, **gaps: object) -> str:
    """A sentence in the language set, its gaps filled: ``say("{count} maps", count=3)``.

    A gap may have a format as `str.format` takes it, ``{share:.0%}``; ``{{`` is a brace. A sentence that is given
    nothing is said as it stands: it may come from a user's own explainer.
    """
    found = translations(language()).get(sentence, sentence)
    return found.format_map(gaps) if gaps else found


def speak(code: Any) -> None:
    """Say everything from now on in another language, in all threads; what is on the screen stays as it is.

    Args:
        code: one of `LANGUAGES`, ``"en"`` or ``"zh"``.

    Raises:
        InputError: there is no such language.
    """
    if not isinstance(code, str) or code not in LANGUAGES:
        known = ", ".join(f"{known!r} ({name})" for known, name in LANGUAGES.items())
        raise InputError(say("the language must be one of {known}, got {code!r}", known=known, code=code))
    _chosen[:] = [code]


def language() -> str:
    """The code of the language set: by `speak`, else by the environment variable `VARIABLE`, else English."""
    if _chosen:
        return _chosen[0]
    wanted = os.environ.get(VARIABLE, "en")[:2].lower()  # also of zh_CN.UTF-8
    return wanted if wanted in LANGUAGES else "en"


@cache
def translations(code: str) -> dict[str, str]:
    """The sentences of a language by the English ones; empty for English."""
    if code == "en":
        return {}
    found: dict[str, str] = json.loads((Path(__file__).parent / f"{code}.json").read_text(encoding="utf-8"))
    return found
