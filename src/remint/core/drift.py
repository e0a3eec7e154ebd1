"""Has a field's distribution moved, beyond chance, beyond what ordinary windows differ by, and enough to matter?

A field has drifted where each of these tests says so (an intersection-union test: the largest of the p-values counts):

* material: the true distance from the reference is larger than that of PSI ``material_psi`` (``divergence.py``);
* between windows, where the reference has enough of them: further from them than they are from one another
  (``between_windows.py``), so that harmless day-to-day and weekday variation raises no alarm;
* the same in the windows before, where several in a row are asked for.

Over the fields of a role Holm decides; Benjamini and Hochberg's q-values only rank. A fixed limit such as PSI > 0.1
fires in a third of the clean windows of 200 rows, and never sees a shift of 0.3 sigma however many rows there are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from remint.core.between_windows import BetweenTest, compare_with_windows
from remint.core.bins import merge_bins
from remint.core.divergence import POWER, Comparison, Divergence, Method, Score, chi_square_critical, divergence
from remint.core.document import finite
from remint.core.ordered import ordered_counts
from remint.core.profile import Counts, FieldProfile, FieldRole, Reference
from remint.errors import DataError, NoDataError

Period = tuple[datetime, datetime]  # start and end of a window


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldDrift:
    """One field's drift with its evidence. The tests run on merged bins; the counts shown are those of all bins."""

    field: str
    role: FieldRole
    method: Method  # what it was judged by: chi-square where the method asked for cannot judge the field
    comparison: Comparison
    p_value: float  # that nothing moved
    p_material: float  # that the true shift is at most the material one
    p_between: float | None  # that this is an ordinary window; None where the reference has too few to know
    p_adjusted: float  # the larger of the two, adjusted by Holm over the fields of the role
    q_value: float  # and by Benjamini and Hochberg: only to rank by
    own_window_psi: float | None  # PSI of an ordinary window, beyond chance
    share: float  # of all the shift beyond chance of the fields that drifted, or of all fields where none did
    drifted: bool
    smallest_detectable_psi: float
    reference_counts: tuple[int, ...]
    current_counts: tuple[int, ...]
    bin_labels: tuple[str, ...]

    @property
    def divergence(self) -> Divergence:
        return self.comparison.divergence

    @property
    def score(self) -> Score:
        """By the method that it was judged by."""
        return self.comparison.score(self.method)

    @property
    def excess_psi(self) -> float:
        """PSI less what chance and an ordinary window add."""
        return max(0.0, self.divergence.psi_adjusted - (self.own_window_psi or 0.0))

    def to_json(self) -> dict[str, Any]:
        d = self.divergence
        return {
            "field": self.field,
            "role": self.role.value,
            "drifted": self.drifted,
            "method": self.method.value,
            "psi": d.psi,
            "psi_adjusted": d.psi_adjusted,
            "kl": d.kl,
            "p_value": self.p_value,
            "p_material": self.p_material,
            "p_between": self.p_between,
            "p_adjusted": self.p_adjusted,
            "q_value": self.q_value,
            "share": self.share,
            "own_window_psi": self.own_window_psi,
            "sigmas": d.sigmas,
            "n_eff": d.n_eff,
            "bins_tested": d.bins,
            "scores": {method.value: score.to_json() for method, score in self.comparison.scores().items()},
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
    window: Period | None = None,
) -> tuple[FieldDrift, ...]:
    """Every field of a role, the most drifted first. With probability 1 - alpha none drifted that did not.

    ``counts`` are the window's, by field and bin; ``earlier`` those of the windows of the same length before it, the
    newest first: then a field has drifted where it did in each of them. ``window`` is the window's start and end, which
    tell its weekday where the reference knows weekdays. Raises NoDataError where a field has no rows in a window.
    """
    profiles = [field for field in reference.fields if field.role is role]
    judged = [
        [
            _judge(reference, profile, each, method, material_psi, _shifted(window, back))
            for back, each in enumerate((counts, *earlier))
        ]
        for profile in profiles
    ]
    decisive = [max(max(j.p_material, j.p_between or 0.0) for j in windows) for windows in judged]
    adjusted, ranked = holm(decisive), benjamini_hochberg(decisive)
    # Each of several windows has to find the shift: together they do so as often as one is asked to
    power = POWER ** (1 / (1 + len(earlier)))
    found = []
    for profile, windows, p_adjusted, q_value in zip(profiles, judged, adjusted, ranked, strict=True):
        now = windows[0]
        found.append(
            FieldDrift(
                field=profile.name,
                role=role,
                method=now.method,
                comparison=now.comparison,
                p_value=max(j.p_value for j in windows),
                p_material=max(j.p_material for j in windows),
                p_between=None if now.between is None else max(j.p_between or 0.0 for j in windows),
                p_adjusted=p_adjusted,
                q_value=q_value,
                own_window_psi=None if now.between is None else now.between.own_window_psi,
                share=0.0,
                drifted=p_adjusted <= alpha,
                smallest_detectable_psi=max(
                    j.smallest_detectable_psi(material_psi=material_psi, alpha=alpha / len(profiles), power=power)
                    for j in windows
                ),
                reference_counts=profile.counts,
                current_counts=tuple(np.asarray(counts[profile.name], dtype=np.int64).tolist()),
                bin_labels=_bin_labels(profile),
            )
        )
    return tuple(sorted(_with_shares(found), key=lambda f: (not f.drifted, -f.excess_psi, f.field)))


@lru_cache(maxsize=1024)
def _bin_labels(profile: FieldProfile) -> tuple[str, ...]:
    return tuple(profile.bin_label(i) for i in range(profile.bins))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """One field in one window."""

    method: Method
    comparison: Comparison
    between: BetweenTest | None
    p_value: float
    p_material: float
    p_between: float | None

    def smallest_detectable_psi(self, *, material_psi: float, alpha: float, power: float) -> float:
        """The lasting shift that every test of this window finds."""
        alone = self.comparison.smallest_detectable_psi(
            self.method, material_psi=material_psi, alpha=alpha, power=power
        )
        if self.between is None or not math.isfinite(alone):
            return alone
        if not self.method.is_ordered:  # in an ordinary window its own scatter is added, or taken away
            d = self.comparison.divergence
            critical = chi_square_critical(alpha, d.bins - 1, material_psi * d.n_eff)
            alone = max(alone, self.between.at(d.n_eff).found_from(critical, power=power) / d.n_eff)
        return max(alone, self.between.smallest_detectable_psi(alpha, power=power))


def _judge(
    reference: Reference,
    profile: FieldProfile,
    counts: Counts,
    method: Method,
    material_psi: float,
    window: Period | None,
) -> _Judged:
    current = _counted(profile, counts)
    comparison = Comparison(
        divergence=divergence(*merge_bins(profile, current)), ordered=ordered_counts(profile, current)
    )
    used = comparison.judged_by(method)
    between = None
    if reference.windows is not None:
        between = compare_with_windows(profile, reference.windows.fields.get(profile.name), current, period=window)
    return _Judged(
        method=used,
        comparison=comparison,
        between=between,
        p_value=comparison.p_value(used),
        p_material=comparison.p_value(used, at_most_psi=material_psi),
        p_between=None if between is None else between.p_value,
    )


def _counted(profile: FieldProfile, counts: Counts) -> npt.NDArray[np.int64]:
    current = np.asarray(counts.get(profile.name, ()), dtype=np.int64)
    if current.size == 0 or current.sum() == 0:
        raise NoDataError("no rows in the window", where=profile.name)
    if current.size != profile.bins:
        raise DataError(f"{current.size} bins counted, {profile.bins} in the reference", where=profile.name)
    return current


def _shifted(window: Period | None, back: int) -> Period | None:
    """The window ``back`` windows earlier."""
    if window is None:
        return None
    start, end = window
    return start - back * (end - start), end - back * (end - start)


def _with_shares(found: Sequence[FieldDrift]) -> list[FieldDrift]:
    """Each field's part in what moved beyond chance: of the fields that drifted, or of all where none did."""
    only_drifted = any(field.drifted for field in found)
    excess = [field.excess_psi if field.drifted or not only_drifted else 0.0 for field in found]
    total = sum(excess)
    return [replace(field, share=each / total) if total else field for field, each in zip(found, excess, strict=True)]


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values. Rejecting those <= alpha keeps the family-wise error at alpha, under any dependence."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted = [1.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """q-values: the smallest false discovery rate at which each would be among those reported."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__, reverse=True)
    adjusted = [1.0] * len(p_values)
    smallest = 1.0
    for rank, index in zip(range(len(p_values), 0, -1), order, strict=True):
        smallest = min(smallest, p_values[index] * len(p_values) / rank)
        adjusted[index] = smallest
    return adjusted
