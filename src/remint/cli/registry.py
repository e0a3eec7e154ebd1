"""``remint registry``: versions and stages as git tags, and the environments that follow them."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Table

from remint.cli.common import emit_json, stderr
from remint.core.document import format_time
from remint.core.registry import STABLE, Bump, Version, stage_tag
from remint.errors import ExitCode, NoDataError

if TYPE_CHECKING:
    from remint.adapters.git import Git
    from remint.workflows.environment import Transfer
    from remint.workflows.place import Place

_WIDTH: Final = 200
_EPILOG: Final = """\
examples:
  remint registry show                       # versions, and which of them serves where
  remint registry register                   # tag HEAD as the next version, such as churn@v1.3.0
  remint registry promote --environment prod --reason "a week in staging without complaints" --by "Ada Lovelace"
  remint registry rollback --environment prod --reason "refunds are refused"

Tags are annotated, pushed to origin one by one, and in GTO's grammar: `gto show` reads the same. Repeating a command
changes nothing. `assign` makes a stage's tag and nothing else; `promote` and `rollback` also write the environment's
state file, commit it, and record the move in the ledger.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    commands = parser.add_subparsers(dest="subcommand", metavar="COMMAND", required=True)
    show = commands.add_parser(
        "show", help="versions, stages, and what serves where", epilog="example: remint registry show --json"
    )
    show.set_defaults(run=_show)
    register = commands.add_parser(
        "register", help="tag a commit as a version", epilog="example: remint registry register HEAD --bump patch"
    )
    register.add_argument("rev", nargs="?", default="HEAD", metavar="REV", help="the commit (default: HEAD)")
    chosen = register.add_mutually_exclusive_group()
    chosen.add_argument("--version", type=_version, metavar="VERSION", help="such as v1.3.0 (default: the next one)")
    chosen.add_argument(
        "--bump", choices=[b.value for b in Bump], help="default: what registry.version in params.yaml says"
    )
    register.set_defaults(run=_register)
    assign = commands.add_parser(
        "assign", help="make a commit the newest of a stage", epilog="example: remint registry assign churn@v1.3.0"
    )
    assign.add_argument("rev", nargs="?", default="HEAD", metavar="REV", help="a commit or a tag (default: HEAD)")
    assign.add_argument("--stage", default=STABLE, metavar="STAGE", help=f"default: {STABLE}")
    assign.set_defaults(run=_assign)
    promote = commands.add_parser(
        "promote",
        help="let a version serve in an environment",
        epilog='example: remint registry promote --environment prod --version v1.2.0 --reason "passed staging"',
    )
    promote.add_argument(
        "--version",
        type=_version,
        metavar="VERSION",
        help="such as v1.2.0 (default: what stands in the environment before it, else the highest)",
    )
    promote.set_defaults(run=_promote)
    rollback = commands.add_parser(
        "rollback",
        help="let what stood in an environment before serve again",
        epilog='example: remint registry rollback --environment prod --reason "complaints by phone"',
    )
    rollback.add_argument(
        "--to", type=_version, metavar="VERSION", help="one that stood there (default: the one before)"
    )
    rollback.set_defaults(run=_roll_back)
    for moving in (promote, rollback):
        moving.add_argument("--environment", metavar="NAME", help="which (may be left out where there is only one)")
        moving.add_argument("--reason", required=True, metavar="TEXT", help="why, for the commit, the tag, the ledger")
        moving.add_argument("--by", metavar="NAME", help="who approved it; needed where its approval is review")
        moving.add_argument("--no-commit", action="store_true", help="leave the state file's commit to somebody else")
    for changing in (register, assign, promote, rollback):
        changing.add_argument("--dry-run", action="store_true", help="say what would be tagged and written, do nothing")
    champion = commands.add_parser(
        "champion", help="the model in production", epilog="example: remint registry champion --json"
    )
    champion.add_argument("--stage", default=STABLE, metavar="STAGE", help=f"default: {STABLE}")
    champion.set_defaults(run=_champion)
    for command in (show, register, assign, promote, rollback, champion):
        command.add_argument("--json", action="store_true", help="print the answer as JSON")
        command.add_argument("--output", type=Path, metavar="FILE", help="write that JSON to FILE")


def _version(text: str) -> Version:
    from remint.errors import ConfigError

    try:
        return Version.parse(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _open() -> tuple[Git, str]:
    from remint.adapters.git import Git
    from remint.config import load_params

    return Git(Path()), load_params().pipeline


def _place(args: argparse.Namespace, *, environment: bool) -> Place:
    from remint.config import load_params
    from remint.workflows.place import Place

    params = load_params()
    return Place(
        params=params,
        now=datetime.now(UTC),
        environment=params.places.find(args.environment) if environment else params.places.champion,
        commit=not getattr(args, "no_commit", False),
        dry_run=getattr(args, "dry_run", False),
    )


def _show(args: argparse.Namespace) -> int:
    from remint.workflows.registry import show

    document = show(_place(args, environment=False))
    _show_environments(document["pipeline"], document["environments"])
    shown = _table("version", "bundle", "commit", "registered at", "by", "state")
    for v in reversed(document["versions"]):
        state = ", ".join(v["stages"]) if v["current"] else "deregistered"
        made_at, by = _minute(v["registered_at"]), v["by"] or "?"
        shown.add_row(v["version"], _short(v["bundle"]), v["commit"][:12], made_at, by, state)
    if shown.row_count:
        stderr.print()
        _print_table(shown)
    else:
        stderr.print(f"No version of {document['pipeline']} yet: remint registry register")
    if document["deprecated"]:
        stderr.print(f"[yellow]deprecated[/] since {document['deprecated']['at']}: {document['deprecated']['tag']}")
    for name in document["ignored"]:
        stderr.print(f"{name} is not annotated, so it says nothing, to gto neither: git tag -a", markup=False)
    emit_json(document, output=args.output, as_json=args.json)
    return ExitCode.ANSWERED


def _show_environments(pipeline: str, environments: list[dict[str, Any]]) -> None:
    shown = _table("environment", "tag", "version", "since", "by", "serves")
    notes = []
    for e in environments:
        stands, serves = e["stands"] or {}, e["serves"] or {}
        who = (e["moved"] or {}).get("by") or stands.get("tagged_by") or "-"
        canary = ""
        if serves.get("canary"):
            share = serves["steps"][serves["step"]] if serves["step"] >= 0 else 0.0
            canary = f", canary {_short(serves['canary'])} at {share:.0%}"
        shown.add_row(
            *(e["name"], stands["tag"].removeprefix(pipeline) if stands else "-", stands.get("version") or "-"),
            *(_minute(stands.get("assigned_at")), who, f"{_short(serves.get('stable'))}{canary}"),
        )
        if e["agrees"] is False:
            notes.append(f"{e['name']}: {e['state_file']} serves another bundle than {stands['tag']} names")
        if e["rival"]:
            notes.append(f"{e['name']}: {e['rival']} is as new by its time; gto may take it for the one that stands")
    _print_table(shown)
    for note in notes:
        stderr.print(note, markup=False, style="yellow")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=True, overflow="ignore")
    return table


def _print_table(table: Table) -> None:
    """As wide as it needs to be: a tag that is cut short is none."""
    Console(stderr=True, highlight=False, width=max(stderr.width, _WIDTH)).print(table)


def _minute(at: str | None) -> str:
    """``2026-11-21 08:54Z``: who wants the seconds takes --json."""
    return f"{at[:10]} {at[11:16]}Z" if at else "-"


def _short(bundle: str | None) -> str:
    return bundle.removeprefix("sha256:")[:12] if bundle else "-"


def _register(args: argparse.Namespace) -> int:
    from remint.workflows.registry import number

    bump = Bump(args.bump) if args.bump else None
    place = _place(args, environment=False)
    numbered = number(place, args.rev, version=args.version, bump=bump, dry_run=args.dry_run)
    made = numbered.made
    stderr.print(
        f"{'Would be' if args.dry_run else 'Is'} {made.tag} ({made.commit[:12]}): {numbered.reason}", markup=False
    )
    answer = {
        "tag": made.tag,
        "version": str(made.version),
        "commit": made.commit,
        "reason": numbered.reason,
        "dry_run": args.dry_run,
    }
    emit_json(answer, output=args.output, as_json=args.json)
    return ExitCode.ANSWERED


def _promote(args: argparse.Namespace) -> int:
    from remint.workflows.environment import promote

    place = _place(args, environment=True)
    return _moved(args, place, promote(place, version=args.version, reason=args.reason, by=args.by))


def _roll_back(args: argparse.Namespace) -> int:
    from remint.workflows.environment import roll_back

    place = _place(args, environment=True)
    return _moved(args, place, roll_back(place, to=args.to, reason=args.reason, by=args.by))


def _moved(args: argparse.Namespace, place: Place, move: Transfer) -> int:
    what = f"{move.environment.name}: {move.version or move.commit[:12]}, bundle {_short(move.bundle)}"
    if not move.changed:
        stderr.print(f"{what} since before ({move.tag}); nothing done", markup=False)
    else:
        left = f" after {move.left.version or move.left.commit[:12]}" if move.left else ""
        stderr.print(f"{'Would be' if args.dry_run else 'Is'} {what}{left}", markup=False)
        stderr.print(f"  tag    {move.tag} ({move.commit[:12]})", markup=False)
        stderr.print(f"  state  {place.state_file}: release {move.after.release}, no canary", markup=False)
        if passed := move.admitted["passed"]:
            verdict = f", verdict {passed['verdict'][:19]}" if passed["verdict"] else ""
            since = _minute(passed["at"])
            stderr.print(f"  passed {passed['environment']}: {passed['tag']}, {since}{verdict}", markup=False)
        if move.admitted["by"]:
            stderr.print(f"  by     {move.admitted['by']}", markup=False)
    emit_json({**move.to_json(), "dry_run": args.dry_run}, output=args.output, as_json=args.json)
    return ExitCode.ANSWERED


def _assign(args: argparse.Namespace) -> int:
    from remint.adapters.registry import assign

    git, pipeline = _open()
    made = assign(git, pipeline, args.rev, now=datetime.now(UTC), stage=args.stage, dry_run=args.dry_run)
    stderr.print(f"{'Would be' if args.dry_run else 'Is'} {made.tag} ({made.commit[:12]})")
    answer = {
        "tag": made.tag,
        "stage": made.stage,
        "number": made.number,
        "commit": made.commit,
        "dry_run": args.dry_run,
    }
    emit_json(answer, output=args.output, as_json=args.json)
    return ExitCode.ANSWERED


def _champion(args: argparse.Namespace) -> int:
    from remint.adapters.registry import champion

    git, pipeline = _open()
    found = champion(git, pipeline, stage=args.stage)
    if found is None:
        raise NoDataError(
            f"nothing is {args.stage} yet", where=pipeline, hint=f"no tag such as {stage_tag(pipeline, args.stage, 1)}"
        )
    stderr.print(
        f"{found.tag}: {found.version or 'no version'} ({found.commit[:12]}), {format_time(found.assigned_at)}"
    )
    emit_json(found.to_json(), output=args.output, as_json=args.json)
    return ExitCode.ANSWERED
