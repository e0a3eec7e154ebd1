"""What the accuracy rule says of labels that come late and in small numbers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from remint.core.rule_accuracy import accuracy_rule
from remint.core.signals import ChampionAccuracy, FeedbackCounts, LabelDelay
from remint.core.trigger import RuleResult, RuleState
from remint.core.verdict import Verdict
from remint.errors import Silence

NOW = datetime(2026, 5, 1, tzinfo=UTC)
WEEK = timedelta(days=7)


def judged(*feedback: FeedbackCounts, champion: float = 0.9, rows: int = 2_000, age: timedelta = WEEK) -> RuleResult:
    """``feedback``: since the previous block's start, ``age`` ago at least, and since the current one's."""
    starts = [NOW - age, NOW - timedelta(days=1)]
    return accuracy_rule(
        "accuracy",
        list(zip(starts, feedback, strict=False)),
        ChampionAccuracy(accuracy=champion, rows=rows, measured_on="test"),
        drop=0.05,
        min_labels=50,
        yearly=0.2,
        window=WEEK,
        now=NOW,
    )


def counts(right: int, wrong: int, **more: object) -> FeedbackCounts:
    return FeedbackCounts(right=right, wrong=wrong, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("right", "wrong", "fired"),
    [(450, 50, False), (430, 70, False), (300, 200, True), (30, 30, True), (0, 60, True), (60, 0, False)],
)
def test_it_fires_when_accuracy_is_surely_lower_by_more_than_the_drop(right: int, wrong: int, fired: bool) -> None:
    found = judged(counts(right, wrong))
    assert found.fired is fired
    assert found.findings[0].verdict is (Verdict.FAIL if fired else Verdict.PASS)


def test_few_labels_are_no_data_even_if_all_are_wrong() -> None:
    for found in (judged(counts(0, 49)), judged()):
        assert (found.state, found.silence) == (RuleState.NO_DATA, Silence.TOO_FEW)


def test_a_champion_measured_on_few_rows_raises_no_alarm_for_its_own_uncertainty() -> None:
    assert judged(counts(320, 80), champion=0.95).fired
    assert not judged(counts(320, 80), champion=0.95, rows=20).fired


def test_what_went_wrong_today_is_found_also_behind_a_good_week() -> None:
    assert not judged(counts(960, 140)).fired
    found = judged(counts(960, 140), counts(60, 60))
    assert found.fired
    assert found.findings[0].evidence["since"].startswith("2026-04-30")


def test_a_start_has_earned_little_of_the_budget_in_its_first_hour() -> None:
    week, hour = (judged(counts(62, 38), age=age) for age in (WEEK, timedelta(hours=1)))
    assert week.findings[0].evidence["alpha"] == pytest.approx(0.2 * 7 / 365)
    assert hour.findings[0].evidence["alpha"] == pytest.approx(0.2 / 24 / 365)
    assert hour.findings[0].evidence["upper_bound"] > week.findings[0].evidence["upper_bound"]


def test_coverage_and_delay_are_said_where_they_are_known() -> None:
    delay = LabelDelay(median_seconds=3 * 86_400, p90_seconds=9 * 86_400)
    found = judged(counts(450, 50, predictions=5_000, delay=delay))
    assert "10 % of the predictions have a label, and this is the accuracy of those" in found.reason
    assert "half of the labels came within 3 d, 90 % within 9 d" in found.reason
    evidence = found.findings[0].evidence
    assert (evidence["coverage_share"], evidence["label_delay_p90_seconds"]) == (0.1, 9 * 86_400)
    plain = judged(counts(450, 50))
    assert "label," not in plain.reason
    assert plain.findings[0].evidence["coverage_share"] is None


def test_all_limits_are_in_the_evidence_and_the_sentence_says_by_how_much() -> None:
    found = judged(counts(300, 200))
    evidence = found.findings[0].evidence
    assert evidence["lower_bound"] < 0.6 < evidence["upper_bound"] < 0.9
    assert 0.05 < evidence["drop_lower_bound"] < 0.3
    assert "60 % of 500 labelled predictions were right" in found.reason
    assert "the champion had 90 % on 2000 test rows: at least 2" in found.reason
