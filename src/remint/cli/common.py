"""What every command shares: the parser with suggestions, output to stdout or a file, errors as one line."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console
from rich.text import Text

from remint.adapters.files import write_atomically as write_atomically
from remint.errors import ExitCode, RemintError, UsageError, did_you_mean

#: Prose, tables and progress bars. stdout is for JSON and for what was asked for; colour only in a terminal.
stderr = Console(stderr=True, highlight=False, soft_wrap=True)


class CommandParser(argparse.ArgumentParser):
    """argparse, but a mistyped command or option names the one that was meant, and the exit code is from our table."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(*args, **kwargs)

    def error(self, message: str) -> NoReturn:
        hint = None
        if match := re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message):
            known = [word.strip(" '") for word in match[2].split(",")]
            message = f"unknown command {match[1]!r}" if "COMMAND" in message else f"unknown value {match[1]!r}"
            hint = did_you_mean(match[1], known) or f"one of {', '.join(known)}"
        elif match := re.search(r"unrecognized arguments: (\S+)", message):
            known = [option for action in self._actions for option in action.option_strings]
            hint = did_you_mean(match[1].split("=")[0], known)
        advice = f" ({hint})" if hint else ""
        print(f"{self.prog}: error: {message}{advice}; see {self.prog} --help [{UsageError.code}]", file=sys.stderr)
        sys.exit(ExitCode.USAGE)


def fail(error: RemintError, *, as_json: bool = False) -> None:
    """One line to stderr; with ``--json`` also an object to stdout, so that a workflow reads the reason."""
    stderr.print(Text.assemble(("remint: ", ""), ("error: ", "bold red"), error.line))
    if as_json:
        said = {"error": error.code, "exit_code": int(error.exit_code), "message": str(error), "docs": error.docs}
        print(json.dumps(said))


def dump_json(value: Any) -> str:
    """JSON as Remint writes it to files: indented, keys in their own order, no NaN, a newline at the end."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def emit_json(value: Any, *, output: Path | None, as_json: bool) -> None:
    """``--output FILE`` writes the file; ``--json`` prints it to stdout. Both may be given."""
    if output is not None:
        write_atomically(output, dump_json(value))
    if as_json:
        sys.stdout.write(dump_json(value))
