"""``remint freeze`` and ``remint unfreeze``: the brake of a pipeline."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from remint.cli.common import emit_json, stderr
from remint.cli.forge_options import add_forge, forge_if_any
from remint.core.document import format_time
from remint.errors import ExitCode

if TYPE_CHECKING:
    from remint.workflows.freeze import Brake

_EPILOG: Final = """\
examples:
  remint freeze --reason "labels of the new call centre are swapped"
  remint freeze --reason "labels of the new call centre are swapped" --forge github   # holds the pull request at once

The brake stops dispatch, retrain, publishing, canary steps forward and promotion, from every machine: it is an entry in
the ledger. A rollback is never stopped. The check still decides, and says HOLD with who pulled the brake and why.
With a forge at hand the open pull request's status turns pending, so that no branch protection takes it for a yes, and
its auto-merge is taken back; elsewhere the next `remint recheck --pull-request` does so. `remint unfreeze` releases it.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why, for everybody whom it stops")
    add_options(parser)
    add_forge(parser, default="the one whose runner this is, if any")
    parser.set_defaults(run=run)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--by", metavar="NAME", help="who does it (default: git's user.name)")
    parser.add_argument("--dry-run", action="store_true", help="say what would be recorded, record nothing")
    parser.add_argument("--json", action="store_true", help="print the brake's state as JSON")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write that JSON to FILE")


def run(args: argparse.Namespace) -> int:
    from remint.adapters.git import Git
    from remint.config import load_params
    from remint.workflows.freeze import freeze
    from remint.workflows.recheck import hold_open_pull

    brake = freeze(
        Git(Path()),
        load_params().pipeline,
        reason=args.reason,
        by=args.by,
        now=datetime.now(UTC),
        dry_run=args.dry_run,
    )
    forge = None if args.dry_run else forge_if_any(args)
    pull = forge and hold_open_pull(Git(Path()), brake.pipeline, forge, now=datetime.now(UTC))
    if pull:
        stderr.print(f"Pull request {pull.url} is held", markup=False)
    verb = "Would freeze" if args.dry_run else "Froze" if brake.changed else "Was frozen before:"
    return show(args, brake, f"{verb} {brake.pipeline}; remint unfreeze releases it")


def show(args: argparse.Namespace, brake: Brake, headline: str) -> int:
    stderr.print(headline, markup=False)
    for freeze in brake.standing or brake.released:
        stderr.print(f"  {format_time(freeze.at)}  {freeze.by}: {freeze.reason}", markup=False)
    emit_json(brake.to_json(), output=args.output, as_json=args.json)
    return ExitCode.ANSWERED
