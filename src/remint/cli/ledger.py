"""``remint ledger``: the append-only record of decisions, retrains, acceptances and canaries."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from remint.cli.common import emit_json, stderr
from remint.core.document import format_time
from remint.core.ledger import LedgerEvent, is_run_id
from remint.errors import ExitCode, NoDataError, UsageError

_EPILOG = """\
examples:
  remint ledger                                           # what was decided and done, oldest first
  remint ledger --event retrain_finished --last 5 --json
  remint ledger --run churn-20261121T040000Z-1a2b3c --file report.md

It lives on the branch remint/ledger/<pipeline>, which is read from origin where there is one.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    parser.add_argument("--event", choices=[e.value for e in LedgerEvent], help="only entries of this kind")
    parser.add_argument("--run", dest="run_id", metavar="RUN_ID", help="only entries of this run")
    parser.add_argument("--last", type=int, metavar="N", help="only the newest N")
    parser.add_argument("--file", metavar="NAME", help="print a file attached to --run, such as report.md")
    parser.add_argument("--json", action="store_true", help="print the entries as a JSON list")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write that JSON to FILE")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from remint.adapters.git import Git
    from remint.adapters.ledger import Ledger
    from remint.config import load_params

    if args.last is not None and args.last < 1:
        raise UsageError(f"--last {args.last}: at least 1")
    ledger = Ledger(Git(Path()), load_params().pipeline)
    if args.file is not None:
        if Path(args.file).name != args.file or args.file == "..":
            raise UsageError(f"--file {args.file!r} is not a file's name")
        return _print_file(ledger.attachment(_run_id(args.run_id), args.file), args)
    entries = [
        entry
        for entry in ledger.entries()
        if (args.event is None or entry.event == args.event) and (args.run_id is None or entry.run_id == args.run_id)
    ][-(args.last or 0) :]
    for entry in entries:
        words = (str(entry.data[key]) for key in ("answer", "outcome", "rule", "error") if entry.data.get(key))
        line = f"{format_time(entry.at)}  {entry.event.value:<16}  {entry.run_id}  {' '.join(words)}"
        stderr.print(line.rstrip(), markup=False)
    if not entries:
        stderr.print("No such entry in the ledger.")
    emit_json([entry.to_json() for entry in entries], output=args.output, as_json=args.json)
    return ExitCode.ANSWERED


def _run_id(text: str | None) -> str:
    if text is None or not is_run_id(text):
        raise UsageError("--file needs --run with a run id", hint="remint ledger lists them")
    return text


def _print_file(content: bytes | None, args: argparse.Namespace) -> int:
    if content is None:
        raise NoDataError(f"no file {args.file!r} is attached", where=args.run_id)
    sys.stdout.write(content.decode("utf-8", "replace"))
    return ExitCode.ANSWERED
