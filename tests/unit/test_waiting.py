"""What a week of waiting costs is told as an interval, or not at all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remint.core.waiting import Waiting, cost_of_waiting
from report_examples import decision, gate

WEEK = {"start": "2026-11-14T00:00:00.000000Z", "end": "2026-11-21T00:00:00.000000Z"}
DAY = {**WEEK, "start": "2026-11-20T00:00:00.000000Z"}
MINUTE = {**WEEK, "start": "2026-11-20T23:59:00.000000Z"}


def judged(low: float | None, high: float | None, **more: Any) -> dict[str, Any]:
    pair = {"champion": 0.7, "challenger": 0.8, "interval": None if low is None else {"low": low, "high": high}}
    return {"champion": {"version": "v1.0.0"}, "judged_on": "fresh", "metrics": {"fresh": {"accuracy": pair}}, **more}


def seen(rows: int = 400, window: dict[str, str] | None = WEEK) -> dict[str, Any]:
    return {"window": window, "rows": rows}


def test_predictions_a_week_times_the_difference() -> None:
    found = cost_of_waiting(seen(400), judged(0.03, 0.1))
    assert (found.low, found.high, found.predictions) == (pytest.approx(12), pytest.approx(40), 400)
    assert found.words() == "between 12 and 40 wrong predictions (of about 400), if the week is like the window"
    assert ", 60 to 200 CHF, " in found.words(error_cost=5, currency="CHF")


def test_a_day_stands_for_seven() -> None:
    assert cost_of_waiting(seen(100, DAY), judged(0.03, 0.1)).predictions == 700


def test_a_better_champion_costs_nothing() -> None:
    words = cost_of_waiting(seen(400), judged(-0.1, -0.03)).words(error_cost=5)
    assert words.startswith("nothing: the challenger would make between 12 and 40 more wrong predictions")
    assert "EUR" not in words


@pytest.mark.parametrize(
    ("decision_", "gate_", "why"),
    [
        (None, judged(0.03, 0.1), "number of predictions is not known"),
        (seen(window=None), judged(0.03, 0.1), "number of predictions is not known"),
        (seen(window=MINUTE), judged(0.03, 0.1), "a window of 60 s does not stand for a week"),
        (seen(0), judged(0.03, 0.1), "no predictions"),
        (seen(), None, "no champion"),
        (seen(), judged(0.03, 0.1, champion=None), "no champion"),
        (seen(), judged(None, None), "has no interval"),
        (seen(), judged(float("nan"), 0.1), "has no interval"),
        (seen(), judged(-0.01, 0.1), "within noise"),
        (seen(), judged(0.0, 0.1), "within noise"),
        (seen(), judged(0.03, 0.1, judged_on="test"), "on test rows, not on fresh ones"),
        (seen(), judged(0.03, 0.1, metrics={"fresh": {"log_loss": {}}}), "accuracy is not among"),
    ],
)
def test_what_is_not_known_is_not_guessed(
    decision_: dict[str, Any] | None, gate_: dict[str, Any] | None, why: str
) -> None:
    found = cost_of_waiting(decision_, gate_)
    assert (found.low, found.high) == (None, None)
    assert found.words(error_cost=5).startswith("the cost cannot be told: ")
    assert why in found.words()


def test_real_documents_are_read() -> None:
    found = cost_of_waiting(decision(), gate())
    assert found.unknown is None
    assert found.predictions == 500


@given(st.floats(0.001, 1e7), st.floats(0, 1e7))
def test_the_interval_is_never_told_narrower_than_it_is(low: float, width: float) -> None:
    high = low + width
    words = Waiting(low=low, high=high, predictions=1e8).words().split(" wrong")[0]
    shown = [float(part.replace(",", "")) for part in words.removeprefix("between ").split(" and ")]
    assert shown[0] <= low * (1 + 1e-8)
    assert shown[1] >= high * (1 - 1e-8)
