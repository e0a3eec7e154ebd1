"""The report's account of a gate: the table to decide by, slices, flips, calibration, size, and the service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from remint.core.markdown import details, escape, mermaid_chart, table
from remint.core.report_head import ranked_slices
from remint.core.report_words import (
    NOTHING,
    TIED,
    champion_name,
    difference,
    direction_of,
    directions,
    interval_words,
    mark,
    metric_findings,
    number,
    prose,
)

Json = Mapping[str, Any]

LEGEND: Final = "_▲ better, ▼ worse, ≈ within noise; in brackets the 95 % interval of the difference._"
_MOST_SLICES: Final = 8  # in sight; the rest is folded away
_MOST_FOLDED: Final = 200
_MOST_CHARTED: Final = 12  # more labels overlap
_MOST_NOTES: Final = 5
_MOST_RULES: Final = 40


def rules_table(gate: Json) -> str:
    """One line for each metric rule: this is the table to decide by."""
    rows = []
    for finding in metric_findings(gate):
        seen = finding["evidence"]
        rows.append(
            [
                f"{mark(finding['verdict'])}{TIED}{escape(finding['rule'], longest=80)}",
                f"{escape(seen['rows_name'], longest=40)}{TIED}{seen['rows']}",
                number(seen["champion"]),
                number(seen["challenger"]),
                _gap(seen["champion"], seen["challenger"], seen["direction"], seen["interval"]),
                _allowed(seen, informs=finding["rule"].startswith("info:")),
            ]
        )
    if not rows:
        return ""
    columns = ["rule", "rows", _champion_column(gate), "challenger", "difference", "allowed"]
    more = f"\n\n_{len(rows) - _MOST_RULES} more rules below._" if len(rows) > _MOST_RULES else ""
    return f"{table(columns, rows[:_MOST_RULES], right=(2, 3))}\n\n{LEGEND}{more}"


def notes(gate: Json) -> str:
    """What a reader has to know of how it was judged."""
    lines = [f"- {prose(note)}" for note in gate["notes"][:_MOST_NOTES]]
    if len(gate["notes"]) > _MOST_NOTES:
        lines.append(f"- and {len(gate['notes']) - _MOST_NOTES} more notes in gate.json")
    return "\n".join(lines)


def _gap(champion: float | None, challenger: float | None, direction: str, interval: Json | None) -> str:
    said = difference(champion, challenger, direction, interval)
    return said if said == NOTHING or interval is None else f"{said} ({interval_words(interval)})"


def _allowed(seen: Json, *, informs: bool) -> str:
    if informs:
        return NOTHING
    loss, floor = ("−", "≥") if seen["direction"] == "higher" else ("+", "≤")
    parts = [] if seen["champion"] is None else [f"{loss}{seen['tolerance']:g}"]
    if seen["floor"] is not None:
        parts.append(f"{floor}{TIED}{seen['floor']:g}")
    return ", ".join(parts) or NOTHING


def _champion_column(gate: Json) -> str:
    return "champion" if gate["champion"] is None else champion_name(gate)


# -- slices ------------------------------------------------------------------------------------------------------------


def slice_table(gate: Json) -> str:
    """The slices, the worst first; the ones beyond the first few folded away."""
    ranked, known = ranked_slices(gate), directions(gate)
    if not ranked:
        return ""
    rows = [
        [
            f"{mark(found['verdict'])}{TIED}{escape(found['slice'], longest=60)}",
            f"{_spaced(found.get('rows_name'))}{found['rows']}",
            escape(found["metric"], longest=40),
            number(found["champion"]),
            number(found["challenger"]),
            _gap(found["champion"], found["challenger"], direction_of(str(found["metric"]), known), found["interval"]),
        ]
        for found in ranked
    ]
    columns = ["slice", "rows", "metric", _champion_column(gate), "challenger", "difference"]
    text = f"### Slices, the worst first\n\n{table(columns, rows[:_MOST_SLICES], right=(3, 4))}"
    folded = rows[_MOST_SLICES : _MOST_SLICES + _MOST_FOLDED]
    if folded:
        beyond = len(rows) - _MOST_SLICES - len(folded)
        more = f"\n\n{beyond} more in gate.json." if beyond else ""
        text += f"\n\n{details(f'{len(folded)} more slices', table(columns, folded, right=(3, 4)) + more)}"
    return text


def slice_chart(gate: Json) -> str:
    """A Mermaid chart of the worst slices of one metric; nothing for fewer than three, which a table tells as well."""
    ranked = [s for s in ranked_slices(gate) if s["champion"] is not None and s["challenger"] is not None]
    if not ranked:
        return ""
    metric = ranked[0]["metric"]
    shown = [s for s in ranked if s["metric"] == metric][:_MOST_CHARTED]
    if len(shown) < 3:
        return ""
    return mermaid_chart(
        f"{metric} by slice: bars are the challenger, the line is the champion",
        [str(found["slice"]) for found in shown],
        [float(found["challenger"]) for found in shown],
        [float(found["champion"]) for found in shown],
        unit=str(metric),
    )


# -- what else differs -------------------------------------------------------------------------------------------------


def beside_metrics(gate: Json) -> str:
    """Negative flips, calibration, size, reproducibility: each where it was measured, with its rule's mark if any."""
    rules = {str(f["rule"]): f for f in gate["findings"]}
    texts = {"flips": _flips(gate), "calibration": _calibration(gate), "bundle:size": _size(gate)}
    lines = [
        f"- {mark(rules[rule]['verdict']) + ' ' if rule in rules else ''}{text}" for rule, text in texts.items() if text
    ]
    metric = {str(f["rule"]) for f in metric_findings(gate)}
    lines += finding_lines(
        f
        for rule, f in rules.items()
        if rule not in metric and not texts.get(rule) and not rule.startswith("service:") and "@" not in rule
    )
    return "\n".join(["### Beside the metrics", "", *lines]) if lines else ""


def _flips(gate: Json) -> str:
    flips = gate.get("flips")
    if not flips or not flips["rows"]:
        return ""
    between = "" if flips["interval"] is None else f", {_percent(flips['interval'])}"
    return (
        f"**Negative flips**: of {flips['rows']} distinct rows, {flips['worse']} that {champion_name(gate)} has right "
        f"are wrong now ({100 * flips['share']:.1f} %{between}), {flips['better']} the other way round"
    )


def _calibration(gate: Json) -> str:
    found = gate.get("calibration")
    if not found or found["challenger"] is None:
        return ""
    before = "" if found["champion"] is None else f"{number(found['champion'])} → "
    gap = _gap(found["champion"], found["challenger"], "lower", found["interval"])
    return f"**Calibration error**: {before}{number(found['challenger'])}{'' if gap == NOTHING else f', {gap}'}"


def _size(gate: Json) -> str:
    found = gate.get("size_bytes")
    if not found or found["challenger"] is None:
        return ""
    before = "" if found["champion"] is None else f"{_bytes(found['champion'])} → "
    return f"**Size**: {before}{_bytes(found['challenger'])}"


def three_columns(gate: Json) -> str:
    """Where the evaluation rows changed with the data: the champion on the old ones, both models on the new ones."""
    evaluation = gate.get("evaluation")
    if evaluation is None:
        return ""
    parts = [(part, title) for part, title in ((evaluation, ""), (evaluation.get("golden"), "golden ")) if part]
    texts = [_three_columns(gate, part, title) for part, title in parts if part["changed"] and part["metrics"]]
    return "\n\n".join(["### The rows to judge by changed", *texts]) if texts else ""


def _three_columns(gate: Json, evaluation: Json, title: str) -> str:
    known, rows = directions(gate), evaluation["rows"]
    names = evaluation.get("judged_on") or {}
    before, now = (f"{rows[at]} {title or _spaced(names.get(at))}rows" for at in ("before", "now"))
    body = [
        [
            escape(metric, longest=40),
            number(found["champion_before"]),
            number(found["champion_now"]),
            number(found["challenger_now"]),
            difference(found["champion_now"], found["challenger_now"], direction_of(metric, known), None),
        ]
        for metric, found in evaluation["metrics"].items()
    ]
    name = _champion_column(gate)
    columns = ["metric", f"{name} before", f"{name} now", "challenger now", "difference now"]
    said = f"{before} when {name} was trained, {now} now; only the columns of now can be compared."
    return f"{said}\n\n{table(columns, body, right=(1, 2, 3))}"


def _spaced(name: str | None) -> str:
    return "" if name is None else f"{escape(name, longest=40)}{TIED}"


def _percent(interval: Json) -> str:
    return f"{100 * interval['low']:.1f} to {100 * interval['high']:.1f} %"


def _bytes(value: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f} bytes"


# -- the service, and everything ---------------------------------------------------------------------------------------


def service(gate: Json) -> str:
    findings = [f for f in gate["findings"] if f["rule"].startswith("service:")]
    if not findings:
        return "### Service\n\n❔ Not checked: the gate was run without booting the service."
    lines = [f"- {mark(f['verdict'])} {prose(f['reason'])}" for f in findings]
    return "\n".join(["### Service, booted on this model", "", *lines])


def undo_details(gate: Json) -> str:
    """What the head's one command does, and the ways back besides it."""
    lines = ["### How to undo", "", "- Before merging: close the pull request. Nothing was changed."]
    if gate["champion"] is not None:
        name = champion_name(gate)
        lines += [
            f"- After it: the command above ends the canary and lets {name} serve everything, whether it was promoted "
            "or not.",
            '- While the canary runs, by hand: `remint canary rollback --reason "..."` sends everything to stable.',
        ]
    lines.append("- So that the next model does not build on it: `git revert -m 1 <merge commit>`")
    return "\n".join(lines)


def all_metrics(gate: Json) -> str:
    """Every metric on every set of rows, folded away."""
    known = directions(gate)
    rows = []
    for name, metrics in gate["metrics"].items():
        for metric, pair in metrics.items():
            gap = _gap(pair["champion"], pair["challenger"], direction_of(metric, known), pair.get("interval"))
            cells = [number(pair["champion"]), number(pair["challenger"]), gap]
            rows.append([f"{escape(name, longest=40)}{TIED}{gate['rows'][name]}", escape(metric, longest=40), *cells])
    if not rows:
        return ""
    columns = ["rows", "metric", _champion_column(gate), "challenger", "difference"]
    return details("All metrics", table(columns, rows, right=(2, 3)))


def finding_lines(findings: Iterable[Json]) -> list[str]:
    return [f"- {mark(f['verdict'])} **{escape(f['rule'], longest=80)}**: {prose(f['reason'])}" for f in findings]


def history_chart(gates: Sequence[Json], gate: Json) -> str:
    """The ruled metric of the last challengers and of this one; nothing where fewer than three were judged alike.

    ``gates`` are earlier ``gate`` documents of the pipeline, the oldest first.
    """
    rule = next((str(f["rule"]) for f in metric_findings(gate) if str(f["rule"]).startswith("gate:")), None)
    if rule is None:
        return ""
    points = []
    for each in [*gates, gate][-_MOST_CHARTED:]:
        seen: Json = next((f["evidence"] for f in metric_findings(each) if f["rule"] == rule), {})
        if seen.get("challenger") is not None and seen.get("rows_name") == gate["judged_on"]:
            at = str(each["created_at"])
            before = seen["challenger"] if seen.get("champion") is None else seen["champion"]
            points.append((f"{at[5:10]} {at[11:16]}", float(seen["challenger"]), float(before)))
    if len(points) < 3:
        return ""
    return mermaid_chart(
        f"{rule.removeprefix('gate:')} at each gate: bars are the challengers, the line is the champion of then",
        [label for label, _, _ in points],
        [challenger for _, challenger, _ in points],
        [champion for _, _, champion in points],
        unit=f"on {gate['judged_on']} rows",
    )
