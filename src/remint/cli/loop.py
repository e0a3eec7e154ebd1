"""``remint loop``: the whole path, again and again, for who has no forge."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final, NoReturn

from rich.console import Console
from rich.table import Table
from rich.text import Text

from remint.cli.common import stderr
from remint.cli.feedback import add_source
from remint.core.loop import Line, pause, worst
from remint.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from remint.workflows.loop import Loop

_EPILOG = """\
examples:
  remint loop --forge local --once --store sqlite:////var/lib/churn/store.db
  remint loop --forge local --every 6h --store sqlite:////var/lib/churn/store.db --bundles /var/lib/churn/bundles
  remint loop --forge local --every 15m --source prometheus --json >> loop.jsonl

One tick: fetch origin; do what comments ask; judge running canaries; release what was merged; check; retrain and open
or refresh the pull request; look at its gate again. It works in a checkout of its own (--workdir) and pushes the state
files to the base branch. SIGTERM ends it between two steps' writes with exit code 0, Ctrl-C with 130.

exit codes of --once: the worst of its steps (1, 2, 4, 3), with --exit-code also 12, 11, 14, 13; 4 beside another loop
"""
_WIDTH: Final = 200  # of a line in a log
_COLOURS: Final = {"done": "green", "nothing": "dim", "waits": "yellow", "failed": "red"}


class _Terminated(BaseException):
    """SIGTERM: the step that is under way ends as it does at Ctrl-C, cleaning up and recording."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    parser.add_argument(
        "--forge",
        choices=("local",),
        required=True,
        help="a bare repository; on other forges the workflows do all this",
    )
    parser.add_argument(
        "--every", type=_every, metavar="TIME", help="between two ticks, e.g. 15m (default: check.every)"
    )
    parser.add_argument("--once", action="store_true", help="one tick, and its exit code")
    parser.add_argument("--workdir", type=Path, metavar="DIR", help="the checkout (default: .remint/loop/<pipeline>)")
    parser.add_argument("--base", metavar="BRANCH", help="to merge into (default: the one that origin's HEAD names)")
    parser.add_argument(
        "--source", choices=("prometheus", "log", "files"), help="of the counts (default: check.source of params.yaml)"
    )
    parser.add_argument("--prometheus-url", metavar="URL", help="default: REMINT_PROMETHEUS_URL, params.yaml")
    parser.add_argument("--bundles", type=Path, metavar="DIR", help="export bundles here before they get traffic")
    add_source(parser)
    parser.add_argument("--exit-code", action="store_true", help="with --once: say the answers in the exit code too")
    parser.add_argument("--json", action="store_true", help="print one line of JSON for each step")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from remint.config import Source, load_params
    from remint.workflows.feedback import choose_source
    from remint.workflows.loop import LoopRequest, open_loop

    store = args.store or os.environ.get("REMINT_STORE_URL") or None
    request = LoopRequest(
        clock=lambda: datetime.now(UTC),
        feedback=lambda: choose_source(
            store=args.store, service=args.service, segments=args.segments, environment=os.environ
        ),
        environ=os.environ,
        workdir=args.workdir,
        base=args.base,
        source=Source(args.source) if args.source else None,
        store_url=store,
        prometheus_url=args.prometheus_url,
        bundles=None if args.bundles is None else args.bundles.resolve(),
        progress=lambda line: stderr.print(f"  {line}", style="dim", markup=False),
        tell=_tell if args.json else lambda _: None,
    )
    every = args.every or load_params().check.every
    if args.once and args.every:
        raise UsageError("--once and --every do not go together")
    try:
        with _termination(), open_loop(Path(), request) as loop:
            return _once(loop, args) if args.once else _forever(loop, every)
    except _Terminated:
        stderr.print("Stopped by SIGTERM; the next start goes on where this one was")
        return ExitCode.ANSWERED


def _once(loop: Loop, args: argparse.Namespace) -> int:
    lines = loop.tick()
    _show(lines)
    return worst(lines, answers=args.exit_code)


def _forever(loop: Loop, every: timedelta) -> NoReturn:
    failures = 0
    while True:
        started = time.monotonic()
        lines = loop.tick()
        _show(lines)
        failures = failures + 1 if worst(lines, answers=False) is ExitCode.SERVICE else 0
        left = pause(every, failures=failures).total_seconds() - (time.monotonic() - started)
        stderr.print(f"next tick in {max(0.0, left):.0f} s", style="dim")
        time.sleep(max(0.0, left))  # a signal's exception ends it


@contextmanager
def _termination() -> Iterator[None]:
    def terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a second one does not wait for the clean end
        raise _Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _tell(line: Line) -> None:
    sys.stdout.write(json.dumps(line.to_json(), ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()


def _show(lines: list[Line]) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    for _ in range(4):
        table.add_column(overflow="fold")
    for line in lines:
        outcome = Text(line.outcome.value, style=_COLOURS[line.outcome.value])
        table.add_row(f"{line.at:%H:%M:%S}", line.step, outcome, Text(line.text))
    console = stderr if stderr.is_terminal else Console(stderr=True, highlight=False, width=_WIDTH)
    console.print(table)


def _every(text: str) -> timedelta:
    from remint.config.base import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
