"""``remint registry``: versions and stages as git tags."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from remint.cli.common import emit_json, stderr
from remint.core.document import format_time
from remint.core.registry import STABLE, Bump, Version, stage_tag
from remint.errors import ExitCode, NoDataError

if TYPE_CHECKING:
    from remint.adapters.git import Git

_EPILOG = """\
examples:
  remint registry register                   # tag HEAD as the next version, such as churn@v1.3.0
  remint registry assign churn@v1.3.0        # make it the champion: churn#stable#4
  remint registry champion --json

Tags are annotated, pushed to origin where there is one, and in GTO's grammar. Repeating a command changes nothing.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    commands = parser.add_subparsers(dest="subcommand", metavar="COMMAND", required=True)
    show = commands.add_parser("show", help="all versions and assignments", epilog="example: remint registry show")
    show.set_defaults(run=_show)
    register = commands.add_parser(
        "register", help="tag a commit as a version", epilog="example: remint registry register HEAD --bump patch"
    )
    register.add_argument("rev", nargs="?", default="HEAD", metavar="REV", help="the commit (default: HEAD)")
    chosen = register.add_mutually_exclusive_group()
    chosen.add_argument("--version", metavar="VERSION", help="such as v1.3.0 (default: the next one)")
    chosen.add_argument("--bump", choices=[b.value for b in Bump], default=Bump.MINOR.value, help="default: minor")
    register.set_defaults(run=_register)
    assign = commands.add_parser(
        "assign", help="make a commit the newest of a stage", epilog="example: remint registry assign churn@v1.3.0"
    )
    assign.add_argument("rev", nargs="?", default="HEAD", metavar="REV", help="a commit or a tag (default: HEAD)")
    assign.add_argument("--stage", default=STABLE, metavar="STAGE", help=f"default: {STABLE}")
    assign.set_defaults(run=_assign)
    for changing in (register, assign):
        changing.add_argument("--dry-run", action="store_true", help="say which tag would be made, make none")
    champion = commands.add_parser(
        "champion", help="the model in production", epilog="example: remint registry champion --json"
    )
    champion.add_argument("--stage", default=STABLE, metavar="STAGE", help=f"default: {STABLE}")
    champion.set_defaults(run=_champion)
    for command in (show, register, assign, champion):
        command.add_argument("--json", action="store_true", help="print the answer as JSON")
        command.add_argument("--output", type=Path, metavar="FILE", help="write that JSON to FILE")


def _open() -> tuple[Git, str]:
    from remint.adapters.git import Git
    from remint.config import load_params

    return Git(Path()), load_params().pipeline


def _show(args: argparse.Namespace) -> int:
    from remint.adapters.registry import load_registry

    registry = load_registry(*_open())
    champion = registry.champion()
    shown = Table("tag", "commit", "made at", "state", box=None, pad_edge=False, header_style="bold")
    for v in registry.versions:
        shown.add_row(v.tag, v.commit[:12], format_time(v.registered_at), "" if v.current else "deregistered")
    for a in registry.assignments:
        state = "champion" if champion is not None and a.tag == champion.tag else "" if a.current else "unassigned"
        shown.add_row(a.tag, a.commit[:12], format_time(a.assigned_at), state)
    if shown.row_count:
        stderr.print(shown)
    else:
        stderr.print(f"No version of {registry.pipeline} yet: remint registry register")
    emit_json(registry.to_json(), output=args.output, as_json=args.json)
    return ExitCode.ANSWERED


def _register(args: argparse.Namespace) -> int:
    from remint.adapters.registry import register

    git, pipeline = _open()
    made = register(
        git,
        pipeline,
        args.rev,
        now=datetime.now(UTC),
        version=Version.parse(args.version) if args.version else None,
        bump=Bump(args.bump),
        dry_run=args.dry_run,
    )
    stderr.print(f"{'Would be' if args.dry_run else 'Is'} {made.tag} ({made.commit[:12]})")
    answer = {"tag": made.tag, "version": str(made.version), "commit": made.commit, "dry_run": args.dry_run}
    emit_json(answer, output=args.output, as_json=args.json)
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
