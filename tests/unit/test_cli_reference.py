"""Every command has help with an example and stands in the docs."""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from remint.cli.common import CommandParser
from remint.cli.main import COMMANDS, main
from remint.cli.reference import reference

ROOT = Path(__file__).parents[2]


def test_the_command_line_page_is_what_the_parsers_say() -> None:
    assert (ROOT / "docs" / "cli.md").read_text() == reference(), "run: python -m remint.cli.reference > docs/cli.md"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str) -> None:
    parser = CommandParser(prog=f"remint {name}")
    importlib.import_module(f"remint.cli.{COMMANDS[name][0]}").configure(parser)
    texts = []
    for command in _commands(parser):
        texts.append(command.epilog or "")
        for action in command._actions:
            if not isinstance(action, argparse._SubParsersAction):
                assert action.help, f"{command.prog}: {action.dest} has no help"
    assert any("remint " in text for text in texts), f"{name} shows no example"


def _commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from _commands(child)


def test_a_mistyped_command_names_the_one_that_was_meant(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["chek"])
    assert stop.value.code == 2
    assert "did you mean 'check'?" in capsys.readouterr().err


def test_the_commands_in_the_readme_exist() -> None:
    text = (ROOT / "README.md").read_text()
    named = set(re.findall(r"remint (\w+)", text)) - {"serving"}
    assert named <= {*COMMANDS}, named - {*COMMANDS}
    for script in re.findall(r"scripts/(\w+)", text):
        assert (ROOT / "scripts" / script).stat().st_mode & 0o111, script
