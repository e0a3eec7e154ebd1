"""``python -m remint.demo``: run the acts with progress, end with a table and a page."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from remint.cli.common import CommandParser, fail, write_atomically
from remint.demo.act import Act, Outcome
from remint.demo.files import Split, cut, example
from remint.demo.page import render
from remint.demo.story import Story, clean
from remint.demo.world import DemoError, World, new_world
from remint.errors import ExitCode, RemintError

console = Console(highlight=False)
_TONES = {Outcome.AS_IT_SHOULD: "green", Outcome.NOT_SHOWN: "yellow", Outcome.WRONG: "bold red"}


def main() -> int:
    arguments = _parser().parse_args()
    if (arguments.data is None) != (arguments.label is None):
        _parser().error("--data and --label go together")
    with tempfile.TemporaryDirectory(prefix="remint-demo-data-") as folder:
        try:
            data, label = (
                example(Path(folder)) if arguments.data is None else (arguments.data.resolve(), arguments.label)
            )
            world = new_world(Path(b) if (b := os.environ.get("REMINT_PROMETHEUS_BINARY")) else None)
            try:
                return _run(world, cut(data, label, world.root / "data", time_column=arguments.time), label, arguments)
            finally:
                if arguments.keep:
                    world.close()
                    console.print(f"kept: {world.root}")
                else:
                    clean(world)
        except RemintError as error:
            fail(error)
            return error.exit_code


def _run(world: World, split: Split, label: str, arguments: argparse.Namespace) -> int:
    console.print(f"[bold]{split.note}[/bold]")
    started = time.monotonic()
    with console.status("") as status:

        def say(text: str) -> None:
            status.update(f"{text} ...")
            if not console.is_terminal:
                console.print(f"  {time.monotonic() - started:5.0f} s  {text}")

        story = Story(
            world=world, split=split, label=label, say=say, time_column=arguments.time, zone=arguments.zone, done=_shown
        )
        problem = None
        try:
            story.tell()
        except DemoError as error:
            problem = str(error)
    acts = story.acts
    console.print(_table(acts))
    page = arguments.output / "index.html"
    source = "a real Prometheus" if world.prometheus_url else "the prediction log (no Prometheus on this machine)"
    write_atomically(
        page, render(acts, note=split.note, source=source, commands=world.commands, finished_at=datetime.now(UTC))
    )
    for act in acts:
        if "report_html" in act.documents:
            text = Path(act.documents["report_html"]).read_text(encoding="utf-8")
            write_atomically(arguments.output / f"report-act-{act.number}.html", text)
    if problem is not None:
        console.print(f"[bold red]the story broke off:[/bold red] {problem}", markup=True)
    not_shown = sum(act.outcome is Outcome.NOT_SHOWN for act in acts)
    wrong = sum(act.outcome is Outcome.WRONG for act in acts) + (problem is not None)
    good = len(acts) - not_shown - sum(act.outcome is Outcome.WRONG for act in acts)
    console.print(
        f"{good} acts ended as they should, {wrong} did not, {not_shown} cannot be shown with this file; "
        f"{time.monotonic() - started:.0f} s"
    )
    console.print(f"the story with plots: {page}", soft_wrap=True)
    return ExitCode.ANSWERED if wrong == 0 else ExitCode.BUG


def _shown(act: Act) -> None:
    tone = _TONES[act.outcome]
    console.print(f"[bold]{act.title}[/bold]: [{tone}]{act.got}[/{tone}] ({act.seconds:.1f} s)")
    for line in (act.rows, act.margin, *act.notes):
        if line:
            console.print(Padding(Text(line), (0, 0, 0, 3)))


def _table(acts: list[Act]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("Act", "Should be", "Was", ""):
        table.add_column(name)
    table.add_column("s", justify="right")
    for act in acts:
        tone = _TONES[act.outcome]
        table.add_row(act.title, act.expected, act.got, f"[{tone}]{act.outcome.value}[/{tone}]", f"{act.seconds:.1f}")
    return table


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="scripts/demo",
        description="The whole loop on one machine, in a throw-away directory, on scikit-learn's breast-cancer data "
        "or on a file of yours.",
        epilog="example: scripts/demo --data customers.csv --label churned",
    )
    parser.add_argument("--data", type=Path, metavar="FILE", help="a CSV, TSV or Parquet file")
    parser.add_argument("--label", metavar="COLUMN", help="what to predict")
    parser.add_argument("--time", metavar="COLUMN", help="the column that says when a row happened")
    parser.add_argument("--zone", metavar="ZONE", help="time zone of naive times (default UTC)")
    parser.add_argument("--output", type=Path, metavar="DIR", default=Path("demo-out"), help="where the page goes")
    parser.add_argument("--keep", action="store_true", help="leave the throw-away directory behind")
    return parser


if __name__ == "__main__":
    sys.exit(main())
