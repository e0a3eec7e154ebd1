"""``remint dispatch``: a decision starts the retrain workflow on the forge, a merged model the release."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
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
  remint dispatch --release                 # start release.yml for a merged model, where nothing has done so

A decision other than RETRAIN starts nothing. A decision that was dealt with, or whose run is under way, starts nothing
a second time. With --release: where remint release at the branch's tip would do something, and no release runs; a merge
by a workflow's own token starts no workflow by itself.
The token is REMINT_TOKEN, else GITHUB_TOKEN; it needs actions: write.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--decision", type=Path, metavar="FILE", help="decision.json of remint check")
    what.add_argument("--release", action="store_true", help="of the model that stands on the branch")
    parser.add_argument("--workflow", metavar="FILE", help="default: retrain.yml, with --release release.yml")
    parser.add_argument("--ref", metavar="BRANCH", help="whose workflow file runs (default: the default branch)")
    add_forge(parser)
    parser.add_argument("--dry-run", action="store_true", help="print what would be sent, change nothing")
    parser.add_argument("--json", action="store_true", help="print the outcome")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write that JSON to FILE")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    return _release(args) if args.release else _retrain(args)


def _retrain(args: argparse.Namespace) -> int:
    from remint.workflows.dispatch import DispatchRequest, Started, dispatch

    workflow = args.workflow or "retrain.yml"
    result = dispatch(
        Path(),
        DispatchRequest(
            decision=read_decision(args.decision),
            forge=the_forge(args),
            workflow=workflow,
            ref=args.ref,
            dry_run=args.dry_run,
        ),
    )
    words = {
        Started.STARTED: "Would start" if args.dry_run else "Started",
        Started.ALREADY: "Dealt with before, or under way:",
        Started.NONE: f"The answer is {result.answer}, nothing to start:",
    }
    stderr.print(f"{words[result.action]} {workflow} {result.run_id} {result.url or ''}".rstrip(), markup=False)
    emit_json(result.to_json(), output=args.output, as_json=args.json or args.dry_run)
    return ExitCode.ANSWERED


def _release(args: argparse.Namespace) -> int:
    from remint.workflows.dispatch import ReleaseDispatchRequest, Started, dispatch_release

    workflow = args.workflow or "release.yml"
    result = dispatch_release(
        Path(),
        ReleaseDispatchRequest(
            forge=the_forge(args),
            clock=lambda: datetime.now(UTC),
            workflow=workflow,
            ref=args.ref,
            dry_run=args.dry_run,
        ),
    )
    words = {
        Started.STARTED: f"{'Would start' if args.dry_run else 'Started'} {workflow}",
        Started.ALREADY: f"{workflow} is not started again",
        Started.NONE: f"{workflow} is not started",
    }
    stderr.print(f"{words[result.action]}: {result.reason} {result.url or ''}".rstrip(), markup=False)
    emit_json(result.to_json(), output=args.output, as_json=args.json or args.dry_run)
    return ExitCode.ANSWERED
