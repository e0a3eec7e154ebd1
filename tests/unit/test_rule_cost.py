"""Waiting against retraining, and a query of one's own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from remint.core.rule_cost import cost_rule
from remint.core.rule_limits import promql_rule
from remint.core.signals import ChampionAccuracy, FeedbackCounts
from remint.core.trigger import RuleResult, RuleState
from remint.errors import Silence

NOW = datetime(2026, 5, 1, tzinfo=UTC)
CHAMPION = ChampionAccuracy(accuracy=0.9, rows=5_000, measured_on="test")
WEEK = timedelta(days=7)


def cost(
    right: int, wrong: int, *, a_day: float = 1_000, error_cost: float = 1.0, retrain_cost: float = 300
) -> RuleResult:
    return cost_rule(
        "cost",
        [(NOW - WEEK, FeedbackCounts(right=right, wrong=wrong))],
        CHAMPION,
        predictions_per_day=a_day,
        error_cost=error_cost,
        retrain_cost=retrain_cost,
        horizon=WEEK,
        min_labels=50,
        yearly=0.25,
        window=WEEK,
        now=NOW,
    )


def test_waiting_that_surely_costs_more_than_a_retrain_fires() -> None:
    found = cost(1_600, 400)
    assert found.fired
    evidence = found.findings[0].evidence
    assert 300 < evidence["sure_cost"] < evidence["likely_cost"] == pytest.approx(700)
    assert "waiting 7 d costs about 700" in found.reason


def test_the_same_loss_of_accuracy_is_not_worth_a_retrain_where_few_ask_or_errors_are_cheap() -> None:
    assert not cost(1_600, 400, a_day=100).fired
    assert not cost(1_600, 400, error_cost=0.1).fired
    assert not cost(1_600, 400, retrain_cost=10_000).fired


def test_a_loss_that_may_be_chance_costs_nothing_for_sure() -> None:
    found = cost(44, 8)
    assert not found.fired
    assert found.findings[0].evidence["sure_cost"] == 0


def test_too_few_labels_are_no_answer() -> None:
    found = cost(40, 5)
    assert found.state is RuleState.NO_DATA
    assert found.silence is Silence.TOO_FEW


def test_no_loss_costs_nothing() -> None:
    assert cost(1_950, 50).findings[0].evidence["likely_cost"] == 0


@pytest.mark.parametrize(
    ("value", "above", "below", "fired"),
    [(0.6, 0.5, None, True), (0.5, 0.5, None, False), (0.4, None, 0.5, True), (0.5, None, 0.5, False)],
)
def test_a_query_fires_beyond_its_limit_and_not_at_it(
    value: float, above: float | None, below: float | None, fired: bool
) -> None:
    assert promql_rule("latency", value, above=above, below=below).fired is fired
