"""Accuracy, with labels and without.

With labels: confidence sequences, limits that hold at every look at once, so a schedule may look as often as it likes.
Sources: Robbins (1970) and Howard, Ramdas, McAuliffe and Sekhon, *Time-uniform, nonparametric, nonasymptotic confidence
sequences* (2021), for mixtures of likelihood ratios; Vovk and Wang, *E-values* (2021), for making a p-value one.

Without: the share of predictions in each bin of confidence now, times how often the champion was right in that bin on
held-out rows. What it cannot see: concept drift, where the same confidence is right less often than it was.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq, isotonic_regression
from scipy.special import betainc, betaln, xlog1py, xlogy
from scipy.stats import beta, norm
from scipy.stats import t as student

from remint.core.profile import CONFIDENCE, Counts, Reference
from remint.core.signals import ChampionAccuracy
from remint.errors import ConfigError, DataError, NoDataError

Numbers = npt.NDArray[np.float64]

_CONCENTRATION: Final = 20.0  # rows that the mixture's prior is worth: drops of around 0.1 are found soonest
_IDLE: Final = 0.05  # of the e-process's stake is never bet, so that it cannot fall to nothing
_CALIBRATOR: Final = 0.25  # p -> k p^(k-1), an e-value
_DEVIATIONS: Final = np.arange(-8.0, 6.01, 0.05)  # of the champion's true accuracy from what was measured
_POINTS: Final = 128  # of the grid, and how often it is refined: a drop to 1e-4
_REFINEMENTS: Final = 3
_EDGE: Final = 1e-9


def anchored_starts(promoted_at: datetime, now: datetime, window: timedelta) -> tuple[datetime, ...]:
    """Starts of the previous and of the current block of length ``window`` since the promotion, the older first.

    What is counted from the older one to ``now`` spans one to two windows, less where the champion is younger. None
    before the promotion.
    """
    if now <= promoted_at:
        return ()
    current = math.ceil((now - promoted_at) / window) - 1  # a block that begins now has no labels yet
    return tuple(promoted_at + k * window for k in range(max(0, current - 1), current + 1))


# -- with labels -----------------------------------------------------------------------------------------------------


def log_e_below(right: npt.ArrayLike, wrong: npt.ArrayLike, accuracy: npt.ArrayLike) -> Numbers:
    """Evidence that answers are right less often than ``accuracy``, in (0, 1); elementwise.

    An e-process: likelihood ratios of p against ``accuracy``, mixed over Beta(c q, c (1 - q)) cut off at q = accuracy.
    For p below q each of them is a supermartingale whatever the true accuracy from q up is.
    """
    k, w, q = (np.asarray(v, dtype=np.float64) for v in (right, wrong, accuracy))
    a, b = _CONCENTRATION * q, _CONCENTRATION * (1 - q)
    with np.errstate(divide="ignore"):  # no mass below q is no evidence: log 0
        mixture = np.log(betainc(a + k, b + w, q)) - np.log(betainc(a, b, q)) + betaln(a + k, b + w) - betaln(a, b)
    bet = mixture - xlogy(k, q) - xlog1py(w, -q)
    return np.asarray(np.logaddexp(math.log(_IDLE), math.log1p(-_IDLE) + bet))


def confidence_limits(right: int, wrong: int, *, alpha: float) -> tuple[float, float]:
    """Limits of the true accuracy; the chance that a limit is ever wrong, at any look, is ``alpha`` for each."""
    return 1 - _upper(wrong, right, alpha=alpha), _upper(right, wrong, alpha=alpha)


def _upper(right: int, wrong: int, *, alpha: float) -> float:
    limit = -math.log(alpha)
    low, high = max(_EDGE, right / max(1, right + wrong)), 1 - _EDGE
    if low >= high or log_e_below(right, wrong, high) < limit:
        return 1.0
    return float(brentq(lambda q: float(log_e_below(right, wrong, q)) - limit, low, high, xtol=1e-6))


def drop_lower_bound(champion: ChampionAccuracy, right: int, wrong: int, *, alpha: float) -> float:
    """The champion's accuracy less that of its feedback is at least this, at all looks at once but for ``alpha``.

    For each accuracy p that the champion may have, the evidence against "the drop is at most d" is the product of two:
    the p-value of p on the champion's own rows, made an e-value, and the e-process of the feedback against p - d. The
    drop is more than d where that product is large for every p, so that a champion measured on few rows raises no alarm
    for its own uncertainty. Rounded down; -1 says nothing.
    """
    rows = champion.rows
    hits = round(champion.accuracy * rows)
    if hits == 0 or rows == 0:
        return -1.0
    p = _possible_accuracies(hits, rows)
    # Between two points of the grid: the lower one's feedback evidence, the upper one's evidence on the champion
    own = math.log(_CALIBRATOR) + (_CALIBRATOR - 1) * np.append(norm.logcdf(_DEVIATIONS[1:]), 0.0)
    needed = -math.log(alpha) - own  # of the feedback's evidence against p - d, for each p
    needing = needed > math.log(_IDLE)  # there is never less evidence than that
    p, needed = p[needing], needed[needing]
    # The evidence rises with the accuracy it is against: d is the least p - q over the p, where q is the accuracy from
    # which on there is as much as p needs. All of them at once from a grid, refined around those that can be the least.
    low, high = _EDGE, 1 - _EDGE
    for _ in range(_REFINEMENTS):
        grid = np.linspace(low, high, _POINTS)
        at = np.searchsorted(log_e_below(right, wrong, grid), needed)
        if at.max() == _POINTS:
            return -1.0
        above, below = p - grid[np.maximum(at - 1, 0)], p - grid[at]
        near = below <= above.min()
        low, high = float(grid[np.maximum(at - 1, 0)][near].min()), float(grid[at][near].max())
        p, needed = p[near], needed[near]
    return float(below.min())


@lru_cache(maxsize=8)  # asked again at every check of a champion
def _possible_accuracies(hits: int, rows: int) -> Numbers:
    """Those whose p-value ("the accuracy is at most p") is that of each deviation, rising."""
    return np.asarray(beta.ppf(norm.cdf(_DEVIATIONS), hits, rows - hits + 1))


def clopper_pearson(successes: int, trials: int, *, alpha: float) -> tuple[float, float]:
    """Exact limits of a binomial share, each missed with probability ``alpha`` at most (one-sided), at one look."""
    if trials == 0:
        return 0.0, 1.0
    lower = 0.0 if successes == 0 else float(beta.ppf(alpha, successes, trials - successes + 1))
    upper = 1.0 if successes == trials else float(beta.isf(alpha, successes + 1, trials - successes))
    return lower, upper


# -- without labels --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimatedAccuracy:
    """Accuracy without labels, right under covariate drift; blind to concept drift.

    The interval covers the held-out rows' chance, the window's, and how much ordinary windows differ where the
    reference knows that.
    """

    estimate: float
    lower: float
    upper: float
    reference_accuracy: float  # the same estimate on the held-out rows
    rows: int
    drop_lower: float  # (the reference's accuracy - the estimate) is surely at least this
    knows_variation: bool


def estimate_accuracy(reference: Reference, counts: Counts, *, alpha: float = 0.05) -> EstimatedAccuracy:
    """The accuracy that the confidence of ``counts`` stands for. Missed with ``alpha``: the interval; ``drop_lower``.

    Held-out accuracies by bin are made to rise with confidence (Ayer et al., 1955) and their uncertainties joined by
    MOVER (Zou and Donner, 2008). ConfigError where the reference has no calibration, NoDataError without rows.
    """
    calibration = reference.calibration
    if calibration is None or not sum(calibration.rows):
        raise ConfigError(
            "the champion's reference does not say how often it was right at which confidence",
            where="reference.json",
            hint="the next champion's will; until then remove the rule",
        )
    held = np.asarray(calibration.rows, dtype=np.float64)
    now = np.asarray(counts.get(CONFIDENCE, ()), dtype=np.float64)
    if now.size == 0 or not now.sum() > 0:
        raise NoDataError("no rows in the window", where=CONFIDENCE)
    if now.size != held.size:
        raise DataError(f"{now.size} bins counted, {held.size} in the reference", where=CONFIDENCE)
    by_bin = _accuracy_by_bin(held, np.asarray(calibration.right, dtype=np.float64))
    shares, usual = now / now.sum(), held / held.sum()
    estimate, expected = float(shares @ by_bin), float(usual @ by_bin)
    drawn = _variance(shares, by_bin) / now.sum()
    windows = reference.windows.fields.get(CONFIDENCE) if reference.windows is not None else None
    between, freedom = _between(None if windows is None else windows.counts, by_bin)

    def reach(weights: Numbers, chance: float, drawn: float) -> float:
        """How far below its estimate ``weights @ accuracies`` may be, with the chances of samples and of windows."""
        low, high = beta.ppf(chance, *_posterior(held, by_bin)), beta.isf(chance, *_posterior(held, by_bin))
        far = np.where(weights > 0, weights * (by_bin - low), weights * (by_bin - high))
        ordinary = 0.0 if between == 0 else between * float(student.isf(chance, freedom)) ** 2
        return math.sqrt(float((far**2).sum()) + drawn * float(norm.isf(chance)) ** 2 + ordinary)

    return EstimatedAccuracy(
        estimate=estimate,
        lower=max(0.0, estimate - reach(shares, alpha / 2, drawn)),
        upper=min(1.0, estimate + reach(-shares, alpha / 2, drawn)),
        reference_accuracy=expected,
        rows=int(now.sum()),
        drop_lower=expected - estimate - reach(usual - shares, alpha, drawn + _variance(usual, by_bin) / held.sum()),
        knows_variation=windows is not None,
    )


def _accuracy_by_bin(rows: Numbers, right: Numbers) -> Numbers:
    """Rising with the bin; each bin leans by one row towards the whole, so one without rows takes its neighbours'."""
    overall = right.sum() / rows.sum()
    return np.asarray(isotonic_regression((right + overall) / (rows + 1), weights=rows + 1e-3).x, dtype=np.float64)


def _posterior(rows: Numbers, by_bin: Numbers) -> tuple[Numbers, Numbers]:
    """What is known of a bin's accuracy, as a Beta distribution around it; wide where it had no rows."""
    return by_bin * rows + 0.5, (1 - by_bin) * rows + 0.5


def _variance(shares: Numbers, by_bin: Numbers) -> float:
    """Of the bin accuracy of one row drawn with ``shares``."""
    mean = float(shares @ by_bin)
    return float(shares @ (by_bin - mean) ** 2)


def _between(windows: npt.NDArray[np.int64] | None, by_bin: Numbers) -> tuple[float, int]:
    """The variance of ordinary windows' estimates beyond their rows' chance, and its degrees of freedom."""
    if windows is None:
        return 0.0, 0
    counts = windows[windows.sum(axis=1) > 0].astype(np.float64)
    if len(counts) < 2:
        return 0.0, 0
    rows = counts.sum(axis=1)
    shares = counts / rows[:, None]
    chance = float(np.mean([_variance(s, by_bin) / n for s, n in zip(shares, rows, strict=True)]))
    return max(0.0, float((shares @ by_bin).var(ddof=1)) - chance), len(counts) - 1
