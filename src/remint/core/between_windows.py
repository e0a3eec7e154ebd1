"""Is this window further from the reference than ordinary windows are? Days differ, and most of it is harmless.

The statistic n PSI of a window of n effective rows is the squared length of a vector z. In an ordinary window it is
about the scatter in the direction of z (``scatter.py``), as shown by the reference's windows, times a chi-square of one
degree of freedom, plus what all other directions scatter: a gamma variable of their mean and variance. The p-value is
its tail, averaged over what the scatter may be. With as many rows as the reference's windows, and where one direction
has all the scatter, that is the F test; from small windows to a large one it costs what such a step must cost, and no
more, as chance is not scaled up with the scatter.

A window as long as several of the reference's scatters no more than one of them, and no more than sums of as many.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import erfc, gammaincc, gammaln, ndtri

from remint.core.bins import Groups, group_bins, sums
from remint.core.divergence import POWER
from remint.core.profile import FieldProfile
from remint.core.reference_windows import ENOUGH_WINDOWS, FieldWindows
from remint.core.scatter import (
    CHANCES,
    LEAST_OF_A_PHASE,
    Floats,
    Plausible,
    Scatter,
    scatter_of,
    shown,
    signed_roots,
    smaller_of,
)

_SAME_LENGTH: Final = 0.1  # of one window, that a live window may be off a whole number of them
_UNLUCKY: Final = 1.5  # times the mean: what the search for a critical value begins with
_MOST_STEPS: Final = 40
_NEAR: Final = 0.05  # of the logarithm of a p-value
_LEAST_SLOPE: Final = 1e-3
_roots, _weights = np.polynomial.legendre.leggauss(20)
_NODES: Final = 1 - ((1 + _roots) / 2) ** 2  # of (0, 1), dense where an inverse square root may be
_WEIGHTS: Final = (1 + _roots) / 2 * _weights


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ordinary:
    """The distribution of the statistic n_eff PSI over ordinary windows: large Z^2 + scale chi-square(freedom)."""

    large: Floats  # of one direction; each of the values that are plausible
    scale: Floats  # of the others together
    freedom: Floats  # of the others together; 0 where there are none
    chances: Floats  # of the values

    @classmethod
    def at(cls, plausible: Plausible, chances: Floats, *, freedom: int, size: float) -> Ordinary:
        """Of ``size`` effective rows. Chance counts 1 in each of ``freedom`` directions."""
        here, others, squares = plausible
        mean = freedom - 1 + size * others
        half_variance = freedom - 1 + 2 * size * others + size**2 * squares
        scale = np.divide(half_variance, mean, out=np.ones_like(mean), where=mean > 0)
        return cls(large=1 + size * here, scale=scale, freedom=mean / scale, chances=chances)

    def p_value(self, statistic: float) -> float:
        """P(large Z^2 + scale chi-square(freedom) >= statistic), over all plausible values."""
        if statistic <= 0:
            return 1.0
        if not self.freedom[0]:
            return float(self.chances @ erfc(np.sqrt(statistic / 2 / self.large)))
        half = self.freedom / 2
        most = np.minimum(statistic / self.scale, self.freedom + 12 * np.sqrt(2 * self.freedom) + 30) / 2
        at = most[:, None] * _NODES  # half of the chi-square
        density = np.exp((half[:, None] - 1) * np.log(at) - at - gammaln(half)[:, None])
        left = np.maximum(0.0, statistic / 2 - self.scale[:, None] * at)
        inner = (density * erfc(np.sqrt(left / self.large[:, None]))) @ _WEIGHTS * most
        return min(1.0, float(self.chances @ (gammaincc(half, most) + inner)))

    def critical(self, alpha: float) -> float:
        """The statistic whose p-value is ``alpha``, to a hundredth; infinite for 0."""
        if not alpha > 0:
            return math.inf
        goal = math.log(alpha)

        def misses(root: float) -> float:
            return math.log(max(self.p_value(root**2), 1e-300)) - goal

        # The logarithm of a tail between exponential and power is about a line in the statistic's square root
        mean = float(self.chances @ (self.scale * self.freedom))
        now = math.sqrt(mean + _UNLUCKY * float(self.chances @ self.large) * float(ndtri(alpha / 2)) ** 2)
        last, before = 0.0, -goal
        for _ in range(_MOST_STEPS):
            off = misses(now)
            if abs(off) < _NEAR:
                break
            slope = min((off - before) / (now - last), -_LEAST_SLOPE)
            last, before, now = now, off, min(max(now - off / slope, now / 2), 2 * now)
        return now**2

    def found_from(self, critical: float, *, power: float = POWER) -> float:
        """The non-centrality n_eff PSI that lifts the statistic over ``critical`` with ``power``.

        By the first two moments, the shift taken to lie along the large direction.
        """
        large = float(self.chances @ self.large)
        others, spread = self.scale * self.freedom, 2 * self.scale**2 * self.freedom
        excess = critical - large - float(self.chances @ others)
        variance = 2 * large**2 + float(self.chances @ spread)
        z = float(ndtri(power))
        middle = excess + 2 * z**2 * large
        return max(0.0, middle + math.sqrt(max(0.0, middle**2 - excess**2 + z**2 * variance)))


@dataclass(frozen=True, slots=True, kw_only=True)
class BetweenTest:
    """One window of live traffic against the reference's windows."""

    statistic: float  # n_eff PSI
    n_eff: float
    own_window_psi: float
    ordinary: Ordinary  # windows that are off in the direction of this one
    p_value: float
    scatter: Scatter
    of_sums: Scatter | None  # of as many windows together as this one is long, where it is
    stretch: float  # of the scatter, to the length of this window and the number that it is compared with

    def smallest_detectable_psi(self, alpha: float, *, power: float = POWER) -> float:
        """The lasting shift that the test finds with ``power``, also in the direction in which windows scatter most."""
        ordinary = self.at(self.n_eff)
        return ordinary.found_from(ordinary.critical(alpha), power=power) / self.n_eff

    def at(self, n_eff: float) -> Ordinary:
        """Windows of so many effective rows, off in the direction in which windows scatter most."""
        worst, chances = _worst(self.scatter, self.of_sums)
        return Ordinary.at(worst, chances, freedom=self.scatter.freedom, size=n_eff * self.stretch)


def compare_with_windows(
    profile: FieldProfile,
    windows: FieldWindows | None,
    current: npt.NDArray[np.int64],
    *,
    period: tuple[datetime, datetime] | None = None,
) -> BetweenTest | None:
    """Compare ``current`` counts with the reference's windows; None where there are too few of them to say.

    ``period`` is the start and end of the live window. It is compared with the windows of its phase, or with all of
    them where phases differ too little to be worth the fewer rows; if it holds each phase alike, what phases differ by
    does not count. A shorter one differs more: its scatter is taken to grow as the length falls, which it does at most
    where one moment says nothing of the next.
    """
    if windows is None or len(windows.phases) < ENOUGH_WINDOWS:
        return None
    rows = windows.counts.sum(axis=1)
    pooled = windows.counts.sum(axis=0)
    only_now = np.where(pooled == 0, current, 0)
    groups = group_bins(profile, pooled + only_now, smaller=min(int(current.sum()), int(np.median(rows))))
    if len(groups) < 2:
        return None
    lengths = 1.0
    if period is not None:
        lengths = max(1.0, (period[1] - period[0]).total_seconds()) / windows.length_seconds
    phase = None if period is None else windows.phase_of(*period)
    now = sums(current, groups).astype(np.float64)
    m = float(now.sum())
    choices = _peers(windows, groups, phase, _holds_every_phase(windows.phases, lengths))
    peers = min(choices, key=lambda choice: choice.off_by(m))
    n, scatter = float(peers.counts.sum()), peers.scatter
    n_eff = n * m / (n + m)
    z = signed_roots(now, peers.counts, n_eff)
    statistic = float(z @ z)
    # The windows that it is compared with scatter too; and so far as counts are smoothed, scatter does not show
    spans = max(1, int(lengths + _SAME_LENGTH))
    longer = max(1.0, 1 / lengths)
    stretch = longer * (1 + spans / peers.windows) * float(shown(m, len(groups)))
    of_sums = None
    if spans > 1 and scatter.windows >= LEAST_OF_A_PHASE * spans:
        of_sums = scatter_of(windows, groups, scatter.by_phase, spans)
    plausible, chances = scatter.plausible(scatter.along(z)), CHANCES
    if of_sums is not None:
        plausible, chances = smaller_of(plausible, of_sums.plausible(of_sums.along(z)))
    ordinary = Ordinary.at(plausible, chances, freedom=scatter.freedom, size=n_eff * stretch)
    return BetweenTest(
        statistic=statistic,
        n_eff=n_eff,
        own_window_psi=scatter.own_psi * longer,
        ordinary=ordinary,
        p_value=ordinary.p_value(statistic),
        scatter=scatter,
        of_sums=of_sums,
        stretch=stretch,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Peers:
    """Windows of the reference that a live one is compared with."""

    counts: Floats  # all of them together, by bin
    windows: int
    scatter: Scatter

    def off_by(self, rows: float) -> float:
        """The PSI by which an ordinary window is off; scatter lies along few directions, chance along all of them."""
        chance = 1 / rows + 1 / float(self.counts.sum())
        return math.sqrt(self.scatter.freedom) * chance + self.scatter.own_psi * (1 + 1 / self.windows)


@lru_cache(maxsize=1024)
def _peers(windows: FieldWindows, groups: Groups, phase: int | None, holds_every_phase: bool) -> tuple[_Peers, ...]:
    """All windows, and those of the phase where it is known."""
    usable = _usable_phases(windows.phases)

    def peers(alike: npt.NDArray[np.bool_], by_phase: bool) -> _Peers:
        counts = sums(windows.counts[alike].sum(axis=0), groups).astype(np.float64)
        return _Peers(counts=counts, windows=int(alike.sum()), scatter=scatter_of(windows, groups, by_phase, 1))

    everything = peers(np.ones(len(windows.phases), dtype=np.bool_), usable and holds_every_phase)
    alike = np.array(windows.phases) == phase
    if phase is None or not usable or int(alike.sum()) < LEAST_OF_A_PHASE:
        return (everything,)
    return peers(alike, True), everything


def _usable_phases(phases: tuple[int, ...]) -> bool:
    """More than one phase, and enough windows left when each phase has taken its mean."""
    counts = np.bincount(phases)
    kept = counts[counts >= LEAST_OF_A_PHASE]
    return counts.size > 1 and int((kept - 1).sum()) >= ENOUGH_WINDOWS - 2


def _holds_every_phase(phases: tuple[int, ...], lengths: float) -> bool:
    """Whether a window so many times as long as the reference's is a whole number of rounds."""
    round_of = max(phases) + 1
    return round(lengths / round_of) >= 1 and abs(lengths - round(lengths / round_of) * round_of) <= _SAME_LENGTH


@lru_cache(maxsize=1024)
def _worst(scatter: Scatter, of_sums: Scatter | None) -> tuple[Plausible, Floats]:
    """In the direction in which windows scatter most."""
    plausible = scatter.plausible(scatter.most)
    return (plausible, CHANCES) if of_sums is None else smaller_of(plausible, of_sums.plausible(of_sums.most))
