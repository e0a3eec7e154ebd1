"""``docs/cli.md``, generated from the parsers themselves: ``python -m remint.cli.reference > docs/cli.md``."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterator

from remint.cli.common import CommandParser
from remint.cli.main import COMMANDS

_HEAD = """\
# The command line

Generated from the parsers (`python -m remint.cli.reference > docs/cli.md`); a test holds the two together.

JSON goes to stdout, prose and progress to stderr; `--output` writes atomically; every command that changes
something has `--dry-run`. `remint -C DIR COMMAND` runs as if started in DIR.

| exit code | means |
|---|---|
| 0 | answered |
| 1 | a bug in Remint |
| 2 | usage, configuration, bad data or bundle, ambiguous series |
| 3 | no data yet: an empty window, NaN |
| 4 | a service failed or a lock is held; try again |
| 10 to 14 | with `--exit-code`: retrain due, gate failed, canary failed, inconclusive or labels needed, investigate |
| 130 | interrupted |
"""


def reference() -> str:
    """All commands as Markdown."""
    parts = [_HEAD]
    for name, (module, summary) in COMMANDS.items():
        parser = CommandParser(prog=f"remint {name}", description=summary)
        importlib.import_module(f"remint.cli.{module}").configure(parser)
        parts.extend(_describe(parser, level=2))
    return "\n".join(parts)


def _describe(parser: argparse.ArgumentParser, *, level: int) -> Iterator[str]:
    yield f"{'#' * level} `{parser.prog}`\n"
    if parser.description:
        yield f"{_sentence(parser.description)}\n"
    children: dict[str, argparse.ArgumentParser] = {}
    rows: list[str] = []
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        if isinstance(action, argparse._SubParsersAction):
            children = dict(action.choices)
            continue
        rows.append(f"| `{_spelled(action)}` | {_sentence(_help(parser, action))} |")
    if rows:
        yield "\n".join(["| option | |", "|---|---|", *rows]) + "\n"
    if parser.epilog:
        yield f"```\n{parser.epilog.strip()}\n```\n"
    for child in children.values():
        yield from _describe(child, level=level + 1)


def _spelled(action: argparse.Action) -> str:
    value = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    if action.choices is not None and action.metavar is None:
        value = "{" + ",".join(map(str, action.choices)) + "}"
    if not action.option_strings:
        return value
    takes = "" if action.nargs == 0 else f" {value}"
    return ", ".join(action.option_strings) + takes


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    text = action.help or ""
    try:
        return text % {**vars(action), "prog": parser.prog}
    except (KeyError, TypeError, ValueError):
        return text


def _sentence(text: str) -> str:
    text = " ".join(text.split()).replace("|", "\\|")
    return text[:1].upper() + text[1:]


if __name__ == "__main__":
    sys.stdout.write(reference())
