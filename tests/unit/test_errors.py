"""Every error is one line that says what, where and what to do, and has an exit code from the one table."""

from __future__ import annotations

import pytest

from remint import errors
from remint.errors import ExitCode, RemintError, UsageError, did_you_mean

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, RemintError)]


def test_an_error_says_what_where_and_what_to_do() -> None:
    error = UsageError("unknown key", where="params.yaml: gate", hint="did you mean 'rules'?")
    assert str(error) == "params.yaml: gate: unknown key (did you mean 'rules'?)"
    assert str(UsageError("nothing else")) == "nothing else"


def test_an_error_is_one_line_whatever_it_quotes() -> None:
    assert str(UsageError("a\nb\r\n\tc", where="d\n", hint="e\n\nf")) == "d : a b c (e f)"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_an_exit_code_about_the_tool_and_a_word_for_workflows(kind: type[RemintError]) -> None:
    assert 0 < kind.exit_code < ExitCode.RETRAIN_DUE
    assert kind.code
    assert kind.__doc__


def test_the_words_for_workflows_differ() -> None:
    assert len({kind.code for kind in KINDS}) == len(KINDS)


@pytest.mark.parametrize(
    ("word", "meant"), [("windw", "window"), ("windows", "window"), ("Window", "window"), ("xyz", None), ("", None)]
)
def test_the_nearest_word_is_named_only_where_one_is_near(word: str, meant: str | None) -> None:
    expected = None if meant is None else f"did you mean '{meant}'?"
    assert did_you_mean(word, ["window", "cooldown", "source"]) == expected
