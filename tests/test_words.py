"""What a person reads is said whole, by `say`, and can be read in every language there is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

import interp_widgets as iw
from interp_widgets.errors import InputError
from interp_widgets.widgets.kit.status_line import StatusLine
from interp_widgets.words import LANGUAGES, VARIABLE, language, say, speak, speech, translations
from tests.words import browser_sentences, explainer_sentences, gaps, sayings, unsaid_errors

LOST = "not connected: pictures that are here still move, new ones need Run"
OTHERS = [code for code in LANGUAGES if code != "en"]


@pytest.fixture(autouse=True)
def _english_again() -> Iterator[None]:
    yield
    speech._chosen.clear()


def test_every_sentence_is_given_what_it_holds_open() -> None:
    wrong = [f"{each.place}: {each.sentence}" for each in sayings() if each.given != gaps(each.sentence)]
    assert wrong == []


def test_every_error_is_said_in_the_language_set() -> None:
    assert unsaid_errors() == []


@pytest.mark.parametrize("code", OTHERS)
def test_a_language_has_every_sentence_and_no_other(code: str) -> None:
    wanted = {each.sentence for each in sayings()} | browser_sentences() | explainer_sentences()
    assert set(translations(code)) == wanted


@pytest.mark.parametrize("code", OTHERS)
def test_a_translation_has_the_gaps_of_the_sentence(code: str) -> None:
    wrong = {sentence: other for sentence, other in translations(code).items() if gaps(sentence) != gaps(other)}
    assert wrong == {}


def test_gaps_are_filled_with_their_formats() -> None:
    assert say("{share:.0%} of {name!r} {{}}", share=0.25, name="a{b}") == "25% of 'a{b}' {}"


def test_a_sentence_without_gaps_is_said_as_it_stands() -> None:
    assert say("a set {1, 2} of somebody else's") == "a set {1, 2} of somebody else's"
    assert [each.place for each in sayings() if not each.given and {*"{}"} & {*each.sentence}] == []


def test_errors_are_said_in_the_language_set() -> None:
    speak("zh")
    with pytest.raises(InputError, match="语言"):
        speak("tlh")
    assert language() == "zh"
    speak("en")
    for wrong in ("tlh", None, ["zh"]):
        with pytest.raises(InputError, match="the language must be one of 'en'"):
            speak(wrong)


def test_the_browser_is_given_the_sentences_it_says() -> None:
    english = StatusLine()
    speak("zh")
    chinese = StatusLine()
    assert english._code is not chinese._code
    assert translations("zh")[LOST] in chinese._code.text
    assert translations("zh")[LOST] not in english._code.text
    english.close()
    chinese.close()


@pytest.mark.parametrize(("wanted", "code"), [("zh", "zh"), ("zh_CN.UTF-8", "zh"), ("en", "en"), ("tlh", "en")])
def test_the_environment_chooses_a_language(wanted: str, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, wanted)
    assert language() == code


@pytest.mark.slow
def test_an_explorer_speaks_chinese() -> None:
    """In a process of its own: options of menus are made once."""
    code = "import interp_widgets as iw; e = iw.explore('digits'); assert e.wait(60); print(e.status); e.close()"
    script = f"from interp_widgets.words import speak; speak('zh'); {code}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=300)
    assert any("一" <= letter <= "鿿" for letter in done.stdout), done.stdout


def test_what_is_wrong_with_a_call_is_said_in_chinese() -> None:
    speak("zh")
    with pytest.raises(iw.InterpError, match=r"[一-鿿]"):
        iw.explore(None, None)  # type: ignore[arg-type]
