"""``remint pull-request``: what a person does on a forge's pages, where the forge is a bare repository."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table

from remint.cli.common import CommandParser, emit_json, stderr
from remint.cli.forge_options import add_forge, the_forge
from remint.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from remint.adapters.forge import Forge
    from remint.adapters.forge.local import LocalForge
    from remint.workflows.pull_request import PullPage

_EPILOG: Final = """\
examples:
  remint pull-request show --forge local               # the open one: body, gate, approvals, comments
  remint pull-request comment "/snooze 14d after the holidays" --forge local
  remint pull-request approve --forge local && remint pull-request merge --approvals 1 --forge local

NUMBER may be left out: then it is the open pull request of the pipeline. `merge` asks for a gate that passed.
On GitHub, Gitea and Forgejo only `show` and `list` work: the rest is done on the forge's own pages.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    commands = parser.add_subparsers(dest="subcommand", metavar="COMMAND", required=True, parser_class=CommandParser)

    show = _add(commands, "show", "a pull request with its comments, in the terminal", "show 3 --forge local")
    show.set_defaults(run=_show)
    listed = _add(commands, "list", "all of the pipeline, newest first", "list --json", number=False)
    listed.set_defaults(run=_list)
    approve = _add(commands, "approve", "approve what the branch is now", "approve --forge local", changes=True)
    approve.set_defaults(run=_approve)
    merge = _add(
        commands, "merge", "merge it, where its gate passed", "merge --approvals 1 --forge local", changes=True
    )
    merge.add_argument("--approvals", type=_count, default=0, metavar="N", help="of people whom it needs (default: 0)")
    merge.add_argument(
        "--force", metavar="REASON", help="merge whatever gate and approvals say; recorded in the ledger"
    )
    merge.set_defaults(run=_merge)
    close = _add(commands, "close", "refuse it: this data is not proposed again", "close --forge local", changes=True)
    close.set_defaults(run=_close)
    comment = _add(
        commands, "comment", "say something, or give a command", 'comment "/retrain" --forge local', changes=True
    )
    comment.add_argument("text", metavar="TEXT", help="Markdown; a first line such as /retrain is a command")
    comment.set_defaults(run=_comment)


def _add(
    commands: argparse._SubParsersAction[CommandParser],
    name: str,
    summary: str,
    example: str,
    *,
    number: bool = True,
    changes: bool = False,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=summary, description=summary, epilog=f"example: remint pull-request {example}"
    )
    if number and name == "comment":  # its positional is the text
        parser.add_argument("--number", type=_count, metavar="NUMBER", help="default: the open one")
    elif number:
        parser.add_argument("number", nargs="?", type=_count, metavar="NUMBER", help="default: the open one")
    if changes:
        parser.add_argument("--by", metavar="NAME", help="who does it (default: git's user.name)")
        parser.add_argument("--dry-run", action="store_true", help="say what would be done, change nothing")
    add_forge(parser)
    parser.add_argument("--json", action="store_true", help="print JSON to stdout")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write that JSON to FILE")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return int(text)


def _pipeline() -> str:
    from remint.config import load_params

    return load_params().pipeline


def _page(forge: Forge, number: int | None) -> PullPage:
    from remint.workflows.pull_request import find_pull, page

    pipeline = _pipeline()
    return page(forge, pipeline, find_pull(forge, pipeline, number))


def _show(args: argparse.Namespace) -> int:
    shown = _page(the_forge(args), args.number)
    emit_json(shown.to_json(), output=args.output, as_json=args.json)
    if not args.json:
        _print_page(shown)
    return ExitCode.ANSWERED


def _print_page(shown: PullPage) -> None:
    """Rendered for a terminal, else as it is: for a pipe, a pager, a file. Control characters never reach either."""
    from remint.core.markdown import clean

    gate = "no status" if shown.status is None else f"{shown.status.state.value}: {shown.status.description}"
    pull = shown.pull
    parts = [
        f"# #{pull.number} {clean(pull.title)}",
        f"{pull.state.value}, {clean(pull.author)} wants {pull.head} ({pull.commit[:12]}) in {pull.base}",
        f"gate: {clean(gate)}",
        f"approved by: {clean(', '.join(shown.approvers) or 'nobody')}",
        *_lines_of(pull.body),
    ]
    for comment in shown.comments:
        parts += ["---", f"**{clean(comment.author)}** (comment {comment.id}):", *_lines_of(comment.body)]
    text = "\n\n".join(parts) + "\n"
    if sys.stdout.isatty():
        Console().print(Markdown(text))
    else:
        sys.stdout.write(text)


def _lines_of(body: str) -> list[str]:
    kept = [line for line in body.splitlines() if not line.startswith("<!--")]
    return ["\n".join("".join(c for c in line if c.isprintable() or c == "\t") for line in kept).strip()]


def _list(args: argparse.Namespace) -> int:
    from remint.workflows.pull_request import all_pulls, pulls_json

    found = all_pulls(the_forge(args), _pipeline())
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("number", "state", "commit", "title"):
        table.add_column(column)
    for pull in found:
        table.add_row(str(pull.number), pull.state.value, pull.commit[:12], pull.title.replace("[", r"\["))
    stderr.print(table if found else "None yet")
    emit_json(pulls_json(found), output=args.output, as_json=args.json)
    return ExitCode.ANSWERED


# -- what a person does ------------------------------------------------------------------------------------------------


def _local(args: argparse.Namespace) -> tuple[LocalForge, str]:
    """The local forge as the person who asks. Raises UsageError on every other, and where nobody is named."""
    from remint.adapters.forge.local import LocalForge
    from remint.adapters.git import Git

    if args.forge != "local":
        the_forge(args)  # its own words where nothing says which it is
        raise UsageError(
            f"pull-request {args.subcommand} is for the local forge",
            where="--forge",
            hint="on GitHub, Gitea and Forgejo use the pull request's page",
        )
    git = Git(Path())
    by = args.by if args.by is not None else git.run("config", "--default", "", "user.name")
    by = " ".join(by.split())
    clock = lambda: datetime.now(UTC)  # noqa: E731 - the one clock of this command
    if by == LocalForge(git, clock=clock).whoami():
        raise UsageError(f"{by!r} is Remint's own name here", where="--by", hint="who are you?")
    if not by:
        raise UsageError("nobody is named", hint="--by NAME, or git config user.name")
    return LocalForge(git, clock=clock, user=by), by


def _approve(args: argparse.Namespace) -> int:
    forge, by = _local(args)
    shown = _page(forge, args.number)
    if not args.dry_run:
        forge.approve(shown.pull.number, by=by)
    return _done(args, forge, shown, f"approved by {by}")


def _close(args: argparse.Namespace) -> int:
    forge, by = _local(args)
    shown = _page(forge, args.number)
    if not args.dry_run:
        forge.close_pull(shown.pull.number)
    return _done(args, forge, shown, f"closed unmerged by {by}: the same data is not proposed again")


def _comment(args: argparse.Namespace) -> int:
    forge, by = _local(args)
    shown = _page(forge, args.number)
    if not args.text.strip():
        raise UsageError("an empty comment", where="TEXT")
    if not args.dry_run:
        forge.create_comment(shown.pull.number, args.text)
    said = "its command waits for remint loop" if args.text.lstrip().startswith("/") else "said"
    return _done(args, forge, shown, f"comment by {by}: {said}")


def _merge(args: argparse.Namespace) -> int:
    from remint.adapters.git import Git
    from remint.workflows.pull_request import MergeRequest, find_pull, merge

    forge, by = _local(args)
    pipeline = _pipeline()
    pull = find_pull(forge, pipeline, args.number)
    request = MergeRequest(
        by=by, clock=lambda: datetime.now(UTC), approvals=args.approvals, force=args.force, dry_run=args.dry_run
    )
    merged = merge(Git(Path()), forge, pipeline, pull, request)
    for line in merged.against:
        stderr.print(f"although {line}", style="yellow", markup=False)
    commit = merged.commit[:12] if merged.commit else ""
    stderr.print(f"#{pull.number} {'would be ' if args.dry_run else ''}merged {commit}".rstrip(), markup=False)
    emit_json({**merged.to_json(), "dry_run": args.dry_run}, output=args.output, as_json=args.json)
    return ExitCode.ANSWERED


def _done(args: argparse.Namespace, forge: Forge, shown: PullPage, what: str) -> int:
    from remint.workflows.pull_request import page

    after = shown if args.dry_run else page(forge, _pipeline(), forge.pull(shown.pull.number))
    stderr.print(f"#{shown.pull.number} {'would be ' if args.dry_run else ''}{what}", markup=False)
    emit_json({**after.to_json(), "dry_run": args.dry_run}, output=args.output, as_json=args.json)
    return ExitCode.ANSWERED
