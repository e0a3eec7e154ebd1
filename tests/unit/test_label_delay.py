"""Median and 90th percentile of label delays, from buckets and from the delays themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest

from remint.core.label_delay import DELAY_BOUNDS_SECONDS, delay_from_buckets, delay_from_seconds


def test_nothing_counted_has_no_delay() -> None:
    assert delay_from_seconds([]) is None
    assert delay_from_buckets({}) is None
    assert delay_from_buckets({1.0: 0, math.inf: 0}) is None


def test_quantiles_lie_linearly_within_their_bucket() -> None:
    found = delay_from_buckets({10.0: 0, 20.0: 10, math.inf: 10})
    assert found is not None
    assert (found.median_seconds, found.p90_seconds) == (15, 19)


def test_empty_buckets_are_passed_over() -> None:
    found = delay_from_buckets({1.0: 5, 10.0: 5, 100.0: 5, 1000.0: 10, math.inf: 10})
    assert found is not None
    assert found.median_seconds == 1
    assert found.p90_seconds == pytest.approx(100 + 900 * 4 / 5)


def test_beyond_the_last_bound_that_bound_is_said() -> None:
    found = delay_from_buckets({1.0: 0, 10.0: 1, math.inf: 10})
    assert found is not None
    assert found.median_seconds == found.p90_seconds == 10


def test_buckets_and_delays_agree_within_a_bucket() -> None:
    delays = np.random.default_rng(3).lognormal(math.log(86_400), 1.5, size=5_000)
    bounds = np.array([*DELAY_BOUNDS_SECONDS, math.inf])
    buckets = {float(bound): float((delays <= bound).sum()) for bound in bounds}
    exact, found = delay_from_seconds(delays.tolist()), delay_from_buckets(buckets)
    assert exact is not None
    assert found is not None
    for seconds, estimate in ((exact.median_seconds, found.median_seconds), (exact.p90_seconds, found.p90_seconds)):
        upper = int(np.searchsorted(bounds, seconds))
        assert bounds[upper - 1] <= estimate <= bounds[upper]
