"""``remint retrain``: reproduce the pipeline for one decision, on a branch of its own."""

from __future__ import annotations

import argparse
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.markup import escape

from remint.adapters.usage import workflow_run_url
from remint.cli.common import emit_json, stderr
from remint.cli.feedback import add_source
from remint.cli.forge_options import add_forge, forge_if_any
from remint.core.trigger import Answer
from remint.core.verdict import Verdict
from remint.errors import ExitCode, UsageError

_EPILOG = """\
examples:
  remint check --output decision.json && remint retrain --decision decision.json
  remint retrain --decision decision.json --segments https://files.example.com/churn --json
  remint retrain --decision decision.json --dry-run

Works on the branch remint/retrain/<pipeline> in a checkout of its own; yours stays as it is. Killed at any point and
started again it ends with the same trees; a decision that was dealt with is not dealt with again.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--decision", type=Path, metavar="FILE", help="decision.json of remint check")
    given.add_argument(
        "--decision-variable", metavar="NAME", help="the environment variable that holds what remint dispatch packed"
    )
    add_source(parser)
    parser.add_argument(
        "--allow-answer",
        action="append",
        default=[],
        choices=[answer.value for answer in Answer if answer is not Answer.RETRAIN],
        help="retrain although the decision says this; may be repeated, is recorded in the ledger",
    )
    parser.add_argument("--no-push", action="store_true", help="push neither data nor the branch")
    parser.add_argument("--output-dir", type=Path, metavar="DIR", help="default: .remint/runs/<run id>")
    add_forge(parser, default="the runner's; elsewhere none is asked whether a person approved what is there")
    parser.add_argument("--exit-code", action="store_true", help="11: the gate failed, 13: it is inconclusive")
    parser.add_argument("--dry-run", action="store_true", help="show what would be done, change nothing")
    parser.add_argument("--json", action="store_true", help="print the run document")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write that JSON to FILE")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from remint.workflows.feedback import choose_source
    from remint.workflows.retrain import RetrainRequest, retrain

    result = retrain(
        Path(),
        RetrainRequest(
            decision=read_decision(args.decision) if args.decision else _unpack(args.decision_variable),
            source=lambda: choose_source(
                store=args.store, service=args.service, segments=args.segments, environment=os.environ
            ),
            clock=lambda: datetime.now(UTC),
            progress=lambda line: stderr.print(line, style="dim", markup=False),
            allow=tuple(args.allow_answer),
            push=not args.no_push,
            dry_run=args.dry_run,
            output_dir=args.output_dir,
            workflow=workflow_run_url(os.environ),
            forge=None if args.no_push else forge_if_any(args),
        ),
    )
    document = result.document
    if args.dry_run:
        stderr.print(f"Would retrain from {document['base'][:12]} on {document.get('branch')}; nothing was changed")
    elif result.already:
        stderr.print(f"This decision was dealt with before: {document['outcome']}; nothing was done")
    elif document["outcome"] == "unchanged":
        stderr.print("Nothing changed: the pipeline gives what is committed already")
    else:
        stderr.print(f"{document['branch']} is {document['commit'][:12]}; the gate says {result.gate_verdict}")
    if not args.dry_run:
        stderr.print(f"Files: {escape(str(result.files))}")
    emit_json(document, output=args.output, as_json=args.json)
    return _exit_code(result.gate_verdict) if args.exit_code else ExitCode.ANSWERED


def _unpack(variable: str) -> dict[str, Any]:
    from remint.core.packing import unpack

    text = os.environ.get(variable, "")
    if not text:
        raise UsageError("is not set or empty", where=variable, hint="remint dispatch packs a decision")
    return unpack(text, where=variable)


def read_decision(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path), hint="remint check --output") from None
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise UsageError("not a JSON object", where=str(path), hint="remint check --output writes it")
    return document


def _exit_code(verdict: str | None) -> ExitCode:
    if verdict is None:
        return ExitCode.ANSWERED
    match Verdict(verdict):
        case Verdict.PASS:
            return ExitCode.ANSWERED
        case Verdict.FAIL:
            return ExitCode.GATE_FAILED
        case Verdict.INCONCLUSIVE:
            return ExitCode.INCONCLUSIVE
