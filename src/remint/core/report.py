"""Documents -> Markdown, as a reviewer wants it at the top of a pull request: the first lines are enough to decide.

What is most important stands first and is never left out; where the whole would be longer than a pull request takes,
the least important parts go, and the report says which, and where they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from remint.core.markdown import details, escape, table
from remint.core.report_changes import changes_section, data_section, stages_section
from remint.core.report_choice import choice_table
from remint.core.report_drift import drift_chart, drift_table
from remint.core.report_gate import (
    all_metrics,
    beside_metrics,
    finding_lines,
    history_chart,
    notes,
    rules_table,
    service,
    slice_chart,
    slice_table,
    three_columns,
    undo_details,
)
from remint.core.report_head import CANARY, Setting, head
from remint.core.report_words import mark, prose

MAX_CHARACTERS: Final = 60_000  # GitHub takes 65,536; the rest is for whoever puts text around it
MAX_BYTES: Final = 1_000_000  # of a full report: GitHub's job summaries end at 1 MiB
FULL_REPORT: Final = "report-full.md"  # beside report.md where that leaves something out
CHARTS: Final = frozenset({"drift chart", "slice chart", "history chart"})  # Mermaid, which a page of ours cannot draw
_FOR_THE_NOTE: Final = 500  # characters

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the report. ``rank`` 0 is never left out; the highest rank goes first."""

    name: str
    rank: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A picture that the forge itself serves. ``url`` names the commit, so what it shows never changes."""

    title: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The documents that a report tells of; each may be missing, but not all."""

    gate: Json | None = None
    decision: Json | None = None
    metadata: Json | None = None
    summary: Json | None = None  # artifacts/prepared/summary.json
    verdict: Json | None = None  # of a canary
    changes: Json | None = None
    history: tuple[Json, ...] = ()  # earlier gates of the pipeline, the oldest first
    images: tuple[Image, ...] = ()
    images_note: str | None = None  # why there are none although they were asked for

    @property
    def pipeline(self) -> str:
        documents = (self.gate, self.verdict, self.decision, self.metadata, self.changes, self.summary)
        return str(next(d for d in documents if d is not None)["pipeline"])


def markdown(evidence: Evidence, *, setting: Setting | None = None, full: bool = False) -> str:
    """The report within ``MAX_CHARACTERS`` (``full``: within ``MAX_BYTES``), with the marker by which it is found."""
    marker = f"<!-- remint:report pipeline={evidence.pipeline} -->"
    return f"{marker}\n{_joined(_fitting(evidence, sections(evidence, setting=setting), full=full))}\n"


def leaves_out(evidence: Evidence, *, setting: Setting | None = None) -> bool:
    """Whether ``markdown`` has to leave parts out for length."""
    return _size(sections(evidence, setting=setting), full=False) > _limit(full=False)


def sections(evidence: Evidence, *, setting: Setting | None = None) -> list[Section]:
    """All parts in the order in which they are read."""
    gate, decision, changes = evidence.gate, evidence.decision, evidence.changes
    lead = head(evidence.pipeline, gate=gate, decision=decision, verdict=evidence.verdict, setting=setting)
    parts = [
        Section(name="head", rank=0, text=lead),
        Section(name="metrics", rank=0, text="" if gate is None else rules_table(gate)),
        Section(name="notes", rank=0, text="" if gate is None else notes(gate)),
        Section(name="canary", rank=1, text="" if evidence.verdict is None else _canary(evidence.verdict)),
        Section(name="evaluation", rank=1, text="" if gate is None else three_columns(gate)),
        Section(name="slices", rank=2, text="" if gate is None else slice_table(gate)),
        Section(name="slice chart", rank=6, text="" if gate is None else slice_chart(gate)),
        Section(name="beside the metrics", rank=2, text="" if gate is None else beside_metrics(gate)),
        Section(name="plots", rank=4, text=_images(evidence)),
        Section(name="drift", rank=2, text="" if decision is None else drift_table(decision)),
        Section(name="drift chart", rank=6, text="" if decision is None else drift_chart(decision)),
        Section(name="choice", rank=3, text="" if evidence.metadata is None else choice_table(evidence.metadata)),
        Section(name="data", rank=3, text=data_section(evidence.summary, changes)),
        Section(name="changes", rank=3, text="" if changes is None else changes_section(changes)),
        Section(name="stages", rank=4, text="" if changes is None else stages_section(changes)),
        Section(name="service", rank=2, text="" if gate is None else service(gate)),
        Section(name="history chart", rank=6, text="" if gate is None else history_chart(evidence.history, gate)),
        Section(name="undo", rank=2, text="" if gate is None else undo_details(gate)),
        Section(name="all metrics", rank=5, text="" if gate is None else all_metrics(gate)),
        Section(name="findings", rank=7, text=_all_findings(evidence)),
        Section(name="evidence", rank=4, text=_ids(evidence)),
    ]
    return [part for part in parts if part.text]


def _fitting(evidence: Evidence, parts: Sequence[Section], *, full: bool) -> list[Section]:
    kept, left_out = list(parts), []
    while _size(kept, full=full) > _limit(full=full) and any(part.rank for part in kept):
        worst = max(kept, key=lambda part: part.rank)
        kept.remove(worst)
        left_out.append(worst.name)
    if left_out:
        note = f"_Left out for length: {', '.join(left_out)}. {_where(evidence, full=full)}_"
        kept.append(Section(name="left out", rank=0, text=note))
    return kept


def _where(evidence: Evidence, *, full: bool) -> str:
    if full:
        return "The JSON files hold all."
    text = f"The whole is in the job summary and in the run's {FULL_REPORT}"
    if evidence.decision is None:
        return f"{text}."
    return f"{text}: `remint ledger --run {escape(evidence.decision['run_id'])} --file {FULL_REPORT}`."


def _limit(*, full: bool) -> int:
    return (MAX_BYTES if full else MAX_CHARACTERS) - _FOR_THE_NOTE


def _size(parts: Sequence[Section], *, full: bool) -> int:
    text = _joined(parts)
    return len(text.encode()) if full else len(text)


def _joined(parts: Sequence[Section]) -> str:
    return "\n\n".join(part.text for part in parts)


# -- what it rests on ------------------------------------------------------------------------------------------------


def _canary(verdict: Json) -> str:
    lines = [
        f"### Canary: {CANARY[verdict['answer']]}",
        f"Release {escape(verdict['release'])}, step {verdict['step']}. {prose(verdict.get('summary', ''))}".rstrip(),
        "",
    ]
    lines += [f"- {mark(f['verdict'])} {prose(f['reason'])}" for f in verdict["findings"]]
    return "\n".join(lines)


def _images(evidence: Evidence) -> str:
    if evidence.images_note is not None:
        return f"_Plots are asked for and left out: {prose(evidence.images_note)}._"
    if not evidence.images:
        return ""
    return "\n\n".join(["### Plots", *(f"![{escape(image.title)}]({image.url})" for image in evidence.images)])


def _all_findings(evidence: Evidence) -> str:
    lines = finding_lines((evidence.gate or {}).get("findings", ()))
    for rule in (evidence.decision or {}).get("rules", []):
        state = "fired" if rule["fired"] else rule["state"].replace("_", " ")
        lines.append(f"- check {escape(rule['name'])} ({escape(state)}): {prose(rule['reason'])}")
    return details("Every rule and what it found", "\n".join(lines)) if lines else ""


def _ids(evidence: Evidence) -> str:
    gate, metadata = evidence.gate, evidence.metadata
    known: list[tuple[str, Any]] = []
    if gate is not None:
        champion = gate["champion"] or {}
        known += [("challenger", gate["challenger"]["bundle"]), ("its reference", gate["challenger"]["reference"])]
        known += [("champion", champion.get("bundle")), ("champion's tag", champion.get("tag"))]
    for name in ("decision", "gate", "changes", "verdict"):
        document: Json | None = getattr(evidence, name)
        if document is not None:
            known.append((name, document["id"]))
    if evidence.changes is not None:
        known.append(("base commit", evidence.changes["base"]))
    if evidence.decision is not None:
        known.append(("run", evidence.decision["run_id"]))
    if metadata is not None:
        known += [(f"{name} (hash)", value) for name, value in metadata["hashes"].items()]
        known += [("estimator", metadata["estimator"]), ("training rows", metadata["training_rows"])]
    rows = [[escape(name), escape(value)] for name, value in known if value is not None]
    return details("Evidence, by content", table(["what", "id"], rows)) if rows else ""
