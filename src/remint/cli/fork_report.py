"""``remint fork-report``: what a fork's own run reports, as a comment that says what that is worth."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from remint.cli.common import emit_json, stderr
from remint.cli.forge_options import add_forge, the_forge
from remint.errors import ExitCode

_EPILOG: Final = """\
For report.yml, after ci has run on a fork's pull request with a token that may only read. The documents are that code's
own and prove nothing: they have to be in their form, which pull request it is says the forge, and no status is set.

examples:
  remint fork-report --documents documents --commit "$HEAD_SHA"
  remint fork-report --documents documents --commit "$HEAD_SHA" --dry-run --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    parser.add_argument(
        "--documents",
        type=Path,
        metavar="DIR",
        required=True,
        help="with gate.json, and decision.json and metadata.json where they are there",
    )
    parser.add_argument("--commit", metavar="SHA", required=True, help="that the run was of: the pull request's head")
    add_forge(parser)
    parser.add_argument("--dry-run", action="store_true", help="print what would be sent, change nothing")
    parser.add_argument("--json", action="store_true", help="print the outcome")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write that JSON to FILE")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from remint.workflows.fork_report import ForkReportRequest, Said, report_fork

    request = ForkReportRequest(
        documents=args.documents, commit=args.commit, forge=the_forge(args), dry_run=args.dry_run
    )
    result = report_fork(Path(), request)
    words = {
        Said.CREATED: f"Commented on #{result.number}",
        Said.UPDATED: f"Brought the comment on #{result.number} up to date",
        Said.UNCHANGED: f"The comment on #{result.number} says this already",
        Said.NONE: f"No open pull request of a fork has {args.commit[:12]}: nothing to say",
    }
    stderr.print(f"{words[result.action]}{': not sent' if args.dry_run and result.calls else ''}", markup=False)
    emit_json(result.to_json(), output=args.output, as_json=args.json)
    return ExitCode.ANSWERED
