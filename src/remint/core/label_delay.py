"""How long after its prediction a label arrives: the histogram's bounds, and quantiles of buckets or of delays."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from remint.core.signals import LabelDelay

_MINUTE, _HOUR, _DAY = 60.0, 3_600.0, 86_400.0

#: Upper bounds of ``remint_feedback_delay_seconds``, from a click on the page to a contract that ends.
DELAY_BOUNDS_SECONDS: Final = (
    1.0,
    10.0,
    _MINUTE,
    5 * _MINUTE,
    15 * _MINUTE,
    _HOUR,
    4 * _HOUR,
    12 * _HOUR,
    _DAY,
    2 * _DAY,
    4 * _DAY,
    7 * _DAY,
    14 * _DAY,
    30 * _DAY,
    60 * _DAY,
    90 * _DAY,
    180 * _DAY,
    365 * _DAY,
)


def delay_from_seconds(seconds: Sequence[float]) -> LabelDelay | None:
    """From the delays themselves; None where there is none."""
    if not seconds:
        return None
    median, p90 = np.quantile(np.asarray(seconds, dtype=np.float64), [0.5, 0.9]).tolist()
    return LabelDelay(median_seconds=median, p90_seconds=p90)


def delay_from_buckets(cumulative: Mapping[float, float]) -> LabelDelay | None:
    """From counts of delays up to each upper bound (infinity is all of them); None where nothing was counted.

    Linear within a bucket, as Prometheus does. Beyond the last finite bound, that bound.
    """
    if cumulative.get(math.inf, 0.0) <= 0:
        return None
    return LabelDelay(median_seconds=_quantile(cumulative, 0.5), p90_seconds=_quantile(cumulative, 0.9))


def _quantile(cumulative: Mapping[float, float], share: float) -> float:
    wanted = share * cumulative[math.inf]
    lower = counted = 0.0
    for upper in sorted(cumulative):
        if cumulative[upper] >= wanted and cumulative[upper] > counted:
            return (
                lower
                if math.isinf(upper)
                else lower + (upper - lower) * (wanted - counted) / (cumulative[upper] - counted)
            )
        lower, counted = upper, cumulative[upper]
    return lower
