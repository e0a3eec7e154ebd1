"""What a pull request says: the report with a line for machines, the story of its runs, the gate as a status.

The line for machines ties the pull request to a bundle and to what that was trained from. It is how a later run knows
what a person refused by closing it, without any state of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from remint.core.document import parse_time
from remint.core.gate import weighs
from remint.core.markdown import clean, escape, table
from remint.core.recheck import champion_name
from remint.core.report import MAX_CHARACTERS
from remint.core.verdict import Verdict, finding_verdict

_LINE: Final = re.compile(
    r"<!-- remint:pull pipeline=(?P<pipeline>[a-z0-9-]+) run=(?P<run>[\w-]+) bundle=(?P<bundle>sha256:[0-9a-f]{64}) "
    r"inputs=(?P<inputs>sha256:[0-9a-f]{64})(?P<superseded> superseded)? -->"
)
_MOST_RUNS: Final = 50
_MOST_COMMANDS: Final = 30
_LONGEST_STATUS: Final = 140  # characters, which is what GitHub takes
_MARKS: Final = {Verdict.PASS: "✅ pass", Verdict.INCONCLUSIVE: "❔ inconclusive", Verdict.FAIL: "❌ fail"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What a pull request proposes. ``inputs`` is the id of data, code and parameters that ``bundle`` came from.

    ``superseded``: Remint closes it because it is not needed any more, and nobody has refused it.
    """

    pipeline: str
    run_id: str
    bundle: str
    inputs: str
    superseded: bool = False

    def line(self) -> str:
        mark = " superseded" if self.superseded else ""
        facts = f"pipeline={self.pipeline} run={self.run_id} bundle={self.bundle} inputs={self.inputs}"
        return f"<!-- remint:pull {facts}{mark} -->"

    def same_as(self, other: Proposal) -> bool:
        """Whether a reviewer would look at the same thing again.

        The inputs count as well as the bundle: training that is not deterministic gives a new bundle each time.
        """
        return self.pipeline == other.pipeline and (self.bundle == other.bundle or self.inputs == other.inputs)


def read_proposal(body: str, pipeline: str) -> Proposal | None:
    """From a pull request's body; None where there is none of this pipeline, or more than one."""
    found = [match for match in _LINE.finditer(body) if match["pipeline"] == pipeline]
    if len(found) != 1:
        return None
    (match,) = found
    return Proposal(
        pipeline=pipeline,
        run_id=match["run"],
        bundle=match["bundle"],
        inputs=match["inputs"],
        superseded=match["superseded"] is not None,
    )


def body(report: str, proposal: Proposal) -> str:
    """The report and the line for machines, within ``MAX_CHARACTERS``: a longer report is cut at a line's end."""
    tail = f"\n\n{proposal.line()}\n"
    text = _LINE.sub("", report).rstrip()
    if len(text) + len(tail) > MAX_CHARACTERS:
        note = "\n\n_Cut for length: report.md of the run has all of it._"
        text = text[: MAX_CHARACTERS - len(tail) - len(note)].rpartition("\n")[0] + note
    return text + tail


def same_text(one: str, other: str) -> bool:
    """Whether a forge, which may change line ends and the space around, was given this text before."""
    return one.replace("\r\n", "\n").strip() == other.replace("\r\n", "\n").strip()


# -- the story ---------------------------------------------------------------------------------------------------------


def story_marker(pipeline: str) -> str:
    """By which the one comment of a pipeline is found; its author has to be us as well."""
    return f"<!-- remint:story pipeline={pipeline} -->"


def story(
    pipeline: str,
    runs: Sequence[Mapping[str, Any]],
    *,
    commands: Sequence[Mapping[str, Any]] = (),
    note: str | None = None,
) -> str:
    """The runs of a pull request and the commands in its comments, oldest first in, newest first out.

    ``runs`` are the ledger's ``pull_request`` and ``gate`` entries, ``commands`` its ``command`` entries with ``at``.
    ``note`` is a sentence of ours that stands on top: it is Markdown already.
    """
    shown = list(reversed(runs))[:_MOST_RUNS]
    rows = [
        (
            parse_time(run["created_at"]).strftime("%Y-%m-%d %H:%M"),
            _MARKS[Verdict(run["verdict"])],
            f"`{short(run['bundle'])}`",
            f"`{run['commit'][:12]}`",
            escape(run["summary"], longest=200),
            f"`{run['run_id']}`",
        )
        for run in shown
    ]
    parts = [story_marker(pipeline), f"**Retrains of {escape(pipeline)} in this pull request**, the newest first"]
    if note is not None:
        parts.append(f"> {note}")
    if rows:
        parts.append(table(["decided (UTC)", "gate", "bundle", "commit", "why", "run"], rows))
    if len(runs) > len(shown):
        parts.append(f"_{len(runs) - len(shown)} earlier runs: `remint ledger`._")
    if commands:
        parts += _answers(commands)
    return "\n\n".join(parts) + "\n"


def note_of(body: str) -> str | None:
    """The note that stands on top of a story, as ``story`` was given it."""
    lines = body.replace("\r\n", "\n").split("\n")[:8]
    return next((line.removeprefix("> ") for line in lines if line.startswith("> ")), None)


def _answers(commands: Sequence[Mapping[str, Any]]) -> list[str]:
    shown = list(reversed(commands))[:_MOST_COMMANDS]
    rows = [
        (
            parse_time(command["at"]).strftime("%Y-%m-%d %H:%M"),
            escape(command["by"], longest=60),
            escape(command["command"], longest=200),
            escape(command["answer"], longest=400),
        )
        for command in shown
    ]
    parts = ["**Commands in comments**", table(["answered (UTC)", "by", "command", "answer"], rows)]
    if len(commands) > len(shown):
        parts.append(f"_{len(commands) - len(shown)} earlier commands: `remint ledger`._")
    return parts


def short(bundle: str) -> str:
    return bundle.removeprefix("sha256:")[:12]


# -- the status --------------------------------------------------------------------------------------------------------


def status_context(pipeline: str) -> str:
    """The name that branch protection asks for."""
    return f"remint/gate/{pipeline}"


def status_description(gate: Mapping[str, Any]) -> str:
    """The gate's verdict, against whom, and what stopped it."""
    champion = gate["champion"]
    against = "no champion yet" if champion is None else f"against {champion_name(champion)}"
    verdict = Verdict(gate["verdict"])
    worst = [f["rule"] for f in gate["findings"] if weighs(f["rule"], finding_verdict(f["verdict"])) is verdict]
    failed = [] if verdict is Verdict.PASS else worst
    return fitted(f"Gate {verdict.value}, {against}" + (f": {', '.join(failed)}" if failed else ""))


def stale_description(changed: Sequence[str]) -> str:
    """While the gate runs anew."""
    return fitted(f"stale: {'; '.join(changed)}")


def fitted(text: str) -> str:
    """One clean line, as long as a commit status may be."""
    return clean(text, longest=_LONGEST_STATUS)
