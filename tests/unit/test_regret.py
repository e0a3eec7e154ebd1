"""Regret: the arithmetic of waiting."""

from __future__ import annotations

import math

import pytest

from remint.core.regret import break_even, lost_to_promise, lost_to_shadow, regret


def test_nothing_is_lost_before_the_first_window() -> None:
    assert regret([]) == 0.0


def test_losses_add_up() -> None:
    assert regret([1.0, 2.0, 3.5]) == 6.5


def test_a_good_time_is_no_credit_for_a_bad_one() -> None:
    assert regret([-100.0, 2.0]) == 2.0


def test_a_last_window_that_the_champion_won_is_seen() -> None:
    assert regret([-100.0, 2.0, -5.0]) == -3.0


def test_a_good_window_pays_back_what_was_lost() -> None:
    assert regret([5.0, -2.0, 1.0]) == 4.0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_a_number_is_no_loss(bad: float) -> None:
    with pytest.raises(ValueError, match="not a number"):
        regret([1.0, bad])


def test_a_shadow_measures_age_after_its_handicap() -> None:
    # the shadow is worse by 0.1 when both are fresh; now it is better by 0.02: the champion lost 0.12
    assert lost_to_shadow(0.72, 0.70, 1_000, handicaps=[-0.09, -0.11]) == pytest.approx(120)


def test_a_shadow_says_nothing_before_it_met_a_fresh_champion() -> None:
    with pytest.raises(ValueError, match="handicap"):
        lost_to_shadow(0.72, 0.70, 1_000, handicaps=[])


def test_what_was_promised_is_lost_by_every_prediction() -> None:
    assert lost_to_promise(0.9, 0.85, 200) == pytest.approx(10)


def test_a_retrain_is_worth_as_many_errors_as_it_costs() -> None:
    assert break_even(retrain_cost=50.0, error_cost=0.2) == pytest.approx(250)


@pytest.mark.parametrize(("retrain", "error"), [(1.0, 0.0), (-1.0, 1.0), (math.nan, 1.0), (math.inf, 1.0)])
def test_costs_that_cannot_be_are_refused(retrain: float, error: float) -> None:
    with pytest.raises(ValueError, match="costs"):
        break_even(retrain_cost=retrain, error_cost=error)
