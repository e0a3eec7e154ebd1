"""Is this window further from the reference than ordinary windows are? Days differ, and most of it is harmless.

Between windows, shares scatter by more than chance. In units of chance, the difference of a window of n_eff effective
rows has covariance I + n_eff T, where T, the windows' own scatter, is estimated from the reference's windows, each
against the others of its phase: its trace t1 (the PSI of an ordinary window beyond chance) from their sizes, and the
trace of its square t2 from the products of two windows, which chance leaves unbiased. Of all scatters with t1 and t2,
the one with the longest tail has one large and d - 1 equal small eigenvalues (Wolkowicz & Styan, *Bounds for
eigenvalues using traces*, 1980); that one is assumed. So
a field that moves up and down as a whole, whose tail is far longer than that of an F test with the freedom of all bins,
is allowed for, and scatter without a pattern costs little power.

The statistic is then a weighted sum of two chi-squares over an estimate of their weights, as in an F ratio.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import chdtrc, fdtrc, ndtri, roots_jacobi

from remint.core.bins import Groups, group_bins, sums
from remint.core.divergence import POWER, smoothed_shares
from remint.core.profile import FieldProfile
from remint.core.reference_windows import ENOUGH_WINDOWS, FieldWindows

Floats = npt.NDArray[np.float64]

_LEAST_OF_A_PHASE: Final = 3  # windows: one is compared with the others
_MOST_DEPENDENT: Final = 0.9  # correlation of one window with the next
_NODES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Scatter:
    """How much a field's windows differ beyond chance."""

    freedom: int  # bins - 1
    own_psi: float  # t1: PSI of an ordinary window beyond chance
    square: float  # t2
    variance: float  # of the estimate of t1
    estimated_on: float  # at most so many degrees of freedom has the estimate of the scatter along one direction


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordinary:
    """The distribution of the statistic n_eff PSI over ordinary windows of n_eff effective rows."""

    freedom: int
    large: float  # weight of one direction
    small: float  # weight of each of the others
    estimated_on: float  # degrees of freedom of the weights' estimate; infinite where they are known

    def p_value(self, statistic: float) -> float:
        """P(large Z^2 + small chi-square(d - 1) >= statistic), the weights being estimates.

        Z^2 over the sum is a beta variable and independent of it: an F tail, integrated by Gauss-Jacobi quadrature.
        """
        if statistic <= 0:
            return 1.0
        share, weights = _jacobi(self.freedom)
        scale = self.small + (self.large - self.small) * share
        if math.isinf(self.estimated_on):
            tails = chdtrc(self.freedom, statistic / scale)
        else:
            tails = fdtrc(self.freedom, self.estimated_on, statistic / self.freedom / scale)
        return float(np.clip(np.sum(weights * tails), 0.0, 1.0))

    def critical(self, alpha: float) -> float:
        """The statistic whose p-value is ``alpha``."""
        low = high = self.large * self.freedom
        while self.p_value(high) > alpha and high < 1e300:
            low, high = high, high * 4
        while self.p_value(low) < alpha:
            low /= 4
        goal = math.log(alpha)

        def misses(log_statistic: float) -> float:
            return math.log(max(self.p_value(math.exp(log_statistic)), 1e-300)) - goal

        return math.exp(brentq(misses, math.log(low), math.log(high), xtol=1e-3)) if low < high else high

    def found_from(self, critical: float, *, power: float = POWER) -> float:
        """The non-centrality n_eff PSI that lifts the statistic over ``critical`` with ``power``.

        By the first two moments, the shift taken to lie along the direction that scatters most.
        """
        others = self.freedom - 1
        excess = critical - self.large - others * self.small
        spread = 2 * (self.large**2 + others * self.small**2)
        z = float(ndtri(power))
        middle = excess + 2 * z**2 * self.large
        return max(0.0, middle + math.sqrt(max(0.0, middle**2 - excess**2 + z**2 * spread)))


@dataclass(frozen=True, slots=True, kw_only=True)
class BetweenTest:
    """One window of live traffic against the reference's windows."""

    statistic: float  # n_eff PSI
    n_eff: float
    own_window_psi: float
    ordinary: Ordinary
    scatter: Scatter
    stretch: float

    @property
    def p_value(self) -> float:
        return self.ordinary.p_value(self.statistic)

    def smallest_detectable_psi(self, alpha: float, *, power: float = POWER) -> float:
        """The lasting shift that the test finds with ``power``."""
        return self.ordinary.found_from(self.ordinary.critical(alpha), power=power) / self.n_eff

    def at(self, n_eff: float) -> Ordinary:
        """Ordinary windows compared with all of the reference instead."""
        return _ordinary(self.scatter, n_eff, self.stretch)


def compare_with_windows(
    profile: FieldProfile,
    windows: FieldWindows | None,
    current: npt.NDArray[np.int64],
    *,
    period: tuple[datetime, datetime] | None = None,
) -> BetweenTest | None:
    """Compare ``current`` counts with the windows of its phase; None where there are too few windows to say.

    ``period`` is the start and end of the live window. One whose phase is not known, or that is not as long as the
    reference's, is compared with all of them. A shorter one differs more: its scatter is taken to grow as the length
    falls, which it does at most where one moment says nothing of the next.
    """
    if windows is None or len(windows.phases) < ENOUGH_WINDOWS:
        return None
    rows = windows.counts.sum(axis=1)
    pooled = windows.counts.sum(axis=0)
    only_now = np.where(pooled == 0, current, 0)
    groups = group_bins(profile, pooled + only_now, smaller=min(int(current.sum()), int(np.median(rows))))
    if len(groups) < 2:
        return None
    phase = windows.phase_of(*period) if period is not None else None
    stretch = 1.0
    if period is not None:
        stretch = max(1.0, windows.length_seconds / max(1.0, (period[1] - period[0]).total_seconds()))
    alike = np.array(windows.phases) == phase
    by_phase = phase is not None and _usable_phases(windows.phases) and int(alike.sum()) >= _LEAST_OF_A_PHASE
    if not by_phase:
        alike[:] = True
    scatter = _scatter(windows, groups, by_phase)
    reference = sums(windows.counts[alike].sum(axis=0), groups).astype(np.float64)
    now = sums(current, groups).astype(np.float64)
    n, m = float(reference.sum()), float(now.sum())
    n_eff = n * m / (n + m)
    standing = 1 + 1 / int(alike.sum())  # the windows that it is compared with scatter too
    statistic = float(np.sum(_signed_roots(now, reference, n_eff) ** 2))
    return BetweenTest(
        statistic=statistic,
        n_eff=n_eff,
        own_window_psi=scatter.own_psi * stretch,
        ordinary=_ordinary(scatter, n_eff, stretch * standing),
        scatter=scatter,
        stretch=stretch,
    )


def _usable_phases(phases: tuple[int, ...]) -> bool:
    """More than one phase, and enough windows left when each phase has taken its mean."""
    counts = np.bincount(phases)
    kept = counts[counts >= _LEAST_OF_A_PHASE]
    return counts.size > 1 and int((kept - 1).sum()) >= ENOUGH_WINDOWS - 2


@lru_cache(maxsize=1024)
def _scatter(windows: FieldWindows, groups: Groups, by_phase: bool) -> Scatter:
    counts = sums(windows.counts, groups).astype(np.float64)
    phases = np.array(windows.phases) if by_phase else np.zeros(len(counts), dtype=np.int64)
    z, size, kinds = np.zeros(counts.shape), np.zeros(len(counts)), 0
    for phase in np.unique(phases):
        mine = np.flatnonzero(phases == phase)
        if mine.size >= _LEAST_OF_A_PHASE:
            kinds += 1
            rest = counts[mine].sum(axis=0) - counts[mine]
            m, n = counts[mine].sum(axis=1), rest.sum(axis=1)
            z[mine] = _signed_roots(counts[mine], rest, n * m / (n + m))
            size[mine] = n * m / (n + m) * (1 + 1 / (mine.size - 1))
    z, size = z[size > 0], size[size > 0]
    freedom, count = len(groups) - 1, len(z)
    lengths = (z**2).sum(axis=1)
    own = max(0.0, float(lengths.sum() - freedom * count) / float(size.sum()))
    products = (z @ z.T) ** 2 - freedom - own * (size[:, None] + size[None, :])
    pairs = ~np.eye(count, dtype=bool)
    square = float(products[pairs].sum()) / float(np.outer(size, size)[pairs].sum())
    square = min(max(square, own**2 / freedom), own**2)
    # Chance and scatter together: 2 tr(Sigma^2) is the variance of a normal vector's squared length
    variances = 2 * (freedom + 2 * size * own + size**2 * square)
    together, inflation = _dependence(z, size, own)
    return Scatter(
        freedom=freedom,
        own_psi=own * inflation,
        square=square * inflation**2,
        variance=float(variances.sum()) / float(size.sum()) ** 2 * together * count / (count - kinds),
        estimated_on=min((count - kinds) / together, _tail_freedom(lengths - freedom - size * own, variances)),
    )


def _dependence(z: Floats, size: Floats, own: float) -> tuple[float, float]:
    """How many windows are worth one, and by how much scatter around their own mean is too small.

    A window's scatter that is like the last one's with correlation r: the variance is estimated on 1 / (1 + 2 (r^2 +
    r^4 + ...)) of the windows, and the mean moves as that of (1 - r) / (1 + r) of them.
    """
    if own == 0:
        return 1.0, 1.0
    after = float((z[1:] * z[:-1]).sum()) / float(np.sqrt(size[1:] * size[:-1]).sum()) / own
    r = min(max(after, 0.0), _MOST_DEPENDENT)
    mean = min(0.5, (1 + r) / (1 - r) / len(z))
    independent = 1 / len(z)
    inflation = (1 + mean) / (1 - mean) / ((1 + independent) / (1 - independent))
    return (1 + r**2) / (1 - r**2), inflation


def _tail_freedom(deviations: Floats, variances: Floats) -> float:
    """Degrees of freedom of Student's t with the kurtosis seen: now and then a day is far from all others.

    ``deviations`` of the windows' squared lengths from their mean, ``variances`` what normal ones would have.
    """
    kurtosis = 1 + 2 * float((deviations**2).sum()) / float(variances.sum())
    return (4 * kurtosis - 6) / (kurtosis - 3) if kurtosis > 3 else math.inf


def _ordinary(scatter: Scatter, n_eff: float, stretch: float) -> Ordinary:
    d = scatter.freedom
    size = n_eff * stretch
    mean = scatter.own_psi / d
    apart = max(0.0, scatter.square / d - mean**2)
    largest = min(scatter.own_psi, mean + math.sqrt((d - 1) * apart))
    others = (scatter.own_psi - largest) / (d - 1) if d > 1 else 0.0
    total = d + size * scatter.own_psi
    return Ordinary(
        freedom=d,
        large=1 + size * largest,
        small=1 + size * others,
        estimated_on=min(scatter.estimated_on, 2 * total**2 / (size**2 * scatter.variance)),
    )


def _signed_roots(current: Floats, reference: Floats, n_eff: float | Floats) -> Floats:
    """Vectors whose squared length is n_eff PSI, and that are about normal: each bin's term, signed, its root taken."""
    p, q = smoothed_shares(current), smoothed_shares(reference)
    terms = (p - q) * np.log(p / q)
    return np.asarray(np.sign(p - q) * np.sqrt(terms * np.asarray(n_eff)[..., None]))


@lru_cache(maxsize=128)
def _jacobi(freedom: int) -> tuple[Floats, Floats]:
    """Nodes in (0, 1) and weights of the beta distribution (1/2, (freedom - 1)/2); freedom 1: all at 1."""
    if freedom == 1:
        return np.ones(1), np.ones(1)
    nodes, weights = roots_jacobi(_NODES, (freedom - 3) / 2, -0.5)
    return (1 + nodes) / 2, weights / weights.sum()
