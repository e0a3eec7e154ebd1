"""Three columns where the evaluation rows changed with the data: a champion that fell, or rows that got harder?

``artifacts/metrics.json`` at the champion's commit says what it was measured at then. Beside it stand the champion and
the challenger on today's rows. The rows changed where their number, their kind or the champion's own value differs: a
model is the same bytes, so another value of its own is another set of rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from remint.core.gate import Comparison

_SAME: Final = 1e-9  # values that differ by less are of the same rows: other processors round differently


def evaluation(recorded: Mapping[str, Any] | None, *, judged: Comparison, golden: Comparison) -> dict[str, Any] | None:
    """The gate document's ``evaluation``; None without a champion, or where nothing is ``recorded`` of it."""
    if recorded is None or not judged.has_champion:
        return None
    # Without fresh rows the champion was judged on its test rows: that is what it has to be compared with.
    was_on = judged.rows_name if _metrics(recorded, judged.rows_name) else "test"
    found = _columns(recorded, was_on, judged)
    if found is None:
        return None
    return {**found, "golden": _columns(recorded, "golden", golden)}


def _columns(recorded: Mapping[str, Any], was_on: str, now: Comparison) -> dict[str, Any] | None:
    before, count = _metrics(recorded, was_on), _rows(recorded, was_on)
    if not before or count is None:
        return None
    metrics = {
        name: {
            "champion_before": _number(before.get(name)),
            "champion_now": pair.champion,
            "challenger_now": pair.challenger,
        }
        for name, pair in now.metrics.items()
    }
    moved = any(_differ(m["champion_before"], m["champion_now"]) for m in metrics.values())
    return {
        "changed": was_on != now.rows_name or count != now.rows or moved,
        "judged_on": {"before": was_on, "now": now.rows_name},
        "metrics": metrics,
        "rows": {"before": count, "now": now.rows},
    }


def _differ(before: float | None, now: float | None) -> bool:
    """A metric that was not measured then, or has no value now, says nothing about the rows."""
    return before is not None and now is not None and abs(before - now) > _SAME


def _metrics(recorded: Mapping[str, Any], side: str) -> Mapping[str, Any]:
    found = recorded.get(side)
    return found if isinstance(found, Mapping) else {}


def _rows(recorded: Mapping[str, Any], side: str) -> int | None:
    rows = recorded.get("rows")
    count = rows.get(side) if isinstance(rows, Mapping) else None
    return count if isinstance(count, int) and not isinstance(count, bool) and count >= 0 else None


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if is_number else None
