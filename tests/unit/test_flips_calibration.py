"""Negative flips, calibration, and the three columns of changed evaluation rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remint.core.calibration import CalibrationPair, calibration_error, compare_calibration, judge_calibration
from remint.core.evaluation_change import evaluation
from remint.core.flips import flips_of, judge_flips
from remint.core.gate import Comparison, Pair
from remint.core.paired import Disagreement, Noise, Scored, disagreement
from remint.core.verdict import Absence, FindingVerdict, Verdict


def scored(seed: int, rows: int = 60) -> Scored:
    random = np.random.default_rng(seed)
    return Scored(np.arange(rows) % 2, random.dirichlet([2, 2], rows), 1)


def keys_of(rows: int) -> np.ndarray[Any, np.dtype[np.str_]]:
    return np.array([f"k{i}" for i in range(rows)])


# -- flips -------------------------------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(one=st.integers(0, 99), other=st.integers(0, 99))
def test_identical_models_have_no_flips_and_swapping_them_swaps_the_flips(one: int, other: int) -> None:
    keys = keys_of(60)
    there = flips_of(disagreement(scored(one), scored(other), keys), keys=60)
    back = flips_of(disagreement(scored(other), scored(one), keys), keys=60)
    assert there is not None
    assert back is not None
    assert (there.worse, there.better) == (back.better, back.worse)
    assert 0 <= there.low <= there.share <= there.high <= 1
    if one == other:
        assert (there.worse, there.share, there.low) == (0, 0, 0)


def test_the_interval_of_the_share_is_the_exact_binomial_one() -> None:
    found = flips_of(Disagreement(champion_right=0, challenger_right=3, p_value=0.25), keys=100)
    assert found is not None
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 100))  # none of 100: 1 - (alpha / 2) ** (1 / n)


@pytest.mark.parametrize(
    ("worse", "keys", "has_champion", "said"),
    [
        (5, 100, True, Verdict.PASS),
        (6, 100, True, Verdict.FAIL),
        (0, 29, True, Verdict.INCONCLUSIVE),
        (0, 100, False, Absence.NO_CHAMPION),
        (0, 0, True, Absence.MISSING),
    ],
)
def test_flips_are_judged_by_their_share(worse: int, keys: int, has_champion: bool, said: FindingVerdict) -> None:
    found = flips_of(Disagreement(champion_right=worse, challenger_right=1, p_value=1), keys=keys)
    finding = judge_flips(found, max_share=0.05, min_rows=30, has_champion=has_champion, rows_name="test")
    assert finding.verdict is said


# -- calibration -------------------------------------------------------------------------------------------------------


def stated(confidence: float, share_right: float, rows: int = 200) -> Scored:
    """A model that always claims ``confidence`` and is right on such a share."""
    right = np.arange(rows) < share_right * rows
    probabilities = np.where(right[:, None], [1 - confidence, confidence], [confidence, 1 - confidence])
    return Scored(np.ones(rows, dtype=np.int64), probabilities, 1)


def test_the_error_is_the_gap_between_what_is_claimed_and_what_is_right() -> None:
    assert calibration_error(stated(0.9, 0.7), keys_of(200)) == pytest.approx(0.2)
    assert calibration_error(stated(0.75, 0.75), keys_of(200)) == pytest.approx(0.0)


def test_gaps_of_two_bins_do_not_cancel() -> None:
    """0.9 claimed and 0.7 right, 0.6 claimed and 0.8 right: right on average, wrong by 0.2 everywhere."""
    sure, unsure = stated(0.9, 0.7), stated(0.6, 0.8)
    both = Scored(
        np.concatenate([sure.labels, unsure.labels]), np.concatenate([sure.probabilities, unsure.probabilities])
    )
    assert calibration_error(both, keys_of(400)) == pytest.approx(0.2)


def test_without_rows_or_with_nan_there_is_no_error() -> None:
    nothing = Scored(np.zeros(0, dtype=np.int64), np.zeros((0, 2)))
    assert calibration_error(nothing, keys_of(0)) is None
    assert calibration_error(Scored(np.zeros(1, dtype=np.int64), np.array([[np.nan, 1.0]])), keys_of(1)) is None


@settings(max_examples=15)
@given(one=st.integers(0, 99), other=st.integers(0, 99))
def test_swapping_the_models_mirrors_the_interval(one: int, other: int) -> None:
    there = compare_calibration(scored(one), scored(other), keys_of(60), seed=1)
    back = compare_calibration(scored(other), scored(one), keys_of(60), seed=1)
    assert there.noise is not None
    assert back.noise is not None
    assert (there.noise.low, there.noise.high) == pytest.approx((-back.noise.high, -back.noise.low), abs=1e-12)
    if one == other:
        assert (there.noise.low, there.noise.high) == (0, 0)


def test_repeated_rows_are_not_more_sure() -> None:
    champion, challenger, again = scored(1), scored(2), np.tile(np.arange(60), 5)
    once = compare_calibration(champion, challenger, keys_of(60), seed=1)
    many = compare_calibration(champion.take(again), challenger.take(again), keys_of(60)[again], seed=1)
    assert once.noise is not None
    assert many.noise is not None
    assert many.noise.high - many.noise.low == pytest.approx(once.noise.high - once.noise.low, rel=0.2)


@pytest.mark.parametrize(
    ("champion", "challenger", "keys", "has_champion", "said"),
    [
        (0.05, 0.07, 100, True, Verdict.PASS),
        (0.05, 0.0701, 100, True, Verdict.FAIL),
        (0.05, None, 100, True, Absence.MISSING),
        (None, 0.05, 100, True, Absence.MISSING),
        (None, 0.05, 100, False, Absence.NO_CHAMPION),
        (0.05, 0.05, 29, True, Verdict.INCONCLUSIVE),
    ],
)
def test_calibration_may_get_worse_by_the_tolerance(
    champion: float | None, challenger: float | None, keys: int, has_champion: bool, said: FindingVerdict
) -> None:
    pair = CalibrationPair(champion=champion, challenger=challenger, noise=Noise(low=-0.01, high=0.05))
    finding = judge_calibration(
        pair, tolerance=0.02, keys=keys, min_rows=30, has_champion=has_champion, rows_name="test"
    )
    assert finding.verdict is said


# -- three columns -----------------------------------------------------------------------------------------------------


def now(name: str = "test", *, champion: float | None = 0.8, rows: int = 100, first: bool = False) -> Comparison:
    pair = Pair(champion=champion, challenger=0.85)
    return Comparison(rows_name=name, rows=rows, keys=rows, has_champion=not first, metrics={"accuracy": pair})


RECORDED: dict[str, Any] = {
    "test": {"accuracy": 0.8},
    "golden": {"accuracy": 0.7},
    "fresh": None,
    "rows": {"test": 100, "golden": 100, "fresh": 0},
}


@pytest.mark.parametrize(
    ("judged", "changed"),
    [
        (now(), False),
        (now(champion=0.8 + 1e-12), False),
        (now(champion=0.79), True),
        (now(rows=120), True),
        (now("fresh"), True),
        (now(champion=None), False),
    ],
)
def test_the_rows_changed_where_number_kind_or_the_champions_own_value_did(judged: Comparison, changed: bool) -> None:
    found = evaluation(RECORDED, judged=judged, golden=now("golden", champion=0.7))
    assert found is not None
    assert found["changed"] is changed
    assert found["rows"] == {"before": 100, "now": judged.rows}
    assert found["metrics"]["accuracy"]["champion_before"] == 0.8
    assert found["golden"]["changed"] is False


def test_a_changed_golden_set_is_seen_by_itself() -> None:
    found = evaluation(RECORDED, judged=now(), golden=now("golden", champion=0.6))
    assert found is not None
    assert (found["changed"], found["golden"]["changed"]) == (False, True)


@pytest.mark.parametrize(
    "recorded", [None, {}, {"test": 3}, {"test": {"accuracy": 0.8}}, {"test": {"accuracy": 0.8}, "rows": {"test": "x"}}]
)
def test_what_is_not_known_is_not_made_up(recorded: Any) -> None:
    assert evaluation(recorded, judged=now(), golden=now("golden")) is None
    assert evaluation(RECORDED, judged=now(first=True), golden=now("golden", first=True)) is None
