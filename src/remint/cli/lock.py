"""``remint lock``: ``dvc.lock`` merged by stage."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from remint.cli.common import CommandParser, emit_json, stderr
from remint.errors import ExitCode

_EPILOG = """\
examples:
  remint lock install        # once in each clone; `remint init` has written the line in .gitattributes
  git merge main             # dvc.lock is merged by stage from now on

A stage that one side changed is taken from that side. One that both changed, and whatever reads its outputs, is left
out: nobody has produced it. The driver names those stages, and git marks the file as conflicted:

  dvc pull --allow-missing && dvc repro STAGE ... && git add dvc.lock && git commit
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    commands = parser.add_subparsers(dest="subcommand", metavar="COMMAND", required=True, parser_class=CommandParser)
    merge = commands.add_parser(
        "merge",
        help="the merge driver, called by git",
        description="Merge three versions of dvc.lock by stage, into OURS.",
        epilog="exit codes: 0 merged, 13 stages have to be reproduced or a person has to merge\n\n"
        'example: git config merge.remint-lock.driver "remint lock merge %O %A %B %P"',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    merge.add_argument("base", type=Path, metavar="BASE", help="the common ancestor (%%O)")
    merge.add_argument("ours", type=Path, metavar="OURS", help="our version, and where the result goes (%%A)")
    merge.add_argument("theirs", type=Path, metavar="THEIRS", help="their version (%%B)")
    merge.add_argument("path", metavar="PATH", help="where the file lies in the repository (%%P)")
    merge.set_defaults(run=_merge)
    install = commands.add_parser(
        "install",
        help="make git use the driver in this clone",
        description="Write the line in .gitattributes, and the driver into this clone's configuration. Safe to repeat.",
        epilog="example: remint lock install --dry-run",
    )
    install.add_argument("--dry-run", action="store_true", help="say what would change, change nothing")
    install.set_defaults(run=_install)
    for command in (merge, install):
        command.add_argument("--json", action="store_true", help="print what was done as JSON")
        command.add_argument("--output", type=Path, metavar="FILE", help="write that JSON to FILE")


def _merge(args: argparse.Namespace) -> int:
    from remint.workflows.lock import merge_files

    merge = merge_files(args.base, args.ours, args.theirs, path=args.path, directory=Path())
    emit_json(merge.to_json(), output=args.output, as_json=args.json)
    if merge.clean:
        return ExitCode.ANSWERED
    if merge.text_reason is not None:
        stderr.print(f"{args.path}: not merged by stage, but as text: {merge.text_reason}", markup=False)
        return ExitCode.INCONCLUSIVE
    for left_out in merge.left_out:
        stderr.print(f"{args.path}: {left_out.stage} has to be reproduced: {left_out.reason}", markup=False)
    stages = " ".join(shlex.quote(stage) for stage in merge.stages)
    add = f"git add {shlex.quote(args.path)}"
    stderr.print(f"Next: dvc pull --allow-missing && dvc repro {stages} && {add} && git commit", markup=False)
    return ExitCode.INCONCLUSIVE


def _install(args: argparse.Namespace) -> int:
    from remint.adapters.git import Git
    from remint.workflows.lock import install

    done = install(Git(Path()), dry_run=args.dry_run)
    would = "would " if args.dry_run else ""
    stderr.print(f"{would}{done.attributes.value} the line in .gitattributes", markup=False)
    stderr.print(f"{would}{done.driver.value} the merge driver in this clone: {done.command}", markup=False)
    emit_json(done.to_json(), output=args.output, as_json=args.json)
    return ExitCode.ANSWERED
