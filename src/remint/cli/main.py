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
from remint.cli.record import Record
from remint.errors import ExitCode, NoDataError, RemintError, ServiceError, UsageError

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
    "explain": ("explain", "say what an error's code means, what causes it and what to do"),
    "trace": ("trace", "tell the story of one run: decision, retrain, gate, commits, tags, canary"),
    "doctor": ("doctor", "check the settings around a pipeline, and print the mend for each finding"),
    "lock": ("lock", "merge dvc.lock by stage: a git merge driver"),
    "ledger": ("ledger", "show the append-only record of decisions"),
    "retrain": ("retrain", "reproduce the pipeline on curated feedback, on a branch of its own"),
    "dispatch": ("dispatch", "start the retrain workflow with a decision, or the release of a merged model"),
    "publish": ("publish", "make a retrain a pull request, or bring the one there is up to date"),
    "recheck": ("recheck", "is the recorded gate still about this bundle, champion and rules? else it runs anew"),
    "command": ("command", "do what a comment in the pull request asks for: /retrain, /snooze, /accept-regression"),
    "feedback": ("feedback", "export curated feedback as a training file"),
    "labels": ("labels", "import labels that come as files"),
    "gate": ("gate", "compare challenger and champion; write gate.json"),
    "report": ("report", "render the evidence as Markdown or HTML"),
    "fork-report": ("fork_report", "comment on a fork's pull request by documents that its own run left behind"),
    "registry": ("registry", "list, register and assign model versions (git tags)"),
    "bundle": ("bundle", "verify or export a model bundle, label its image"),
    "canary": ("canary", "start, list, judge, step, promote or roll back a canary"),
    "release": ("release", "register a merged model and bring it to the environments that take it"),
    "pull-request": ("pull_request", "show, approve, merge, close or comment on a pull request of the local forge"),
    "loop": ("loop", "walk the whole path again and again, against a bare repository: no forge needed"),
}

_WITH_VALUE: Final = frozenset({"-C", "--directory", "--run-json"})
#: What a command that gives back an exit code below 10 ended in: a failure that it told by itself.
_OUTCOMES: Final = {
    ExitCode.BUG: RemintError.code,
    ExitCode.USAGE: UsageError.code,
    ExitCode.NO_DATA: NoDataError.code,
    ExitCode.SERVICE: ServiceError.code,
    ExitCode.INTERRUPTED: "interrupted",
}

_EPILOG = """\
exit codes: 0 answered, 1 bug, 2 usage, configuration or bad data, 3 no data yet, 4 a service failed or a lock is held;
with --exit-code: 10 retrain due, 11 gate failed, 12 canary failed, 13 inconclusive or labels needed, 14 investigate

An error's line ends in its code, such as [config]; `remint explain CODE` says what it means.

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
    parser.add_argument(
        "--run-json",
        metavar="FILE",
        help="write how the command ended and what it took; a directory takes COMMAND.json (default: REMINT_RUN_JSON)",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="log what is done, to stderr")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    wanted, given = _look_ahead(argv)
    for name, (module, summary) in COMMANDS.items():
        sub = commands.add_parser(
            name, help=summary, description=summary, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        if name == wanted:
            importlib.import_module(f"remint.cli.{module}").configure(sub)
    arguments, record = argparse.Namespace(), None
    if wanted in COMMANDS:
        record = Record(wanted, given=given.get("--run-json"), directory=given.get("-C") or given.get("--directory"))
    outcome, exit_code = RemintError.code, ExitCode.BUG  # until it is known better
    try:
        parser.parse_args(argv, arguments)
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
        exit_code = ExitCode(int(arguments.run(arguments)))
        outcome = _OUTCOMES.get(exit_code, "answered")
    except RemintError as error:
        outcome, exit_code = error.code, error.exit_code
        fail(error, as_json=getattr(arguments, "json", False))
    except KeyboardInterrupt:
        outcome, exit_code = "interrupted", ExitCode.INTERRUPTED
    except SystemExit as stop:  # argparse: a wrong option, or --help
        outcome, exit_code = UsageError.code, ExitCode.USAGE
        record = record if stop.code else None
        raise
    except BrokenPipeError:
        outcome, exit_code = "answered", ExitCode.ANSWERED
        # The reader went away (`remint ledger | head`): not an error, and Python must not complain at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        if record is not None:
            record.finish(outcome, exit_code, arguments)
    return exit_code


def _look_ahead(argv: Sequence[str]) -> tuple[str | None, dict[str, str]]:
    """The command, and the options with a value that stand before it: known also where the rest cannot be parsed."""
    given: dict[str, str] = {}
    option = None
    for word in argv:
        if option is not None:
            given[option], option = word, None
        elif word in _WITH_VALUE:
            option = word
        elif not word.startswith("-"):
            return word, given
        elif word.partition("=")[0] in _WITH_VALUE:
            name, _, value = word.partition("=")
            given[name] = value
    return None, given


def entry() -> None:
    """The ``remint`` console script."""
    sys.exit(main(sys.argv[1:]))
