"""``remint unfreeze``: release the brake."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from remint.cli.common import stderr
from remint.cli.freeze import add_options, show

_EPILOG: Final = """\
example: remint unfreeze --reason "labels repaired up to 4 May"

Every brake that is on is released and shown, whoever pulled it. The next check decides anew.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why it may go on")
    add_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from remint.adapters.git import Git
    from remint.config import load_params
    from remint.workflows.freeze import unfreeze

    brake = unfreeze(
        Git(Path()),
        load_params().pipeline,
        reason=args.reason,
        by=args.by,
        now=datetime.now(UTC),
        dry_run=args.dry_run,
    )
    if brake.changed and not args.dry_run:
        stderr.print("An open pull request is released by: remint recheck --pull-request", markup=False)
    verb = "Would release" if args.dry_run else "Released"
    return show(args, brake, f"{verb} {brake.pipeline}" if brake.changed else f"{brake.pipeline} is not frozen")
