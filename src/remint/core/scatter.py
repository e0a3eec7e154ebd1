"""How far a field's windows of the reference scatter, in any direction, beyond chance; and how well that is known.

In units of chance, the difference z of a window of n effective rows from the others has covariance I + n T. T, the
windows' own scatter, is known from the mean A of their z z', on nu degrees of freedom. In the direction of some z

    along = |A z|^2 / z'A z - tr(A) / nu

which is z'A z / |z|^2 drawn towards the strongest scatter beside z (where the part of z across it is chance), less what
that is too large by where A estimates the identity.

Chance is known and scatter is not: (1 + n tau) nu / along is chi-square(nu) for the true tau. What tau may be is
therefore along nu / chi-square(nu) less 1, over n, or 0 if that is negative (a fiducial distribution).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri, ndtr

from remint.core.bins import Groups, sums
from remint.core.divergence import smoothed_shares
from remint.core.reference_windows import FieldWindows

Floats = npt.NDArray[np.float64]
Plausible = tuple[Floats, Floats, Floats]  # along a direction, the sum of all others, and of their squares; PSI

LEAST_OF_A_PHASE: Final = 3  # windows: one is compared with the others
SCORES: Final = np.linspace(-6.5, 3.5, 20)  # normal scores of how far an estimate is off, down to a chance of 4e-11
CHANCES: Final = np.exp(-(SCORES**2) / 2) / np.exp(-(SCORES**2) / 2).sum()
_MOST_DEPENDENT: Final = 0.9  # correlation of one window with the next
_LEAST_PART: Final = 0.3  # of chance: no direction is taken to vary by less, which an estimate might say
_NEGLIGIBLE: Final = 1e-12
_CORRELATION: Final = 0.5  # of the estimate from windows with that from their sums; 0.36 where days are independent


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scatter:
    """How much a field's windows differ from what they are compared with."""

    windows: int
    by_phase: bool  # they are compared with those of their own phase
    freedom: int  # bins - 1
    trace: float  # of A
    moments: Floats  # A: the mean of z z' over the windows, (bins, bins); the identity where there is only chance
    size: float  # n_w: effective rows of a window, so far as scatter counts
    estimated_on: float  # nu
    own_psi: float  # tr T: PSI of an ordinary window beyond chance
    square: float  # tr T^2
    inflation: float  # of T, because windows that are alike scatter too little around their own mean

    def along(self, direction: Floats) -> float:
        """The windows' variance in units of chance, in a direction or where it is strong beside it."""
        carried = self.moments @ direction
        plain = float(direction @ carried)
        if plain <= 0:
            return _LEAST_PART
        length = float(direction @ direction)
        return max(plain / length, float(carried @ carried) / plain - self.trace / self.estimated_on, _LEAST_PART)

    @property
    def most(self) -> float:
        """The variance in the direction where it is largest, of all scatters with this own_psi and square.

        That has one large and d - 1 equal small eigenvalues (Wolkowicz & Styan, *Bounds for eigenvalues using traces*,
        1980).
        """
        mean = self.own_psi / self.freedom
        apart = max(0.0, self.square / self.freedom - mean**2)
        largest = mean + math.sqrt((self.freedom - 1) * apart)
        return 1 + self.size * min(self.own_psi, largest) / self.inflation

    def plausible(self, along: float) -> Plausible:
        """What the scatter may be where it seems to be ``along``, at ``SCORES``."""
        others = self.freedom - 1
        here = self.inflation * np.maximum(0.0, along / _relative_chi_square(self.estimated_on) - 1) / self.size
        if not others:
            return here, np.zeros_like(here), np.zeros_like(here)
        rest = max(_LEAST_PART, (self.trace - along) / others)
        told = max(0.0, along - 1) / self.size * self.inflation
        total = max(0.0, rest - 1) * others / self.size * self.inflation
        square = min(max(self.square - told**2, total**2 / others), total**2)
        dimensions = total**2 / square if square else others
        relative = _wilson_hilferty(self.estimated_on * dimensions)
        ours = self.inflation * others * np.maximum(0.0, rest / relative - 1) / self.size
        return here, ours, ours**2 / dimensions


@lru_cache(maxsize=1024)
def scatter_of(windows: FieldWindows, groups: Groups, by_phase: bool, spans: int) -> Scatter:
    """Of the means of ``spans`` windows in a row, among windows of the same phase or among all."""
    counts = sums(windows.counts, groups).astype(np.float64)
    phases = np.array(windows.phases) if by_phase else np.zeros(len(counts), dtype=np.int64)
    same = (phases[:, None] == phases).astype(np.float64)
    kept = same.sum(axis=1) >= LEAST_OF_A_PHASE
    counts, same = counts[kept], same[np.ix_(kept, kept)]
    others = same.sum(axis=1) - 1
    rest = same @ counts - counts
    m, n = counts.sum(axis=1), rest.sum(axis=1)
    n_eff = n * m / (n + m)
    z = signed_roots(counts, rest, n_eff)
    size = n_eff * (1 + 1 / others) * shown(m, len(groups))
    # Each against its others: by chance alone two of a phase have correlation -1 / others
    related = np.eye(len(z)) - (same - np.eye(len(z))) / others
    running = np.array([[i <= j < i + spans for j in range(len(z))] for i in range(len(z) - spans + 1)]) / spans**0.5
    covariance = running @ related @ running.T
    trace = float(np.trace(covariance))
    freedom, count = len(groups) - 1, len(z)
    lengths = (z**2).sum(axis=1)
    own = max(0.0, float(lengths.sum() - freedom * count) / float(size.sum()))
    products = (z @ z.T) ** 2 - freedom - own * (size[:, None] + size[None, :])
    pairs = ~np.eye(count, dtype=bool)
    square = max(float(products[pairs].sum()) / float(np.outer(size, size)[pairs].sum()), own**2 / freedom)
    # Chance and scatter together: 2 tr(Sigma^2) is the variance of a normal vector's squared length
    variances = 2 * (freedom + 2 * size * own + size**2 * square)
    together, inflation = _dependence(z, size, own, variances)
    y = running @ z
    moments = y.T @ y / trace
    mean_size = float(size.mean()) * spans
    estimated_on = trace**2 / float((covariance**2).sum()) / together
    if spans == 1:
        estimated_on = min(estimated_on, _tail_freedom(lengths - freedom - size * own, variances))
    else:
        shape = square / own**2 if own else 1 / freedom
        own = max(0.0, float(np.trace(moments)) - freedom) / mean_size
        square = shape * own**2
    return Scatter(
        windows=len(z),
        by_phase=by_phase,
        freedom=freedom,
        trace=float(np.trace(moments)),
        moments=moments,
        size=mean_size,
        estimated_on=estimated_on,
        own_psi=own * inflation,
        square=square * inflation**2,
        inflation=inflation,
    )


def _dependence(z: Floats, size: Floats, own: float, variances: Floats) -> tuple[float, float]:
    """How many windows are worth one, and by how much scatter around their own mean is too small.

    A window's scatter that is like the last one's with correlation r: the variance is estimated on 1 / (1 + 2 (r^2 +
    r^4 + ...)) of the windows, and the mean moves as that of (1 - r) / (1 + r) of them. What r could be by chance does
    not count: a standard error is taken off.
    """
    if own == 0:
        return 1.0, 1.0
    error = math.sqrt(float(np.sqrt(variances[1:] * variances[:-1]).sum()) / 2)
    after = (float((z[1:] * z[:-1]).sum()) - error) / float(np.sqrt(size[1:] * size[:-1]).sum()) / own
    r = min(max(after, 0.0), _MOST_DEPENDENT)
    mean = min(0.5, (1 + r) / (1 - r) / len(z))
    independent = 1 / len(z)
    inflation = (1 + mean) / (1 - mean) / ((1 + independent) / (1 - independent))
    return (1 + r**2) / (1 - r**2), inflation


def _tail_freedom(deviations: Floats, variances: Floats) -> float:
    """Degrees of freedom of Student's t with the kurtosis seen: now and then a day is far from all others.

    ``deviations`` of the windows' squared lengths from their mean, ``variances`` what normal ones would have. A
    standard error, of normal windows that scatter along one direction, is taken off.
    """
    kurtosis = 1 + 2 * float((deviations**2).sum()) / float(variances.sum()) - 2 * math.sqrt(14 / len(deviations))
    return (4 * kurtosis - 6) / (kurtosis - 3) if kurtosis > 3 else math.inf


def smaller_of(first: Plausible, second: Plausible) -> tuple[Plausible, Floats]:
    """The smaller of two estimates of what bounds the scatter, and the chances of its values (a normal copula)."""
    one, two = first[0], second[0]

    def beyond(these: Floats, other: Floats) -> Floats:
        """The chance that the other is larger than each of these."""
        least = max(1e-12, 1e-2 * float(other[0]))  # so that values are about evenly spaced
        score = np.interp(np.log(these + least), np.log(other[::-1] + least), SCORES[::-1])
        return np.asarray(ndtr((score - _CORRELATION * SCORES) / math.sqrt(1 - _CORRELATION**2)))

    beyond_two = np.where(one > 0, beyond(one, two), 1.0)
    beyond_one = np.where(two > 0, beyond(two, one), 0.0)
    chances = np.concatenate([CHANCES * beyond_two, CHANCES * beyond_one])
    here = np.concatenate([one, two])
    others, squares = (np.minimum(a, b) for a, b in zip(first[1:], second[1:], strict=True))
    chances /= chances.sum()
    counts = chances > _NEGLIGIBLE
    return (here[counts], np.tile(others, 2)[counts], np.tile(squares, 2)[counts]), chances[counts]


def signed_roots(current: Floats, reference: Floats, n_eff: float | Floats) -> Floats:
    """Vectors whose squared length is n_eff PSI, and that are about normal: each bin's term, signed, its root taken."""
    p, q = smoothed_shares(current), smoothed_shares(reference)
    terms = (p - q) * np.log(p / q)
    return np.asarray(np.sign(p - q) * np.sqrt(terms * np.asarray(n_eff)[..., None]))


def shown(rows: float | Floats, bins: int) -> float | Floats:
    """The part of a window's PSI that is left when 0.5 is added to each bin."""
    return (rows / (rows + bins / 2)) ** 2


@lru_cache(maxsize=4096)
def _relative_chi_square(freedom: float) -> Floats:
    """A chi-square variable over its degrees of freedom, at ``SCORES``."""
    return np.asarray(chdtri(freedom, ndtr(-SCORES)) / freedom)


def _wilson_hilferty(freedom: float) -> Floats:
    """The same for many degrees of freedom, fast."""
    part = 2 / (9 * freedom)
    return np.asarray(np.maximum(1 - part + SCORES * math.sqrt(part), 1e-2) ** 3)
