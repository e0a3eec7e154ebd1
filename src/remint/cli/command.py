"""``remint command``: what a comment in a pull request asks for."""

from __future__ import annotations

import argparse
import os
from datetime import UTC, datetime
from pathlib import Path

from remint.cli.common import emit_json, stderr
from remint.cli.forge_options import add_forge, the_forge
from remint.errors import ExitCode

_EPILOG = """\
examples:
  remint command --comment "$COMMENT_ID"
  remint command --comment 17 --forge local --dry-run

The first line of a comment in the pipeline's open pull request, by somebody who may write to the repository:

  /retrain [REASON]                       start a retrain by hand
  /accept-regression [RULE...] REASON     accept the failed guards (or those) for this bundle; the gate runs anew
  /snooze 14d REASON                      no retrain that the rules ask for until then (h, d or w; at most 90 d)
  /help

Only the comment's number is taken from the event. Everything else is asked of the forge, each command is done once,
and its answer stands in Remint's comment and in the ledger. All other comments are ignored.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    parser.add_argument("--comment", required=True, type=_number, metavar="ID", help="the comment's number")
    add_forge(parser)
    parser.add_argument("--dry-run", action="store_true", help="print what would be done, change nothing")
    parser.add_argument("--json", action="store_true", help="print the outcome")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write that JSON to FILE")
    parser.set_defaults(run=run)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError("not a comment's number")
    return int(text)


def run(args: argparse.Namespace) -> int:
    from remint.adapters.forge import workflow_run_url
    from remint.workflows.comment_command import CommandRequest, Dealt, answer_comment

    result = answer_comment(
        Path(),
        CommandRequest(
            comment=args.comment,
            forge=the_forge(args),
            clock=lambda: datetime.now(UTC),
            run_url=workflow_run_url(os.environ),
            dry_run=args.dry_run,
            progress=lambda line: stderr.print(line, style="dim", markup=False),
        ),
    )
    words = {
        Dealt.DONE: f"{result.command}: {result.answer}",
        Dealt.ANSWERED: f"{result.command}: {result.answer}",
        Dealt.ALREADY: f"{result.command} was dealt with before: {result.answer}",
        Dealt.REFUSED: f"{result.by} may not write to this repository: nothing is done",
        Dealt.IGNORED: "nothing for this pipeline",
    }
    would = " (dry run: nothing was done)" if args.dry_run else ""
    stderr.print(f"Comment {args.comment}: {words[result.outcome]}{would}", markup=False)
    emit_json(result.to_json(), output=args.output, as_json=args.json or args.dry_run)
    if result.blocked is not None:
        raise result.blocked
    return ExitCode.ANSWERED
