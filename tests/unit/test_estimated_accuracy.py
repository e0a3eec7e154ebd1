"""Accuracy without labels: near the truth under covariate drift, with an interval, and blind to concept drift."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remint.core.accuracy import estimate_accuracy
from remint.core.profile import CONFIDENCE, FieldProfile, FieldRole, Measure, Reference
from remint.core.reference_windows import Calibration, FieldWindows, ReferenceWindows
from remint.core.rule_estimated_accuracy import estimated_accuracy_rule
from remint.core.signals import WindowCounts
from remint.core.trigger import RuleResult, RuleState
from remint.errors import ConfigError, DataError, NoDataError

RIGHT = np.array([0.5, 0.6, 0.7, 0.8, 0.9, 0.98])  # of each bin from the first to the one that ends the range
USUAL = np.array([0.1, 0.1, 0.2, 0.2, 0.2, 0.2])
UNSURE = np.array([0.3, 0.3, 0.2, 0.1, 0.05, 0.05])


def padded(counts: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """With empty bins for missing, below and above."""
    return np.pad(np.asarray(counts, dtype=np.int64), (2, 1))


def make_reference(rows: npt.NDArray[np.int64], right: npt.NDArray[np.int64], **more: Any) -> Reference:
    profile = FieldProfile(
        name=CONFIDENCE,
        role=FieldRole.CONFIDENCE,
        column=CONFIDENCE,
        measure=Measure.VALUE,
        edges=tuple(np.linspace(0.4, 1, 7).tolist()),
        values=None,
        counts=tuple(rows.tolist()),
    )
    calibration = Calibration(rows=tuple(rows.tolist()), right=tuple(right.tolist()))
    return Reference(
        id="r",
        pipeline="p",
        training_rows=1_000,
        fields=(profile,),
        vocabularies={},
        calibration=calibration,
        **more,
    )


def drawn(random: np.random.Generator, rows: int = 1_500) -> Reference:
    counts = random.multinomial(rows, USUAL)
    return make_reference(padded(counts), padded(random.binomial(counts, RIGHT)))


EXACT = make_reference(padded(10_000 * USUAL), padded(10_000 * USUAL * RIGHT))


def rule(counts: npt.NDArray[np.int64], reference: Reference = EXACT, drop: float = 0.05) -> RuleResult:
    window = WindowCounts(rows=int(counts.sum()), counts={CONFIDENCE: counts})
    return estimated_accuracy_rule("estimated", window, reference, drop=drop, alpha=0.001, min_rows=200)


def test_the_estimate_is_each_bins_accuracy_by_the_share_of_predictions_in_it() -> None:
    found = estimate_accuracy(EXACT, {CONFIDENCE: padded(10_000 * UNSURE)})
    assert found.estimate == pytest.approx(float(UNSURE @ RIGHT), abs=1e-3)
    assert found.reference_accuracy == pytest.approx(float(USUAL @ RIGHT), abs=1e-3)
    assert 0 < found.drop_lower < found.reference_accuracy - found.estimate
    assert not found.knows_variation


@pytest.mark.parametrize("shares", [USUAL, UNSURE])
def test_the_interval_holds_the_truth_as_often_as_it_says(shares: npt.NDArray[np.float64]) -> None:
    random = np.random.default_rng(1)
    truth, usual = float(shares @ RIGHT), float(USUAL @ RIGHT)
    held = overstated = 0
    for _ in range(300):
        found = estimate_accuracy(drawn(random), {CONFIDENCE: padded(random.multinomial(1_000, shares))}, alpha=0.1)
        held += found.lower <= truth <= found.upper
        overstated += found.drop_lower > usual - truth
    assert held / 300 >= 0.86
    assert overstated / 300 <= 0.14


@given(
    rows=st.lists(st.integers(0, 200), min_size=9, max_size=9).filter(lambda x: sum(x) > 0),
    now=st.lists(st.integers(0, 5_000), min_size=9, max_size=9).filter(lambda x: sum(x) > 0),
    seed=st.integers(0, 100),
    alpha=st.sampled_from([1e-6, 0.01, 0.2]),
)
@settings(max_examples=60, deadline=None)
def test_it_is_a_number_within_its_interval_whatever_is_empty(
    rows: list[int], now: list[int], seed: int, alpha: float
) -> None:
    held = np.array(rows)
    reference = make_reference(held, np.random.default_rng(seed).binomial(held, 0.7))
    found = estimate_accuracy(reference, {CONFIDENCE: np.array(now)}, alpha=alpha)
    assert 0 <= found.lower <= found.estimate + 1e-9 <= found.upper + 2e-9 <= 1 + 2e-9
    assert found.drop_lower <= found.reference_accuracy - found.estimate + 1e-9
    wider = estimate_accuracy(reference, {CONFIDENCE: np.array(now)}, alpha=alpha / 10)
    assert wider.lower <= found.lower + 1e-9
    assert wider.drop_lower <= found.drop_lower + 1e-9


def test_confidence_that_no_held_out_row_had_makes_the_interval_wide() -> None:
    below = np.zeros(9, dtype=np.int64)
    below[1] = 5_000
    found = estimate_accuracy(EXACT, {CONFIDENCE: below})
    assert found.upper - found.lower > 0.5


def test_ordinary_days_that_differ_widen_the_interval_where_the_reference_knows_them() -> None:
    random = np.random.default_rng(3)
    mixes = np.clip(random.normal(0.2, 0.2, size=30), 0, 1)
    days = np.stack([padded(random.multinomial(500, (1 - m) * USUAL + m * UNSURE)) for m in mixes])
    windows = ReferenceWindows(fields={CONFIDENCE: FieldWindows(length_seconds=86_400, phases=(0,) * 30, counts=days)})
    counts = padded(1_000 * UNSURE)
    known = dataclasses.replace(EXACT, windows=windows)
    plain, wide = (estimate_accuracy(reference, {CONFIDENCE: counts}) for reference in (EXACT, known))
    assert wide.knows_variation
    assert wide.upper - wide.lower > 1.3 * (plain.upper - plain.lower)
    assert wide.drop_lower < plain.drop_lower


def test_the_rule_fires_on_unsure_predictions_and_says_what_it_cannot_see() -> None:
    found = rule(padded(2_000 * UNSURE))
    assert found.fired
    assert "this cannot see concept drift" in found.reason
    assert found.findings[0].evidence["sees_concept_drift"] is False
    quiet = rule(padded(2_000 * USUAL))
    assert not quiet.fired
    assert "this cannot see concept drift" in quiet.reason


def test_without_rows_without_calibration_or_with_other_bins_there_is_no_answer() -> None:
    assert rule(padded(100 * UNSURE)).state is RuleState.NO_DATA
    with pytest.raises(NoDataError):
        rule(np.zeros(9, dtype=np.int64))
    with pytest.raises(ConfigError, match="next champion"):
        rule(padded(1_000 * USUAL), dataclasses.replace(EXACT, calibration=None))
    with pytest.raises(DataError, match="8 bins counted, 9 in the reference"):
        rule(np.full(8, 100))
