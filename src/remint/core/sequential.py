"""Tests of two tracks that stay valid however often they are looked at, from counts alone.

Each function returns the logarithm of an e-process: a number that, while its null hypothesis holds, reaches ``1/alpha``
at any time with a probability of at most ``alpha`` (Ville's inequality). So a judge may look after every request and
stop when it likes. Sources: Robbins, "Statistical methods related to the law of the iterated logarithm" (1970), for the
mixtures; Wasserman, Ramdas and Balakrishnan, "Universal inference" (2020), for the maximum below the line where the
null is not a single point; Miettinen and Nurminen (1985) for the restricted maximum.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.special import betaln, xlogy

Numbers = npt.NDArray[np.float64]

#: Events after which the coin's prior weighs as much as the events: small tilts are found late, large ones soon.
CONCENTRATION: Final = 100.0
_WIDEST: Final = 1 - 1e-9  # differences of two shares lie in (-1, 1)
_HALVINGS: Final = 32
_TINY: Final = 1e-15
_GRID: Final = 33
_EXACT: Final = 1e-5


def log_e_split(canary: npt.ArrayLike, total: npt.ArrayLike, share: npt.ArrayLike) -> Numbers:
    """Evidence that the events of one bucket did not fall on the canary by a coin of probability ``share``.

    ``canary`` of ``total`` events, elementwise; ``share`` in (0, 1). With (a, b) = CONCENTRATION (w, 1 - w)::

        E = B(a + x, b + n - x) / B(a, b) / (w^x (1 - w)^(n - x))

    Null: each event is the canary's with probability w, whatever happened before. Factors of buckets and of steps
    multiply, so their logarithms add up.
    """
    x, n, w = (np.asarray(v, dtype=np.float64) for v in (canary, total, share))
    a, b = CONCENTRATION * w, CONCENTRATION * (1 - w)
    return np.asarray(betaln(a + x, b + n - x) - betaln(a, b) - x * np.log(w) - (n - x) * np.log1p(-w))


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoTracks:
    """Good and bad outcomes of both tracks, one element for each step. Shape: (steps,)."""

    stable_good: Numbers
    stable_bad: Numbers
    canary_good: Numbers
    canary_bad: Numbers

    @classmethod
    def of(cls, counts: npt.NDArray[Any]) -> TwoTracks:
        """``counts`` has the shape (steps, 2, 2): track (stable, canary), then bucket (good, bad)."""
        counts = np.asarray(counts, dtype=np.float64)
        return cls(
            stable_good=counts[:, 0, 0],
            stable_bad=counts[:, 0, 1],
            canary_good=counts[:, 1, 0],
            canary_bad=counts[:, 1, 1],
        )


def log_e_difference(tracks: TwoTracks, difference: npt.ArrayLike) -> Numbers:
    """Evidence against "in each step, the canary's good share = the stable one's + ``difference``", elementwise.

    Numerator: the likelihood of all steps together, mixed half over Beta(1/2, 1/2) for each track and half over one
    Beta(1/2, 1/2) for both, which proves "not worse" of an equal canary with a quarter fewer labels. Denominator: the
    largest likelihood of the null, in which the stable share may be another one in each step, so that a drift that
    meets both tracks between two steps is not taken for a difference. Null: within a step each track's outcomes are
    independent with one probability; how many there are of each may depend on anything else.
    """
    canary = _log_mixture(tracks.canary_good, tracks.canary_bad)
    stable = _log_mixture(tracks.stable_good, tracks.stable_bad)
    both = _log_mixture(tracks.canary_good + tracks.stable_good, tracks.canary_bad + tracks.stable_bad)
    mixture = np.logaddexp(canary + stable, both) - log(2)
    return np.asarray(mixture - _largest_log_likelihood(tracks, np.asarray(difference, dtype=np.float64)))


def difference_lower_bound(tracks: TwoTracks, *, alpha: float) -> float:
    """The lower end of the confidence sequence of (canary's good share - stable's), valid at all times at once.

    All differences below it have an e-process that has reached ``1/alpha``. Near -1, which says nothing, while there is
    too little of either track; -1 also where no single difference fits all steps. Exact to 1e-5, rounded down.
    """
    limit = -log(alpha)
    inside = _observed_difference(tracks)
    low = -_WIDEST
    if log_e_difference(tracks, low) < limit or log_e_difference(tracks, inside) >= limit:
        return -1.0
    while inside - low > _EXACT:  # the e-process falls towards the observed difference: one crossing lies between
        grid = np.linspace(low, inside, _GRID)
        first = int(np.argmax(log_e_difference(tracks, grid) < limit))
        low, inside = float(grid[first - 1]), float(grid[first])
    return low


def log_e_worse(tracks: TwoTracks, *, margin: float) -> float:
    """Evidence that the canary's good share is lower than the stable one's by more than ``margin``, in all steps."""
    # The null is "at least -margin"; its most likely member is the observed difference, or the one nearest to it.
    return float(log_e_difference(tracks, max(_observed_difference(tracks), -margin)))


def _log_mixture(good: Numbers, bad: Numbers) -> float:
    """Log likelihood of one track over all steps, its share mixed over Beta(1/2, 1/2)."""
    return float(betaln(good.sum() + 0.5, bad.sum() + 0.5) - betaln(0.5, 0.5))


def _observed_difference(tracks: TwoTracks) -> float:
    """Mantel and Haenszel's difference of the shares, weighted over the steps; 0 where a track has nothing."""
    canary, stable = tracks.canary_good + tracks.canary_bad, tracks.stable_good + tracks.stable_bad
    both = np.maximum(canary + stable, 1)
    weight = (canary * stable / both).sum()
    if weight == 0:
        return 0.0
    difference = ((tracks.canary_good * stable - tracks.stable_good * canary) / both).sum() / weight
    return float(np.clip(difference, -_WIDEST, _WIDEST))


def _largest_log_likelihood(tracks: TwoTracks, difference: Numbers) -> Numbers:
    """Maximum over each step's stable share p of the likelihood with the canary's share at p + difference; summed."""
    d = np.clip(difference, -_WIDEST, _WIDEST)[..., None]  # (..., 1) against (steps,)
    low = np.broadcast_to(np.maximum(0.0, -d), (*difference.shape, tracks.stable_good.size))
    high = np.broadcast_to(np.minimum(1.0, 1.0 - d), low.shape)
    for _ in range(_HALVINGS):  # the log likelihood is concave: its slope changes its sign once
        p = (low + high) / 2
        rising = _slope(tracks, _inside(p), _inside(p + d)) > 0
        low, high = np.where(rising, p, low), np.where(rising, high, p)
    p = (low + high) / 2
    p, q = _inside(p), _inside(p + d)
    likelihoods = (
        xlogy(tracks.canary_good, q)
        + xlogy(tracks.canary_bad, 1 - q)
        + xlogy(tracks.stable_good, p)
        + xlogy(tracks.stable_bad, 1 - p)
    )
    return np.asarray(likelihoods.sum(axis=-1))


def _slope(tracks: TwoTracks, p: Numbers, q: Numbers) -> Numbers:
    return np.asarray(
        tracks.stable_good / p - tracks.stable_bad / (1 - p) + tracks.canary_good / q - tracks.canary_bad / (1 - q)
    )


def _inside(p: Numbers) -> Numbers:
    """0 and 1 would divide by zero; so near to them the likelihood is the same."""
    return np.clip(p, _TINY, 1 - _TINY)
