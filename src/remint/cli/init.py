"""``remint init``: make a pipeline of a data file, also beside one's own; or move the pins of an earlier one."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
  remint init --adopt --data data/features.csv --label churned --estimator src.model:make --dry-run
  remint init --upgrade

Overwrites nothing: a file that is there and differs is an error that names it. Running it again changes nothing.
With --dry-run the diff goes to stdout, as `git apply` takes it.
"""
_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--data", type=Path, metavar="FILE", help="CSV, TSV or Parquet; copied to data/ unless tracked")
    source.add_argument("--example", choices=["breast-cancer"], help="data that comes with scikit-learn")
    source.add_argument(
        "--redraw-golden", action="store_true", help="after a change of task.columns: draw the golden set again"
    )
    source.add_argument(
        "--upgrade", action="store_true", help="move the pins of Remint and of the actions, and nothing else"
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
    parser.add_argument(
        "--estimator", metavar="MODULE:FUNCTION", help="what makes the model; default: one of ours that suits the data"
    )
    parser.add_argument(
        "--parameter", action="append", default=[], metavar="NAME=VALUE", help="of the estimator; may be repeated"
    )
    parser.add_argument(
        "--trust",
        action="append",
        default=[],
        metavar="TYPE",
        help="a further type that its bundle may hold, such as sklearn.tree._tree.Tree of forests; may be repeated",
    )
    parser.add_argument(
        "--adopt",
        action="store_true",
        help="add our stages and a section to your own dvc.yaml and params.yaml",
    )
    parser.add_argument(
        "--workflows",
        choices=["full", "reusable", "none"],
        default="full",
        help="in .github/: the workflows, thin callers of Remint's own, or nothing (default: full)",
    )
    parser.add_argument(
        "--without-workflows", dest="workflows", action="store_const", const="none", help="the same as --workflows none"
    )
    parser.add_argument(
        "--workflows-from", metavar="OWNER/REPOSITORY@COMMIT", help="whose reusable workflows are called; all 40 digits"
    )
    parser.add_argument("--chart", action="store_true", help="copy the Helm chart to helm/remint")
    parser.add_argument("--commit", action="store_true", help="commit what was made")
    parser.add_argument("--dry-run", action="store_true", help="print the diff, change nothing")
    parser.add_argument("--json", action="store_true", help="print what was made as JSON")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write that JSON to FILE")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if args.upgrade:
        return _upgrade(args)
    from remint.adapters.examples import Example
    from remint.workflows.init import InitRequest, initialise
    from remint.workflows.init_files import Workflows

    if args.redraw_golden:
        from remint.workflows.redraw_golden import redraw_golden

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
        estimator=args.estimator,
        parameters=dict(_parse_parameter(text) for text in args.parameter),
        trusted_types=tuple(args.trust),
        adopt=args.adopt,
        workflows=Workflows(args.workflows),
        workflows_from=args.workflows_from,
        chart=args.chart,
        dry_run=args.dry_run,
        commit=args.commit,
    )
    report = initialise(request, Path(), before_writing=None if args.dry_run else _show_diff)
    _show(report, dry_run=args.dry_run)
    if args.dry_run and not args.json:
        _print_diff([report.diff(step) for step in report.changes])
    emit_json(report.to_json(), output=args.output, as_json=args.json)
    return ExitCode.ANSWERED


def _upgrade(args: argparse.Namespace) -> int:
    from remint.core.file_diff import file_diff
    from remint.workflows.upgrade import upgrade

    done = upgrade(Path(), dry_run=args.dry_run, commit_it=args.commit)
    diffs = [file_diff(step.path, step.before, step.content) for step in done.moved]
    if args.dry_run and not args.json:
        _print_diff(diffs)
    else:
        _diff_to_stderr("\n".join(diff for diff in diffs if diff))
    if not done.moved:
        stderr.print("All pins are where this Remint has them; nothing changed.")
    elif not args.dry_run and any(step.path.endswith("requirements.txt") for step in done.moved):
        stderr.print("requirements.txt is a dependency of the stages: the next `dvc repro` trains anew.")
    for step in done.theirs:
        stderr.print(Text(f"{step.path} was changed since init wrote it and stays; you may want:"))
        _diff_to_stderr(file_diff(step.path, step.before, step.content) or "")
    emit_json(done.to_json(), output=args.output, as_json=args.json)
    return ExitCode.ANSWERED


def _parse_kind(text: str) -> tuple[str, Kind]:
    column, _, kind = text.rpartition("=")
    if not column or kind not in set(Kind):
        raise UsageError(
            f"--kind {text!r} is not COLUMN=KIND", hint=did_you_mean(kind, Kind) or f"kinds: {', '.join(Kind)}"
        )
    return column, Kind(kind)


def _parse_parameter(text: str) -> tuple[str, Any]:
    import yaml

    name, found, value = text.partition("=")
    if not name or not found:
        raise UsageError(f"--parameter {text!r} is not NAME=VALUE", hint="such as --parameter n_estimators=50")
    try:
        return name, yaml.safe_load(value)
    except yaml.YAMLError:
        raise UsageError(f"--parameter {name}: {value!r} is not a YAML value") from None


def _show_diff(report: InitReport) -> None:
    """Before anything is written: what changes in files that are there, and the names of the new ones."""
    for step in report.changes:
        if step.before is None:
            stderr.print(Text(f"new file {step.path}{_size(step.content)}", style="green"))
        else:
            _diff_to_stderr(report.diff(step) or f"{step.path} changes\n")


def _size(content: bytes) -> str:
    return f", {len(content)} bytes" if b"\0" in content else f", {content.count(10)} lines"


def _print_diff(diffs: Sequence[str | None]) -> None:
    """To stdout, in colours in a terminal alone."""
    text = "".join(diff for diff in diffs if diff)
    if not sys.stdout.isatty():
        sys.stdout.write(text)
        return
    from rich.console import Console

    Console(highlight=False, soft_wrap=True).print(_coloured(text), end="")


def _diff_to_stderr(text: str) -> None:
    if text:
        stderr.print(_coloured(text), end="" if text.endswith("\n") else "\n")


def _coloured(text: str) -> Text:
    shown = Text()
    for line in text.split("\n"):
        style = "bold" if line.startswith(("diff ", "+++ ", "--- ", "new file ")) else _STYLES.get(line[:1], "")
        shown.append(line + "\n", style=style)
    shown.right_crop(1)
    return shown


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
    for note in report.notes:
        stderr.print(Text.assemble(("note: ", "cyan"), note))
    verb = "Would write" if dry_run else "Wrote"
    done = f" after {' and '.join(report.begun)}" if report.begun else ""
    names = ", ".join(step.path for step in report.changes)
    stderr.print(Text(f"{verb}{done}: {names}" if names else "All files are there already; nothing changed."))
    if dry_run:
        return
    stderr.print("Next:")
    if not report.committed:
        paths = " ".join(shlex.quote(path) for path in report.to_commit)
        stderr.print(Text(f"  git add {paths} && git commit -m 'Pipeline {report.pipeline}'"))
    stages = "prepare, train, evaluate" if report.adopted is None else "your stages, then ours"
    stderr.print(f"  dvc repro                          # {stages}")
    stderr.print("  remint lock install                # dvc.lock merges by stage, in this clone")
    stderr.print("  dvc remote add --default NAME URL  # where the data and models are shared, then: dvc push")
    stderr.print("  remint doctor                      # what is still missing, with the command that mends it")
