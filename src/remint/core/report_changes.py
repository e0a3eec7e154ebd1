"""The report's account of what a retrain changed: data, schema, profile, parameters, files, and what was re-run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from remint.core.markdown import escape, sparklines, table
from remint.core.report_words import NOTHING, count_words, prose

Json = Mapping[str, Any]

_SIDES: Final = {  # of summary.json, in words
    "train": "to train",
    "held_out": "held out",
    "test": "to test",
    "fresh": "fresh, to judge",
    "golden": "golden",
}
_SOURCES: Final = {"data": "the data file", "feedback": "feedback"}
_DROPPED: Final = {
    "missing_label": "without a label:",
    "missing_time": "without a time:",
    "golden": "equal to a golden row:",
    "fresh": "equal to a fresh row:",
    "other_side": "equal to a row of another side:",
    "duplicates": "duplicates:",
    "after_until": "feedback that came later:",
    "window": "older than the window:",
}
_ACTIONS: Final = {
    "ran": "▶ ran",
    "restored": "♻ restored from DVC's run-cache",
    "skipped": "⏭ skipped, nothing changed",
    "unknown": "❔ DVC said nothing of it",
}
_MOST_ROWS: Final = 12
_MOST_NAMED: Final = 6
_STILL: Final = 0.001  # PSI: less is not worth a reader's line


def data_section(summary: Json | None, changes: Json | None) -> str:
    """What the model was made of, and how that differs from the base commit; nothing where neither is known."""
    parts = [_data_table(summary) if summary is not None else "", _added(changes) if changes is not None else ""]
    text = "\n\n".join(part for part in parts if part)
    return f"### Data\n\n{text}" if text else ""


def _data_table(summary: Json) -> str:
    rows = []
    for side, count in summary["rows"].items():
        origin = [f"{summary['sources'][side].get(source, 0)}" for source in ("data", "feedback")]
        rows.append([escape(_SIDES.get(side, side)), f"{count}", *origin, count_words(summary["labels"][side])])
    lines = [table(["rows", "count", "of the data", "of feedback", "labels"], rows, right=(1, 2, 3)), ""]
    feedback = summary["feedback"]
    aside = {k: v for k, v in feedback["quarantine"].items() if v}
    put_aside = f"put aside: {count_words(aside)}" if aside else "nothing was put aside"
    lines.append(f"Feedback up to number {feedback['until']}: {feedback['rows']} curated rows, {put_aside}.")
    dropped = {_DROPPED.get(k, k): v for k, v in summary["dropped"].items() if v}
    if dropped:
        lines.append(f"Rows that are not used: {count_words(dropped)}.")
    return "\n".join(lines)


def _added(changes: Json) -> str:
    """One line a side: what came and went since the base commit, by source and by label."""
    if any(change["before"] is None for change in changes["rows"]):
        notes = [prose(note) for note in changes["notes"]]
        return " ".join(["Against the base commit: nothing to compare with.", *notes[:2]])
    lines = []
    for side in dict.fromkeys(str(change["side"]) for change in changes["rows"]):
        by_source = _moved(changes["rows"], side, _SOURCES)
        by_label = _moved(changes["labels"], side, {})
        if by_source or by_label:
            labels = f"; labels: {by_label}" if by_label else ""
            lines.append(f"- {escape(_SIDES.get(side, side))}: {by_source or 'as many rows'}{labels}")
    base = f"Against the base commit `{changes['base'][:12]}`"
    return "\n".join([f"{base}:", "", *lines]) if lines else f"{base}: the same number of rows of each kind."


def _moved(counts: Sequence[Json], side: str, names: Mapping[str, str]) -> str:
    moved = [(str(c["name"]), int(c["now"]) - int(c["before"])) for c in counts if c["side"] == side]
    moved = sorted((m for m in moved if m[1]), key=lambda m: (-abs(m[1]), m[0]))
    said = [
        f"{'+' if by > 0 else '−'}{abs(by)} {'of ' if names else ''}{escape(names.get(name, name), longest=40)}"
        for name, by in moved[:_MOST_NAMED]
    ]
    if len(moved) > _MOST_NAMED:
        said.append(f"{len(moved) - _MOST_NAMED} more")
    return ", ".join(said)


def changes_section(changes: Json) -> str:
    """Schema, profile, parameters and files; each only where something differs."""
    parts = [
        _named("Schema", changes["schema_changes"]),
        _profile(changes["profile"]),
        _named("Parameters", changes["params"]),
        _files(changes["files"]),
    ]
    text = "\n\n".join(part for part in parts if part)
    return f"### What else changed against the base commit\n\n{text}" if text else ""


def _named(title: str, changes: Sequence[Json]) -> str:
    if not changes:
        return ""
    rows = [
        [
            escape(c["name"], longest=80),
            *(NOTHING if c[s] is None else escape(c[s], longest=60) for s in ("before", "now")),
        ]
        for c in changes[:_MOST_ROWS]
    ]
    more = f"\n\n{len(changes) - _MOST_ROWS} more in changes.json." if len(changes) > _MOST_ROWS else ""
    return f"{table([title.lower(), 'before', 'now'], rows)}{more}"


def _profile(moves: Sequence[Json]) -> str:
    shown = [move for move in moves if move["psi"] >= _STILL][:5]
    if not shown:
        return ""
    rows = []
    for move in shown:
        before, now = sparklines(move["before"], move["now"])
        rows.append([escape(move["field"], longest=60), f"{move['psi'] ** 0.5:.2f} σ", f"`{before}`", f"`{now}`"])
    return table(["training rows", "moved by", "before", "now"], rows)


def _files(files: Sequence[Json]) -> str:
    if not files:
        return ""
    said = {None: "new"}
    shown = [
        f"{escape(f['name'], longest=80)} ({said.get(f['before'], 'gone' if f['now'] is None else 'changed')})"
        for f in files[:_MOST_ROWS]
    ]
    more = f" and {len(files) - _MOST_ROWS} more" if len(files) > _MOST_ROWS else ""
    return f"Files that the stages read: {', '.join(shown)}{more}."


def stages_section(changes: Json) -> str:
    """What ``dvc repro`` did with each stage and why."""
    stages = changes["stages"]
    if not stages:
        return ""
    rows = []
    for stage in stages[:_MOST_ROWS]:
        seconds = NOTHING if stage["seconds"] is None else f"{stage['seconds']:.1f} s"
        names = [escape(name, longest=60) for name in stage["changed"][:_MOST_NAMED]]
        if len(stage["changed"]) > _MOST_NAMED:
            names.append(f"{len(stage['changed']) - _MOST_NAMED} more")
        rows.append(
            [escape(stage["name"], longest=60), _ACTIONS[stage["action"]], seconds, ", ".join(names) or NOTHING]
        )
    more = f"\n\n{len(stages) - _MOST_ROWS} more in changes.json." if len(stages) > _MOST_ROWS else ""
    columns = ["stage", "what DVC did", "took", "changed since the base commit"]
    return f"### What was re-run\n\n{table(columns, rows, right=(2,))}{more}"
