"""``remint recheck``: does the recorded gate still hold?"""

from __future__ import annotations

import argparse
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from remint.cli.common import emit_json, stderr
from remint.cli.forge_options import add_forge, the_forge
from remint.core.verdict import Verdict
from remint.errors import ExitCode

if TYPE_CHECKING:
    from remint.workflows.recheck import Rechecked

_EPILOG = """\
examples:
  remint recheck                                  # HEAD, before a release
  remint recheck --rev main --exit-code --json
  remint recheck --pull-request --forge gitea     # its status, title, text and comment follow

An approval and a gate are about one bundle, one champion and one set of rules. Where the newest recorded gate is about
another one, it is stale: the gate runs anew and is recorded in the ledger. Nothing is merged, tagged or deployed, so it
works while the brake is on; a pull request's status then says who pulled it.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--rev", default="HEAD", metavar="REV", help="whose bundle (default: HEAD)")
    which.add_argument(
        "--pull-request", action="store_true", help="of the pipeline's open pull request, whose page follows"
    )
    add_forge(parser)
    parser.add_argument("--dry-run", action="store_true", help="say whether it is stale, run and change nothing")
    parser.add_argument("--exit-code", action="store_true", help="11: the gate failed, 13: it is inconclusive")
    parser.add_argument("--json", action="store_true", help="print the outcome")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write that JSON to FILE")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from remint.adapters.forge import workflow_run_url
    from remint.workflows.recheck import RecheckRequest, recheck, recheck_pull_request

    request = RecheckRequest(
        clock=lambda: datetime.now(UTC),
        rev=args.rev,
        dry_run=args.dry_run,
        run_url=workflow_run_url(os.environ),
        progress=lambda line: stderr.print(line, style="dim", markup=False),
    )
    here = Path()
    found = recheck_pull_request(here, request, the_forge(args)) if args.pull_request else recheck(here, request)
    stderr.print(_said(found), markup=False)
    emit_json(found.to_json(), output=args.output, as_json=args.json)
    if found.blocked is not None:
        raise found.blocked
    return exit_code(found) if args.exit_code else ExitCode.ANSWERED


def exit_code(found: Rechecked) -> ExitCode:
    from remint.workflows.recheck import Standing

    match found.standing:
        case Standing.CHAMPION | Standing.NONE:
            return ExitCode.ANSWERED
        case Standing.CURRENT | Standing.STALE:
            pass
        case _:
            assert_never(found.standing)
    match found.verdict:
        case Verdict.PASS:
            return ExitCode.ANSWERED
        case Verdict.FAIL:
            return ExitCode.GATE_FAILED
        case Verdict.INCONCLUSIVE | None:
            return ExitCode.INCONCLUSIVE
        case _:
            assert_never(found.verdict)


def _said(found: Rechecked) -> str:
    from remint.workflows.recheck import Standing

    what = f"Bundle {(found.bundle or '')[:19]}"
    match found.standing:
        case Standing.NONE:
            return "There is no open pull request"
        case Standing.CHAMPION:
            return f"{what} is the champion: nothing to judge"
        case Standing.CURRENT:
            return f"{what}: the recorded gate holds: {found.verdict}"
        case Standing.STALE:
            verdict = "it has to run anew" if found.verdict is None else f"it ran anew: {found.verdict}"
            return f"{what}: the gate was stale ({'; '.join(found.changed)}), {verdict}"
        case _:
            assert_never(found.standing)
