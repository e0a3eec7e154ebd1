"""``remint backtest``: what a policy would have done on the past, before it is switched on."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from remint.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from remint.workflows.backtest import Progress
    from remint.workflows.backtest_run import Track

_EPILOG = """\
The Markdown goes to stdout, or with --json the document. Retrains, when, why, how far apart, what was lost before each.

examples:
  remint backtest --since 2026-01-01T00:00:00Z --plot backtest.svg
  remint backtest --log data/last-year.parquet --error-cost 0.5 --retrain-cost 200
  remint backtest --suggest --false-retrains-a-year 1
  remint backtest --compare params.yaml proposed.yaml >> "$GITHUB_STEP_SUMMARY"

exit codes: 0 answered, 2 configuration, 3 the history is shorter than one window, 4 Prometheus or git is down
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    parser.add_argument(
        "--compare", nargs=2, type=Path, metavar=("A.yaml", "B.yaml"), help="two policies side by side; default: one"
    )
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), metavar="FILE", help="the one policy")
    past = parser.add_argument_group("the past, [since, until)")
    past.add_argument(
        "--source", choices=("prometheus", "ledger", "log"), help="default: check.source; the ledger for a store"
    )
    past.add_argument("--since", type=_time, metavar="TIME", help="RFC 3339; default: a year, or all that there is")
    past.add_argument("--until", type=_time, metavar="TIME", help="RFC 3339; default: now")
    past.add_argument("--prometheus-url", metavar="URL", help="default: REMINT_PROMETHEUS_URL, params.yaml")
    log = parser.add_argument_group("a labelled log: Parquet, CSV or TSV with the features, a time and the label")
    log.add_argument("--log", type=Path, metavar="FILE", help="a file, a directory or a quoted glob")
    log.add_argument("--time", metavar="COLUMN", help="default: task.time")
    log.add_argument("--label", metavar="COLUMN", help="default: task.label; may be empty where there is none yet")
    log.add_argument("--predicted", metavar="COLUMN", help="the class that was predicted; default: the bundle predicts")
    log.add_argument("--confidence", metavar="COLUMN", help="its probability, with --predicted")
    log.add_argument("--label-delay", type=_duration, metavar="6h", help="how long after its row a label arrives")
    log.add_argument("--bundle", type=Path, metavar="DIR", help="the champion's bundle; default: artifacts/bundle")
    model = parser.add_argument_group("what a replayed retrain makes")
    model.add_argument("--retrain-hours", type=_positive, default=0.0, metavar="H", help="until its promotion")
    model.add_argument("--reference-window", type=_duration, metavar="14d", help="it trains on; default: check.window")
    model.add_argument("--no-rereference", action="store_true", help="keep the first champion's reference")
    parser.add_argument("--error-cost", type=_positive, metavar="X", help="of a wrong prediction; else a cost rule's")
    parser.add_argument("--retrain-cost", type=_positive, metavar="X", help="of a retrain with its review")
    parser.add_argument("--suggest", action="store_true", help="limits that would have kept to the budget")
    parser.add_argument(
        "--false-retrains-a-year", type=_positive, metavar="X", help="of --suggest; default: the one in params.yaml"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="drift, accuracy and answers over time")
    parser.add_argument("--html", type=Path, metavar="FILE", help="one page with the plot")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the document here")
    parser.add_argument("--json", action="store_true", help="print the document to stdout instead of the Markdown")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from remint.cli.common import emit_json, stderr, write_atomically
    from remint.config import load_params
    from remint.core.report_backtest import markdown
    from remint.workflows.backtest import ReplayOptions
    from remint.workflows.backtest_run import BacktestQuestion, Past, Policy, run_backtest, sealed

    if args.false_retrains_a_year is not None and not args.suggest:
        raise UsageError("--false-retrains-a-year belongs to --suggest")
    paths = args.compare or [args.params]
    policies = [Policy(name=name, params=load_params(path)) for name, path in zip(_names(paths), paths, strict=True)]
    budget = args.false_retrains_a_year or policies[0].params.check.false_retrains_a_year
    columns = ("time", "label", "predicted", "confidence", "label_delay", "bundle")
    question = BacktestQuestion(
        now=datetime.now(UTC),
        since=args.since,
        until=args.until,
        past=Past(args.source) if args.source else None,
        prometheus_url=args.prometheus_url,
        log=args.log,
        log_columns={name: getattr(args, name) for name in columns if getattr(args, name) is not None},
        options=ReplayOptions(
            retrain_takes=timedelta(hours=args.retrain_hours),
            rereference=not args.no_rereference,
            reference_window=args.reference_window,
        ),
        error_cost=args.error_cost,
        retrain_cost=args.retrain_cost,
        suggest=budget if args.suggest else None,
    )
    with _bars() as track:
        report = run_backtest(policies, question, directory=Path(), environ=os.environ, track=track)
    if args.plot is not None or args.html is not None:
        from remint.workflows.backtest_page import render_page, render_plot

        if args.plot is not None:
            write_atomically(args.plot, render_plot(report))
            stderr.print(f"Plot: {args.plot}", markup=False)
        if args.html is not None:
            write_atomically(args.html, render_page(report))
            stderr.print(f"Page: {args.html}", markup=False)
    emit_json(sealed(report), output=args.output, as_json=args.json)
    if not args.json:
        _show(markdown(report))
    return ExitCode.ANSWERED


def _show(text: str) -> None:
    """Markdown as it is into a pipe; set for reading in a terminal."""
    if not sys.stdout.isatty():
        sys.stdout.write(text)
        return
    import re

    from rich.console import Console
    from rich.markdown import Markdown

    plain = re.sub(r"<details><summary>(.*?)</summary>", r"### \1", text).replace("</details>", "")
    Console().print(Markdown(plain))


def _names(paths: list[Path]) -> list[str]:
    """File names, with as much of their directories as tells them apart."""
    names = [path.name for path in paths]
    return names if len(set(names)) == len(names) else [path.as_posix() for path in paths]


@contextmanager
def _bars() -> Iterator[Track]:
    """A progress bar for each policy, on stderr and in a terminal only."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    from remint.cli.common import stderr

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bars:

        def track(name: str) -> Progress:
            task = bars.add_task(name, total=None)
            return lambda done, total: bars.update(task, completed=done, total=total)

        yield track


def _time(text: str) -> datetime:
    from remint.core.document import parse_time
    from remint.errors import DocumentError

    try:
        return parse_time(text)
    except DocumentError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _duration(text: str) -> timedelta:
    from remint.config import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 0 or more")
    return value
