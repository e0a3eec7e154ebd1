"""Confidence sequences: known values, and their promise kept in simulation with a look after every few labels."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import beta, binom

from remint.core.accuracy import (
    anchored_starts,
    clopper_pearson,
    confidence_limits,
    drop_lower_bound,
    log_e_below,
)
from remint.core.signals import ChampionAccuracy

PROMOTED = datetime(2026, 1, 5, tzinfo=UTC)
WEEK = timedelta(days=7)


def champion(accuracy: float = 0.9, rows: int = 2_000) -> ChampionAccuracy:
    return ChampionAccuracy(accuracy=accuracy, rows=rows, measured_on="test")


def test_starts_are_those_of_the_previous_and_of_the_current_block() -> None:
    def weeks(age: timedelta) -> list[float]:
        return [(start - PROMOTED) / WEEK for start in anchored_starts(PROMOTED, PROMOTED + age, WEEK)]

    assert weeks(timedelta(0)) == weeks(-WEEK) == []
    assert weeks(timedelta(minutes=1)) == weeks(WEEK) == [0]
    assert weeks(1.5 * WEEK) == weeks(2 * WEEK) == [0, 1]
    assert weeks(9.1 * WEEK) == [8, 9]


def test_the_e_process_is_the_mixture_of_likelihood_ratios_below_the_line() -> None:
    right, wrong, q = 30, 12, 0.85
    prior = beta(20 * q, 20 * (1 - q))
    ratio = lambda p: (p / q) ** right * ((1 - p) / (1 - q)) ** wrong * prior.pdf(p)  # noqa: E731
    mixture = quad(ratio, 0, q)[0] / prior.cdf(q)
    assert float(log_e_below(right, wrong, q)) == pytest.approx(math.log(0.05 + 0.95 * mixture), rel=1e-6)


@pytest.mark.parametrize("truth", [0.85, 0.9, 0.99])
def test_looked_at_after_every_label_it_hardly_ever_reaches_its_limit(truth: float) -> None:
    random = np.random.default_rng(1)
    right = np.cumsum(random.random((800, 400)) < truth, axis=1)
    log_e = log_e_below(right, np.arange(1, 401) - right, 0.85)
    assert np.mean(log_e.max(axis=1) >= math.log(20)) <= 0.05


def test_a_limit_is_where_the_e_process_reaches_one_over_alpha() -> None:
    low, high = confidence_limits(70, 30, alpha=0.05)
    assert float(log_e_below(70, 30, high)) == pytest.approx(math.log(20), abs=1e-3)
    assert float(log_e_below(30, 70, 1 - low)) == pytest.approx(math.log(20), abs=1e-3)


@given(right=st.integers(0, 5_000), wrong=st.integers(0, 5_000), alpha=st.sampled_from([1e-6, 0.01, 0.2]))
@settings(max_examples=60, deadline=None)
def test_limits_are_numbers_around_what_was_observed_and_wider_for_a_smaller_alpha(
    right: int, wrong: int, alpha: float
) -> None:
    low, high = confidence_limits(right, wrong, alpha=alpha)
    assert 0 <= low <= high <= 1
    if right + wrong:
        assert low - 1e-6 <= right / (right + wrong) <= high + 1e-6
    wider = confidence_limits(right, wrong, alpha=alpha / 10)
    assert wider[0] <= low + 1e-6
    assert high <= wider[1] + 1e-6


@given(right=st.integers(0, 2_000), wrong=st.integers(0, 2_000), rows=st.integers(0, 50_000))
@settings(max_examples=40, deadline=None)
def test_the_drop_grows_with_what_is_wrong_and_never_beyond_what_was_observed(
    right: int, wrong: int, rows: int
) -> None:
    measured = champion(rows=rows)
    found = drop_lower_bound(measured, right, wrong, alpha=0.005)
    assert -1 <= found <= measured.accuracy
    assert drop_lower_bound(measured, right, wrong + 50, alpha=0.005) >= found - 1e-6
    assert drop_lower_bound(measured, right, wrong, alpha=0.0005) <= found + 1e-6
    if right + wrong:
        assert found <= max(-1, 0.9 - right / (right + wrong) + 1e-3)


def test_a_champion_measured_on_few_rows_has_hardly_a_drop_that_is_sure() -> None:
    found = [drop_lower_bound(champion(rows=rows), 320, 80, alpha=0.005) for rows in (20, 200, 2_000, 200_000)]
    assert found == sorted(found)
    assert found[0] < 0 < 0.02 < found[-1] < 0.1


def test_at_the_very_edge_the_drop_is_overstated_no_more_often_than_alpha_at_any_look() -> None:
    """Gate rows and labels drawn anew; the feedback is worse by exactly 0.05, looked at 15 times."""
    random = np.random.default_rng(5)
    looks = np.arange(40, 601, 40)
    over = 0
    for _ in range(150):
        measured = champion(float(random.binomial(500, 0.9)) / 500, rows=500)
        right = np.cumsum(random.random(600) < 0.85)[looks - 1]
        worst = int(np.argmax(1 - right / looks - 0.5 / np.sqrt(looks)))
        at = {worst, len(looks) - 1, 0}
        over += any(drop_lower_bound(measured, int(right[k]), int(looks[k] - right[k]), alpha=0.1) > 0.05 for k in at)
    assert over / 150 <= 0.1 + 2 * math.sqrt(0.09 / 150)


def test_exact_limits_are_those_that_the_binomial_distribution_gives() -> None:
    lower, upper = clopper_pearson(8, 10, alpha=0.025)
    assert (lower, upper) == pytest.approx((0.4439045, 0.9747893))
    assert binom.sf(7, 10, lower) == pytest.approx(0.025)
    assert binom.cdf(8, 10, upper) == pytest.approx(0.025)
    assert clopper_pearson(0, 5, alpha=0.1)[0] == 0
    assert clopper_pearson(5, 5, alpha=0.1)[1] == 1
    assert clopper_pearson(0, 0, alpha=0.1) == (0, 1)
