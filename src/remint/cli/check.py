"""``remint check``: ask for drift, lost accuracy or new data; print the answer and write it down."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

from remint.core.trigger import Answer
from remint.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from rich.table import Table

_EPILOG = """\
example:
  remint check --output decision.json
  remint check --source log --store sqlite:////var/lib/remint/store.db --exit-code
  remint check --retrain --reason "new product line since Monday"

credentials: REMINT_PROMETHEUS_TOKEN, or _USERNAME and _PASSWORD, _CLIENT_CERT, _CLIENT_KEY, _CA_FILE, _TENANT
exit codes: 0 answered, 2 configuration or ambiguous series, 3 no data in the window, 4 a source is down;
with --exit-code also 10 RETRAIN, 13 INCONCLUSIVE or NEED_LABELS, 14 INVESTIGATE
"""

_BARS = "▁▂▃▄▅▆▇█"
_SHOWN_FIELDS = 5
_SHOWN_BINS = 16
_WIDTH = 100
_COLOURS = {
    "RETRAIN": "bold yellow",
    "HOLD": "bold green",
    "INVESTIGATE": "bold red",
    "NEED_LABELS": "bold magenta",
    "INCONCLUSIVE": "bold",
}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    window = parser.add_argument_group("the window [since, until); by default check.window until now")
    window.add_argument("--since", type=_time, metavar="TIME", help="RFC 3339; never before the champion's promotion")
    window.add_argument("--until", type=_time, metavar="TIME", help="RFC 3339")
    window.add_argument("--now", type=_time, metavar="TIME", help="decide as of this time")
    sources = parser.add_argument_group("sources")
    sources.add_argument("--source", choices=("prometheus", "log"), help="of the counts; default: check.source")
    sources.add_argument("--prometheus-url", metavar="URL", help="default: REMINT_PROMETHEUS_URL, params.yaml")
    sources.add_argument("--store", metavar="URL", help="feedback store for labels; default: REMINT_STORE_URL")
    parser.add_argument("--retrain", action="store_true", help="answer RETRAIN whatever the rules say")
    parser.add_argument("--reason", metavar="TEXT", help="why, for --retrain")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the decision here")
    parser.add_argument("--json", action="store_true", help="print the decision to stdout")
    parser.add_argument("--exit-code", action="store_true", help="say the answer in the exit code too")
    parser.add_argument("--dry-run", action="store_true", help="decide, but do not append to the ledger")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from remint.cli.common import emit_json, fail
    from remint.config import Source, load_params
    from remint.workflows.check import Question, run_check

    if args.retrain != bool((args.reason or "").strip()):
        raise UsageError("--retrain and --reason go together", hint='--retrain --reason "why"')
    question = Question(
        now=args.now or datetime.now(UTC),
        since=args.since,
        until=args.until,
        source=Source(args.source) if args.source else None,
        prometheus_url=args.prometheus_url,
        store_url=args.store,
        manual_reason=args.reason.strip() if args.retrain else None,
        dry_run=args.dry_run,
    )
    checked = run_check(load_params(), question, directory=Path(), environ=os.environ)
    emit_json(checked.document, output=args.output, as_json=args.json)
    show(checked.document, recorded=not args.dry_run)
    if checked.failure is not None:
        fail(checked.failure)
        return checked.failure.exit_code
    return exit_code(checked.answer) if args.exit_code else ExitCode.ANSWERED


def exit_code(answer: Answer) -> ExitCode:
    """What ``--exit-code`` says of an answer."""
    match answer:
        case Answer.RETRAIN:
            return ExitCode.RETRAIN_DUE
        case Answer.HOLD:
            return ExitCode.ANSWERED
        case Answer.INVESTIGATE:
            return ExitCode.INVESTIGATE
        case Answer.NEED_LABELS | Answer.INCONCLUSIVE:
            return ExitCode.INCONCLUSIVE
        case _:
            assert_never(answer)


def show(decision: dict[str, Any], *, recorded: bool) -> None:
    """The decision for people, to stderr."""
    from rich.text import Text

    from remint.cli.common import stderr

    answer = decision["answer"]
    sentence = decision["summary"].split(": ", 1)[-1]
    stderr.print(Text.assemble((answer, _COLOURS[answer]), "  ", sentence))
    for reason in decision["reasons"]:
        if reason not in sentence:
            stderr.print(Text(f"  - {reason}"))
    window = decision["window"]
    span = f"{_short(window['start'])} to {_short(window['end'])}" if window else "empty"
    champion = decision["champion"]
    stderr.print(
        Text(
            f"  {decision['rows']} predictions of {champion['version'] or champion['tag']}, window {span}, "
            f"{'unknown' if decision['fresh_labels'] is None else decision['fresh_labels']} fresh labels",
            style="dim",
        )
    )
    stderr.print(_rules(decision["rules"]), width=_WIDTH)
    if decision["drift"]:
        stderr.print(_fields(decision["drift"]), width=_WIDTH)
    where = f"recorded in the ledger as {decision['run_id']}" if recorded else "dry run: not recorded in the ledger"
    stderr.print(Text(f"  {where}", style="dim"))


def _rules(rules: Sequence[dict[str, Any]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 1), width=_WIDTH)
    table.add_column("rule", no_wrap=True)
    table.add_column("says", no_wrap=True)
    table.add_column("why", ratio=1)
    for rule in rules:
        if rule["state"] != "ok":
            said = Text(rule["state"].replace("_", " "), style="magenta")
        else:
            said = Text("fired", style="yellow") if rule["fired"] else Text("quiet", style="green")
        table.add_row(Text(rule["name"]), said, Text(rule["reason"]))
    return table


def _fields(drift: Sequence[dict[str, Any]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 1), width=_WIDTH)
    table.add_column("most moved", ratio=1, no_wrap=True, overflow="ellipsis")
    for heading in ("sigma", "PSI", "could see"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("reference", no_wrap=True)
    table.add_column("now", no_wrap=True)
    for field in drift[:_SHOWN_FIELDS]:
        smallest = field["smallest_detectable_sigmas"]
        reference, current = histograms(field["reference_counts"], field["current_counts"])
        table.add_row(
            Text(field["field"], style="yellow" if field["drifted"] else ""),
            f"{field['sigmas']:.2f}",
            f"{field['psi']:.3f}",
            "nothing" if smallest is None else f"{smallest:.2f} sigma",
            reference,
            current,
        )
    return table


def histograms(reference: Sequence[int], current: Sequence[int]) -> tuple[str, str]:
    """Two rows of bars on one scale; neighbouring bins are added up where there are too many."""
    sides = [_shares(_at_most(counts, _SHOWN_BINS)) for counts in (reference, current)]
    highest = max(max(side) for side in sides) or 1.0
    drawn = ["".join(_bar(share / highest) for share in side) for side in sides]
    return drawn[0], drawn[1]


def _bar(height: float) -> str:
    return " " if height == 0 else _BARS[min(len(_BARS) - 1, int(height * len(_BARS)))]


def _at_most(counts: Sequence[int], bins: int) -> list[int]:
    each = -(-len(counts) // bins)
    return [sum(counts[i : i + each]) for i in range(0, len(counts), each)]


def _shares(counts: Sequence[int]) -> list[float]:
    total = sum(counts) or 1
    return [count / total for count in counts]


def _short(time: str) -> str:
    return time[:16].replace("T", " ") + "Z"


def _time(text: str) -> datetime:
    from remint.core.document import parse_time
    from remint.errors import DocumentError

    try:
        return parse_time(text)
    except DocumentError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
