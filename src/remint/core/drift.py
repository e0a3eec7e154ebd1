"""Has a field's distribution moved? PSI and KL from bin counts, with their null distribution.

With n reference rows, m rows in the window, B bins and n_eff = n m / (n + m), and both sides drawn from one
distribution, n_eff PSI is chi-square with B - 1 degrees of freedom (Yurdakul & Naranjo, *Statistical properties of the
population stability index*, 2020). Where the true PSI is d0 it is non-central chi-square with non-centrality d0 n_eff,
and that is what decides: a shift has to be larger than ``material_psi``, beyond chance. A fixed limit such as PSI > 0.1
fires in a third of the clean windows of 200 rows, and never sees a shift of 0.3 sigma however many rows there are.

For a normal variable PSI is the squared shift of the mean in standard deviations, so sqrt(PSI) is reported as "sigmas".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.stats import chi2, ncx2

from remint.core.divergence import Method
from remint.core.document import finite
from remint.core.profile import FIRST, MISSING, UNSEEN, Counts, FieldProfile, FieldRole, Reference
from remint.errors import DataError, NoDataError

Shares = npt.NDArray[np.float64]

_SMOOTHING: Final = 0.5  # added to each bin of either side: an empty bin is evidence, not an infinity
_MIN_EXPECTED: Final = 5.0  # rows that the pooled share must expect of a bin on either side; below, bins are merged
_POWER: Final = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """How far two counts over the same bins are apart, and how far chance alone would take them."""

    psi: float  # nats; symmetric: KL(current || reference) + KL(reference || current)
    kl: float  # nats; KL(current || reference)
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

    def p_value(self, *, at_most: float = 0.0) -> float:
        """The chance of a statistic this large where the true PSI is ``at_most``. 1 where there is a single bin."""
        if self.bins < 2:
            return 1.0
        return _tail(self.statistic, self.bins - 1, at_most * self.n_eff)


def divergence(reference: npt.ArrayLike, current: npt.ArrayLike) -> Divergence:
    """PSI and KL of two counts over the same bins; 0.5 is added to each bin. NoDataError where a side has no rows."""
    r, c = _counts(reference), _counts(current)
    if r.shape != c.shape:
        raise DataError(f"{len(r)} bins in the reference, {len(c)} in the window: not the same bins")
    n, m = float(r.sum()), float(c.sum())
    if n == 0 or m == 0:
        raise NoDataError(f"no rows in the {'reference' if n == 0 else 'window'}")
    p, q = _shares(c), _shares(r)
    return Divergence(
        psi=float(np.sum((p - q) * np.log(p / q))),
        kl=float(np.sum(p * np.log(p / q))),
        bins=len(r),
        n_eff=n * m / (n + m),
    )


def smallest_detectable_psi(*, bins: int, n_eff: float, material_psi: float, alpha: float) -> float:
    """The true PSI that the test finds with 80 % power at ``alpha``; infinite with a single bin: it shows nothing."""
    if bins < 2:
        return math.inf
    freedom = bins - 1
    critical = _critical(alpha, freedom, material_psi * n_eff)
    # the mean of the statistic is freedom + non-centrality, so the wanted one lies around critical - freedom
    highest = critical + 10 * math.sqrt(critical) + 50
    found = brentq(lambda centre: _tail(critical, freedom, centre) - _POWER, 0.0, highest)
    return float(found) / n_eff


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values. Rejecting those <= alpha keeps the family-wise error at alpha, under any dependence."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted = [1.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldDrift:
    """One field's drift with its evidence. The test runs on merged bins; the counts shown are those of all bins."""

    field: str
    role: FieldRole
    divergence: Divergence
    p_value: float  # that nothing moved
    p_material: float  # that the true PSI is at most the material one
    p_adjusted: float  # p_material, adjusted by Holm over the fields of the role
    drifted: bool
    smallest_detectable_psi: float
    reference_counts: tuple[int, ...]
    current_counts: tuple[int, ...]
    bin_labels: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        d = self.divergence
        return {
            "field": self.field,
            "role": self.role.value,
            "drifted": self.drifted,
            "psi": d.psi,
            "psi_adjusted": d.psi_adjusted,
            "kl": d.kl,
            "p_value": self.p_value,
            "p_material": self.p_material,
            "p_adjusted": self.p_adjusted,
            "sigmas": d.sigmas,
            "n_eff": d.n_eff,
            "bins_tested": d.bins,
            "smallest_detectable_psi": finite(self.smallest_detectable_psi),
            "smallest_detectable_sigmas": finite(math.sqrt(self.smallest_detectable_psi)),
            "reference_counts": list(self.reference_counts),
            "current_counts": list(self.current_counts),
            "bin_labels": list(self.bin_labels),
        }


def measure_drift(
    reference: Reference,
    counts: Counts,
    *,
    role: FieldRole,
    material_psi: float,
    alpha: float,
    method: Method = Method.PSI,
    earlier: Sequence[Counts] = (),
    window: tuple[datetime, datetime] | None = None,
) -> tuple[FieldDrift, ...]:
    """Every field of a role, the most drifted first. With probability 1 - alpha none drifted that did not.

    ``counts`` are the window's, by field and bin; ``earlier`` those of the windows of the same length before it, the
    newest first: then a field has drifted where it did in each of them. ``window`` is the window's start and end, which
    tell its weekday where the reference knows weekdays. Raises NoDataError where a field has no rows in a window.
    """
    profiles = [field for field in reference.fields if field.role is role]
    tested = [_tested(profile, counts) for profile in profiles]
    material = [d.p_value(at_most=material_psi) for d in tested]
    adjusted = holm(material)
    found = [
        FieldDrift(
            field=profile.name,
            role=role,
            divergence=d,
            p_value=d.p_value(),
            p_material=p_material,
            p_adjusted=p_adjusted,
            drifted=p_adjusted <= alpha,
            smallest_detectable_psi=smallest_detectable_psi(
                bins=d.bins, n_eff=d.n_eff, material_psi=material_psi, alpha=alpha / len(profiles)
            ),
            reference_counts=profile.counts,
            current_counts=tuple(int(k) for k in counts[profile.name]),
            bin_labels=tuple(profile.bin_label(i) for i in range(profile.bins)),
        )
        for profile, d, p_material, p_adjusted in zip(profiles, tested, material, adjusted, strict=True)
    ]
    return tuple(sorted(found, key=lambda f: (not f.drifted, -f.divergence.psi_adjusted, f.field)))


def merge_bins(
    profile: FieldProfile, current: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Reference and current counts over fewer bins, none too small for the chi-square distribution.

    Missing (and, of a categorical field, unseen) stay bins of their own where a row fell into them. Neighbouring bins
    of a numeric field, also those below and above the range, and the rare values of a categorical one are merged until
    either side would expect five rows. Merging looks at the pooled counts only, never at which side a row is from.
    """
    reference = np.asarray(profile.counts, dtype=np.int64)
    n, m = int(reference.sum()), int(current.sum())
    enough = _MIN_EXPECTED * (n + m) / min(n, m) if min(n, m) else math.inf
    pooled = reference + current
    apart = [MISSING] if profile.is_numeric else [MISSING, UNSEEN]
    groups = [[i] for i in apart if pooled[i]]
    rest = list(range(len(apart), profile.bins)) if profile.is_numeric else list(range(FIRST, profile.bins))
    if not profile.is_numeric:
        rest.sort(key=lambda i: (int(pooled[i]), i))
    groups.extend(_grouped(rest, pooled, enough))
    index = [np.array(group) for group in groups]
    return (
        np.array([reference[i].sum() for i in index], dtype=np.int64),
        np.array([current[i].sum() for i in index], dtype=np.int64),
    )


def _grouped(order: Sequence[int], pooled: npt.NDArray[np.int64], enough: float) -> list[list[int]]:
    """Consecutive runs of ``order`` that hold ``enough`` rows each; what is left over joins the last run."""
    groups: list[list[int]] = []
    run: list[int] = []
    for i in order:
        run.append(i)
        if pooled[run].sum() >= enough:
            groups.append(run)
            run = []
    if groups:
        groups[-1].extend(run)
    elif pooled[run].sum():
        groups.append(run)
    return groups


def _tested(profile: FieldProfile, counts: Counts) -> Divergence:
    current = np.asarray(counts.get(profile.name, ()), dtype=np.int64)
    if current.size == 0 or current.sum() == 0:
        raise NoDataError("no rows in the window", where=profile.name)
    if current.size != profile.bins:
        raise DataError(f"{current.size} bins counted, {profile.bins} in the reference", where=profile.name)
    return divergence(*merge_bins(profile, current))


def _counts(values: npt.ArrayLike) -> Shares:
    counts = np.asarray(values, dtype=np.float64)
    if counts.ndim != 1 or not np.isfinite(counts).all() or (counts < 0).any():
        raise DataError("bin counts must be finite and not negative")
    return counts


def _shares(counts: Shares) -> Shares:
    smoothed: Shares = counts + _SMOOTHING
    return smoothed / float(smoothed.sum())


def _tail(statistic: float, freedom: int, centre: float) -> float:
    # ncx2 is undefined at 0 in some SciPy versions
    return float(chi2.sf(statistic, freedom) if centre == 0 else ncx2.sf(statistic, freedom, centre))


def _critical(alpha: float, freedom: int, centre: float) -> float:
    return float(chi2.isf(alpha, freedom) if centre == 0 else ncx2.isf(alpha, freedom, centre))
