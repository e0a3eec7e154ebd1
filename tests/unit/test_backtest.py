"""The replay of a policy over a recorded past, and the arithmetic on what it records."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from backtest_examples import ACCURACY, DRIFT, HOUR, START, chapter, check_of, make_history, make_reference
from remint.core.backtest import (
    Asked,
    Backtest,
    Prices,
    Retrain,
    Tenure,
    accuracy_lost,
    episodes,
    most_sensitive,
    rate_at_most,
    round_limits,
)
from remint.core.budget import alpha_of_check
from remint.core.report_backtest import BacktestReport, markdown
from remint.core.signals import ChampionAccuracy, FeedbackCounts, WindowCounts
from remint.core.trigger import Answer
from remint.errors import ConfigError, NoDataError, Silence
from remint.workflows.backtest import ReplayOptions, declared_prices, replay
from remint.workflows.backtest_recording import (
    LabelSpan,
    RecordedWindow,
    ReplayedEvidence,
    StepRecording,
    WindowRecording,
)
from remint.workflows.backtest_sources import step_of
from remint.workflows.backtest_suggest import suggest

DAY = timedelta(days=1)
REFERENCE = make_reference()
NINETY = ChampionAccuracy(accuracy=0.9, rows=2_000, measured_on="test")


def day(number: float) -> datetime:
    return START + number * DAY


def run(rules: dict[str, Any], history: Any, *, promoted_at: datetime = START, **changes: Any) -> Backtest:
    options = changes.pop("options", None)
    past = [chapter(REFERENCE, history, promoted_at=promoted_at)]
    return replay(check_of(rules, **changes), past, policy="params.yaml", options=options)


# -- the record ------------------------------------------------------------------------------------------------------


def test_the_interval_of_a_loss_covers_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    covered = 0
    for _ in range(1_000):
        baseline = ChampionAccuracy(accuracy=random.binomial(500, 0.9) / 500, rows=500, measured_on="test")
        right = int(random.binomial(200, 0.8))
        loss = accuracy_lost(baseline, FeedbackCounts(right=right, wrong=200 - right))
        assert loss is not None
        covered += loss.low <= 0.1 <= loss.high
    assert 0.935 <= covered / 1_000 <= 0.965


def test_without_labels_nothing_is_said_to_be_lost() -> None:
    assert accuracy_lost(NINETY, FeedbackCounts(right=0, wrong=0)) is None
    nothing = ChampionAccuracy(accuracy=0.9, rows=0, measured_on="test")
    assert accuracy_lost(nothing, FeedbackCounts(right=1, wrong=0)) is None


def result(losses: list[tuple[float, int | None]], retrains: int = 0) -> Backtest:
    """Tenures of 1,000 labels each that lost so much accuracy, with so many predictions."""
    tenures = []
    for i, (lost, predictions) in enumerate(losses):
        wrong = round(1_000 * (0.1 + lost))
        loss = accuracy_lost(NINETY, FeedbackCounts(right=1_000 - wrong, wrong=wrong))
        tenures.append(Tenure(since=day(i), until=day(i + 1), recorded=i == 0, predictions=predictions, loss=loss))
    made = [
        Retrain(asked_at=day(i + 1), promoted_at=day(i + 1), rules=("drift",), reason="moved", after=DAY, loss=None)
        for i in range(retrains)
    ]
    return Backtest(policy="p", start=START, end=day(365), asked=(), retrains=tuple(made), tenures=tuple(tenures))


def test_a_cost_is_the_errors_that_a_new_model_would_not_have_made_and_never_a_gain() -> None:
    cost = result([(0.1, 10_000), (-0.05, 10_000)], retrains=2).cost(Prices(error=0.5, retrain=200))
    assert cost is not None
    assert cost.retrains == 400
    assert cost.errors == pytest.approx(0.5 * 10_000 * (0.1 - 0.05))
    assert cost.errors_low < cost.errors < cost.errors_high
    assert cost.total == cost.retrains + cost.errors
    gained = result([(-0.05, 10_000)]).cost(Prices(error=0.5, retrain=200))
    assert gained is not None
    assert gained.errors == 0


def test_without_prices_or_predictions_there_is_no_cost() -> None:
    assert result([(0.1, 10_000)]).cost(None) is None
    assert result([(0.1, None)]).cost(Prices(error=1, retrain=1)) is None


def test_the_loss_of_all_tenures_is_weighted_by_labels() -> None:
    loss = result([(0.1, 1), (0.0, 1)]).loss
    assert loss is not None
    assert loss[0] == pytest.approx(0.05)
    assert loss[1] < 0.05 < loss[2]
    assert result([]).loss is None


def test_checks_in_a_row_that_say_the_same_are_one_episode() -> None:
    said = [Answer.HOLD, Answer.HOLD, Answer.RETRAIN, Answer.HOLD]
    asked = [
        Asked(at=day(i), answer=answer, fired=(), summary=str(i), sigmas=None, field=None, loss=None)
        for i, answer in enumerate(said)
    ]
    assert [(e.answer, e.checks, e.since, e.until) for e in episodes(asked)] == [
        (Answer.HOLD, 2, day(0), day(1)),
        (Answer.RETRAIN, 1, day(2), day(2)),
        (Answer.HOLD, 1, day(3), day(3)),
    ]


def test_no_event_in_a_year_still_allows_three_a_year() -> None:
    assert rate_at_most(0, 1.0) == pytest.approx(2.9957, abs=1e-3)
    assert rate_at_most(4, 2.0) == pytest.approx(9.1535 / 2, abs=1e-3)


@pytest.mark.parametrize("allowed", range(6))
def test_the_most_sensitive_limit_within_the_budget_is_found_by_bisection(allowed: int) -> None:
    fires = [9, 7, 4, 4, 2, 1, 1, 0]
    asked: list[int] = []

    def count(limit: int) -> int:
        asked.append(limit)
        return fires[limit]

    found = most_sensitive(range(len(fires)), count, allowed=allowed)
    wanted = next(i for i, n in enumerate(fires) if n <= allowed)
    assert found == (wanted, fires[wanted])
    assert len(asked) <= 4


def test_no_limit_within_the_budget_is_no_suggestion() -> None:
    assert most_sensitive([1, 2, 3], lambda _: 5, allowed=0) is None


def test_limits_are_those_that_a_person_would_write() -> None:
    assert round_limits(0.02, 0.5) == [0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5]
    assert round_limits(0, 1) == []


# -- recordings ------------------------------------------------------------------------------------------------------


def test_sums_answer_any_window_as_the_history_itself_does() -> None:
    history = make_history(REFERENCE, 10, gaps=[(30, 40)])
    recording = StepRecording(history)
    random = np.random.default_rng(1)
    for _ in range(50):
        first, last = sorted(random.integers(0, 241, size=2).tolist())
        if last == first or 30 < last < 41:
            continue
        found = recording.counts(START + first * HOUR, START + last * HOUR)
        wanted = history.window(first, last)
        assert found.rows == wanted.rows
        assert all((found.counts[name] == wanted.counts[name]).all() for name in wanted.counts)
        assert recording.feedback(START + first * HOUR, START + last * HOUR) == history.feedback(first, last)


@pytest.mark.parametrize(
    ("first", "last", "silence"), [(30, 39, Silence.NO_SERIES), (20, 31, Silence.STALE), (0, 24, Silence.EMPTY)]
)
def test_a_gap_is_silence_by_its_name_and_never_a_quiet_window(first: int, last: int, silence: Silence) -> None:
    history = make_history(REFERENCE, 10, gaps=[(30, 40)])
    for table in history.counts.values():
        table[:24] = 0
    with pytest.raises(NoDataError) as caught:
        StepRecording(history).counts(START + first * HOUR, START + last * HOUR)
    assert caught.value.silence is silence


def test_a_history_without_promql_says_where_to_have_it() -> None:
    evidence = ReplayedEvidence(StepRecording(make_history(REFERENCE, 2)), now=day(1), trained_until=START)
    with pytest.raises(ConfigError, match="back-test from Prometheus"):
        evidence.signal("up")


def test_fresh_labels_are_those_since_the_training() -> None:
    evidence = ReplayedEvidence(StepRecording(make_history(REFERENCE, 3)), now=day(2), trained_until=day(1))
    assert evidence.fresh().count == 24 * 6


def windows(ends: list[float], length: float = 7) -> WindowRecording:
    return WindowRecording(
        [
            RecordedWindow(
                start=max(START, day(end - length)),
                end=day(end),
                counts=WindowCounts(rows=round(100 * min(end, length)), counts={}),
                labels=LabelSpan(start=START, end=day(end), right=round(9 * end), wrong=round(end)),
            )
            for end in ends
        ]
    )


def test_recorded_windows_tile_a_longer_one_and_a_hole_is_no_data() -> None:
    recording = windows([k / 4 for k in range(4, 121)])
    assert recording.counts(day(13), day(20)).rows == 700
    assert recording.counts(day(6), day(20)).rows == 1_400
    with pytest.raises(NoDataError) as caught:
        recording.counts(day(17), day(20))  # a promotion that was replayed and not recorded
    assert caught.value.silence is Silence.NO_SERIES
    assert recording.feedback(day(10), day(20)) == FeedbackCounts(right=90, wrong=10, predictions=1_700 - 700)


def test_recorded_checks_keep_their_times_and_a_slower_schedule_leaves_some_out() -> None:
    recording = windows([7, 7.26, 7.5, 7.75, 8.01])
    assert list(recording.checks(day(7), HOUR * 6)) == [day(d) for d in (7, 7.26, 7.5, 7.75, 8.01)]
    assert list(recording.checks(day(7), HOUR * 12)) == [day(d) for d in (7, 7.5, 8.01)]


def test_the_step_fits_every_schedule_and_window() -> None:
    slow = check_of({"drift": DRIFT}, every="6h", window="7d")
    fast = check_of({"drift": DRIFT}, every="4h", window="2d")
    odd = check_of({"drift": DRIFT}, every="90m", window="2d")
    assert step_of([slow]) == step_of([slow, fast]) == HOUR
    assert step_of([slow, odd]) == HOUR / 2
    assert step_of([slow], timedelta(minutes=7)) == HOUR / 2  # never finer than a twelfth of the schedule


# -- the replay ------------------------------------------------------------------------------------------------------


def test_a_healthy_past_holds_and_every_check_of_the_schedule_is_asked() -> None:
    found = run({"drift": DRIFT, "accuracy": ACCURACY}, make_history(REFERENCE, 60), every="12h")
    assert len(found.asked) == 60 * 2
    assert found.retrains == ()
    assert found.answers[Answer.HOLD] == len(found.asked)
    (tenure,) = found.tenures
    assert tenure.recorded
    assert tenure.predictions == 60 * 24 * 60
    assert tenure.loss is not None
    assert tenure.loss.low < 0 < tenure.loss.high


def test_drift_retrains_until_the_reference_is_what_is_seen_now() -> None:
    history = make_history(REFERENCE, 60, shifts=[(20, 0.6)])
    found = run({"drift": DRIFT}, history)
    assert found.retrains[0].rules == ("drift",)
    assert timedelta(days=20) < found.retrains[0].after < timedelta(days=25)
    assert 1 <= len(found.retrains) <= 4  # the first reference is half of before, half of after
    assert max(r.asked_at for r in found.retrains) < day(32)
    kept = run({"drift": DRIFT}, history, options=ReplayOptions(rereference=False))
    apart = [retrain.after for retrain in kept.retrains[1:]]
    assert len(kept.retrains) > 12
    assert min(apart) >= DAY  # the cooldown
    for retrain in kept.retrains:
        week = [r for r in kept.retrains if timedelta() <= retrain.asked_at - r.asked_at < timedelta(days=7)]
        assert len(week) <= 3  # the budget


def test_lost_accuracy_is_given_back_by_a_retrain_and_lost_again_only_if_it_falls_further() -> None:
    once = make_history(REFERENCE, 100, labels=30, accuracies=[(0, 0.9), (30, 0.75)])
    twice = make_history(REFERENCE, 100, labels=30, accuracies=[(0, 0.9), (30, 0.75), (80, 0.6)])
    found = run({"accuracy": ACCURACY}, once, every="2d")
    assert len(found.retrains) == 1
    loss = found.retrains[0].loss
    assert loss is not None
    assert loss.low > 0
    assert [tenure.recorded for tenure in found.tenures] == [True, False]
    after = found.tenures[1].loss
    assert after is not None
    assert abs(after.lost) < 0.02
    again = run({"accuracy": ACCURACY}, twice, every="2d")
    assert len(again.retrains) == 2
    assert again.retrains[1].asked_at > day(80)


def test_a_gap_is_counted_as_inconclusive_checks() -> None:
    found = run({"drift": DRIFT}, make_history(REFERENCE, 30, gaps=[(24 * 10, 24 * 12)]))
    silent = [asked.at for asked in found.asked if asked.answer is Answer.INCONCLUSIVE]
    assert silent == [day(10) + 6 * k * HOUR for k in range(1, 9)]
    assert all(asked.sigmas is None for asked in found.asked if asked.answer is Answer.INCONCLUSIVE)


def test_a_retrain_that_takes_long_holds_the_next_one_off() -> None:
    history = make_history(REFERENCE, 40, shifts=[(20, 0.6)])
    found = run({"drift": DRIFT}, history, options=ReplayOptions(retrain_takes=timedelta(days=3)))
    first = found.retrains[0]
    assert first.promoted_at == first.asked_at + timedelta(days=3)
    meanwhile = [a for a in found.asked if first.asked_at < a.at < first.promoted_at]
    assert {a.answer for a in meanwhile} == {Answer.HOLD}
    assert all("is running" in a.summary for a in meanwhile)
    assert found.tenures[0].until == first.promoted_at


def test_the_memory_of_the_ledger_is_carried() -> None:
    history = make_history(REFERENCE, 40, shifts=[(20, 1.0)])
    at_once = run({"drift": DRIFT}, history).retrains[0].asked_at
    patient = run({"drift": {**DRIFT, "for": "2d"}}, history).retrains[0].asked_at
    assert patient == at_once + timedelta(days=2)
    old = run({"age": {"kind": "age", "max_age": "10d"}}, history)
    assert [r.asked_at for r in old.retrains] == [day(10), day(20), day(30), day(40)]
    assert {retrain.after for retrain in old.retrains} == {timedelta(days=10)}


def test_a_replay_never_spends_more_alpha_than_the_year_earns(monkeypatch: pytest.MonkeyPatch) -> None:
    import remint.workflows.backtest as replayed

    spent: list[float] = []

    def counted(**given: Any) -> float:
        spent.append(alpha_of_check(**given))
        return spent[-1]

    monkeypatch.setattr(replayed, "alpha_of_check", counted)
    run({"drift": DRIFT}, make_history(REFERENCE, 20), every="1h", false_retrains_a_year=1.0)
    assert len(spent) == 20 * 24
    assert sum(spent) <= (20 + 1) / 365


def test_what_began_before_the_history_is_asked_once_a_window_is_full() -> None:
    found = run({"drift": DRIFT}, make_history(REFERENCE, 30), promoted_at=START - timedelta(days=90))
    assert found.asked[0].at == day(7)


def test_a_history_shorter_than_a_window_is_no_data() -> None:
    with pytest.raises(NoDataError, match=r"shorter than check\.window"):
        run({"drift": DRIFT}, make_history(REFERENCE, 6), promoted_at=START - timedelta(days=90))


def test_a_recorded_promotion_begins_a_chapter_and_its_bins_are_its_own() -> None:
    other = make_reference(features=3)
    first = make_history(REFERENCE, 30, shifts=[(10, 0.6)])
    second = make_history(other, 30, seed=5)
    chapters = [chapter(REFERENCE, first), chapter(other, replace(second, start=day(30)), promoted_at=day(30))]
    found = replay(check_of({"drift": DRIFT}), chapters, policy="p")
    assert [t.since for t in found.tenures if t.recorded] == [START, day(30)]
    assert not [r for r in found.retrains if r.asked_at > day(30)]
    assert found.end == day(60)


# -- limits and the report -------------------------------------------------------------------------------------------


def test_suggested_limits_keep_the_budget_on_the_history_they_are_from() -> None:
    history = make_history(REFERENCE, 60, labels=60, shifts=[(20, 0.25), (30, 0.0), (40, 0.25), (50, 0.0)])
    past = [chapter(REFERENCE, history)]
    rules = {"drift": DRIFT, "wrong": {"kind": "wrong", "limit": 100}, "age": {"kind": "age", "max_age": "90d"}}
    check = check_of(rules, every="1d")
    found = {s.rule: s for s in suggest(check, past, false_retrains_a_year=1.0, options=ReplayOptions())}
    assert set(found) == {"drift", "wrong", None}  # the age is a plan, not an alarm
    assert found["drift"].retrains_declared > 0
    assert found["drift"].retrains_suggested == 0
    assert found["drift"].suggested is not None
    assert float(found["drift"].suggested) > 0.02
    assert found["wrong"].suggested is not None
    assert 800 < float(found["wrong"].suggested) <= 1500  # a tenth of 60 labels an hour in a week is 1,008
    quieter = check_of({"drift": {**DRIFT, "material_psi": float(found["drift"].suggested)}}, every="1d")
    assert replay(quieter, past, policy="p").retrains == ()


def test_two_policies_stand_side_by_side_and_names_are_no_markup() -> None:
    history = make_history(REFERENCE, 60, shifts=[(20, 0.6)])
    cost = {"kind": "cost", "error_cost": 0.5, "retrain_cost": 200}
    check = check_of({"drift | <b>": DRIFT, "cost": cost}, every="1d")
    past = [chapter(REFERENCE, history)]
    results = (
        replay(check, past, policy="a.yaml"),
        replay(check_of({"accuracy": ACCURACY}, every="1d"), past, policy="b.yaml"),
    )
    report = BacktestReport(
        pipeline="churn",
        source="Prometheus",
        start=START,
        end=day(60),
        results=results,
        prices=declared_prices(check),
        references=(),
        assumptions=("x",),
    )
    text = markdown(report)
    lines = text.splitlines()
    assert lines[0] == f"## Back-test: {len(results[0].retrains)} → 0 retrains in 60 days"
    assert "<b>" not in text
    cells = [[cell.strip() for cell in line.split(" | ")] for line in lines]
    table = {row[0].strip("| *"): row[1:] for row in cells if len(row) == 3}
    assert table["Retrains"][1] == "**0** |"
    assert table["first"][1] == "- |"
    assert set(table) >= {"a year", "by rule", "Accuracy lost", "Cost", "of errors", "Checks", "inconclusive"}
    assert "What the replay takes for granted" in text
