"""What a person reads is said by `say`: a whole sentence with named gaps, in the language that is set.

A sentence stands in English where it is said, so that a new view or explainer brings its own. ``zh.json`` has it in
Chinese by the English one; a sentence that is missing there is said in English. ``say`` of the browser's ``words.js``
reads the same file. What a sentence holds open are values, never other parts of a sentence: languages order them
differently.
"""

from __future__ import annotations

from interp_widgets.words.hints import did_you_mean, missing_extra
from interp_widgets.words.speech import LANGUAGES, VARIABLE, language, say, speak, translations

__all__ = ["LANGUAGES", "VARIABLE", "did_you_mean", "language", "missing_extra", "say", "speak", "translations"]
