"""``remint trace``: the story of one run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from rich.text import Text

from remint.cli.common import emit_json, stderr
from remint.errors import ExitCode

_EPILOG: Final = """\
example: remint trace churn-20261121T040000Z-1a2b3c

The run id stands in decision.json, in the commit's trailer Remint-Run, in the pull request and in the ledger. Canaries
and promotions have run ids of their own; they belong to the story through the bundle that the run made.
`remint ledger --run RUN_ID --file NAME` prints an attached file.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    parser.add_argument("run_id", metavar="RUN_ID", help="such as churn-20261121T040000Z-1a2b3c")
    parser.add_argument("--json", action="store_true", help="print the story as JSON")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write that JSON to FILE")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from remint.adapters.git import Git
    from remint.config import load_params
    from remint.core.trace import took
    from remint.workflows.trace import trace

    story = trace(Git(Path()), load_params().pipeline, args.run_id)
    wide = max(len(moment.what) for moment in story.moments)
    for moment in story.moments:
        at = moment.at.strftime("%Y-%m-%d %H:%M:%S")
        shown = Text.assemble((at, "dim"), "  ", (f"{moment.what:<{wide}}", "bold"), f"  {moment.line}")
        if moment.where != story.run_id:
            shown.append(f"  [{moment.where}]", style="dim")
        stderr.print(shown)
    if story.bundles:
        stderr.print(Text(f"Bundle: {', '.join(story.bundles)}"))
    if story.usage is not None:
        stderr.print(Text(f"Took: {took(story.usage)}"))
    if story.files:
        stderr.print(Text(f"Files: {', '.join(story.files)} (remint ledger --run {story.run_id} --file NAME)"))
    emit_json(story.to_json(), output=args.output, as_json=args.json)
    return ExitCode.ANSWERED
