"""``remint dispatch``: a decision starts the retrain workflow on the forge."""

from __future__ import annotations

import argparse
from pathlib import Path

from remint.cli.common import emit_json, stderr
from remint.cli.forge_options import add_forge, the_forge
from remint.cli.retrain import read_decision
from remint.errors import ExitCode

_EPILOG = """\
examples:
  remint check --output decision.json && remint dispatch --decision decision.json
  remint dispatch --decision decision.json --workflow retrain.yml --ref main --json
  remint dispatch --decision decision.json --forge local --dry-run

A decision other than RETRAIN starts nothing. A decision that was dealt with, or whose run is under way, starts nothing
a second time. The token is REMINT_TOKEN, else GITHUB_TOKEN; it needs actions: write.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    parser.add_argument("--decision", required=True, type=Path, metavar="FILE", help="decision.json of remint check")
    parser.add_argument("--workflow", default="retrain.yml", metavar="FILE", help="default: retrain.yml")
    parser.add_argument("--ref", metavar="BRANCH", help="whose workflow file runs (default: the default branch)")
    add_forge(parser)
    parser.add_argument("--dry-run", action="store_true", help="print what would be sent, change nothing")
    parser.add_argument("--json", action="store_true", help="print the outcome")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write that JSON to FILE")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from remint.workflows.dispatch import DispatchRequest, Started, dispatch

    result = dispatch(
        Path(),
        DispatchRequest(
            decision=read_decision(args.decision),
            forge=the_forge(args),
            workflow=args.workflow,
            ref=args.ref,
            dry_run=args.dry_run,
        ),
    )
    words = {
        Started.STARTED: "Would start" if args.dry_run else "Started",
        Started.ALREADY: "Dealt with before, or under way:",
        Started.NONE: f"The answer is {result.answer}, nothing to start:",
    }
    stderr.print(f"{words[result.action]} {args.workflow} {result.run_id} {result.url or ''}".rstrip(), markup=False)
    emit_json(result.to_json(), output=args.output, as_json=args.json or args.dry_run)
    return ExitCode.ANSWERED
