"""The e-processes: known values, and their promise kept in simulation, with a look after every batch."""

from __future__ import annotations

from math import exp, log

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import beta, binom

from remint.core.sequential import (
    CONCENTRATION,
    Numbers,
    TwoTracks,
    difference_lower_bound,
    log_e_difference,
    log_e_split,
    log_e_worse,
)

ALPHA = 0.05


def two(stable: tuple[int, int], canary: tuple[int, int]) -> TwoTracks:
    return TwoTracks.of(np.array([[stable, canary]]))


def test_one_event_is_no_evidence() -> None:
    """The mixture's mean is the coin itself, so the first event bets nothing."""
    for share in (0.01, 0.1, 0.5, 0.9):
        assert log_e_split([0, 1], [1, 1], share) == pytest.approx([0, 0], abs=1e-9)


def test_the_split_is_the_mixture_of_likelihood_ratios() -> None:
    w, x, n = 0.1, 12, 40
    prior = beta(CONCENTRATION * w, CONCENTRATION * (1 - w))
    mixed, _ = quad(lambda q: binom.pmf(x, n, q) * prior.pdf(q), 0, 1)
    assert float(log_e_split(x, n, w)) == pytest.approx(log(mixed / binom.pmf(x, n, w)), rel=1e-6)


def test_the_split_is_a_martingale() -> None:
    """Averaged over the next event, nothing is won: w E(canary) + (1 - w) E(stable) = E now."""
    for x, n, w in ((0, 0, 0.1), (3, 5, 0.1), (70, 100, 0.5)):
        canary, stable = (np.exp(log_e_split(x + z, n + 1, w)) for z in (1, 0))
        assert w * canary + (1 - w) * stable == pytest.approx(float(np.exp(log_e_split(x, n, w))))


def test_a_fair_split_hardly_ever_reaches_the_limit_however_often_it_is_looked_at() -> None:
    random = np.random.default_rng(1)
    for share in (0.1, 0.5):
        events = random.random((2_000, 1_500)) < share
        seen = np.cumsum(events, axis=1)[:, 9::10]
        logs = log_e_split(seen, np.arange(10, 1_501, 10), share)
        assert np.mean(logs.max(axis=1) >= log(1 / ALPHA)) <= ALPHA


def _largest(tracks: TwoTracks, difference: float) -> float:
    """The restricted maximum by brute force."""
    p = np.linspace(max(0, -difference), min(1, 1 - difference), 200_001)[1:-1]
    total = 0.0
    for k in range(tracks.stable_good.size):
        total += float(
            np.max(
                tracks.stable_good[k] * np.log(p)
                + tracks.stable_bad[k] * np.log1p(-p)
                + tracks.canary_good[k] * np.log(p + difference)
                + tracks.canary_bad[k] * np.log1p(-p - difference)
            )
        )
    return total


def _mixture(good: float, bad: float) -> float:
    value, _ = quad(lambda p: p**good * (1 - p) ** bad * beta(0.5, 0.5).pdf(p), 0, 1)
    return value


@pytest.mark.parametrize("difference", [-0.3, -0.05, 0.0, 0.2])
def test_the_difference_is_a_mixture_over_the_largest_likelihood_of_the_null(difference: float) -> None:
    tracks = TwoTracks.of(np.array([[[30, 10], [8, 2]], [[20, 3], [9, 4]]]))
    independent = _mixture(17, 6) * _mixture(50, 13)
    together = _mixture(67, 19)
    expected = log((independent + together) / 2) - _largest(tracks, difference)
    assert float(log_e_difference(tracks, difference)) == pytest.approx(expected, abs=1e-4)


def test_the_lower_bound_is_where_the_evidence_ends() -> None:
    tracks = two((900, 100), (460, 40))
    bound = difference_lower_bound(tracks, alpha=ALPHA)
    assert -0.1 < bound < 0.02
    assert float(log_e_difference(tracks, bound - 1e-4)) >= log(1 / ALPHA)
    assert float(log_e_difference(tracks, bound + 1e-4)) < log(1 / ALPHA)


@pytest.mark.parametrize(
    "tracks",
    [two((0, 0), (0, 0)), two((500, 5), (0, 0)), two((2, 0), (1, 0))],
    ids=["nothing", "no canary", "three outcomes"],
)
def test_too_little_says_nothing(tracks: TwoTracks) -> None:
    assert difference_lower_bound(tracks, alpha=ALPHA) < -0.98


def test_tracks_without_a_single_failure_are_bounded_too() -> None:
    assert -0.05 < difference_lower_bound(two((1_620, 0), (180, 0)), alpha=ALPHA) <= 0


def test_a_drift_of_both_tracks_between_steps_is_not_a_difference() -> None:
    """Pooled, the canary looks 0.16 better: most of its traffic came after accuracy rose for everybody."""
    tracks = TwoTracks.of(np.array([[[630, 270], [70, 30]], [[450, 50], [450, 50]]]))
    bound = difference_lower_bound(tracks, alpha=ALPHA)
    assert bound < 0
    assert float(log_e_difference(tracks, 0.0)) < 0


def _released(random: np.random.Generator, releases: int, stable: float, canary: float) -> list[Numbers]:
    """For each release the counts (looks, steps, 2, 2) at 10 and 50 %, right and wrong."""
    shape = (releases, 20)
    blocks = []
    for step, (share, size) in enumerate(((0.1, 60), (0.5, 60))):
        drawn = random.binomial(size, share, shape)
        right = random.binomial(drawn, canary)
        others = random.binomial(size - drawn, stable)
        block = np.zeros((*shape, 2, 2, 2))
        block[:, :, step] = np.stack(
            [np.stack([others, size - drawn - others], -1), np.stack([right, drawn - right], -1)], -2
        )
        blocks.append(block)
    return list(np.cumsum(np.concatenate(blocks, axis=1), axis=1))


def test_the_true_difference_is_hardly_ever_excluded() -> None:
    random = np.random.default_rng(2)
    excluded = 0
    for looks in _released(random, 100, 0.85, 0.8):
        logs = [float(log_e_difference(TwoTracks.of(counts), -0.05)) for counts in looks[::2]]
        excluded += max(logs) >= log(1 / ALPHA)
    assert excluded <= ALPHA * 100


def test_worse_by_less_than_the_margin_is_no_evidence() -> None:
    assert log_e_worse(two((970, 30), (950, 50)), margin=0.05) < 0
    assert exp(log_e_worse(two((1_000, 0), (15, 15)), margin=0.05)) > 100
