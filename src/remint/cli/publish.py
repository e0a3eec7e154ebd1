"""``remint publish``: a retrain as a pull request."""

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
  remint publish --run .remint/runs/churn-20261121T040000Z-1a2b3c
  remint publish --run .remint/runs/churn-20261121T040000Z-1a2b3c --forge local --json
  remint publish --run .remint/runs/churn-20261121T040000Z-1a2b3c --dry-run

One pull request a pipeline, from remint/retrain/<pipeline>: opened, brought up to date, closed when the base has its
model already. Who closes it refuses that data: with the same data it is not opened again. Repeat it at will.
Where the champion or the rules changed since the gate ran, it runs anew. With pull_request.auto_merge: on_pass a gate
that passed is left to the forge to merge; where it cannot be, all else is done and the exit code is 2.
The token is REMINT_TOKEN, else GITHUB_TOKEN; it needs contents, pull-requests and statuses: write.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    parser.add_argument("--run", required=True, type=Path, metavar="DIR", dest="directory_of_run", help="of a retrain")
    parser.add_argument("--base", metavar="BRANCH", help="to merge into (default: the repository's default branch)")
    add_forge(parser)
    parser.add_argument("--dry-run", action="store_true", help="print what would be sent, change nothing")
    parser.add_argument("--json", action="store_true", help="print the outcome")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write that JSON to FILE")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from remint.adapters.forge import workflow_run_url
    from remint.workflows.publish import Action, PublishRequest, publish

    result = publish(
        Path(),
        PublishRequest(
            run=args.directory_of_run,
            forge=the_forge(args),
            clock=lambda: datetime.now(UTC),
            base=args.base,
            run_url=workflow_run_url(os.environ),
            dry_run=args.dry_run,
            progress=lambda line: stderr.print(line, style="dim", markup=False),
        ),
    )
    words = {
        Action.CREATED: "opened",
        Action.UPDATED: "brought up to date",
        Action.UNCHANGED: "as it was",
        Action.REFUSED: "not opened: a person closed the one with this data",
        Action.CLOSED: "closed: it is not needed any more",
        Action.NONE: "not needed: there is nothing to review",
    }
    place = f" {result.url}" if result.url else ""
    would = " (dry run: nothing was sent)" if args.dry_run else ""
    stderr.print(f"Pull request{place} {words[result.action]}{would}", markup=False)
    emit_json(result.to_json(), output=args.output, as_json=args.json or args.dry_run)
    if result.blocked is not None:
        raise result.blocked
    return ExitCode.ANSWERED
