"""``remint doctor``: what is set up, what is not, and how to mend it."""

from __future__ import annotations

import argparse
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.text import Text

from remint.cli.common import emit_json, stderr
from remint.cli.forge_options import add_forge, forge_if_any
from remint.errors import ExitCode, RemintError

if TYPE_CHECKING:
    from remint.adapters.forge import Forge

_EPILOG: Final = """\
examples:
  remint doctor
  remint doctor --forge github --json
  remint doctor --exit-code        # 2 where a check found an error

Nothing is changed. A check that cannot be made is "not asked", with its reason. Credentials and addresses are those of
`remint check` and `remint publish`.
"""
_STYLES: Final = {"ok": "green", "warning": "yellow", "error": "bold red", "not_asked": "dim"}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    add_forge(parser, default="the one whose runner this is; elsewhere none is asked")
    parser.add_argument("--exit-code", action="store_true", help="2 where a check found an error")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write that JSON to FILE")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from remint.workflows.doctor import Patient, examine

    forge: Forge | RemintError | None
    try:
        forge = forge_if_any(args)
    except RemintError as error:  # a finding like any other: the rest can be looked at all the same
        forge = error
    patient = Patient(directory=Path(), environ=os.environ, now=datetime.now(UTC), forge=forge)
    diagnosis = examine(patient)
    width = max(len(checkup.name) for checkup in diagnosis.checkups)
    for checkup in diagnosis.checkups:
        level, style = checkup.level.value.replace("_", " "), _STYLES[checkup.level.value]
        stderr.print(Text.assemble((f"{level:<9}", style), f"  {checkup.name:<{width}}  {checkup.line}"))
        if checkup.mend is not None:  # on a line of its own, never wrapped: to be copied
            stderr.print(Text(f"{'':<{width + 13}}-> {checkup.mend}"))
    emit_json(diagnosis.to_json(), output=args.output, as_json=args.json)
    return ExitCode.ANSWERED if diagnosis.sound or not args.exit_code else ExitCode.USAGE
