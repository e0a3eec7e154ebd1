"""What a week of waiting costs: the wrong predictions that the champion makes and the challenger would not have made.

predictions a week x (challenger's accuracy - champion's), both on the same rows that neither was trained on. It is told
as an interval, the one of the difference, and not at all where that holds 0 or where a part of the evidence is missing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from remint.core.document import parse_time

_WEEK: Final = timedelta(days=7)
_SHORTEST: Final = timedelta(days=1)  # days differ from nights: less than one stands for no week
_ASSUMED: Final = "if the week is like the window"  # in traffic and in what is right

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Wrong predictions a week, ``low`` to ``high``, that the champion makes more than the challenger.

    Both below 0 where the challenger is the one that would make more. ``unknown`` says why there is no number, and then
    there is none.
    """

    low: float | None = None
    high: float | None = None
    predictions: float | None = None  # a week
    unknown: str | None = None

    def to_json(self) -> dict[str, float | str | None]:
        return {"low": self.low, "high": self.high, "predictions": self.predictions, "unknown": self.unknown}

    def words(self, *, error_cost: float | None = None, currency: str = "EUR") -> str:
        """``between 12 and 40 wrong predictions (of about 700), 60 to 200 EUR, ...``; ``error_cost``: of one."""
        if self.low is None or self.high is None or self.predictions is None:
            return f"the cost cannot be told: {self.unknown}"
        low, high = sorted((abs(self.low), abs(self.high)))
        between = f"between {_amount(low, up=False)} and {_amount(high, up=True)}"
        of = f"of about {_amount(self.predictions)}"
        if self.high < 0:
            return f"nothing: the challenger would make {between} more wrong predictions ({of}), {_ASSUMED}"
        money = ""
        if error_cost is not None:
            money = f", {_amount(low * error_cost, up=False)} to {_amount(high * error_cost, up=True)} {currency}"
        return f"{between} wrong predictions ({of}){money}, {_ASSUMED}"


def cost_of_waiting(decision: Json | None, gate: Json | None) -> Waiting:
    """From a ``decision`` (its window and rows) and a ``gate`` (its judged comparison). Never raises for what lacks."""
    if gate is None or gate["champion"] is None:
        return Waiting(unknown="there is no champion to compare with")
    judged_on = gate["judged_on"]
    if judged_on != "fresh":
        return Waiting(unknown=f"both models were compared on {judged_on} rows, not on fresh ones")
    pair = gate["metrics"].get(judged_on, {}).get("accuracy")
    if pair is None:
        return Waiting(unknown="accuracy is not among evaluate.metrics")
    found = pair.get("interval")
    ends = None if found is None else (found["low"], found["high"])
    if ends is None or any(end is None or not math.isfinite(end) for end in ends):
        return Waiting(unknown="the difference in accuracy has no interval")
    weekly = _predictions_a_week(decision)
    if isinstance(weekly, str):
        return Waiting(unknown=weekly)
    low, high = ends
    if low <= 0 <= high:
        return Waiting(unknown="the difference in accuracy is within noise")
    return Waiting(low=low * weekly, high=high * weekly, predictions=weekly)


def _predictions_a_week(decision: Json | None) -> float | str:
    """The number, or why there is none."""
    if decision is None or decision["window"] is None:
        return "the number of predictions is not known"
    length = parse_time(decision["window"]["end"]) - parse_time(decision["window"]["start"])
    if length < _SHORTEST:
        return f"a window of {_length(length)} does not stand for a week"
    if decision["rows"] <= 0:
        return "no predictions were made in the window"
    return float(decision["rows"] * (_WEEK / length))


def _length(length: timedelta) -> str:
    seconds = length.total_seconds()
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _amount(value: float, *, up: bool | None = None) -> str:
    """Two digits: the nearest, or outwards, so that an interval is never told narrower than it is."""
    if value == 0:
        return "0"
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    if value < 10:  # whole ones: half a wrong prediction is none, or one
        unit = 1.0
    steps = value / unit
    nearest = round(steps)
    if up is None or math.isclose(steps, nearest, rel_tol=1e-9):
        return f"{nearest * unit:,.0f}"
    whole = math.ceil(steps) if up else math.floor(steps)
    return f"{whole * unit:,.0f}"
