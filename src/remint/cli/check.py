"""``remint check``: ask for drift, lost accuracy or new data; print the answer and write it down."""

from __future__ import annotations

import argparse
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import assert_never

from remint.core.trigger import Answer
from remint.errors import ExitCode, UsageError

_EPILOG = """\
example:
  remint check --output decision.json
  remint check --source log --store sqlite:////var/lib/remint/store.db --exit-code
  remint check --dry-run --explain --html check.html
  remint check --retrain --reason "new product line since Monday"

credentials: REMINT_PROMETHEUS_TOKEN, or _USERNAME and _PASSWORD, _CLIENT_CERT, _CLIENT_KEY, _CA_FILE, _TENANT
exit codes: 0 answered, 2 configuration or ambiguous series, 3 no data in the window, 4 a source is down;
with --exit-code also 10 RETRAIN, 13 INCONCLUSIVE or NEED_LABELS, 14 INVESTIGATE
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    window = parser.add_argument_group("the window [since, until); by default check.window until now")
    window.add_argument("--since", type=_time, metavar="TIME", help="RFC 3339; never before the champion's promotion")
    window.add_argument("--until", type=_time, metavar="TIME", help="RFC 3339")
    window.add_argument("--now", type=_time, metavar="TIME", help="decide as of this time")
    sources = parser.add_argument_group("sources")
    sources.add_argument(
        "--source", choices=("prometheus", "log", "files"), help="of the counts; default: check.source"
    )
    sources.add_argument("--prometheus-url", metavar="URL", help="default: REMINT_PROMETHEUS_URL, params.yaml")
    sources.add_argument("--store", metavar="URL", help="feedback store for labels; default: REMINT_STORE_URL")
    parser.add_argument("--retrain", action="store_true", help="answer RETRAIN whatever the rules say")
    parser.add_argument("--reason", metavar="TEXT", help="why, for --retrain")
    parser.add_argument("--explain", action="store_true", help="show all that the decision rests on")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with plots, reference against window")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the decision here")
    parser.add_argument("--json", action="store_true", help="print the decision to stdout")
    parser.add_argument("--exit-code", action="store_true", help="say the answer in the exit code too")
    parser.add_argument("--dry-run", action="store_true", help="decide, but do not append to the ledger")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from remint.cli.check_views import explain, show
    from remint.cli.common import emit_json, fail, stderr, write_atomically
    from remint.config import Source, load_params
    from remint.workflows.check import Question, run_check
    from remint.workflows.decision_page import decision_page
    from remint.workflows.html_page import require_extra

    if args.retrain != bool((args.reason or "").strip()):
        raise UsageError("--retrain and --reason go together", hint='--retrain --reason "why"')
    if args.html is not None:
        require_extra()
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
    if args.html is not None:
        write_atomically(args.html, decision_page(checked.document))
        stderr.print(f"Page: {args.html}", markup=False)
    view = explain if args.explain else show
    view(checked.document, recorded=not args.dry_run)
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


def _time(text: str) -> datetime:
    from remint.core.document import parse_time
    from remint.errors import DocumentError

    try:
        return parse_time(text)
    except DocumentError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
