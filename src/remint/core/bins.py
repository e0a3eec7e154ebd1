"""Which bins are judged together, so that no bin is too small for the chi-square distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from remint.core.profile import FIRST, MISSING, UNSEEN, FieldProfile

_MIN_EXPECTED: Final = 5.0  # rows that the pooled share must expect of a bin on either side

Groups = tuple[tuple[int, ...], ...]


def merge_bins(
    profile: FieldProfile, current: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Reference and current counts over fewer bins, none too small for the chi-square distribution.

    Merging looks at the pooled counts only, never at which side a row is from.
    """
    reference = np.asarray(profile.counts, dtype=np.int64)
    smaller = min(int(reference.sum()), int(current.sum()))
    groups = group_bins(profile, reference + current, smaller=smaller)
    return sums(reference, groups), sums(current, groups)


def group_bins(profile: FieldProfile, pooled: npt.NDArray[np.int64], *, smaller: int) -> Groups:
    """Bin indices that go together. ``pooled`` are counts by bin, ``smaller`` the rows of the smaller side.

    Missing (and, of a categorical field, unseen) stay bins of their own where a row fell into them. Neighbouring bins
    of a numeric field, also those below and above the range, and the rare values of a categorical one are merged until
    either side would expect five rows.
    """
    held = pooled.tolist()
    enough = _MIN_EXPECTED * sum(held) / smaller if smaller else math.inf
    apart = [MISSING] if profile.is_numeric else [MISSING, UNSEEN]
    groups: list[tuple[int, ...]] = [(i,) for i in apart if held[i]]
    rest = list(range(len(apart), profile.bins)) if profile.is_numeric else list(range(FIRST, profile.bins))
    if not profile.is_numeric:
        rest.sort(key=lambda i: (held[i], i))
    groups.extend(_runs(rest, held, enough))
    return tuple(groups)


def sums(counts: npt.NDArray[np.int64], groups: Groups) -> npt.NDArray[np.int64]:
    """Counts by group; the last axis of ``counts`` is the bins."""
    return np.asarray(counts @ _membership(groups, counts.shape[-1]))


@lru_cache(maxsize=1024)
def _membership(groups: Groups, bins: int) -> npt.NDArray[np.int64]:
    """1 where a bin is in a group; shape (bins, groups)."""
    members = np.zeros((bins, len(groups)), dtype=np.int64)
    for i, group in enumerate(groups):
        members[list(group), i] = 1
    return members


def _runs(order: Sequence[int], pooled: Sequence[int], enough: float) -> list[tuple[int, ...]]:
    """Consecutive runs of ``order`` that hold ``enough`` rows each; what is left over joins the last run."""
    groups: list[tuple[int, ...]] = []
    run: list[int] = []
    held = 0
    for i in order:
        run.append(i)
        held += pooled[i]
        if held >= enough:
            groups.append(tuple(run))
            run, held = [], 0
    if groups:
        groups[-1] = (*groups[-1], *run)
    elif held:
        groups.append(tuple(run))
    return groups
