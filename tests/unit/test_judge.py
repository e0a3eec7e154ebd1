"""The judge's answers as claims, its error rates in simulation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from remint.core.judge import (
    BUCKETS,
    Answer,
    Counts,
    Evidence,
    Judgement,
    JudgePolicy,
    OnTimeout,
    Outcome,
    Signal,
    judge,
    log_e_processes,
    nothing_to_judge,
    tally,
)
from remint.core.release import Track
from remint.core.verdict import Finding, Verdict
from remint.errors import DataError

STEPS = (0.1, 0.25, 0.5, 1.0)
SHARES = np.array(STEPS)
POLICY = JudgePolicy(
    alpha=0.05, margin=0.05, min_units=100, max_duration=timedelta(days=3), on_timeout=OnTimeout.ROLLBACK
)
Cells = Mapping[tuple[int, Signal], tuple[tuple[int, int], tuple[int, int]]]


def outcomes(cells: Cells) -> list[Outcome]:
    """(step, signal) -> ((stable good, bad), (canary good, bad))."""
    return [
        Outcome(step=step, track=track, signal=signal.value, bucket=BUCKETS[signal][i], units=units)
        for (step, signal), tracks in cells.items()
        for track, counts in zip(Track, tracks, strict=True)
        for i, units in enumerate(counts)
    ]


def healthy(step: int, units: int, *, wrong: float = 0.05) -> Cells:
    """Both tracks alike, split exactly as drawn, everybody gives feedback."""
    canary = round(units * STEPS[step])
    stable = units - canary

    def bad(n: int) -> tuple[int, int]:
        return n - round(n * wrong), round(n * wrong)

    return {
        (step, Signal.ERROR): ((stable, 0), (canary, 0)),
        (step, Signal.OUTPUT): ((stable, 0), (canary, 0)),
        (step, Signal.FEEDBACK): (bad(stable), bad(canary)),
    }


def answer(
    cells: Cells, *, step: int, policy: JudgePolicy = POLICY, elapsed: timedelta | None = timedelta(hours=1)
) -> Judgement:
    return judge(outcomes(cells), steps=STEPS, step=step, policy=policy, elapsed=elapsed)


def finding(judgement: Judgement, rule: str, field: str | None = None) -> Finding:
    [found] = [f for f in judgement.findings if f.rule == rule and f.field == field]
    return found


def evidence(judgement: Judgement, signal: Signal) -> Evidence:
    [found] = [e for e in judgement.evidence if e.signal is signal]
    return found


PROOF = {**healthy(0, 2_000), **healthy(1, 1_000), **healthy(2, 4_000)}


def test_no_data_is_hold() -> None:
    judgement = answer({}, step=0)
    assert judgement.answer is Answer.HOLD
    assert not any(f.verdict is Verdict.FAIL for f in judgement.findings)
    assert finding(judgement, "harm", "feedback").verdict is Verdict.INCONCLUSIVE


def test_no_canary_is_hold() -> None:
    assert nothing_to_judge("r3").answer is Answer.HOLD


def test_a_healthy_step_with_enough_units_advances() -> None:
    assert answer(healthy(0, 1_000), step=0).answer is Answer.ADVANCE


def test_a_step_with_too_few_fresh_units_holds_whatever_earlier_steps_had() -> None:
    judgement = answer({**healthy(0, 5_000), **healthy(1, 200)}, step=1)
    assert judgement.answer is Answer.HOLD
    assert finding(judgement, "units").observed == 50


def test_all_traffic_needs_proof_as_there_is_nothing_to_compare_with_after_it() -> None:
    few = {**healthy(0, 1_000), **healthy(1, 400), **healthy(2, 200)}
    judgement = answer(few, step=2)
    assert judgement.answer is Answer.HOLD
    assert finding(judgement, "margin", "feedback").verdict is Verdict.INCONCLUSIVE
    assert answer(PROOF, step=2).answer is Answer.ADVANCE


def test_the_last_step_promotes_with_proof() -> None:
    full = {(3, s): ((0, 0), (150, 0)) for s in Signal}
    judgement = answer({**PROOF, **full}, step=3)
    assert judgement.answer is Answer.PROMOTE
    assert answer({**healthy(0, 1_000), **full}, step=3).answer is Answer.HOLD


def test_labels_of_full_traffic_prove_nothing() -> None:
    full = {(3, s): ((0, 0), (50_000, 0)) for s in Signal}
    assert answer(full, step=3).answer is Answer.HOLD


def test_no_feedback_never_promotes() -> None:
    silent = {key: value for key, value in PROOF.items() if key[1] is not Signal.FEEDBACK}
    assert answer(silent, step=2).answer is Answer.HOLD


def test_more_errors_roll_back() -> None:
    cells = {**healthy(0, 1_000), (0, Signal.ERROR): ((900, 0), (70, 30))}
    judgement = answer(cells, step=0)
    assert judgement.answer is Answer.ROLLBACK
    assert "canary is worse" in judgement.summary


def test_fewer_errors_do_not() -> None:
    judgement = answer({**healthy(0, 2_000), (0, Signal.ERROR): ((1_300, 500), (200, 0))}, step=0)
    assert evidence(judgement, Signal.ERROR).e_value > 100
    assert finding(judgement, "harm", "error").verdict is Verdict.PASS
    assert judgement.answer is Answer.ADVANCE


def test_wrong_predictions_roll_back() -> None:
    assert answer({**healthy(2, 800), (2, Signal.FEEDBACK): ((360, 40), (280, 120))}, step=2).answer is Answer.ROLLBACK


@pytest.mark.parametrize(("share", "units"), [(0.01, 4), (0.1, 9), (0.25, 15), (0.5, 25)])
def test_a_canary_that_always_fails_is_found_after_a_few_of_its_units(share: float, units: int) -> None:
    steps = (share, 1.0)

    def judged(canary: int) -> Answer:
        cells = {(0, Signal.ERROR): ((round(canary * (1 - share) / share), 0), (0, canary))}
        return judge(outcomes(cells), steps=steps, step=0, policy=POLICY, elapsed=None).answer

    assert judged(units) is Answer.ROLLBACK
    assert judged(units - 1) is Answer.HOLD


def test_errors_at_full_traffic_roll_back_although_nothing_is_drawn_there() -> None:
    judgement = answer({**PROOF, (3, Signal.ERROR): ((0, 0), (24, 12))}, step=3)
    assert judgement.answer is Answer.ROLLBACK
    assert finding(judgement, "harm_at_full_traffic", "error").verdict is Verdict.FAIL


def test_what_looks_bad_at_full_traffic_is_not_promoted_although_it_may_be_chance() -> None:
    full = {(3, s): ((0, 0), (150, 0)) for s in Signal}
    judgement = answer({**PROOF, **full, (3, Signal.ERROR): ((0, 0), (140, 10))}, step=3)
    assert judgement.answer is Answer.HOLD


def test_feedback_that_one_track_gives_more_often_is_void() -> None:
    cells = {**PROOF, (2, Signal.FEEDBACK): ((950, 50), (1_700, 300))}
    judgement = answer(cells, step=2)
    assert finding(judgement, "split", "feedback").verdict is Verdict.INCONCLUSIVE
    assert finding(judgement, "harm", "feedback").verdict is Verdict.INCONCLUSIVE
    assert judgement.answer is Answer.HOLD


def test_units_that_do_not_split_as_drawn_hold() -> None:
    cells = {(0, s): ((500, 0), (500, 0)) for s in Signal}
    judgement = answer(cells, step=0)
    assert judgement.answer is Answer.HOLD
    assert "routing or counting" in judgement.summary


@pytest.mark.parametrize(("policy", "expected"), [(OnTimeout.ROLLBACK, Answer.ROLLBACK), (OnTimeout.HOLD, Answer.HOLD)])
def test_after_max_duration_the_declared_policy_decides(policy: OnTimeout, expected: Answer) -> None:
    declared = JudgePolicy(
        alpha=0.05, margin=0.05, min_units=100, max_duration=timedelta(days=3), on_timeout=policy
    )  # fmt: skip
    for cells in ({}, healthy(0, 1_000)):  # on hold, and an advance that is not proven
        assert answer(cells, step=0, policy=declared, elapsed=timedelta(days=3)).answer is expected


def test_proof_beats_the_clock() -> None:
    judgement = answer(PROOF, step=2, elapsed=timedelta(days=30))
    assert judgement.answer is Answer.ADVANCE
    assert finding(judgement, "duration").verdict is Verdict.PASS


def test_an_unknown_start_stops_no_clock_and_is_said() -> None:
    assert finding(answer(PROOF, step=2, elapsed=None), "duration").verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    "change",
    [{"signal": "errors"}, {"bucket": "wrong"}, {"step": 4}, {"units": -1}, {"units": 0.5}, {"units": float("nan")}],
)
def test_counts_that_cannot_be_are_refused(change: dict[str, Any]) -> None:
    known: dict[str, Any] = {"step": 0, "track": Track.STABLE, "signal": "error", "bucket": "ok", "units": 3}
    with pytest.raises(DataError):
        tally([Outcome(**{**known, **change})], steps=4)


def test_units_without_a_coin_are_left_out() -> None:
    cell = Outcome(step=-1, track=Track.STABLE, signal="error", bucket="ok", units=9)
    assert tally([cell], steps=4)[Signal.ERROR].sum() == 0


def test_a_step_that_does_not_exist_is_a_bug() -> None:
    with pytest.raises(ValueError, match="no canary"):
        judge([], steps=STEPS, step=-1, policy=POLICY, elapsed=None)


# --- error rates, with a look after every batch


def stream(
    random: np.random.Generator, releases: int, *, bad: Iterable[float], worse: Iterable[float], looks: int, batch: int
) -> list[Counts]:
    """For each signal the counts (releases, looks, steps, 2, 2) as traffic goes through the steps with a coin."""
    per_step = looks // 3
    size = np.zeros((releases, looks, 4, 2), dtype=np.int64)
    for step in range(3):
        part = slice(step * per_step, (step + 1) * per_step)
        canary = random.binomial(batch, STEPS[step], (releases, per_step))
        size[:, part, step, 1], size[:, part, step, 0] = canary, batch - canary
    signals = []
    for stable, canary_bad in zip(bad, worse, strict=True):
        failed = random.binomial(size, [stable, canary_bad])
        signals.append(np.cumsum(np.stack([size - failed, failed], axis=-1), axis=1))
    return signals


def test_a_good_release_is_rolled_back_in_less_than_alpha_of_500_although_every_batch_is_looked_at() -> None:
    same = (0.02, 0.001, 0.15)
    signals = stream(np.random.default_rng(3), 500, bad=same, worse=same, looks=150, batch=40)
    limit = np.log(5 / POLICY.alpha)
    alarmed = np.zeros(500, dtype=bool)
    for counts in signals:
        differ, _ = log_e_processes(counts, SHARES)
        alarmed |= differ.max(axis=1) >= limit
    assert alarmed.mean() <= POLICY.alpha


def test_late_feedback_does_not_raise_the_false_alarms() -> None:
    """Steps close on the canary's own count, and labels arrive later in any order: still a fair coin."""
    random = np.random.default_rng(4)
    limit, alarms = np.log(5 / POLICY.alpha), 0
    for _ in range(200):
        canary = random.random(4_000) < 0.1
        canary = canary[: int(np.flatnonzero(np.cumsum(canary) == 100)[0]) + 1]
        random.shuffle(canary)
        wrong = random.random(canary.size) < 0.3
        counts = np.zeros((canary.size, 4, 2, 2), dtype=np.int64)
        counts[np.arange(canary.size), 0, canary.astype(int), wrong.astype(int)] = 1
        differ, _ = log_e_processes(np.cumsum(counts, axis=0), SHARES)
        alarms += differ.max() >= limit
    assert alarms <= POLICY.alpha * 200


@pytest.mark.parametrize(("share_of_errors", "units"), [(1.0, 160), (0.3, 640), (0.1, 3_000)])
def test_a_canary_with_errors_is_found_in_nine_of_ten_releases(share_of_errors: float, units: int) -> None:
    random = np.random.default_rng(5)
    canary = random.binomial(20, 0.1, (200, units // 20))
    counts = np.zeros((*canary.shape, 4, 2, 2), dtype=np.int64)
    counts[:, :, 0, 0, 0] = 20 - canary
    counts[:, :, 0, 1, 1] = random.binomial(canary, share_of_errors)
    counts[:, :, 0, 1, 0] = canary - counts[:, :, 0, 1, 1]
    differ, _ = log_e_processes(np.cumsum(counts, axis=1), SHARES)
    assert np.mean(differ.max(axis=1) >= np.log(5 / POLICY.alpha)) >= 0.9


def test_counting_every_request_of_a_sticky_unit_would_roll_back_good_releases() -> None:
    """Why only a unit's first request may be counted: the store and the service refuse the others."""
    random = np.random.default_rng(6)
    canary = random.random((200, 60)) < 0.1
    requests = 20
    counts = np.zeros((200, 4, 2, 2), dtype=np.int64)
    failing = random.random((200, 60)) < 0.3  # users whose every request fails, on whichever track
    for track in (0, 1):
        for bad in (0, 1):
            counts[:, 0, track, bad] = requests * ((canary == track) & (failing == bad)).sum(axis=1)
    differ, _ = log_e_processes(counts, SHARES)
    assert np.mean(differ >= np.log(5 / POLICY.alpha)) > 0.3


def test_an_equal_challenger_is_promoted_within_the_traffic_of_a_demo() -> None:
    random = np.random.default_rng(7)
    counts: dict[Signal, Counts] = {s: np.zeros((4, 2, 2), dtype=np.int64) for s in Signal}
    step, units = 0, 0
    for _ in range(60):
        units += 200
        canary = random.binomial(200, STEPS[step])
        for signal, bad in zip(Signal, (0.0, 0.0, 0.05), strict=True):
            failed = random.binomial([200 - canary, canary], bad)
            counts[signal][step] += np.stack([[200 - canary, canary] - failed, failed], axis=-1)
        cells = {(k, s): tuple(map(tuple, counts[s][k].tolist())) for s in Signal for k in range(4)}
        judgement = answer(cells, step=step)  # type: ignore[arg-type]
        assert judgement.answer is not Answer.ROLLBACK
        if judgement.answer is Answer.PROMOTE:
            break
        step += judgement.answer is Answer.ADVANCE
    assert judgement.answer is Answer.PROMOTE
    assert units <= 6_000
