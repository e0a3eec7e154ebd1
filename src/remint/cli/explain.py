"""``remint explain``: the section of docs/errors.md about a code."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Final

from remint.cli.common import emit_json
from remint.errors import DOCS, ExitCode, UsageError, did_you_mean

_EPILOG: Final = """\
examples:
  remint explain frozen
  remint explain           all codes, one a line

An error's line ends in its code, such as [frozen]; with --json it is the key \"error\", and in run.json the outcome.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    parser.add_argument("code", nargs="?", metavar="CODE", help="such as frozen; without one, all codes are listed")
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write that JSON to FILE")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    known = sections()
    if args.code is None:
        if not args.json:
            wide = max(map(len, known))
            sys.stdout.writelines(f"{code:<{wide}}  {_gist(text)}\n" for code, text in known.items())
        emit_json(known, output=args.output, as_json=args.json)
        return ExitCode.ANSWERED
    code = args.code.strip("[]")  # as it stands in the error's line
    if code not in known:
        hint = did_you_mean(code, known) or "remint explain lists all"
        raise UsageError(f"no error has the code {code!r}", where="CODE", hint=hint)
    if not args.json:
        sys.stdout.write(f"{code}: {known[code]}\n")
    emit_json({"code": code, "text": known[code], "docs": f"{DOCS}#{code}"}, output=args.output, as_json=args.json)
    return ExitCode.ANSWERED


def _gist(text: str) -> str:
    """The first clause."""
    return re.split(r"[.:;]\s", text, maxsplit=1)[0].replace("\n", " ")


def sections() -> dict[str, str]:
    """Code -> its section of docs/errors.md, without the heading, in the page's order."""
    found: dict[str, list[str]] = {}
    lines: list[str] | None = None
    for line in _page().splitlines():
        if line.startswith("#"):
            lines = found.setdefault(line[3:], []) if line.startswith("## ") else None
        elif lines is not None:
            lines.append(line)
    return {code: "\n".join(text).strip() for code, text in found.items()}


def _page() -> str:
    """The page that travels in the wheel; in a checkout, the one in docs/."""
    package = Path(__file__).parents[1]
    for place in (package / DOCS, package.parents[1] / DOCS):
        if place.is_file():
            return place.read_text(encoding="utf-8")
    raise UsageError(f"{DOCS} did not come with this installation", where="remint explain")
