"""``remint plan``: what a run would do, before it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

from remint.cli.common import emit_json, stderr
from remint.errors import ExitCode

if TYPE_CHECKING:
    from remint.workflows.plan import Plan

_EPILOG: Final = """\
examples:
  remint plan                               # of this checkout
  remint plan --decision decision.json      # of remint retrain, from HEAD: what the decision's `until` changes too

Nothing is run and nothing is downloaded. Data that are only not on this machine are no change: what dvc.lock records of
them is compared. "may run" means that a stage before it runs; whether its output changes is known only then.
"""
_SHOWN: Final = {"run": ("run", "bold"), "may_run": ("may run", "yellow"), "stay": ("stays", "dim")}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    parser.add_argument("--decision", type=Path, metavar="FILE", help="decision.json: plan its retrain")
    parser.add_argument("--json", action="store_true", help="print the plan as JSON")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write that JSON to FILE")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from remint.cli.retrain import read_decision
    from remint.workflows.plan import plan_checkout, plan_decision

    plan = (
        plan_checkout(Path())
        if args.decision is None
        else plan_decision(Path(), read_decision(args.decision), where=str(args.decision))
    )
    _show(plan)
    emit_json(plan.to_json(), output=args.output, as_json=args.json)
    return ExitCode.ANSWERED


def _show(plan: Plan) -> None:
    from remint.core.run_plan import total_bytes

    shown = Table("stage", "does", "why", box=None, pad_edge=False, header_style="bold")
    for stage in plan.run.stages:
        word, style = _SHOWN[stage.action.value]
        shown.add_row(stage.name, Text(word, style=style), Text(stage.reason))
    stderr.print(shown)
    for change in plan.changes:
        stderr.print(f"The decision changes {change}", markup=False)
    for download in plan.run.downloads:
        perhaps = "" if download.certain else ", if it runs"
        readers = f" for {', '.join(download.needed_by)}{perhaps}" if download.needed_by else ""
        stderr.print(f"Pulls {download.path} ({_size(download.size_bytes)}){readers}", markup=False)
    needed = total_bytes(download.size_bytes for download in plan.run.downloads)
    missing = total_bytes(item.size_bytes for item in plan.run.missing)
    stderr.print(f"To pull: {_size(needed)}. A bare `dvc pull` would bring {_size(missing)}.", markup=False)
    stderr.print(f"Next: {plan.command}" if plan.run.runs else "Nothing has to run.", markup=False)


def _size(size_bytes: int | None) -> str:
    if size_bytes is None:
        return "size unknown"
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.1f} {unit}"
    return f"{size_bytes} B"
