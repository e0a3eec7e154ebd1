"""``remint canary``: start, list, judge, step, promote or roll back a canary."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich import box
from rich.table import Table

from remint.cli.common import CommandParser, dump_json, emit_json, stderr
from remint.errors import DocumentError, ExitCode

if TYPE_CHECKING:
    from remint.workflows.canary import Move
    from remint.workflows.place import Place

_EPILOG = """\
Each change writes the state file (that is the traffic), commits it, and records it in the ledger; a promotion also
assigns the registry's stable tag. Run again after a failure: it records what is missing and changes nothing else.

with --exit-code: 12 the canary is rolled back, 13 hold

environment:
  REMINT_STORE_URL        the store of predictions and feedback, where --store is not given
  REMINT_PROMETHEUS_URL   the Prometheus, where params.yaml names another; credentials as for `remint check`

example: remint canary start --bundle sha256:<hex> && remint canary step --json
"""
_COLOURS: Final = {"PROMOTE": "green", "ADVANCE": "green", "HOLD": "yellow", "ROLLBACK": "red"}
_VERDICTS: Final = {"pass": "green", "inconclusive": "yellow", "fail": "red"}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    commands = parser.add_subparsers(dest="subcommand", metavar="COMMAND", required=True, parser_class=CommandParser)

    init = _add(commands, "init", "the first release: one bundle serves everything", "--bundle sha256:<hex>")
    init.add_argument("--bundle", required=True, metavar="ID", help="id of the bundle that becomes stable")
    init.add_argument("--by", metavar="NAME", help="who approved it, where the environment asks for a review")
    _changes(init, _init)

    start = _add(commands, "start", "send the first step's share to a bundle", "--bundle sha256:<hex> --rev main")
    start.add_argument("--bundle", required=True, metavar="ID", help="id of the bundle to try")
    start.add_argument("--rev", metavar="REV", help="refuse the bundle unless this commit's manifest names it")
    start.add_argument("--by", metavar="NAME", help="who approved it, where the environment asks for a review")
    _changes(start, _start)

    judge = _add(commands, "judge", "judge the canary and change nothing", "--output verdict.json --exit-code")
    _evidence(judge)
    judge.set_defaults(run=_judge)

    step = _add(commands, "step", "judge the canary and do what the verdict answers", "--json")
    step.add_argument("--verdict", type=Path, metavar="FILE", help="apply this recorded verdict and judge nothing")
    _evidence(step)
    _changes(step, _step, json_option=False)

    promote = _add(commands, "promote", "make the canary stable by hand", '--reason "agreed with the team"')
    promote.add_argument("--reason", default="by hand", metavar="TEXT", help="why, for the commit and the ledger")
    _changes(promote, _promote)

    rollback = _add(commands, "rollback", "send everything to stable, at once", '--reason "complaints by phone"')
    rollback.add_argument("--reason", required=True, metavar="TEXT", help="why, for the commit and the ledger")
    _changes(rollback, _roll_back)

    listed = commands.add_parser(
        "list",
        help="the environments in which a canary runs",
        description="the environments in which a canary runs, by their state files alone: no git, no ledger",
        epilog="example: remint canary list models/churn models/fraud --json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    listed.add_argument("directories", nargs="*", type=Path, default=[Path()], metavar="DIR", help="default: this one")
    listed.add_argument("--json", action="store_true", help="print them to stdout, one object each: a matrix")
    listed.set_defaults(run=_list)

    status = _add(commands, "status", "which bundles serve, since when, and what was done", "--json")
    status.add_argument("--json", action="store_true", help="print JSON to stdout")
    status.set_defaults(run=_status)


def _add(
    commands: argparse._SubParsersAction[CommandParser], name: str, summary: str, example: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=summary,
        description=summary,
        epilog=f"example: remint canary {name} {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--state",
        type=Path,
        metavar="FILE",
        help="the state file that the service follows (default: the environment's, else deploy/state.yaml)",
    )
    parser.add_argument(
        "--environment", metavar="NAME", help="one that params.yaml declares (default: where the champion serves)"
    )
    return parser


def _changes(parser: argparse.ArgumentParser, run: object, *, json_option: bool = True) -> None:
    parser.add_argument("--no-commit", action="store_true", help="leave the state file's commit to somebody else")
    parser.add_argument("--dry-run", action="store_true", help="print what would be done; change nothing")
    if json_option:
        parser.add_argument("--json", action="store_true", help="print JSON to stdout")
    parser.set_defaults(run=run)


def _evidence(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--source",
        choices=("store", "prometheus"),
        help="where the outcomes are (default: the store where one is named, else Prometheus)",
    )
    parser.add_argument("--store", metavar="URL", help="e.g. sqlite:////data/feedback.db (default: REMINT_STORE_URL)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the verdict here")
    parser.add_argument("--json", action="store_true", help="print the verdict to stdout")
    parser.add_argument("--exit-code", action="store_true", help="12 where it is rolled back, 13 where it is on hold")


def _place(args: argparse.Namespace) -> Place:
    from remint.config import load_params
    from remint.workflows.place import Place

    params = load_params()
    return Place(
        params=params,
        now=datetime.now(UTC),
        environment=params.places.find(args.environment) if args.environment else params.places.champion,
        state_path=args.state,
        commit=not getattr(args, "no_commit", False),
        dry_run=getattr(args, "dry_run", False),
    )


def _init(args: argparse.Namespace) -> int:
    from remint.workflows.canary import initialise

    return _done(args, initialise(_place(args), args.bundle, by=args.by))


def _start(args: argparse.Namespace) -> int:
    from remint.workflows.canary import start

    return _done(args, start(_place(args), args.bundle, rev=args.rev, by=args.by))


def _promote(args: argparse.Namespace) -> int:
    from remint.workflows.canary import promote

    return _done(args, promote(_place(args), reason=args.reason))


def _roll_back(args: argparse.Namespace) -> int:
    from remint.workflows.canary import roll_back

    return _done(args, roll_back(_place(args), reason=args.reason))


def _judge(args: argparse.Namespace) -> int:
    verdict = _verdict(args, _place(args))
    _show_verdict(verdict)
    emit_json(verdict, output=args.output, as_json=args.json)
    return _exit_code(args, verdict)


def _step(args: argparse.Namespace) -> int:
    from remint.workflows.canary import settle, step

    place = _place(args)
    if args.verdict is None and (unrecorded := settle(place)) is not None:
        _show_move(unrecorded, dry_run=args.dry_run)
    verdict = _recorded(args.verdict, place) if args.verdict else _verdict(args, place)
    _show_verdict(verdict)
    if args.output is not None and not args.dry_run:
        emit_json(verdict, output=args.output, as_json=False)  # the evidence, before traffic moves by it
    move = step(place, verdict)
    if move.action is not None:
        _show_move(move, dry_run=args.dry_run)
    emit_json(verdict, output=None, as_json=args.json)
    return _exit_code(args, verdict)


def _list(args: argparse.Namespace) -> int:
    from remint.config import load_params
    from remint.workflows.canary import running
    from remint.workflows.place import Place

    now, found = datetime.now(UTC), []
    for directory in args.directories:
        params = load_params(directory / "params.yaml")
        found += running(Place(params=params, now=now, directory=directory))
    for one in found:
        who = f"{one['pipeline']} {one['environment']}"
        stderr.print(f"{who}: release {one['release']}, canary {one['canary'][:19]} at {one['share']:.0%}")
    if not found:
        stderr.print("No canary runs")
    emit_json(found, output=None, as_json=args.json)
    return ExitCode.ANSWERED


def _status(args: argparse.Namespace) -> int:
    from remint.workflows.canary import status

    answer = status(_place(args))
    state = answer["state"]
    stderr.print(f"release {state['release']} of {state['pipeline']}")
    stderr.print(f"  stable  {state['stable']}")
    stderr.print(f"  canary  {state['canary'] or '-'}, {answer['share']:.0%} of the traffic")
    for entry in answer["history"]:
        stderr.print(f"  {entry['at'][:19]}  {entry['action']}: {entry['reason']}", markup=False)
    emit_json(answer, output=None, as_json=args.json)
    return ExitCode.ANSWERED


def _verdict(args: argparse.Namespace, place: Place) -> dict[str, Any]:
    from remint.workflows.canary import started_at
    from remint.workflows.verdict import OutcomeSource, judge_canary

    state = place.state()
    store_url = args.store or os.environ.get("REMINT_STORE_URL")
    source = args.source or ("store" if store_url else "prometheus")
    return judge_canary(
        place.params,
        state,
        source=OutcomeSource(source),
        store_url=store_url,
        environ=os.environ,
        started_at=started_at(place, state),
        now=place.now,
    )


def _recorded(path: Path, place: Place) -> dict[str, Any]:
    from remint.core.document import DocumentKind, unseal

    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise DocumentError(f"cannot be read: {error.strerror}", where=str(path)) from None
    except ValueError as error:
        raise DocumentError(f"not JSON: {error}", where=str(path)) from None
    return unseal(data, DocumentKind.VERDICT, pipeline=place.params.pipeline, where=str(path))


def _done(args: argparse.Namespace, move: Move) -> int:
    _show_move(move, dry_run=args.dry_run)
    if args.json:
        sys.stdout.write(dump_json(move.to_json()))
    return ExitCode.ANSWERED


def _exit_code(args: argparse.Namespace, verdict: Mapping[str, Any]) -> int:
    match args.exit_code, verdict["answer"]:
        case True, "ROLLBACK":
            return ExitCode.CANARY_FAILED
        case True, "HOLD":
            return ExitCode.INCONCLUSIVE
        case _:
            return ExitCode.ANSWERED


def _show_move(move: Move, *, dry_run: bool) -> None:
    if move.action is None:
        stderr.print(f"nothing done: {move.reason}", markup=False)
        return
    state = move.after
    did = f"would {move.action}" if dry_run else f"{move.action} done"
    share = state.steps[state.step] if state.step >= 0 else 0.0
    canary = f"canary {state.canary[:19]} at {share:.0%}" if state.canary else "no canary"
    stderr.print(f"{did}: release {state.release}, stable {state.stable[:19]}, {canary}")


def _show_verdict(verdict: Mapping[str, Any]) -> None:
    """One line a signal: the share of bad outcomes of both tracks, the evidence, and how much worse it may be."""
    title = f"release {verdict['release']}, canary at {verdict['share']:.0%}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
    for name in ("signal", "stable", "canary", "e-value", "limit", "worse by", "verdict"):
        table.add_column(name, justify="left" if name in {"signal", "verdict"} else "right", no_wrap=True)
    worst = {"pass": 0, "inconclusive": 1, "fail": 2}
    for signal, evidence in verdict["evidence"].items():
        verdicts = [f["verdict"] for f in verdict["findings"] if f["field"] == signal]
        shown = max(verdicts, key=worst.__getitem__)
        bad = list(evidence["stable"])[1]
        table.add_row(
            signal if signal == bad else f"{signal} {bad}",
            _bad(evidence["stable"]),
            _bad(evidence["canary"]),
            f"{evidence['e_value']:.3g}",
            f"{evidence['limit']:.0f}",
            f"<= {max(0.0, -evidence['lower_bound']):.3f}",
            f"[{_VERDICTS[shown]}]{shown}[/]",
        )
    if table.row_count:
        stderr.print(table)
    stderr.print(f"[bold {_COLOURS[verdict['answer']]}]{verdict['answer']}[/]: ", end="")
    stderr.print(verdict["summary"], markup=False)


def _bad(counts: Mapping[str, int]) -> str:
    """``3 / 812``: the second bucket is the bad one."""
    return f"{list(counts.values())[1]} / {sum(counts.values())}"
