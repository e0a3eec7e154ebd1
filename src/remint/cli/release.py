"""``remint release``: what happens to a merged model."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from remint.cli.common import emit_json, stderr
from remint.core.verdict import Verdict
from remint.errors import ExitCode

if TYPE_CHECKING:
    from remint.workflows.release import Placement, Released

_EPILOG = """\
examples:
  remint release                                      # HEAD: gate, version, then where new models go first
  remint release --dry-run --json --output plan.json  # the same, and nothing is changed; `image` is what to export
  remint release --environment prod --by "Ada Lovelace"

In order: is the recorded gate still about this bundle and this champion (else it runs anew); the version's tag; then
in each environment that is after none the first model, a canary, or a promotion, as it declares. What is `after`
another one waits for its name. Killed and run again, it completes what is missing. Nothing moves while the brake is on.

exit codes: 11 the gate failed, 13 it is inconclusive: nothing is registered or moved, with or without --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    parser.add_argument("--rev", default="HEAD", metavar="REV", help="whose model (default: HEAD)")
    parser.add_argument(
        "--environment", metavar="NAME", help="this one alone, also where it is after another (default: see below)"
    )
    parser.add_argument("--by", metavar="NAME", help="who approved it, where an environment asks for a review")
    parser.add_argument("--no-commit", action="store_true", help="leave the state files' commit to somebody else")
    parser.add_argument(
        "--dry-run",
        "--plan",
        dest="dry_run",
        action="store_true",
        help="say what would be tagged and moved, and which bundles an image needs; change nothing",
    )
    parser.add_argument("--json", action="store_true", help="print the outcome")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write that JSON to FILE")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from remint.config import load_params
    from remint.workflows.place import Place
    from remint.workflows.release import ReleaseRequest, release

    place = Place(params=load_params(), now=datetime.now(UTC), commit=not args.no_commit, dry_run=args.dry_run)
    request = ReleaseRequest(
        rev=args.rev,
        environment=args.environment,
        by=args.by,
        progress=lambda line: stderr.print(line, style="dim", markup=False),
    )
    released = release(place, request)
    show(released)
    emit_json(released.to_json(), output=args.output, as_json=args.json)
    return exit_code(released.refused)


def exit_code(refused: Verdict | None) -> ExitCode:
    match refused:
        case None | Verdict.PASS:
            return ExitCode.ANSWERED
        case Verdict.FAIL:
            return ExitCode.GATE_FAILED
        case Verdict.INCONCLUSIVE:
            return ExitCode.INCONCLUSIVE
        case _:
            assert_never(refused)


def show(released: Released) -> None:
    bundle = released.bundle.removeprefix("sha256:")[:12]
    if released.refused is not None:
        word = "failed" if released.refused is Verdict.FAIL else "is inconclusive"
        stderr.print(f"[bold red]not released[/]: the gate of bundle {bundle} {word}")
        stderr.print("  remint report --gate FILE shows it; a person may accept a regression: remint gate --help")
        return
    would = "Would be" if released.dry_run else "Is"
    stderr.print(f"{would} {released.pipeline}@{released.version}, bundle {bundle}", markup=False)
    for placement in released.environments:
        stderr.print(f"  {placement.environment.name}: {_said(placement)}", markup=False)
    if released.dry_run:
        stderr.print(f"  bundles for the image: {len(released.image)}", markup=False)


def _said(placement: Placement) -> str:
    release = placement.after.release if placement.after is not None else "nothing"
    if not placement.action.moves:
        return f"{placement.action.value}, {release} serves: {placement.reason}"
    return f"{placement.action.value}, release {release}: {placement.reason}"
