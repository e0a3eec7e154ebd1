"""Replay, choices and fronts: claims on outcomes small enough to walk by hand."""

from __future__ import annotations

import numpy as np
import pytest

from remint.simulation.policies import (
    AccuracyBelow,
    AccuracyDrop,
    DriftAbove,
    Every,
    Never,
    Regret,
    ShadowBudget,
    ShadowRegret,
)
from remint.simulation.replay import (
    BestOfEarlier,
    Labelled,
    Outcomes,
    Replay,
    accuracy_within,
    best_in_hindsight,
    front,
    replay,
)
from remint.simulation.streams import Drift, stream

ROWS = 20


def outcomes(accuracies: list[list[float]], *, first: int = 1, **more: np.ndarray) -> Outcomes:
    """Model i's accuracy in each window, as so many right rows at its beginning."""
    table = np.array(accuracies)
    right = np.arange(ROWS) < np.round(table[:, :, None] * ROWS)
    return Outcomes(right=right.reshape(len(table), -1), window_rows=ROWS, first=first, **more)


def aging(windows: int = 40, *, loss: float = 0.05, first: int = 2) -> Outcomes:
    """Each window of age costs ``loss``; the shadow, always fresh, is 0.1 worse than a fresh champion."""
    ages = np.arange(windows)[None, :] - first - np.arange(windows - first)[:, None]
    table = np.clip(0.9 - loss * np.maximum(ages, 0), 0, 1)
    shadow = (np.arange(ROWS) < round(0.8 * ROWS))[None, :].repeat(windows, axis=0).ravel()
    return outcomes(table.tolist(), first=first, shadow_right=shadow)


def walked(accuracy: float, *retrained_at: int) -> Replay:
    return Replay(accuracy=accuracy, retrained_at=retrained_at, served=())


class Spy:
    """Retrains at given windows and keeps all that it was shown."""

    def __init__(self, *windows: int) -> None:
        self.windows = windows
        self.seen: list[Labelled] = []

    def retrains(self, seen: Labelled) -> bool:
        self.seen.append(seen)
        return seen.window in self.windows


def test_a_model_trained_at_a_windows_end_serves_from_the_next_window() -> None:
    found = replay(outcomes([[0, 0.5, 0.4, 0.3], [0, 0, 0.8, 0.7], [0, 0, 0, 1.0]]), Spy(1))
    assert found.retrained_at == (1,)
    assert found.served == (0, 1, 1)
    assert found.accuracy == pytest.approx((0.5 + 0.8 + 0.7) / 3)


def test_a_policy_is_never_asked_after_the_last_window() -> None:
    spy = Spy()
    replay(outcomes([[1.0] * 5] * 4), spy)
    assert [seen.window for seen in spy.seen] == [1, 2, 3]
    assert [seen.windows_left for seen in spy.seen] == [3, 2, 1]


def test_a_policy_sees_the_outcomes_of_the_model_that_served_and_its_age() -> None:
    spy = Spy(1)
    replay(outcomes([[0, 0.5, 0.4, 0.3], [0, 0, 0.8, 0.7], [0, 0, 0, 1.0]]), spy)
    assert [seen.accuracy for seen in spy.seen] == pytest.approx([0.5, 0.8])
    assert [seen.age for seen in spy.seen] == [1, 1]


def test_a_short_last_window_weighs_by_its_rows() -> None:
    right = np.array([[True] * 4 + [True] * 4 + [False] * 2] * 2)
    found = replay(Outcomes(right=right, window_rows=4, first=1), Never())
    assert found.accuracy == pytest.approx(4 / 6)


def test_always_is_every_window_but_the_last() -> None:
    world = aging()
    assert replay(world, Every(1)).retrains == world.windows - world.first - 1
    assert replay(world, Never()).retrains == 0


def test_every_third_window_retrains_at_equal_distances() -> None:
    assert replay(aging(12), Every(3)).retrained_at == (4, 7, 10)


@pytest.mark.parametrize("rows", [0, -1])
def test_a_window_of_no_rows_is_refused(rows: int) -> None:
    with pytest.raises(ValueError, match="windows"):
        Outcomes(right=np.ones((2, 8), dtype=bool), window_rows=rows, first=1)


def test_too_few_models_for_the_windows_are_refused() -> None:
    with pytest.raises(ValueError, match="one model for each window"):
        outcomes([[1.0] * 5] * 3)


def test_an_earlier_champion_comes_back_without_training() -> None:
    # the concept of windows 1-3 returns in 7: model 0 knows it, model 3 does not
    old, new = [0, 0.9, 0.9, 0.9, 0.2, 0.2, 0.2, 0.9, 0.9, 0.9], [0, 0, 0, 0, 0, 0.9, 0.9, 0.1, 0.1, 0.1]
    world = outcomes([old, old, old, old, new, new, new, new, new])
    alone, with_earlier = replay(world, Spy(4)), replay(world, Spy(4), BestOfEarlier)
    assert with_earlier.retrained_at == alone.retrained_at == (4,)
    assert with_earlier.served == (0, 0, 0, 0, 4, 4, 4, 0, 0)
    assert with_earlier.accuracy > alone.accuracy


def test_earlier_champions_change_nothing_where_the_newest_is_best() -> None:
    assert replay(aging(), Every(4), BestOfEarlier) == replay(aging(), Every(4))


def test_no_choice_is_made_on_rows_that_a_model_was_trained_on() -> None:
    # model 1 is perfect on window 1, which it was trained on, and useless afterwards
    world = outcomes([[0, 0.6, 0.6, 0.6, 0.6], [1.0, 1.0, 0, 0, 0], [0] * 5, [0] * 5])
    assert replay(world, Spy(1), BestOfEarlier).served == (0, 1, 0, 0)


def test_a_front_holds_only_what_no_other_beats() -> None:
    replays = [walked(0.7), walked(0.75, 1, 2), walked(0.72, 1, 2), walked(0.74, 1, 2, 3), walked(0.8, 1, 2, 3)]
    assert front(replays) == (replays[0], replays[1], replays[4])


def test_accuracy_within_a_budget_is_none_where_every_replay_spends_more() -> None:
    assert accuracy_within([walked(0.8, 1, 2)], 1) is None
    assert accuracy_within([walked(0.7), walked(0.8, 1, 2)], 1) == 0.7


def test_hindsight_is_the_best_of_all_ways_to_spend_the_retrains() -> None:
    rng = np.random.default_rng(3)
    world = outcomes(rng.integers(0, ROWS + 1, (5, 6)) / ROWS)
    best = [0.0] * 5
    for bits in range(16):  # every subset of the four windows at whose end a retrain can help
        found = replay(world, Spy(*[w for w in range(1, 5) if bits >> (w - 1) & 1]))
        best[found.retrains] = max(best[found.retrains], found.accuracy)
    assert best_in_hindsight(world, 4) == pytest.approx(np.maximum.accumulate(best))


def test_the_shadow_hides_how_hard_a_window_was() -> None:
    """One hard window tempts every rule that looks at accuracy alone; champion and shadow suffer it together."""
    calm = [0.9] * 12
    hard = [*calm[:6], 0.4, *calm[7:]]
    shadow = (np.arange(ROWS) < np.round((np.array(hard) - 0.1)[:, None] * ROWS)).ravel()
    world = outcomes([hard] * 11, shadow_right=shadow)
    assert replay(world, ShadowRegret(1)).retrains == 0
    assert replay(world, Regret(1)).retrains == 1
    assert replay(world, AccuracyBelow(0.6)).retrains == replay(world, AccuracyDrop(0.3)).retrains == 1


def test_regret_retrains_where_waiting_has_cost_as_much_as_the_limit() -> None:
    # ages 1, 2, 3, ... lose 0, 1, 2, ... right answers of 20: 0 + 1 + 2 reach 3 in the third window
    found = replay(aging(14), ShadowRegret(3.0))
    assert found.retrained_at == (4, 7, 10)
    assert replay(aging(14), Regret(3.0)).retrained_at == found.retrained_at


def test_a_higher_limit_never_retrains_more_often_on_steady_aging() -> None:
    spent = [replay(aging(), ShadowRegret(limit)).retrains for limit in (0.5, 1, 2, 4, 8, 16)]
    assert spent == sorted(spent, reverse=True)
    assert spent[0] > spent[-1]


@pytest.mark.parametrize("budget", [0, 1, 3, 10, 200])
def test_a_declared_budget_is_never_exceeded(budget: int) -> None:
    assert replay(aging(), ShadowBudget(budget)).retrains <= budget


def test_a_declared_budget_lasts_beyond_two_thirds_of_the_stream() -> None:
    found = replay(aging(120), ShadowBudget(12))
    assert 10 <= found.retrains <= 12
    assert found.retrained_at[-1] >= 80


def test_drift_retrains_without_a_label() -> None:
    drift = np.zeros((4, 5))
    drift[0, 2] = 0.3
    assert replay(outcomes([[0.5] * 5] * 4, drift=drift), DriftAbove(0.2)).retrained_at == (2,)


@pytest.mark.parametrize("policy", [ShadowRegret(1), ShadowBudget(1), DriftAbove(0.1)])
def test_evidence_that_nobody_measured_is_not_taken_for_quiet(policy: ShadowRegret | ShadowBudget | DriftAbove) -> None:
    with pytest.raises(ValueError, match="on this stream"):
        replay(outcomes([[0.5] * 5] * 4), policy)


@pytest.mark.parametrize("drift", Drift)
def test_the_same_seed_gives_the_same_stream(drift: Drift) -> None:
    one, two, other = (stream(drift, rows=3_000, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.labels, two.labels)
    assert np.array_equal(one.features, two.features)
    assert not np.array_equal(one.labels, other.labels)


@pytest.mark.parametrize("drift", [Drift.ABRUPT, Drift.RECURRING])
def test_concepts_change_at_the_rows_that_the_stream_names(drift: Drift) -> None:
    made = stream(drift, rows=20_000, seed=5, quiet_rows=4_000)
    assert len(made.drift_at) == 12
    assert min(made.drift_at) >= 4_000


def test_only_the_concept_drifts_never_the_features() -> None:
    made = stream(Drift.ABRUPT, rows=20_000, seed=5)
    assert made.features[:5_000].mean(axis=0) == pytest.approx(made.features[-5_000:].mean(axis=0), abs=0.06)


def test_a_linear_model_of_the_first_rows_ages_only_where_the_concept_moves() -> None:
    def lost(drift: Drift) -> float:
        made = stream(drift, rows=20_000, seed=1)
        first, last = slice(0, 2_000), slice(18_000, None)
        weights = np.linalg.lstsq(made.features[first], made.labels[first] - 0.5, rcond=None)[0]
        right = (made.features @ weights > 0) == made.labels
        return float(right[first].mean() - right[last].mean())

    assert lost(Drift.WALK) > 0.1
    assert abs(lost(Drift.NONE)) < 0.04


@pytest.mark.parametrize("bad", [{"rows": 0}, {"rows": 10, "quiet_rows": 10}, {"rows": 10, "day_rows": 0}])
def test_a_stream_that_cannot_be_is_refused(bad: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="rows"):
        stream(Drift.NONE, **{"seed": 0, **bad})
