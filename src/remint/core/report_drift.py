"""The report's pictures of drift: histograms small enough for a table cell, and one chart that GitHub draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from remint.core.markdown import clean, escape, mermaid_chart, sparklines, table

_MOST_FIELDS: Final = 8
_MOST_BINS: Final = 12  # in the chart: more labels overlap

Json = Mapping[str, Any]


def drifted_fields(decision: Json) -> list[Json]:
    """The fields to be shown, in the decision's order: those that drifted, else the three that moved most."""
    drift: list[Json] = list(decision["drift"])
    return [field for field in drift if field["drifted"]][:_MOST_FIELDS] or drift[:3]


def drift_table(decision: Json) -> str:
    """One line a field: how far it moved, both histograms on one scale, and the bin that moved most."""
    shown = drifted_fields(decision)
    if not shown:
        return ""
    rows = []
    for field in shown:
        before, now = sparklines(field["reference_counts"], field["current_counts"])
        moved = f"{field['sigmas']:.2f} σ (PSI {field['psi']:.3f})"
        rows.append([escape(field["field"], longest=60), moved, f"`{before}`", f"`{now}`", _most_moved(field)])
    heading = "### Drift" if shown[0]["drifted"] else "### No field drifted; those that moved most"
    hidden = len(decision["drift"]) - len(shown)
    more = f"\n\n{hidden} more fields were compared." if hidden > 0 else ""
    return f"{heading}\n\n{table(['field', 'moved by', 'training', 'window', 'most'], rows)}{more}"


def drift_chart(decision: Json) -> str:
    """A Mermaid chart of the field that drifted most; nothing where none did."""
    shown = drifted_fields(decision)
    if not shown or not shown[0]["drifted"]:
        return ""
    field = shown[0]
    before, now, labels = shares(field["reference_counts"]), shares(field["current_counts"]), field["bin_labels"]
    filled = [i for i in range(len(labels)) if before[i] or now[i]]
    if len(filled) > _MOST_BINS:
        filled = sorted(sorted(filled, key=lambda i: -(before[i] + now[i]))[:_MOST_BINS])
    return mermaid_chart(
        f"{clean(field['field'], longest=40)}: bars are training, the line is the window",
        [labels[i] for i in filled],
        [before[i] for i in filled],
        [now[i] for i in filled],
        unit="share of rows",
    )


def shares(counts: Sequence[int]) -> list[float]:
    """Each count divided by their sum; zeros where there is nothing."""
    total = sum(counts)
    return [count / total if total else 0.0 for count in counts]


def _most_moved(field: Json) -> str:
    before, now = shares(field["reference_counts"]), shares(field["current_counts"])
    most = max(range(len(before)), key=lambda i: abs(now[i] - before[i]))
    label = escape(field["bin_labels"][most], longest=40)
    return f"{label}: {before[most]:.0%} → {now[most]:.0%}".replace("%", " %")
