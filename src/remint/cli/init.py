"""``remint init``: make a pipeline of a data file."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from remint.cli.common import emit_json, stderr
from remint.core.schema import Kind
from remint.errors import ExitCode, UsageError, did_you_mean

if TYPE_CHECKING:
    from remint.workflows.init import InitReport

_EPILOG = """\
examples:
  remint init --data customers.csv --label churned
  remint init --data orders.parquet --label returned --time ordered_at --zone Europe/Amsterdam
  remint init --example breast-cancer && dvc repro

Overwrites nothing: a file that is there and differs is an error that names it. Running it again changes nothing.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, metavar="FILE", help="CSV, TSV or Parquet; copied to data/")
    source.add_argument("--example", choices=["breast-cancer"], help="data that comes with scikit-learn")
    source.add_argument(
        "--redraw-golden", action="store_true", help="after a change of task.columns: draw the golden set again"
    )
    parser.add_argument("--label", metavar="COLUMN", help="the column to predict")
    parser.add_argument("--pipeline", metavar="SLUG", help="the model's name; default: from the file's name")
    parser.add_argument("--time", metavar="COLUMN", help="when each row happened; makes the split temporal")
    parser.add_argument("--zone", metavar="ZONE", help="of times that name none, such as Europe/Amsterdam")
    parser.add_argument(
        "--kind",
        action="append",
        default=[],
        metavar="COLUMN=KIND",
        help="overrule a column's kind: numeric, categorical, text, ignored or sensitive; may be repeated",
    )
    parser.add_argument("--without-workflows", action="store_true", help="leave .github/ alone")
    parser.add_argument("--commit", action="store_true", help="commit what was made")
    parser.add_argument("--dry-run", action="store_true", help="show what would be made, change nothing")
    parser.add_argument("--json", action="store_true", help="print what was made as JSON")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write that JSON to FILE")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from remint.adapters.examples import Example
    from remint.workflows.init import InitRequest, initialise, redraw_golden

    if args.redraw_golden:
        rows = redraw_golden(Path())
        stderr.print(f"Drew {rows} golden rows; golden/ and prepare.golden.sha256 in params.yaml changed: review both.")
        return ExitCode.ANSWERED
    request = InitRequest(
        data=args.data,
        example=None if args.example is None else Example(args.example),
        label=args.label,
        pipeline=args.pipeline,
        time_column=args.time,
        zone=args.zone,
        kinds=dict(_parse_kind(text) for text in args.kind),
        workflows=not args.without_workflows,
        dry_run=args.dry_run,
        commit=args.commit,
    )
    report = initialise(request, Path())
    _show(report, dry_run=args.dry_run)
    emit_json(report.to_json(), output=args.output, as_json=args.json)
    return ExitCode.ANSWERED


def _parse_kind(text: str) -> tuple[str, Kind]:
    column, _, kind = text.rpartition("=")
    if not column or kind not in set(Kind):
        raise UsageError(
            f"--kind {text!r} is not COLUMN=KIND", hint=did_you_mean(kind, Kind) or f"kinds: {', '.join(Kind)}"
        )
    return column, Kind(kind)


def _show(report: InitReport, *, dry_run: bool) -> None:
    found = report.inspection
    sides = found.splits
    shown = Table("column", "kind", "why", box=None, pad_edge=False, header_style="bold")
    for column in found.columns[:40]:
        shown.add_row(Text(column.name), column.kind.value, Text(column.reason))
    stderr.print(shown)
    if len(found.columns) > 40:
        stderr.print(f"... and {len(found.columns) - 40} more columns, see params.yaml")
    for warning in found.warnings:
        stderr.print(Text.assemble(("warning: ", "yellow"), warning))
    stderr.print(
        f"{found.rows} rows ({found.distinct_rows} distinct), {len(found.classes)} classes: "
        f"{sides.train.rows} to train, {sides.held_out.rows} held out, {sides.test.rows} to test, "
        f"{found.golden.rows} golden; {found.estimator}"
    )
    changed = [step for step in report.steps if step.action.value != "keep"]
    verb = "Would write" if dry_run else "Wrote"
    done = f" after {' and '.join(report.begun)}" if report.begun else ""
    names = ", ".join(f"{step.path}" for step in changed)
    stderr.print(Text(f"{verb}{done}: {names}" if changed else "All files are there already; nothing changed."))
    if dry_run:
        return
    stderr.print("Next:")
    if not report.committed:
        paths = " ".join(shlex.quote(path) for path in report.to_commit)
        stderr.print(Text(f"  git add {paths} && git commit -m 'Pipeline {report.pipeline}'"))
    stderr.print("  dvc repro                          # prepare, train, evaluate")
    stderr.print("  remint lock install                # dvc.lock merges by stage, in this clone")
    stderr.print("  dvc remote add --default NAME URL  # where the data and models are shared, then: dvc push")
