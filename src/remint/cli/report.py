"""``remint report``: the evidence as Markdown for a pull request, or as one HTML page."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from remint.core.report import FULL_REPORT
from remint.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from remint.config import Params

_SUMMARY: Final = Path("artifacts/prepared/summary.json")
_METADATA: Final = Path("artifacts/metadata.json")
_EPILOG = """\
Give what there is: the gate of a challenger, the decision behind it, a canary's verdict. The Markdown goes to stdout.

examples:
  remint report --gate gate.json >> "$GITHUB_STEP_SUMMARY"
  remint report --run .remint/runs/this --full >> "$GITHUB_STEP_SUMMARY"
  remint report --gate gate.json --decision decision.json --html report.html --output report.md
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    parser.add_argument(
        "--run",
        type=Path,
        metavar="DIR",
        dest="directory_of_run",  # `run` is the function that parses to
        help="a directory that remint retrain wrote: its decision, gate and changes",
    )
    parser.add_argument("--gate", type=Path, metavar="FILE", help="gate.json of remint gate")
    parser.add_argument("--decision", type=Path, metavar="FILE", help="decision.json of remint check")
    parser.add_argument("--verdict", type=Path, metavar="FILE", help="verdict.json of remint canary judge")
    parser.add_argument("--changes", type=Path, metavar="FILE", help="changes.json of remint retrain")
    parser.add_argument(
        "--metadata", type=Path, metavar="FILE", help=f"with --gate the default is {_METADATA}, if it is that model's"
    )
    parser.add_argument(
        "--summary", type=Path, metavar="FILE", help=f"with --gate the default is {_SUMMARY}, if it is that model's"
    )
    parser.add_argument(
        "--full", action="store_true", help="all of it, as far as a job summary takes it (1 MiB), not a pull request"
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="also write one HTML page with plots")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the Markdown to FILE instead of stdout")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from remint.cli.common import stderr, write_atomically
    from remint.workflows.report import Documents, render_html, render_report

    written = _written(args)
    if written is not None:
        _put(written, args.output)
        return ExitCode.ANSWERED
    gate = _read(args.gate or _of_run(args.directory_of_run, "gate.json"))
    beside = _is_of_this_directory(gate)
    documents: Documents = {
        "gate": gate,
        "decision": _read(args.decision or _of_run(args.directory_of_run, "decision.json")),
        "verdict": _read(args.verdict),
        "changes": _read(args.changes or _of_run(args.directory_of_run, "changes.json")),
        "metadata": _read(args.metadata or (_METADATA if beside and _METADATA.exists() else None)),
        "summary": _read(args.summary or (_SUMMARY if beside and _SUMMARY.exists() else None)),
    }
    params = _params()
    text = render_report(**documents, params=params, full=args.full)
    if args.html is not None:
        write_atomically(args.html, render_html(**documents, params=params))
        stderr.print(f"Page: {args.html}", markup=False)
    if args.output is not None or args.html is None or not sys.stdout.isatty():
        _put(text, args.output)
    return ExitCode.ANSWERED


def _put(text: str, output: Path | None) -> None:
    from remint.cli.common import write_atomically

    if output is None:
        sys.stdout.write(text)
    else:
        write_atomically(output, text)


def _written(args: argparse.Namespace) -> str | None:
    """The report as the run itself wrote it: only there were all the documents at hand. None where it wrote none."""
    others = (args.gate, args.decision, args.verdict, args.changes, args.metadata, args.summary, args.html)
    if args.directory_of_run is None or any(other is not None for other in others):
        return None
    for name in ([FULL_REPORT] if args.full else []) + ["report.md"]:
        path = _of_run(args.directory_of_run, name)
        if path is not None:
            return path.read_text(encoding="utf-8")
    return None


def _of_run(directory: Path | None, name: str) -> Path | None:
    """The run's file, if it wrote one: a retrain that changed nothing has a decision and no more."""
    if directory is None:
        return None
    if not directory.is_dir():
        raise UsageError("no such directory", where=str(directory), hint="remint retrain names it: Files: ...")
    path = directory / name
    return path if path.exists() else None


def _params() -> Params | None:
    """Owners and prices, where the report is made in a pipeline's directory; documents can be read anywhere."""
    from remint.config import load_params

    return load_params() if Path("params.yaml").exists() else None


def _is_of_this_directory(gate: dict[str, Any] | None) -> bool:
    """Whether the model in artifacts/ is the gate's challenger: files of another model would tell a wrong story."""
    try:
        return (
            gate is not None
            and json.loads(Path("artifacts/manifest.json").read_bytes())["id"] == (gate["challenger"]["bundle"])
        )
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _read(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path)) from None
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise UsageError("not a JSON object", where=str(path))
    return document
