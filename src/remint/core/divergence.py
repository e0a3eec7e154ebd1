"""How far two counts over the same bins are apart, and how far chance alone would take them.

With n reference rows, m rows in the window, B bins and n_eff = n m / (n + m), and both sides drawn from one
distribution, n_eff PSI, 2 n_eff KL, 8 n_eff JS and Pearson's statistic are all chi-square with B - 1 degrees of
freedom: to second order they are one divergence (Yurdakul & Naranjo, *Statistical properties of the population
stability index*, 2020). Where the true PSI is d0 they are non-central chi-square with non-centrality d0 n_eff. KS and
Wasserstein have distributions of their own (``ordered.py``).

One currency for all: PSI d0 is a normal variable's shift by sqrt(d0) standard deviations ("sigmas"). By the same shift
KS becomes 2 Phi(sqrt(d0) / 2) - 1, and Wasserstein sqrt(d0).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, assert_never

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc, chdtri, chndtr, chndtrinc, chndtrix, ndtr, ndtri
from scipy.stats import ncx2

from remint.core import ordered
from remint.core.document import finite
from remint.core.ordered import OrderedCounts
from remint.errors import DataError, NoDataError

Shares = npt.NDArray[np.float64]

POWER: Final = 0.8  # of the smallest shift that is said to be found
_SMOOTHING: Final = 0.5  # added to each bin of either side: an empty bin is evidence, not an infinity
_FAR: Final = 1e-9  # tails below are computed by a slower function that keeps their digits


class Method(StrEnum):
    """What drift is measured by. All are found from counts; KS and Wasserstein need an ordered (numeric) field."""

    PSI = "psi"  # population stability index, nats; symmetric: KL of either side from the other, added
    KL = "kl"  # Kullback-Leibler divergence of the window from the reference, nats
    JS = "js"  # Jensen-Shannon divergence, nats
    CHI_SQUARE = "chi_square"  # Pearson's statistic divided by n_eff
    KS = "ks"  # largest difference of the cumulative shares, 0 to 1
    WASSERSTEIN = "wasserstein"  # earth mover's distance, in the reference's spreads

    @property
    def is_ordered(self) -> bool:
        return self in {Method.KS, Method.WASSERSTEIN}

    @property
    def label(self) -> str:
        """For people."""
        match self:
            case Method.PSI | Method.KL | Method.JS | Method.KS:
                return self.value.upper()
            case Method.CHI_SQUARE:
                return "chi-square"
            case Method.WASSERSTEIN:
                return "Wasserstein"
            case _:
                assert_never(self)


_CHI_SQUARE_SCALE: Final = {Method.PSI: 1.0, Method.KL: 2.0, Method.JS: 8.0, Method.CHI_SQUARE: 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One method's distance, what it comes to in sigmas, and the chance of it where nothing moved."""

    method: Method
    value: float
    sigmas: float
    p_value: float
    low: float | None = None  # what the raw rows can have at least, of KS and Wasserstein
    high: float | None = None  # and at most; infinite where rows are out of the range

    def to_json(self) -> dict[str, Any]:
        bounds = {} if self.low is None or self.high is None else {"low": self.low, "high": finite(self.high)}
        return {"value": self.value, "sigmas": finite(self.sigmas), "p_value": self.p_value, **bounds}


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """Two counts over the same (merged) bins, by every method that knows no order."""

    psi: float
    kl: float
    js: float
    chi_square: float
    bins: int
    n_eff: float

    @property
    def statistic(self) -> float:
        """n_eff PSI; about chi-square(bins - 1) where nothing moved."""
        return self.n_eff * self.psi

    @property
    def psi_adjusted(self) -> float:
        """PSI less what chance alone adds on average, (bins - 1) / n_eff; not below 0."""
        return max(0.0, self.psi - (self.bins - 1) / self.n_eff)

    @property
    def sigmas(self) -> float:
        return math.sqrt(self.psi)

    def value(self, method: Method) -> float:
        """ValueError for a method that needs an order."""
        match method:
            case Method.PSI:
                return self.psi
            case Method.KL:
                return self.kl
            case Method.JS:
                return self.js
            case Method.CHI_SQUARE:
                return self.chi_square
            case Method.KS | Method.WASSERSTEIN:
                raise ValueError(f"{method.value} is no function of unordered counts")
            case _:
                assert_never(method)

    def p_value(self, method: Method = Method.PSI, *, at_most: float = 0.0) -> float:
        """The chance of a value this large where the true PSI is ``at_most``. 1 where there is a single bin."""
        if self.bins < 2:
            return 1.0
        statistic = self.n_eff * _CHI_SQUARE_SCALE[method] * self.value(method)
        return chi_square_tail(statistic, self.bins - 1, at_most * self.n_eff)

    def score(self, method: Method) -> Score:
        value = self.value(method)
        sigmas = math.sqrt(max(0.0, _CHI_SQUARE_SCALE[method] * value))
        return Score(method=method, value=value, sigmas=sigmas, p_value=self.p_value(method))


def divergence(reference: npt.ArrayLike, current: npt.ArrayLike) -> Divergence:
    """Of two counts over the same bins. NoDataError where a side has no rows.

    0.5 is added to each bin where a logarithm could be that of nothing (PSI, KL); JS and Pearson's statistic take the
    counts as they are.
    """
    r, c = _counts(reference), _counts(current)
    if r.shape != c.shape:
        raise DataError(f"{len(r)} bins in the reference, {len(c)} in the window: not the same bins")
    n, m = float(r.sum()), float(c.sum())
    if n == 0 or m == 0:
        raise NoDataError(f"no rows in the {'reference' if n == 0 else 'window'}")
    n_eff = n * m / (n + m)
    p, q = smoothed_shares(c), smoothed_shares(r)
    ratio = np.log(p / q)
    raw_p, raw_q, pooled = c / m, r / n, (r + c) / (n + m)
    filled = pooled > 0
    return Divergence(
        psi=float(np.sum((p - q) * ratio)),
        kl=max(0.0, float(np.sum(p * ratio))),
        js=_jensen_shannon(raw_p[filled], raw_q[filled]),
        chi_square=float(np.sum((raw_p - raw_q)[filled] ** 2 / pooled[filled])),
        bins=len(r),
        n_eff=n_eff,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One field of the window against the reference, ready to be judged by any method."""

    divergence: Divergence
    ordered: OrderedCounts | None  # of numeric fields

    def judged_by(self, method: Method) -> Method:
        """``method``, or chi-square where the field has no order, or no spread to measure by.

        A field that is not judged at all would be blindness; one that is judged by another method says so.
        """
        if method is Method.KS and self.ordered is None:
            return Method.CHI_SQUARE
        if method is Method.WASSERSTEIN and (self.ordered is None or self.ordered.gaps is None):
            return Method.CHI_SQUARE
        return method

    def p_value(self, method: Method, *, at_most_psi: float = 0.0) -> float:
        """The chance of so large a distance where the true shift is that of PSI ``at_most_psi``."""
        limit = limit_of(method, at_most_psi)
        if method.is_ordered:
            assert self.ordered is not None
            if method is Method.KS:
                return ordered.ks_p_value(self.ordered, at_most=limit)
            return ordered.wasserstein_p_value(self.ordered, at_most=limit)
        return self.divergence.p_value(method, at_most=at_most_psi)

    def score(self, method: Method) -> Score:
        if not method.is_ordered:
            return self.divergence.score(method)
        assert self.ordered is not None
        p_value = self.p_value(method)
        if method is Method.KS:
            value = ordered.ks(self.ordered)
            low, high = value, ordered.ks_most(self.ordered)
        else:
            value = ordered.wasserstein(self.ordered)
            low, high = ordered.wasserstein_bounds(self.ordered)
        return Score(method=method, value=value, sigmas=sigmas_of(method, value), p_value=p_value, low=low, high=high)

    def scores(self) -> dict[Method, Score]:
        """By every method that can judge the field."""
        return {method: self.score(method) for method in Method if self.judged_by(method) is method}

    def smallest_detectable_psi(
        self, method: Method, *, material_psi: float, alpha: float, power: float = POWER
    ) -> float:
        """The shift, as PSI, that the test finds with ``power``; infinite where it can show nothing."""
        if not method.is_ordered:
            d = self.divergence
            return smallest_detectable_psi(
                bins=d.bins, n_eff=d.n_eff, material_psi=material_psi, alpha=alpha, power=power
            )
        assert self.ordered is not None
        root = math.sqrt(self.ordered.n_eff)
        if method is Method.KS:  # at the edge where the difference is largest, with the largest variance there is
            distance = ordered.ks_critical(self.ordered, alpha) + 0.5 * float(ndtri(power)) / root
        else:
            distance = ordered.wasserstein_critical(self.ordered, alpha)
            distance += ordered.signed_deviation(self.ordered) * float(ndtri(power)) / root
        return sigmas_of(method, distance + limit_of(method, material_psi)) ** 2


def limit_of(method: Method, psi: float) -> float:
    """The value of ``method`` for a normal variable whose shift has this PSI."""
    if method is Method.KS:
        return float(2 * ndtr(math.sqrt(psi) / 2) - 1)
    if method is Method.WASSERSTEIN:
        return math.sqrt(psi)
    return psi / _CHI_SQUARE_SCALE[method]


def sigmas_of(method: Method, value: float) -> float:
    """By how many standard deviations a normal variable has to move to have this value."""
    if method is Method.KS:
        return float(2 * ndtri((1 + value) / 2)) if value < 1 else math.inf
    if method is Method.WASSERSTEIN:
        return value
    return math.sqrt(_CHI_SQUARE_SCALE[method] * value)


def smallest_detectable_psi(
    *, bins: int, n_eff: float, material_psi: float, alpha: float, power: float = POWER
) -> float:
    """The true PSI that the chi-square test finds with ``power`` at ``alpha``; infinite with a single bin."""
    if bins < 2:
        return math.inf
    critical = chi_square_critical(alpha, bins - 1, material_psi * n_eff)
    return float(chndtrinc(critical, bins - 1, 1 - power)) / n_eff


def chi_square_tail(statistic: float, freedom: int, centre: float) -> float:
    """P(non-central chi-square >= statistic)."""
    if centre == 0:
        return float(chdtrc(freedom, statistic))
    tail = 1 - float(chndtr(statistic, freedom, centre))
    return tail if tail > _FAR else float(ncx2.sf(statistic, freedom, centre))


def chi_square_critical(alpha: float, freedom: int, centre: float) -> float:
    """The statistic whose tail is ``alpha``."""
    if centre == 0:
        return float(chdtri(freedom, alpha))
    return float(chndtrix(1 - alpha, freedom, centre)) if alpha > _FAR else float(ncx2.isf(alpha, freedom, centre))


def smoothed_shares(counts: Shares) -> Shares:
    """Shares along the last axis, none of them 0."""
    smoothed = counts + _SMOOTHING
    return np.asarray(smoothed / smoothed.sum(axis=-1, keepdims=True))


def _counts(values: npt.ArrayLike) -> Shares:
    counts = np.asarray(values, dtype=np.float64)
    if counts.ndim != 1 or not np.isfinite(counts).all() or (counts < 0).any():
        raise DataError("bin counts must be finite and not negative")
    return counts


def _jensen_shannon(p: Shares, q: Shares) -> float:
    middle = (p + q) / 2
    either = sum(float(np.sum(s[s > 0] * np.log(s[s > 0] / middle[s > 0]))) for s in (p, q))
    return max(0.0, either / 2)
