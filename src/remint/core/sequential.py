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
from scipy.optimize import brentq, minimize_scalar
from scipy.special import betaln, xlogy

Numbers = npt.NDArray[np.float64]

#: Events after which the coin's prior weighs as much as the events: small tilts are found late, large ones soon.
CONCENTRATION: Final = 100.0
_WIDEST: Final = 1 - 1e-9  # differences of two shares lie in (-1, 1)
_HALVINGS: Final = 40


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


def log_e_difference(tracks: TwoTracks, difference: float) -> float:
    """Evidence against "in each step, the canary's good share = the stable one's + ``difference``", in (-1, 1).

    Numerator: both tracks' likelihoods, pooled over the steps, mixed over Beta(1/2, 1/2). Denominator: the largest
    likelihood of the null, in which the stable share may be another one in each step, so that a drift that meets both
    tracks between two steps is not taken for a difference. Null: within a step each track's outcomes are independent
    with one probability; how many there are of each may depend on anything else.
    """
    good = float(tracks.canary_good.sum()), float(tracks.stable_good.sum())
    bad = float(tracks.canary_bad.sum()), float(tracks.stable_bad.sum())
    mixture = sum(float(betaln(g + 0.5, b + 0.5) - betaln(0.5, 0.5)) for g, b in zip(good, bad, strict=True))
    return mixture - _largest_log_likelihood(tracks, difference)


def difference_lower_bound(tracks: TwoTracks, *, alpha: float) -> float:
    """The lower end of the confidence sequence of (canary's good share - stable's), valid at all times at once.

    All differences below it have an e-process that has reached ``1/alpha``. -1, which says nothing, while there is too
    little of either track, and also where no single difference fits all steps.
    """
    limit = -log(alpha)

    def excess(difference: float) -> float:
        return log_e_difference(tracks, difference) - limit

    if excess(-_WIDEST) < 0:
        return -1.0
    best = float(minimize_scalar(excess, bounds=(-_WIDEST, _WIDEST), method="bounded").x)  # it is convex
    if excess(best) >= 0:
        return -1.0
    return float(brentq(excess, -_WIDEST, best, xtol=1e-6))


def log_e_worse(tracks: TwoTracks, *, margin: float) -> float:
    """Evidence that the canary's good share is lower than the stable one's by more than ``margin``, pooled."""
    pooled = TwoTracks(
        stable_good=tracks.stable_good.sum(keepdims=True),
        stable_bad=tracks.stable_bad.sum(keepdims=True),
        canary_good=tracks.canary_good.sum(keepdims=True),
        canary_bad=tracks.canary_bad.sum(keepdims=True),
    )
    canary, stable = (
        float(good[0] / max(1.0, good[0] + bad[0]))
        for good, bad in ((pooled.canary_good, pooled.canary_bad), (pooled.stable_good, pooled.stable_bad))
    )
    # The null is "at least -margin"; its most likely member is the observed difference, or the one nearest to it.
    return log_e_difference(pooled, max(canary - stable, -margin))


def _largest_log_likelihood(tracks: TwoTracks, difference: float) -> float:
    """Maximum over each step's stable share p of the likelihood with the canary's share at p + difference; summed."""
    d = float(np.clip(difference, -_WIDEST, _WIDEST))
    low = np.full_like(tracks.stable_good, max(0.0, -d))
    high = np.full_like(low, min(1.0, 1.0 - d))
    for _ in range(_HALVINGS):  # the log likelihood is concave: its slope changes its sign once
        p = (low + high) / 2
        slope = (
            tracks.canary_good / (p + d)
            - tracks.canary_bad / (1 - p - d)
            + tracks.stable_good / p
            - tracks.stable_bad / (1 - p)
        )
        low, high = np.where(slope > 0, p, low), np.where(slope > 0, high, p)
    p = (low + high) / 2
    return float(
        np.sum(
            xlogy(tracks.canary_good, p + d)
            + xlogy(tracks.canary_bad, 1 - p - d)
            + xlogy(tracks.stable_good, p)
            + xlogy(tracks.stable_bad, 1 - p)
        )
    )
