"""``remint feedback``: curated feedback as a training file; raw feedback as segments."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from rich.markup import escape

from remint.cli.common import emit_json, stderr
from remint.errors import ExitCode, UsageError

_EPILOG = """\
examples:
  remint feedback export --store sqlite:////srv/remint.db --until 4200
  remint feedback export --segments https://files.example.com/churn --until 4200 --output /tmp/feedback.parquet
  remint feedback segment --store sqlite:////srv/remint.db --output segments/

A source can also stand in REMINT_STORE_URL, REMINT_FEEDBACK_URL (the service; its token in REMINT_SERVICE_TOKEN)
or REMINT_SEGMENTS_URL.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    commands = parser.add_subparsers(dest="subcommand", metavar="COMMAND", required=True)
    export = commands.add_parser(
        "export",
        help="curate feedback into the file that training reads",
        epilog="example: remint feedback export --store sqlite:///store.db --until 4200",
    )
    add_source(export)
    export.add_argument("--until", type=int, metavar="SEQ", help="the last sequence (default: a store's newest)")
    export.add_argument("--output", type=Path, metavar="FILE", help="default: prepare.feedback of params.yaml")
    export.set_defaults(run=_export)
    segment = commands.add_parser(
        "segment",
        help="write what arrived since the last segment as an immutable Parquet file",
        epilog="example: remint feedback segment --store sqlite:///store.db --output segments/",
    )
    segment.add_argument("--store", metavar="URL", help="default: REMINT_STORE_URL")
    segment.add_argument("--output", type=Path, required=True, metavar="DIR", help="where the segments are")
    segment.set_defaults(run=_segment)
    for command in (export, segment):
        command.add_argument("--dry-run", action="store_true", help="count, write nothing")
        command.add_argument("--json", action="store_true", help="print the counts as JSON")


def add_source(parser: argparse.ArgumentParser) -> None:
    """The three places that feedback can come from."""
    parser.add_argument("--store", metavar="URL", help="the feedback store, such as sqlite:////srv/remint.db")
    parser.add_argument("--service", metavar="URL", help="the service, for its authenticated export")
    parser.add_argument("--segments", metavar="URL_OR_DIR", help="Parquet segments of `remint feedback segment`")


def _export(args: argparse.Namespace) -> int:
    from remint.config import load_params
    from remint.workflows.feedback import choose_source, describe, export_feedback, newest

    params = load_params()
    source = choose_source(store=args.store, service=args.service, segments=args.segments, environment=os.environ)
    until = newest(source)[0] if args.until is None else args.until
    if until < 0:
        raise UsageError(f"--until {until}: 0 or more")
    output = args.output or Path(params.prepare.feedback)
    curated = export_feedback(params, Path(), source, until=until, output=None if args.dry_run else output)
    verb = "Would write" if args.dry_run else "Wrote"
    stderr.print(f"{verb} {curated.kept.rows} rows up to sequence {until} to {escape(str(output))}")
    for title, counts in (("put aside", curated.quarantine_counts), ("tagged", curated.tag_counts)):
        if counts:
            stderr.print(f"{title}: {', '.join(f'{count} {name}' for name, count in counts.items())}")
    emit_json({"output": str(output), "until": until, **describe(curated)}, output=None, as_json=args.json)
    return ExitCode.ANSWERED


def _segment(args: argparse.Namespace) -> int:
    from remint.config import load_params
    from remint.workflows.feedback import write_next_segment

    store = args.store or os.environ.get("REMINT_STORE_URL")
    if not store:
        raise UsageError("no store", hint="--store URL or REMINT_STORE_URL")
    report = write_next_segment(load_params(), store, args.output, dry_run=args.dry_run)
    verb = "Would write" if args.dry_run else "Wrote"
    if report.last < report.first:
        stderr.print(f"Nothing arrived since sequence {report.last}.")
    else:
        stderr.print(f"{verb} sequences {report.first} to {report.last}: {report.name or 'a segment'}")
    emit_json(report.to_json(), output=None, as_json=args.json)
    return ExitCode.ANSWERED
