"""Kolmogorov-Smirnov and Wasserstein from counts over ordered bins, with their null distributions.

Where nothing moved, sqrt(n_eff) times the difference of the cumulative shares at the bins' edges is a Brownian bridge
looked at in the pooled cumulative shares t_1 < ... < t_k (Doob 1949; Donsker 1952), so

* sqrt(n_eff) KS is max_j |bridge(t_j)|. The bridge is Markov: its probability of staying within +-x is an integral
  over the edges, one after another. No random numbers, and no continuous critical values, which bins never reach.
* sqrt(n_eff) Wasserstein is sum_j gap_j |bridge(t_j)|. Its moment generating function is such an integral too, and
  gives the tail by the saddlepoint formula of Lugannani & Rice (1980), right to a few per cent however far out.

Where a distance d is allowed, the triangle inequality says that what is seen is at most d and the distance that chance
adds: the tail is taken at the distance less d, which can only be too careful.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from remint.core.profile import FIRST, MISSING, FieldProfile

Floats = npt.NDArray[np.float64]

_CLOSE: Final = 1e-3  # edges with less of the rows between them are one
_SURE: Final = 1e-8  # where the sum of the edges' tails is below, it is the tail of their maximum
_NEAR: Final = 0.01  # the same for a sum over edges, which need not be as sharp
_FARTHEST: Final = 5.5  # standard deviations of a bridge are at most 0.5
_MIDDLE: Final = 1e-3
_LOWEST: Final = 3.0  # tilt, in units of the sum's deviation, below which nobody asks
_SURELY_FAR: Final = 6.0  # deviations: p-values below 2e-9
_WINSOR: Final = 0.005  # share of rows at either end that says nothing about the spread
_INNER_GAP: Final = 3.0  # spreads; a bin counts for no more, so that one far value cannot outweigh all others
_DISCRETE: Final = 1e-8  # relative width of the last bin of a field that has a bin for each value


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderedCounts:
    """Counts of both sides over bins in order: missing, below, the bins, above. Missing counts as the lowest."""

    reference: Floats
    current: Floats
    gaps: Floats | None  # between neighbouring bins, in spreads, shape (bins - 1,); None where there is no spread
    widths: Floats | None  # of the bins between the edges, not capped, in spreads

    @property
    def n_eff(self) -> float:
        n, m = float(self.reference.sum()), float(self.current.sum())
        return n * m / (n + m)

    @property
    def differences(self) -> Floats:
        """Of the cumulative shares, at the upper edge of each bin but the last."""
        before, now = np.cumsum(self.reference), np.cumsum(self.current)
        return np.asarray((now / now[-1] - before / before[-1])[:-1])

    @property
    def edge_shares(self) -> Floats:
        """Pooled cumulative shares at those edges."""
        pooled = np.cumsum(self.reference + self.current)
        return np.asarray((pooled / pooled[-1])[:-1])


def ordered_counts(profile: FieldProfile, current: npt.NDArray[np.int64]) -> OrderedCounts | None:
    """None where the field has no order."""
    if profile.edges is None:
        return None
    reference, gaps, widths = _of_reference(profile)
    return OrderedCounts(reference=reference, current=current.astype(np.float64), gaps=gaps, widths=widths)


@lru_cache(maxsize=1024)  # the same for every window that a reference is compared with
def _of_reference(profile: FieldProfile) -> tuple[Floats, Floats | None, Floats | None]:
    """The reference's counts; gaps and widths, None where there is no spread to measure them by. Not to be changed."""
    reference, edges = np.asarray(profile.counts, dtype=np.float64), np.asarray(profile.edges)
    counts = reference[FIRST : profile.above]
    discrete = bool(edges[-1] - edges[-2] <= _DISCRETE * max(1.0, abs(edges[-1])))
    spread = _spread(edges, counts, discrete=discrete)
    if spread is None:
        return reference, None, None
    widths = np.diff(edges) / spread
    return reference, _gaps(widths, discrete=discrete), widths


def _spread(edges: Floats, counts: Floats, *, discrete: bool) -> float | None:
    """A standard deviation that the tails don't move; None where (nearly) all rows have one value.

    The interquartile range as that of a normal variable; where it is nothing, or the values are few, the standard
    deviation of the bins' places without the outermost 0.5 % of the rows.
    """
    if counts.sum() == 0:
        return None
    cumulative = np.concatenate([[0.0], np.cumsum(counts) / counts.sum()])
    if not discrete:
        low, high = np.interp([0.25, 0.75], cumulative, edges)
        if high > low:
            return float(high - low) / 1.349
    places = edges[:-1] if discrete else (edges[:-1] + edges[1:]) / 2
    share = np.diff(np.clip(cumulative, _WINSOR, 1 - _WINSOR)) / (1 - 2 * _WINSOR)
    kept = share > 0
    mean = float(np.average(places[kept], weights=share[kept]))
    variance = float(np.average((places[kept] - mean) ** 2, weights=share[kept]))
    return math.sqrt(variance) if variance > 0 else None


def _gaps(widths: Floats, *, discrete: bool) -> Floats:
    """Spreads from each bin to the next; the outermost bins, and what is beyond them, count for one at most."""
    inner = np.minimum(widths, _INNER_GAP)
    if discrete:  # the rows are at the lower edges
        return np.concatenate([[1.0, 1.0], inner[:-1], [1.0]])
    inner[[0, -1]] = np.minimum(inner[[0, -1]], 1.0)
    padded = np.concatenate([[1.0], inner, [1.0]])
    return np.concatenate([[1.0], (padded[:-1] + padded[1:]) / 2])


# -- Kolmogorov-Smirnov ----------------------------------------------------------------------------------------------


def ks(counts: OrderedCounts) -> float:
    """Largest difference of the cumulative shares at the edges, 0 to 1: at most that of the raw rows."""
    return float(np.abs(counts.differences).max())


def ks_most(counts: OrderedCounts) -> float:
    """The largest KS that the raw rows can have: a difference at an edge, and what one side holds in the next bin."""
    before = np.concatenate([[0.0], np.cumsum(counts.reference / counts.reference.sum())])
    now = np.concatenate([[0.0], np.cumsum(counts.current / counts.current.sum())])
    return float(np.maximum(now[1:] - before[:-1], before[1:] - now[:-1]).max())


def ks_p_value(counts: OrderedCounts, *, at_most: float = 0.0) -> float:
    """The chance of so large a KS where the true one is ``at_most``."""
    return bridge_tail(math.sqrt(counts.n_eff) * (ks(counts) - at_most), counts.edge_shares)


def ks_critical(counts: OrderedCounts, alpha: float) -> float:
    """A KS that is surely significant at ``alpha``, by the sum of the edges' tails; infinite without an edge."""
    deviations = _deviations(_apart(counts.edge_shares))
    if deviations.size == 0:
        return math.inf
    largest = float(deviations.max())
    highest = largest * float(-ndtri(alpha / 2 / deviations.size))
    lowest = largest * float(-ndtri(min(0.5, alpha / 2)))
    if lowest >= highest:
        return highest / math.sqrt(counts.n_eff)
    found = brentq(lambda x: _union(x, deviations) - alpha, lowest, highest * (1 + 1e-9), rtol=1e-6)
    return float(found) / math.sqrt(counts.n_eff)


def bridge_tail(level: float, shares: Floats) -> float:
    """P(max_j |bridge(t_j)| >= level) at the ``shares`` t_j in (0, 1), ascending; exact to about 1e-9.

    The density of a Wiener process that has stayed within +-level is carried from edge to edge by Gauss-Legendre
    quadrature; at the last it is tied down to 0 at 1.
    """
    times = _apart(shares)
    if level <= 0 or times.size == 0:
        return 1.0
    bound = _union(level, _deviations(times))
    if bound < _SURE:
        return bound
    steps = np.diff(np.concatenate([[0.0], times, [1.0]]))
    needed = 24 + 4 * level / math.sqrt(float(steps.min()))
    nodes, weights = _legendre(32 * math.ceil(needed / 32))
    places = level * nodes
    apart = (places[:, None] - places[None, :]) ** 2
    density = _normal(places**2, steps[0])
    for step in steps[1:-1]:
        density = _normal(apart, step) @ (density * weights * level)
    within = float(np.sum(density * weights * level * _normal(places**2, steps[-1]))) * math.sqrt(2 * math.pi)
    return min(1.0, bound, max(0.0, 1 - within))


def _apart(shares: Floats) -> Floats:
    """The shares that are apart from 0, from 1 and from one another."""
    kept: list[float] = []
    for share in shares.tolist():
        if share - (kept[-1] if kept else 0.0) >= _CLOSE and share <= 1 - _CLOSE:
            kept.append(share)
    return np.array(kept)


def _deviations(times: Floats) -> Floats:
    return np.sqrt(times * (1 - times))


def _union(level: float, deviations: Floats) -> float:
    """At most the chance that one of the edges is beyond +-level."""
    return float(2 * ndtr(-level / deviations).sum())


def _normal(squares: Floats, variance: float) -> Floats:
    return np.asarray(np.exp(squares / (-2 * variance)) / math.sqrt(2 * math.pi * variance))


@lru_cache(maxsize=32)
def _legendre(count: int) -> tuple[Floats, Floats]:
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return nodes, weights


# -- Wasserstein -----------------------------------------------------------------------------------------------------


def wasserstein(counts: OrderedCounts) -> float:
    """Earth mover's distance between the bins' places, in the reference's spreads. ValueError where it has none."""
    return float(np.sum(_gaps_of(counts) * np.abs(counts.differences)))


def wasserstein_bounds(counts: OrderedCounts) -> tuple[float, float]:
    """The least and the most that it can be on the raw rows; infinite where rows lie out of the range.

    Within a bin both cumulative shares only rise: their difference is at most what one side adds there, and they are
    sure to be apart only where the one begins above the other's end.
    """
    if counts.widths is None:
        raise ValueError("a field without spread")
    before = np.concatenate([[0.0], np.cumsum(counts.reference / counts.reference.sum())])
    now = np.concatenate([[0.0], np.cumsum(counts.current / counts.current.sum())])
    inner = slice(FIRST, FIRST + counts.widths.size)
    start_before, end_before = before[:-1][inner], before[1:][inner]
    start_now, end_now = now[:-1][inner], now[1:][inner]
    missing = abs(now[MISSING + 1] - before[MISSING + 1])
    low = np.maximum(0.0, np.maximum(start_now - end_before, start_before - end_now))
    high = np.maximum(end_now - start_before, end_before - start_now)
    beyond = [1, counts.reference.size - 1]
    outside = counts.reference[beyond].sum() + counts.current[beyond].sum() > 0
    least = float(np.sum(low * counts.widths)) + missing
    return least, math.inf if outside else float(np.sum(high * counts.widths)) + missing


def wasserstein_p_value(counts: OrderedCounts, *, at_most: float = 0.0) -> float:
    """The chance of so large a distance where the true one is ``at_most``."""
    level = math.sqrt(counts.n_eff) * (wasserstein(counts) - at_most)
    return sum_tail(level, _gaps_of(counts), counts.edge_shares)


def wasserstein_critical(counts: OrderedCounts, alpha: float) -> float:
    """The distance that is significant at ``alpha``; infinite where all rows are in one bin."""
    null = _BridgeSum.of(_gaps_of(counts), counts.edge_shares)
    return math.inf if null is None else null.critical(alpha) / math.sqrt(counts.n_eff)


def signed_deviation(counts: OrderedCounts) -> float:
    """Standard deviation of the distance of a variable that moves as a whole, sqrt(n_eff) times."""
    null = _BridgeSum.of(_gaps_of(counts), counts.edge_shares)
    return math.inf if null is None else null.deviation


def sum_tail(level: float, gaps: Floats, shares: Floats) -> float:
    """P(sum_j gap_j |bridge(t_j)| >= level)."""
    null = _BridgeSum.of(gaps, shares)
    return 1.0 if null is None or level <= 0 else null.tail(level)


@lru_cache(maxsize=256)
def _half_line(cells: tuple[int, ...]) -> tuple[Floats, Floats, tuple[Floats, ...], Floats]:
    """Nodes, and what carries the density of |walk| from 0 to the first edge, from edge to edge, and down to 0 at 1.

    ``cells`` are the edges' pooled shares in hundredths. Shapes (nodes,), (nodes,), (nodes, nodes) for each step (rows
    are where it starts), and (nodes,).
    """
    times = np.asarray(cells, dtype=np.float64) * _NEAR
    steps = np.diff(np.concatenate([[0.0], times, [1.0]]))
    needed = math.ceil(2.2 * _FARTHEST / math.sqrt(float(steps.min())))
    nodes, weights = _legendre(16 * math.ceil(needed / 16))
    places, weights = _FARTHEST * (1 + nodes) / 2, _FARTHEST / 2 * weights
    near, far = (places[:, None] - places[None, :]) ** 2, (places[:, None] + places[None, :]) ** 2
    return (
        places,
        2 * _normal(places**2, steps[0]) * weights,
        tuple((_normal(near, step) + _normal(far, step)) * weights for step in steps[1:-1]),
        _normal(places**2, steps[-1]) * math.sqrt(2 * math.pi),
    )


@dataclass(frozen=True, slots=True)
class _BridgeSum:
    """The distribution of sum_j gap_j |bridge(t_j)|, by Gauss-Legendre quadrature on the half-line."""

    gaps: Floats  # shape (edges,)
    deviation: float  # of the sum without the bars
    places: Floats  # quadrature nodes, shape (nodes,)
    first: Floats  # density at the first edge times quadrature weights
    steps: tuple[Floats, ...]  # from edge to edge, shape (nodes, nodes)
    last: Floats  # what ties the walk down to 0 at 1

    @classmethod
    def of(cls, gaps: Floats, shares: Floats) -> _BridgeSum | None:
        """None where no edge has rows on both sides. Edges with less than 1 % of the rows between them are one."""
        within = (shares > 0) & (shares < 1)
        if not within.any():
            return None
        cells = np.clip(np.rint(shares[within] / _NEAR), 1, round(1 / _NEAR) - 1).astype(np.int64)
        # An edge that is moved to the nearest hundredth keeps its part in the sum
        places = np.asarray(cells * _NEAR, dtype=np.float64)
        kept = gaps[within] * _deviations(shares[within]) / _deviations(places)
        sums = np.bincount(cells, weights=kept).astype(np.float64)
        filled = np.flatnonzero(sums)
        weights, times = sums[filled], np.asarray(filled * _NEAR, dtype=np.float64)
        odds = times / (1 - times)
        correlations = np.sqrt(np.minimum.outer(odds, odds) / np.maximum.outer(odds, odds))
        scaled = weights * _deviations(times)
        deviation = math.sqrt(float(scaled @ correlations @ scaled))
        return cls(weights, deviation, *_half_line(tuple(filled.tolist())))

    def cumulants(self, tilt: float) -> tuple[float, float, float]:
        """The cumulant generating function at ``tilt`` and its first two derivatives."""
        rows = np.zeros((3, self.places.size))  # the density and its derivatives by the tilt
        rows[0] = self.first
        scale = 0.0
        for j, gap in enumerate(self.gaps.tolist()):
            if j:
                rows = rows @ self.steps[j - 1]
            value = gap * self.places
            rows[2] += value * (2 * rows[1] + value * rows[0])
            rows[1] += value * rows[0]
            exponent = tilt * value
            top = max(float(exponent[0]), float(exponent[-1]))
            rows *= np.exp(exponent - top)
            scale += top
        total, first, second = rows @ self.last
        mean = float(first / total)
        return scale + math.log(total), mean, float(second / total) - mean**2

    def tail_at(self, tilt: float) -> tuple[float, float]:
        """Where the tilted sum has its mean, and the chance of so much."""
        generating, level, variance = self.cumulants(tilt)
        root = math.copysign(math.sqrt(max(0.0, 2 * (tilt * level - generating))), tilt)
        other = tilt * math.sqrt(variance)
        if abs(root) < _MIDDLE:  # the formula is 0/0 at the mean: between two points beside it
            _, low = self.tail_at(-2 * _MIDDLE / math.sqrt(variance))
            _, high = self.tail_at(2 * _MIDDLE / math.sqrt(variance))
            return level, low + (high - low) * (other / _MIDDLE + 2) / 4
        density = math.exp(-(root**2) / 2) / math.sqrt(2 * math.pi)
        return level, min(1.0, max(0.0, float(ndtr(-root)) + density * (1 / other - 1 / root)))

    def tail(self, level: float) -> float:
        """P(sum >= level), never below that of the sum without the bars."""
        least = float(2 * ndtr(-level / self.deviation))
        if level > _SURELY_FAR * self.deviation:
            return least
        low, high = -_LOWEST / self.deviation, level / self.deviation**2
        if self.cumulants(low)[1] >= level:
            return 1.0
        while self.cumulants(high)[1] < level:
            high *= 1.5
        tilt = brentq(lambda t: self.cumulants(t)[1] - level, low, high, rtol=1e-5)
        return max(least, self.tail_at(float(tilt))[1])

    def critical(self, alpha: float) -> float:
        """The level whose tail is ``alpha``."""
        if alpha < 2 * float(ndtr(-_SURELY_FAR)):
            return self.deviation * float(-ndtri(alpha / 2))
        low, high = -_LOWEST / self.deviation, 1.5 * _SURELY_FAR / self.deviation
        tilt = brentq(lambda t: self.tail_at(t)[1] - alpha, low, high, rtol=1e-5)
        return max(self.cumulants(float(tilt))[1], self.deviation * float(-ndtri(alpha / 2)))


def _gaps_of(counts: OrderedCounts) -> Floats:
    if counts.gaps is None:
        raise ValueError("a field without spread")
    return counts.gaps
