"""Every error is one line that says what, where and what to do, ends in a stable code, and is explained in the docs."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import remint
from remint.cli.explain import sections
from remint.cli.main import main
from remint.errors import DOCS, ExitCode, RemintError, UsageError, did_you_mean


def _kinds(kind: type[RemintError]) -> Iterator[type[RemintError]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__.startswith("remint."):
            yield from _kinds(child)


def _all_kinds() -> list[type[RemintError]]:
    """Those of errors.py, and those that stand beside what raises them."""
    source = Path(remint.__path__[0])
    for path in source.rglob("*.py"):
        if re.search(r"^class \w+Error\(", path.read_text(), re.MULTILINE) and "demo" not in path.parts:
            importlib.import_module(".".join(["remint", *path.relative_to(source).with_suffix("").parts]))
    return list(_kinds(RemintError))


KINDS = _all_kinds()


def test_an_error_says_what_where_and_what_to_do() -> None:
    error = UsageError("unknown key", where="params.yaml: gate", hint="did you mean 'rules'?")
    assert str(error) == "params.yaml: gate: unknown key (did you mean 'rules'?)"
    assert error.line == "params.yaml: gate: unknown key (did you mean 'rules'?) [usage]"
    assert str(UsageError("nothing else")) == "nothing else"


def test_an_error_is_one_line_whatever_it_quotes() -> None:
    assert str(UsageError("a\nb\r\n\tc", where="d\n", hint="e\n\nf")) == "d : a b c (e f)"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_has_an_exit_code_about_the_tool_and_a_code_of_its_own(kind: type[RemintError]) -> None:
    assert 0 < kind.exit_code < ExitCode.RETRAIN_DUE
    assert "code" in vars(kind), "a code that is inherited says no more than the parent's"
    assert kind.__doc__
    section = sections()[kind.code]
    assert f"Exit code {int(kind.exit_code)}" in " ".join(section.split())
    assert "What to do:" in section


def test_codes_are_unique_and_the_page_explains_these_and_no_others() -> None:
    codes = [kind.code for kind in KINDS]
    assert sorted(codes) == sorted(sections())


def test_explain_prints_the_section_and_names_the_nearest_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "[frozen]"]) == 0
    assert capsys.readouterr().out.startswith("frozen: Somebody pulled the brake")
    assert main(["explain", "frosen"]) == 2
    assert "did you mean 'frozen'?) [usage]" in capsys.readouterr().err
    assert main(["explain", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == set(sections())


def test_a_failing_command_says_the_code_on_stderr_and_where_it_is_explained_in_its_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["explain", "nothing-near", "--json"]) == 2
    said = capsys.readouterr()
    assert said.err.rstrip().endswith("[usage]")
    assert json.loads(said.out) == {
        "error": "usage",
        "exit_code": 2,
        "message": said.err.strip().removeprefix("remint: error: ").removesuffix(" [usage]"),
        "docs": f"{DOCS}#usage",
    }


def test_a_wrong_option_has_a_code_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["explain", "--jsn"])
    assert capsys.readouterr().err.rstrip().endswith("see remint --help [usage]")


@pytest.mark.parametrize(
    ("word", "meant"), [("windw", "window"), ("windows", "window"), ("Window", "window"), ("xyz", None), ("", None)]
)
def test_the_nearest_word_is_named_only_where_one_is_near(word: str, meant: str | None) -> None:
    expected = None if meant is None else f"did you mean '{meant}'?"
    assert did_you_mean(word, ["window", "cooldown", "source"]) == expected
