"""``remint``: find the command, run it, turn what it raises into one line and an exit code."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from remint import __version__
from remint.cli.common import CommandParser, fail
from remint.errors import ExitCode, RemintError

#: command -> (module under remint.cli, one-line help). A module is imported only when its command is asked for:
#: `remint serve` must not import DVC or pandas, and `remint --help` must be quick.
COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "init": ("init", "make a pipeline of a data file: params.yaml, dvc.yaml, stages, workflows"),
    "serve": ("serve", "serve the stable and the canary bundle, collect feedback"),
    "check": ("check", "ask for drift, lost accuracy or new data; write decision.json"),
    "watch": ("watch", "publish drift, estimated accuracy and decisions as Prometheus metrics"),
    "backtest": ("backtest", "replay the rules over the past: how many retrains, when, why, at what cost"),
    "freeze": ("freeze", "pull the brake: no retrain, no publishing, no promotion; rollback stays free"),
    "unfreeze": ("unfreeze", "release the brake"),
    "plan": ("plan", "say before a run which stages run, what is pulled, and why"),
    "trace": ("trace", "tell the story of one run: decision, retrain, gate, commits, tags, canary"),
    "doctor": ("doctor", "check the settings around a pipeline, and print the mend for each finding"),
    "lock": ("lock", "merge dvc.lock by stage: a git merge driver"),
    "ledger": ("ledger", "show the append-only record of decisions"),
    "retrain": ("retrain", "reproduce the pipeline on curated feedback, on a branch of its own"),
    "dispatch": ("dispatch", "start the retrain workflow with a decision"),
    "publish": ("publish", "make a retrain a pull request, or bring the one there is up to date"),
    "feedback": ("feedback", "export curated feedback as a training file"),
    "labels": ("labels", "import labels that come as files"),
    "gate": ("gate", "compare challenger and champion; write gate.json"),
    "report": ("report", "render the evidence as Markdown or HTML"),
    "registry": ("registry", "list, register and assign model versions (git tags)"),
    "bundle": ("bundle", "verify or export a model bundle"),
    "canary": ("canary", "start, judge, step, promote or roll back a canary"),
}

_EPILOG = """\
exit codes: 0 answered, 1 bug, 2 usage, configuration or bad data, 3 no data yet, 4 a service failed or a lock is held;
with --exit-code: 10 retrain due, 11 gate failed, 12 canary failed, 13 inconclusive or labels needed, 14 investigate

example: remint init --data customers.csv --label churned && dvc repro
"""


def main(argv: Sequence[str]) -> int:
    parser = CommandParser(
        prog="remint",
        description="Keeps production models fresh, from git.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"remint {__version__}")
    parser.add_argument("-C", "--directory", type=Path, metavar="DIR", help="run as if started in DIR")
    parser.add_argument("-v", "--verbose", action="store_true", help="log what is done, to stderr")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    wanted = _wanted_command(argv)
    for name, (module, summary) in COMMANDS.items():
        sub = commands.add_parser(
            name, help=summary, description=summary, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        if name == wanted:
            importlib.import_module(f"remint.cli.{module}").configure(sub)
    try:
        arguments = parser.parse_args(argv)
        logging.basicConfig(
            level=logging.INFO if arguments.verbose else logging.WARNING,
            format="%(asctime)s %(levelname)s %(name)s: %(message)s",
            stream=sys.stderr,
        )
        if arguments.directory is not None:
            try:
                os.chdir(arguments.directory)
            except OSError as error:
                parser.error(f"-C {arguments.directory}: {error.strerror}")
        return int(arguments.run(arguments))
    except RemintError as error:
        fail(error, as_json=getattr(locals().get("arguments"), "json", False))
        return error.exit_code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader went away (`remint ledger | head`): not an error, and Python must not complain at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.ANSWERED


def _wanted_command(argv: Sequence[str]) -> str | None:
    skip = False
    for word in argv:
        if skip:
            skip = False
        elif word in {"-C", "--directory"}:
            skip = True
        elif not word.startswith("-"):
            return word
    return None


def entry() -> None:
    """The ``remint`` console script."""
    sys.exit(main(sys.argv[1:]))
