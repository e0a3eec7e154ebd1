"""Numbers, times and verdicts in the report's words: the same everywhere, with a true minus sign."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from remint.core.document import parse_time
from remint.core.markdown import escape
from remint.core.verdict import Absence, FindingVerdict, Verdict, finding_verdict

Json = Mapping[str, Any]

MARKS: Final[Mapping[FindingVerdict, str]] = {
    Verdict.PASS: "✅",
    Verdict.INCONCLUSIVE: "❔",
    Verdict.FAIL: "❌",
    Absence.NO_CHAMPION: "➖",
    Absence.MISSING: "❔",
}
TIED: Final = "\u00a0"  # a space that a narrow column does not break at
NOTHING: Final = "–"  # in a cell: not measured, not known
DIGITS: Final = 3  # after the point
_MOST_DIGITS: Final = 6
_MOST_COUNTS: Final = 12
_LOWER_IS_BETTER: Final = frozenset({"log_loss"})  # of metrics that no rule gives a direction
_HYPHEN: Final = re.compile(r"(?<![\w.\-/])-(?=\d)")  # a sign, not that of 2026-11-21 or of a name


def mark(verdict: str) -> str:
    return MARKS[finding_verdict(verdict)]


def minus(text: str) -> str:
    """The text with true minus signs at its negative numbers."""
    return _HYPHEN.sub("−", text)


def prose(text: str, *, longest: int = 300) -> str:
    """A sentence of a document as Markdown."""
    return escape(minus(text), longest=longest)


def number(value: float | None) -> str:
    return NOTHING if value is None else minus(_rounded(value, _digits(value)))


def signed(value: float, *, digits: int = DIGITS) -> str:
    """``+0.090``, ``−0.010``, ``0`` for what is exactly that."""
    if value == 0:
        return "0"
    text = _rounded(abs(value), digits)
    return f"{'−' if value < 0 else '+'}{text}"


def interval_words(interval: Json | None) -> str:
    """``+0.070 to +0.110``, with as many digits as it takes to tell its ends from 0."""
    if interval is None or interval["low"] is None or interval["high"] is None:
        return NOTHING
    low, high = float(interval["low"]), float(interval["high"])
    digits = _digits(max(abs(low), abs(high)))
    return f"{signed(low, digits=digits)} to {signed(high, digits=digits)}" if (low or high) else "0"


def difference(champion: float | None, challenger: float | None, direction: str, interval: Json | None) -> str:
    """The challenger's gain or loss: ``+0.090 ▲``. The arrow says better or worse, whichever way the metric goes."""
    if champion is None or challenger is None:
        return NOTHING
    gap = challenger - champion
    said = signed(gap, digits=_digits(gap))
    if holds_zero(interval) or gap == 0:
        return f"{said} ≈"
    return f"{said} {'▲' if (gap > 0) == (direction == 'higher') else '▼'}"


def holds_zero(interval: Json | None) -> bool:
    return (
        interval is not None
        and interval["low"] is not None
        and interval["high"] is not None
        and interval["low"] <= 0 <= interval["high"]
    )


def metric_findings(gate: Json) -> list[Json]:
    """The findings of rules that compare one metric on one set of rows."""
    return [f for f in gate["findings"] if {"rows_name", "tolerance", "direction"} <= f["evidence"].keys()]


def directions(gate: Json) -> dict[str, str]:
    """Metric -> higher or lower, as the rules say it."""
    return {f["rule"].split(":", 1)[-1]: f["evidence"]["direction"] for f in metric_findings(gate)}


def direction_of(metric: str, known: Mapping[str, str]) -> str:
    return known.get(metric, "lower" if metric in _LOWER_IS_BETTER else "higher")


def count_words(counts: Mapping[str, int], *, most: int = _MOST_COUNTS) -> str:
    """``yes 7, no 3``, the largest first."""
    largest = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{escape(name, longest=40)} {count}" for name, count in largest[:most]]
    if len(largest) > most:
        shown.append(f"{len(largest) - most} more")
    return ", ".join(shown) or NOTHING


def minute(text: str) -> str:
    """``2026-11-21 10:00``; the reader is told once that it is UTC."""
    return parse_time(text).strftime("%Y-%m-%d %H:%M")


def span(duration: timedelta) -> str:
    minutes = max(0, round(duration.total_seconds() / 60))
    if minutes < 120:
        return f"{minutes} min"
    return f"{round(minutes / 60)} h" if minutes < 48 * 60 else f"{round(minutes / 1440)} days"


def champion_name(gate: Json) -> str:
    champion = gate["champion"]
    if champion is None:
        return "what is in production"
    return escape(champion.get("version") or champion.get("tag") or "the champion", longest=60)


def _digits(value: float) -> int:
    """Three, or more where three would show a number that is not 0 as 0."""
    digits = DIGITS
    while value and digits < _MOST_DIGITS and round(abs(value), digits) == 0:
        digits += 1
    return digits


def _rounded(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text
