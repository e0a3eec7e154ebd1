"""The benchmark of healthy years, reduced: no rule ends more of them by a false retrain than its budget says."""

from __future__ import annotations

import pytest
from scipy.stats import binom

from benchmark_modules import load_benchmark


@pytest.mark.parametrize(
    ("rule", "world", "years", "days"),
    [
        ("drift", 0, 4, 180),
        ("slow_drift", 0, 4, 120),
        ("slow_drift", 3, 2, 120),
        ("accuracy_edge", 0, 60, 365),
        ("estimated_accuracy", 2, 15, 365),
    ],
)
def test_healthy_years_end_by_a_false_retrain_no_more_often_than_declared(
    rule: str, world: int, years: int, days: int
) -> None:
    bench = load_benchmark("false_alarms")
    share, _, _ = bench.healthy(rule, bench.HEALTHY[world], years=years, seed=1, days=days)
    assert binom.sf(round(share * years) - 1, years, bench.YEARLY * days / 365) > 0.01
