"""``remint gate``: may the challenger replace the champion?"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, assert_never

from rich.markup import escape
from rich.table import Table

from remint.cli.common import dump_json, emit_json, stderr
from remint.core.verdict import Absence, FindingVerdict, Verdict, finding_verdict
from remint.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from remint.workflows.gate_context import Opponent

_EPILOG = """\
The challenger is the model in artifacts/ (dvc repro, or dvc pull); the champion that of the registry's stable tag, or
none for the first model, which faces the floors of gate.rules. With gate.reproducibility: always it trains once more.
A failed guard on the golden set can be accepted by a
person with a reason: that is bound to this challenger, recorded in the ledger and found again by the next gate.

examples:
  remint gate --output gate.json --exit-code
  remint gate --accept guard:accuracy --reason "the golden set is from before the price change" --by "Ada Lovelace"
"""
_COLOURS: Final[Mapping[FindingVerdict, str]] = {
    Verdict.PASS: "green",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.FAIL: "red",
    Absence.NO_CHAMPION: "yellow",
    Absence.MISSING: "yellow",
}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    champion = parser.add_mutually_exclusive_group()
    champion.add_argument("--champion-rev", metavar="REV", help="compare with the model of this commit, branch or tag")
    champion.add_argument("--champion-bundle", type=Path, metavar="DIR", help="compare with the bundle in DIR")
    champion.add_argument("--no-champion", action="store_true", help="judge by the floors alone, as a first model")
    parser.add_argument(
        "--accept", action="append", default=[], metavar="RULE", help="accept this failed guard; may be repeated"
    )
    parser.add_argument(
        "--reason",
        action="append",
        default=[],
        metavar="TEXT",
        help="why it is accepted: one for all, or one for each --accept",
    )
    parser.add_argument("--by", metavar="NAME", help="who accepts it")
    parser.add_argument("--no-service", action="store_true", help="do not boot the service; gate.json says so")
    parser.add_argument("--dry-run", action="store_true", help="show what --accept would record, record nothing")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write gate.json to FILE")
    parser.add_argument("--json", action="store_true", help="print gate.json to stdout")
    parser.add_argument("--exit-code", action="store_true", help="11: the gate failed, 13: it is inconclusive")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from remint.adapters.bundle import read_manifest
    from remint.adapters.git import Git
    from remint.adapters.ledger import Ledger
    from remint.config import load_params
    from remint.workflows.gate import BUNDLE, run_gate
    from remint.workflows.gate_context import acceptance_entries, recorded_acceptances

    directory = Path()
    params = load_params()
    asked = _acceptances(args)
    recorded: list[dict[str, Any]] = []
    if asked or not (args.no_champion or args.champion_bundle):  # without these the gate needs no git
        ledger = Ledger(Git(directory), params.pipeline)
        bundle = read_manifest(directory / BUNDLE)["id"]  # the gate itself verifies the whole
        rules = [acceptance["rule"] for acceptance in asked]
        recorded = [a for a in recorded_acceptances(ledger, bundle) if a["rule"] not in rules]
    now = datetime.now(UTC)
    with _opponent(args, directory) as opponent, stderr.status("gate: comparing the models"):
        gate = run_gate(
            params,
            directory=directory,
            champion_bundle=opponent.bundle,
            champion=opponent.known,
            champion_metrics=opponent.metrics,
            acceptances=[*asked, *recorded],
            now=now,
            boot_service=not args.no_service,
        )
    fresh = [acceptance for acceptance in gate["accepted"] if acceptance["rule"] in {a["rule"] for a in asked}]
    if fresh:
        git = Git(directory)
        for entry in acceptance_entries(git, params.pipeline, fresh, gate=gate["id"], now=now):
            if args.dry_run:
                stderr.print(f"Would record: {dump_json(entry.to_json())}", markup=False)
            else:
                Ledger(git, params.pipeline).append(entry)
    _show(gate)
    emit_json(gate, output=args.output, as_json=args.json)
    return _exit_code(Verdict(gate["verdict"])) if args.exit_code else ExitCode.ANSWERED


def _acceptances(args: argparse.Namespace) -> list[dict[str, str]]:
    if not args.accept:
        if args.reason or args.by:
            raise UsageError("--reason and --by say nothing without --accept RULE")
        return []
    if args.by is None or len(args.reason) not in {1, len(args.accept)}:
        raise UsageError("--accept takes a name and a reason", hint="--by NAME and one --reason TEXT for each --accept")
    reasons: Sequence[str] = args.reason if len(args.reason) > 1 else args.reason * len(args.accept)
    return [{"rule": r, "reason": why, "by": args.by} for r, why in zip(args.accept, reasons, strict=True)]


@contextmanager
def _opponent(args: argparse.Namespace, directory: Path) -> Iterator[Opponent]:
    from remint.config import load_params
    from remint.workflows.gate_context import Opponent, champion_at, champion_of_registry

    def progress(line: str) -> None:
        stderr.print(line, style="dim", markup=False)

    if args.no_champion:
        yield Opponent(bundle=None, known=None)
    elif args.champion_bundle is not None:
        yield Opponent(bundle=args.champion_bundle, known=None)
    elif args.champion_rev is not None:
        with champion_at(directory, args.champion_rev, progress) as opponent:
            yield opponent
    else:
        with champion_of_registry(load_params(), directory, progress) as opponent:
            yield opponent


def _show(gate: Mapping[str, Any]) -> None:
    champion = gate["champion"]
    against = "the declared floors (no champion)"
    if champion is not None:
        against = champion["version"] or champion["tag"] or champion["bundle"][:19]
    table = Table(
        title=f"challenger {gate['challenger']['bundle'][:19]} against {escape(against)}", title_justify="left"
    )
    for column in ("rule", "verdict", "reason"):
        table.add_column(column, overflow="fold")
    for finding in gate["findings"]:
        found = finding_verdict(finding["verdict"])
        words = found.value.replace("_", " ")
        table.add_row(escape(finding["rule"]), f"[{_COLOURS[found]}]{words}[/]", escape(finding["reason"]))
    stderr.print(table)
    for note in gate["notes"]:
        stderr.print(f"Note: {note}", markup=False)
    verdict = Verdict(gate["verdict"])
    stderr.print(f"Gate: [bold {_COLOURS[verdict]}]{verdict.value}[/]")


def _exit_code(verdict: Verdict) -> ExitCode:
    match verdict:
        case Verdict.PASS:
            return ExitCode.ANSWERED
        case Verdict.FAIL:
            return ExitCode.GATE_FAILED
        case Verdict.INCONCLUSIVE:
            return ExitCode.INCONCLUSIVE
        case _:
            assert_never(verdict)
