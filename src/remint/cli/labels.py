"""``remint labels``: labels that come late and as files."""

from __future__ import annotations

import argparse
import os
from datetime import UTC, datetime
from pathlib import Path

from rich.markup import escape

from remint.cli.common import emit_json, stderr
from remint.errors import ExitCode, UsageError

_EPILOG = """\
examples:
  remint labels import outcomes.csv --on prediction_id
  remint labels import churned-in-march.parquet --on subject --label churned

Joined to the prediction log and kept as feedback; training sees them through `remint feedback export`.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    commands = parser.add_subparsers(dest="subcommand", metavar="COMMAND", required=True)
    importing = commands.add_parser(
        "import",
        help="append the labels of a file to the store",
        epilog="example: remint labels import l.csv --on subject",
    )
    importing.add_argument("file", type=Path, metavar="FILE", help="CSV, TSV or Parquet")
    importing.add_argument(
        "--on",
        required=True,
        metavar="COLUMN",
        help="the column to join by: prediction_id, subject, or a feature that names one prediction",
    )
    importing.add_argument("--label", metavar="COLUMN", help="default: the task's label")
    importing.add_argument("--store", metavar="URL", help="default: REMINT_STORE_URL")
    importing.add_argument("--dry-run", action="store_true", help="count, append nothing")
    importing.add_argument("--json", action="store_true", help="print the counts as JSON")
    importing.add_argument("--output", type=Path, metavar="FILE", help="write that JSON to FILE")
    importing.set_defaults(run=_import)


def _import(args: argparse.Namespace) -> int:
    from remint.config import load_params
    from remint.workflows.labels import import_labels

    store = args.store or os.environ.get("REMINT_STORE_URL")
    if not store:
        raise UsageError("no store", hint="--store URL or REMINT_STORE_URL")
    report = import_labels(
        load_params(),
        args.file,
        store_url=store,
        on=args.on,
        label=args.label,
        now=datetime.now(UTC),
        dry_run=args.dry_run,
    )
    verb = "Would append" if args.dry_run else "Appended"
    stderr.print(f"{verb} {report.stored} labels as {report.reporter}; {report.present} were there already")
    for count, meaning in (
        (report.incomplete, "rows have no key or no label"),
        (report.unknown, f"keys are of no prediction, such as {', '.join(report.unknown_examples)}"),
        (report.ambiguous, "keys are of several predictions and were left out; join on prediction_id"),
    ):
        if count:
            stderr.print(f"{count} {escape(meaning)}")
    if report.new_labels:
        stderr.print(f"labels that no model knows: {escape(', '.join(report.new_labels[:10]))}")
    emit_json(report.to_json(), output=args.output, as_json=args.json)
    return ExitCode.ANSWERED
