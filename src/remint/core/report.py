"""Documents -> Markdown, as a reviewer wants it at the top of a pull request: the first lines are enough to decide.

What is most important stands first and is never left out; where the whole would be longer than a pull request takes,
the least important parts go, and the report says which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from remint.core.document import parse_time
from remint.core.gate import weighs
from remint.core.markdown import details, escape, table
from remint.core.report_choice import choice_table
from remint.core.report_drift import drift_chart, drift_table
from remint.core.verdict import Absence, FindingVerdict, Verdict, finding_verdict

MAX_CHARACTERS: Final = 60_000  # GitHub takes 65,536; the rest is for whoever puts text around it
CHART: Final = "chart"

_MARKS: Final[Mapping[FindingVerdict, str]] = {
    Verdict.PASS: "✅",
    Verdict.INCONCLUSIVE: "❔",
    Verdict.FAIL: "❌",
    Absence.NO_CHAMPION: "➖",
    Absence.MISSING: "❔",
}
_ANSWERS: Final = {
    "RETRAIN": "🔁 Retrain",
    "HOLD": "⏸️ Hold",
    "INVESTIGATE": "🔎 Investigate",
    "NEED_LABELS": "🏷️ Labels needed",
    "INCONCLUSIVE": "❔ Inconclusive",
}
_CANARY: Final = {"PROMOTE": "✅ promote", "ADVANCE": "⏩ advance", "HOLD": "⏸️ hold", "ROLLBACK": "⏪ roll back"}
_LOWER_IS_BETTER: Final = frozenset({"log_loss"})  # of metrics that no rule gives a direction
_DROPPED: Final = {  # of summary.json, in words
    "missing_label": "without a label:",
    "missing_time": "without a time:",
    "golden": "equal to a golden row:",
    "fresh": "equal to a fresh row:",
    "other_side": "equal to a row of another side:",
    "duplicates": "duplicates:",
    "after_until": "feedback that came later:",
    "window": "older than the window:",
}
_MOST_REASONS: Final = 5
_MOST_COUNTS: Final = 12

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the report. ``rank`` 0 is never left out; the highest rank goes first."""

    name: str
    rank: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The documents that a report tells of; each may be missing, but not all."""

    gate: Json | None = None
    decision: Json | None = None
    metadata: Json | None = None
    summary: Json | None = None  # artifacts/prepared/summary.json
    verdict: Json | None = None  # of a canary

    @property
    def pipeline(self) -> str:
        known = next(d for d in (self.gate, self.verdict, self.decision, self.metadata, self.summary) if d is not None)
        return str(known["pipeline"])


def markdown(evidence: Evidence) -> str:
    """The whole report within ``MAX_CHARACTERS``, with the marker by which a later one finds and replaces it."""
    marker = f"<!-- remint:report pipeline={evidence.pipeline} -->"
    return f"{marker}\n{_joined(_fitting(sections(evidence)))}\n"


def sections(evidence: Evidence) -> list[Section]:
    """All parts in the order in which they are read."""
    gate, decision = evidence.gate, evidence.decision
    parts = [
        Section(name="verdict", rank=0, text=_headline(evidence)),
        Section(name="why", rank=0, text="" if decision is None else _why(decision)),
        Section(name="metrics", rank=0, text="" if gate is None else _rules(gate)),
        Section(name="age", rank=0, text=_age(evidence)),
        Section(name="canary", rank=1, text="" if evidence.verdict is None else _canary(evidence.verdict)),
        Section(name="drift", rank=2, text="" if decision is None else drift_table(decision)),
        Section(name=CHART, rank=6, text="" if decision is None else drift_chart(decision)),
        Section(name="choice", rank=3, text="" if evidence.metadata is None else choice_table(evidence.metadata)),
        Section(name="data", rank=3, text=_data(evidence)),
        Section(name="service", rank=2, text="" if gate is None else _service(gate)),
        Section(name="undo", rank=1, text="" if gate is None else _undo(gate)),
        Section(name="all metrics", rank=5, text="" if gate is None else _all_metrics(gate)),
        Section(name="findings", rank=7, text=_all_findings(evidence)),
        Section(name="evidence", rank=4, text=_ids(evidence)),
    ]
    return [part for part in parts if part.text]


def _fitting(parts: Sequence[Section]) -> list[Section]:
    kept, left_out = list(parts), []
    while len(_joined(kept)) > MAX_CHARACTERS - 500 and any(part.rank for part in kept):
        worst = max(kept, key=lambda part: part.rank)
        kept.remove(worst)
        left_out.append(worst.name)
    if left_out:
        names = ", ".join(left_out)
        kept.append(Section(name="left out", rank=0, text=f"_Left out for length: {names}. The JSON files hold all._"))
    return kept


def _joined(parts: Sequence[Section]) -> str:
    return "\n\n".join(part.text for part in parts)


# -- what to decide --------------------------------------------------------------------------------------------------


def _headline(evidence: Evidence) -> str:
    name = escape(evidence.pipeline)
    if evidence.gate is not None:
        return _gate_headline(evidence.gate, name)
    if evidence.verdict is not None:
        return f"## {_CANARY[evidence.verdict['answer']]} the canary of {name}"
    if evidence.decision is not None:
        return f"## {_ANSWERS[evidence.decision['answer']]}: {name}"
    return f"## {name}"


def _gate_headline(gate: Json, name: str) -> str:
    verdict = Verdict(gate["verdict"])
    titles = {
        Verdict.PASS: "Gate passed",
        Verdict.FAIL: "Gate failed",
        Verdict.INCONCLUSIVE: "Gate inconclusive",
    }
    champion = _champion_name(gate)
    effect = {
        Verdict.PASS: f"**Merging** releases this model beside {champion}: first to a small share of the users, as a "
        "canary, which is promoted or rolled back by what it does there."
        if gate["champion"] is not None
        else "**Merging** makes this the first model: there is no champion yet that it could be compared with.",
        Verdict.FAIL: f"**Do not merge.** Until somebody does, {champion} stays.",
        Verdict.INCONCLUSIVE: f"**Not to be merged yet**: too little is known to answer. Until then {champion} stays.",
    }
    lines = [f"## {_MARKS[verdict]} {titles[verdict]}: {name}", effect[verdict]]
    stopping = [f for f in gate["findings"] if weighs(f["rule"], finding_verdict(f["verdict"])) is not Verdict.PASS]
    lines += [_finding_line(f) for f in stopping[:_MOST_REASONS]]
    if len(stopping) > _MOST_REASONS:
        lines.append(f"- and {len(stopping) - _MOST_REASONS} more")
    guards = [f["rule"] for f in stopping if f["verdict"] == Verdict.FAIL and f["rule"].startswith("guard:")]
    if guards and len(guards) == len(stopping):
        accept = " ".join(f"--accept {rule}" for rule in guards)
        lines.append(
            "- Only the golden set stands against it. Where the world has changed and the set has not: review the set, "
            f'or `remint gate {accept} --reason "..." --by NAME`.'
        )
    lines += [
        f"- ✍️ **{escape(a['rule'])}** accepted by {escape(a['by'])}: {escape(a['reason'])}" for a in gate["accepted"]
    ]
    return "\n".join(lines)


def _why(decision: Json) -> str:
    reasons = [reason for reason in decision["reasons"] if reason not in decision["summary"]]
    lines = [f"**Why:** {escape(decision['summary'])}"]
    lines += [f"- {escape(reason)}" for reason in reasons[:_MOST_REASONS]]
    if len(reasons) > _MOST_REASONS:
        lines.append(f"- and {len(reasons) - _MOST_REASONS} more")
    return "\n".join(lines)


def _rules(gate: Json) -> str:
    """One line for each metric rule: this is the table to decide by."""
    rows = []
    for finding in gate["findings"]:
        evidence = finding["evidence"]
        if "rows_name" not in evidence:
            continue
        rows.append(
            [
                f"{_MARKS[finding_verdict(finding['verdict'])]} {escape(finding['rule'])}",
                f"{escape(evidence['rows_name'])} ({evidence['rows']})",
                _number(evidence["champion"]),
                _number(evidence["challenger"]),
                _difference(evidence["champion"], evidence["challenger"], evidence["direction"], evidence["interval"]),
                _interval(evidence["interval"]),
                _allowed(evidence, informs=finding["rule"].startswith("info:")),
            ]
        )
    if not rows:
        return ""
    champion = escape((gate["champion"] or {}).get("version") or "champion")
    columns = ["rule", "rows", champion, "challenger", "difference", "95 % interval", "allowed"]
    return table(columns, rows, right=(2, 3))


def _allowed(evidence: Json, *, informs: bool) -> str:
    sign, floor = ("−", "≥") if evidence["direction"] == "higher" else ("+", "≤")
    if informs:
        return "–"
    parts = [] if evidence["champion"] is None else [f"{sign}{evidence['tolerance']:g}"]
    if evidence["floor"] is not None:
        parts.append(f"{floor} {evidence['floor']:g}")
    return ", ".join(parts) or "–"


def _age(evidence: Evidence) -> str:
    """When each piece of evidence is from: an answer about last month is no answer about today."""
    parts = []
    decision, gate = evidence.decision, evidence.gate
    if decision is not None:
        if decision["window"] is not None:
            window = decision["window"]
            parts.append(f"predictions of {_day(window['start'])} to {_day(window['end'])}")
        if decision["until"].get("arrived_at"):
            parts.append(f"feedback up to {_day(decision['until']['arrived_at'])}")
        parts.append(f"decided {_day(decision['created_at'])}")
    if gate is not None:
        words = f"gate run {_day(gate['created_at'])}"
        if decision is not None:
            words += f", {_span(parse_time(gate['created_at']) - _seen_until(decision))} after the newest of these"
        parts.append(words)
    if evidence.verdict is not None:
        parts.append(f"canary judged {_day(evidence.verdict['created_at'])}")
    notes = [f"- {escape(note)}" for note in (gate["notes"] if gate is not None else [])]
    return "\n".join([f"_Evidence (UTC): {'; '.join(parts)}._", *notes]) if parts else ""


def _seen_until(decision: Json) -> datetime:
    times = [decision["until"].get("arrived_at"), (decision["window"] or {}).get("end")]
    return max((parse_time(t) for t in times if t), default=parse_time(decision["created_at"]))


# -- what it rests on ------------------------------------------------------------------------------------------------


def _canary(verdict: Json) -> str:
    lines = [
        f"### Canary: {_CANARY[verdict['answer']]}",
        f"Release {escape(verdict['release'])}, step {verdict['step']}. {escape(verdict.get('summary', ''))}".rstrip(),
    ]
    lines += [f"- {_MARKS[finding_verdict(f['verdict'])]} {escape(f['reason'])}" for f in verdict["findings"]]
    return "\n".join(lines)


def _data(evidence: Evidence) -> str:
    summary = evidence.summary
    if summary is None:
        return ""
    sources = summary["sources"]
    rows = []
    for side, count in summary["rows"].items():
        origin = [f"{sources[side].get(source, 0)}" for source in ("data", "feedback")]
        rows.append([escape(side), f"{count}", *origin, _counts(summary["labels"][side])])
    lines = ["### Data", "", table(["side", "rows", "of the data", "of feedback", "labels"], rows, right=(1, 2, 3))]
    feedback = summary["feedback"]
    aside = {k: v for k, v in feedback["quarantine"].items() if v}
    put_aside = f"put aside: {_counts(aside)}" if aside else "nothing was put aside"
    lines += ["", f"Feedback up to number {feedback['until']}: {feedback['rows']} curated rows, {put_aside}."]
    dropped = {_DROPPED.get(k, k): v for k, v in summary["dropped"].items() if v}
    if dropped:
        lines.append(f"Rows that are not used: {_counts(dropped)}.")
    return "\n".join(lines)


def _service(gate: Json) -> str:
    findings = [f for f in gate["findings"] if f["rule"].startswith("service:")]
    if not findings:
        return "### Service\n\n❔ Not checked: the gate was run without booting the service."
    lines = [f"- {_MARKS[finding_verdict(f['verdict'])]} {escape(f['reason'])}" for f in findings]
    return "\n".join(["### Service, booted on this model", "", *lines])


def _undo(gate: Json) -> str:
    lines = [
        "### How to undo",
        "",
        "- Before merging: close the pull request. Nothing was changed.",
        '- While the canary runs: `remint canary rollback --reason "..."` sends everything to stable at once.',
    ]
    champion = gate["champion"]
    if champion is not None:
        back = f'remint canary start --bundle {champion["bundle"]} && remint canary promote --reason "back"'
        lines.append(f"- After the promotion, back to {_champion_name(gate)}: `{back}`")
    lines.append("- So that the next model does not build on it: `git revert -m 1 <merge commit>`")
    return "\n".join(lines)


def _all_metrics(gate: Json) -> str:
    directions = {
        f["rule"].split(":", 1)[1]: f["evidence"]["direction"] for f in gate["findings"] if "direction" in f["evidence"]
    }
    rows = []
    for name, metrics in gate["metrics"].items():
        for metric, pair in metrics.items():
            direction = directions.get(metric, "lower" if metric in _LOWER_IS_BETTER else "higher")
            interval = pair.get("interval")
            difference = _difference(pair["champion"], pair["challenger"], direction, interval)
            cells = [_number(pair["champion"]), _number(pair["challenger"]), difference, _interval(interval)]
            rows.append([f"{escape(name)} ({gate['rows'][name]})", escape(metric), *cells])
    if not rows:
        return ""
    columns = ["rows", "metric", "champion", "challenger", "difference", "95 % interval"]
    return details("All metrics", table(columns, rows, right=(2, 3)))


def _all_findings(evidence: Evidence) -> str:
    lines = [_finding_line(finding) for finding in (evidence.gate or {}).get("findings", [])]
    for rule in (evidence.decision or {}).get("rules", []):
        state = "fired" if rule["fired"] else rule["state"].replace("_", " ")
        lines.append(f"- check {escape(rule['name'])} ({escape(state)}): {escape(rule['reason'])}")
    return details("Every rule and what it found", "\n".join(lines)) if lines else ""


def _ids(evidence: Evidence) -> str:
    gate, metadata = evidence.gate, evidence.metadata
    known: list[tuple[str, Any]] = []
    if gate is not None:
        champion = gate["champion"] or {}
        known += [("challenger", gate["challenger"]["bundle"]), ("its reference", gate["challenger"]["reference"])]
        known += [("champion", champion.get("bundle")), ("champion's tag", champion.get("tag"))]
    for name in ("decision", "gate", "verdict"):
        document: Json | None = getattr(evidence, name)
        if document is not None:
            known.append((name, document["id"]))
    if evidence.decision is not None:
        known.append(("run", evidence.decision["run_id"]))
    if metadata is not None:
        known += [(f"{name} (hash)", value) for name, value in metadata["hashes"].items()]
        known += [("estimator", metadata["estimator"]), ("training rows", metadata["training_rows"])]
    rows = [[escape(name), escape(value)] for name, value in known if value is not None]
    return details("Evidence, by content", table(["what", "id"], rows)) if rows else ""


# -- words -----------------------------------------------------------------------------------------------------------


def _finding_line(finding: Json) -> str:
    return f"- {_MARKS[finding_verdict(finding['verdict'])]} **{escape(finding['rule'])}**: {escape(finding['reason'])}"


def _champion_name(gate: Json) -> str:
    champion = gate["champion"]
    if champion is None:
        return "what is in production"
    return escape(champion.get("version") or champion.get("tag") or "the champion")


def _difference(champion: float | None, challenger: float | None, direction: str, interval: Json | None) -> str:
    """The challenger's gain or loss. The arrow says better or worse, whichever way the metric goes."""
    if champion is None or challenger is None:
        return "–"
    difference = challenger - champion
    number = f"{difference:+.3f}"
    if interval is not None and interval["low"] <= 0 <= interval["high"]:
        return f"{number} ≈ within noise"
    if difference == 0:
        return f"{number} ≈ the same"
    return f"{number} {'▲ better' if (difference > 0) == (direction == 'higher') else '▼ worse'}"


def _interval(interval: Json | None) -> str:
    return "–" if interval is None else f"{interval['low']:+.3f} to {interval['high']:+.3f}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _counts(counts: Mapping[str, int]) -> str:
    largest = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{escape(name, longest=40)} {count}" for name, count in largest[:_MOST_COUNTS]]
    if len(largest) > _MOST_COUNTS:
        shown.append(f"{len(largest) - _MOST_COUNTS} more")
    return ", ".join(shown) or "–"


def _day(text: str) -> str:
    return parse_time(text).strftime("%Y-%m-%d %H:%M")


def _span(span: timedelta) -> str:
    minutes = max(0, round(span.total_seconds() / 60))
    if minutes < 120:
        return f"{minutes} min"
    return f"{round(minutes / 60)} h" if minutes < 48 * 60 else f"{round(minutes / 1440)} days"
