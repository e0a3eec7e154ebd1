"""Ordinary windows raise no alarm, whatever makes them differ; windows that moved further than they do."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from scipy.stats import chi2, f, norm

from remint.core.between_windows import Ordinary, compare_with_windows
from remint.core.drift import measure_drift
from remint.core.profile import FieldProfile, FieldRole, Measure, Reference
from remint.core.reference_windows import FieldWindows, ReferenceWindows
from remint.core.scatter import CHANCES, Scatter

DAY = 86_400
MONDAY = datetime(2026, 11, 16, tzinfo=UTC)
EDGES = norm.ppf(np.linspace(0, 1, 11))
PROFILE = FieldProfile(
    name="x",
    role=FieldRole.FEATURE,
    column="x",
    measure=Measure.VALUE,
    edges=tuple(float(i) for i in range(11)),
    values=None,
    counts=(0, 0, *[6_000] * 10, 0),
)


def counts_at(shifts: np.ndarray, rows: int, rng: np.random.Generator) -> np.ndarray:
    """Counts of windows of a normal variable whose mean is at ``shifts``, shape (windows, bins)."""
    shares = np.diff(norm.cdf(EDGES[None, :] - shifts[:, None]), axis=1)
    return np.pad(rng.multinomial(rows, shares), ((0, 0), (2, 1)))


def windows_at(shifts: np.ndarray, rows: int, rng: np.random.Generator, *, weekdays: bool = False) -> FieldWindows:
    phases = tuple(i % 7 if weekdays else 0 for i in range(len(shifts)))
    return FieldWindows(length_seconds=DAY, phases=phases, counts=counts_at(shifts, rows, rng))


def p_values(scatter: float, *, rows: int, live_rows: int, memory: float = 0.0, seed: int = 0) -> np.ndarray:
    """Of ordinary windows whose mean moves by ``scatter`` sigmas from one to the next."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(25):
        noise = rng.normal(size=120) * np.sqrt(1 - memory**2)
        shifts = np.zeros(120)
        for i in range(1, 120):
            shifts[i] = memory * shifts[i - 1] + noise[i]
        shifts *= scatter
        windows = windows_at(shifts[20:80], rows, rng)
        found += [compare_with_windows(PROFILE, windows, c) for c in counts_at(shifts[80:], live_rows, rng)]
    return np.array([test.p_value for test in found if test is not None])


@pytest.mark.parametrize(
    ("scatter", "rows", "live_rows"),
    [(0.0, 1_000, 1_000), (0.067, 1_000, 1_000), (0.3, 1_000, 1_000), (0.134, 300, 3_000), (0.134, 3_000, 300)],
)
def test_ordinary_windows_fire_at_most_as_often_as_alpha_says(scatter: float, rows: int, live_rows: int) -> None:
    found = p_values(scatter, rows=rows, live_rows=live_rows)
    assert np.mean(found <= 0.01) <= 0.02
    assert np.mean(found <= 1e-3) <= 3e-3


def test_days_that_are_like_the_day_before_are_allowed_for() -> None:
    assert np.mean(p_values(0.134, rows=1_000, live_rows=1_000, memory=0.7) <= 0.01) <= 0.03


def test_a_shift_beyond_what_ordinary_windows_do_is_found() -> None:
    rng = np.random.default_rng(1)
    windows = windows_at(rng.normal(0, 0.05, 60), 2_000, rng)
    for shift, least in ((0.5, 0.0), (0.05, 1e-3)):
        test = compare_with_windows(PROFILE, windows, counts_at(np.array([shift]), 2_000, rng)[0])
        assert test is not None
        assert (test.p_value < 1e-6) is (least == 0.0)
        assert test.p_value >= least


def test_a_quiet_saturday_is_like_other_saturdays() -> None:
    rng = np.random.default_rng(2)
    week = np.array([0.0, 0, 0, 0, 0.1, 0.6, 0.6])
    windows = windows_at(np.tile(week, 9), 2_000, rng, weekdays=True)
    saturday = counts_at(np.array([0.6]), 2_000, rng)[0]
    on = {
        day: compare_with_windows(
            PROFILE, windows, saturday, period=(MONDAY + timedelta(days=day), MONDAY + timedelta(days=day + 1))
        )
        for day in (1, 5)
    }
    assert on[5] is not None
    assert on[5].p_value > 1e-3
    assert on[1] is not None
    assert on[1].p_value < 1e-9


def test_a_window_of_unknown_weekday_is_compared_with_all_of_them() -> None:
    rng = np.random.default_rng(3)
    windows = windows_at(np.tile([0.0, 0, 0, 0, 0.1, 0.6, 0.6], 9), 2_000, rng, weekdays=True)
    test = compare_with_windows(PROFILE, windows, counts_at(np.array([0.6]), 2_000, rng)[0])
    assert test is not None
    assert test.p_value > 1e-3


def test_a_window_shorter_than_the_references_may_differ_more() -> None:
    rng = np.random.default_rng(4)
    windows = windows_at(rng.normal(0, 0.1, 60), 2_000, rng)
    current = counts_at(np.array([0.4]), 2_000, rng)[0]
    whole = compare_with_windows(PROFILE, windows, current, period=(MONDAY, MONDAY + timedelta(days=1)))
    part = compare_with_windows(PROFILE, windows, current, period=(MONDAY, MONDAY + timedelta(hours=6)))
    assert whole is not None
    assert part is not None
    assert part.own_window_psi == pytest.approx(4 * whole.own_window_psi)
    assert part.p_value > whole.p_value


def test_too_few_windows_say_nothing() -> None:
    rng = np.random.default_rng(5)
    current = counts_at(np.zeros(1), 500, rng)[0]
    assert compare_with_windows(PROFILE, windows_at(np.zeros(19), 500, rng), current) is None
    assert compare_with_windows(PROFILE, None, current) is None


def test_where_one_direction_scatters_and_rows_are_equal_it_is_the_f_test() -> None:
    scatter = Scatter(
        windows=51,
        by_phase=False,
        freedom=1,
        trace=100.0,
        moments=np.array([[50.0, -50.0], [-50.0, 50.0]]),
        size=1_000.0,
        estimated_on=50.0,
        own_psi=0.099,
        square=0.0098,
        inflation=1.0,
    )
    assert scatter.along(np.array([1.0, -1.0])) == pytest.approx(100)
    ordinary = Ordinary.at(scatter.plausible(100.0), CHANCES, freedom=1, size=1_000.0)
    for statistic in (100.0, 400.0, 1_500.0, 4_000.0, 6_000.0):  # down to 4e-10
        assert ordinary.p_value(statistic) == pytest.approx(f.sf(statistic / 100, 1, 50), rel=1e-3)


def known(large: float, scale: float, freedom: float) -> Ordinary:
    one = np.ones(1)
    return Ordinary(large=large * one, scale=scale * one, freedom=freedom * one, chances=one)


def test_where_chance_is_all_there_is_and_that_is_known_it_is_a_chi_square() -> None:
    for statistic in (0.5, 9.0, 40.0, 80.0, 200.0):
        assert known(1.0, 1.0, 8.0).p_value(statistic) == pytest.approx(chi2.sf(statistic, 9), rel=1e-3)


def test_unequal_scatter_is_distributed_as_in_simulation() -> None:
    rng = np.random.default_rng(6)
    drawn = 20 * rng.chisquare(1, 400_000) + 1.5 * rng.chisquare(8, 400_000)
    for share in (0.5, 0.05, 1e-3, 1e-4):
        level = float(np.quantile(drawn, 1 - share))
        assert known(20.0, 1.5, 8.0).p_value(level) == pytest.approx(share, rel=0.02 + 3 / np.sqrt(400_000 * share))


@pytest.mark.parametrize(("large", "scale"), [(1.0, 1.0), (20.0, 1.5), (1e4, 1.0), (1.0, 50.0)])
def test_the_critical_value_has_its_p_value(large: float, scale: float) -> None:
    for alpha in (0.5, 0.01, 1e-6):
        ordinary = known(large, scale, 8.0)
        assert ordinary.p_value(ordinary.critical(alpha)) == pytest.approx(alpha, rel=0.06)


def test_a_week_is_judged_by_small_days() -> None:
    """Chance is known, however few rows a day of the reference had."""
    rng = np.random.default_rng(10)
    week = (MONDAY, MONDAY + timedelta(days=7))
    for _ in range(5):
        windows = windows_at(np.zeros(60), 167, rng, weekdays=True)
        shifted, same = counts_at(np.array([0.5, 0.0]), 7_000, rng)
        found = compare_with_windows(PROFILE, windows, shifted, period=week)
        quiet = compare_with_windows(PROFILE, windows, same, period=week)
        assert found is not None
        assert found.p_value < 1e-4
        assert quiet is not None
        assert quiet.p_value > 0.01


def test_what_weekdays_differ_by_does_not_count_in_a_whole_week() -> None:
    rng = np.random.default_rng(11)
    pattern = np.tile([0.0, 0, 0, 0, 0.1, 0.6, 0.6], 9)
    windows = windows_at(pattern[:60], 1_000, rng, weekdays=True)
    week = counts_at(pattern[:7] + 0.2, 1_000, rng).sum(axis=0)
    whole = compare_with_windows(PROFILE, windows, week, period=(MONDAY, MONDAY + timedelta(days=7)))
    part = compare_with_windows(PROFILE, windows, week, period=(MONDAY, MONDAY + timedelta(days=5)))
    assert whole is not None
    assert whole.p_value < 1e-6
    assert part is not None
    assert part.p_value > 1e-3


def test_weekdays_that_do_not_differ_are_compared_with_all_days() -> None:
    rng = np.random.default_rng(13)
    tuesday = (MONDAY + timedelta(days=1), MONDAY + timedelta(days=2))
    for weekend, of_a_weekday in ((0.0, False), (0.4, True)):
        pattern = np.tile([0.0, 0, 0, 0, 0, weekend, weekend], 9)
        windows = windows_at(pattern, 1_000, rng, weekdays=True)
        test = compare_with_windows(PROFILE, windows, counts_at(np.zeros(1), 1_000, rng)[0], period=tuesday)
        assert test is not None
        assert test.scatter.by_phase is of_a_weekday


def test_a_drift_check_needs_both_material_and_beyond_ordinary() -> None:
    rng = np.random.default_rng(7)
    windows = windows_at(rng.normal(0, 0.15, 60), 2_000, rng)
    profile = replace(PROFILE, counts=tuple(windows.counts.sum(axis=0).tolist()))
    plain = Reference(id="r", pipeline="p", training_rows=1, fields=(profile,), vocabularies={})
    knowing = replace(plain, windows=ReferenceWindows(fields={"x": windows}))

    def drifted(reference: Reference, shift: float) -> bool:
        counts = {"x": counts_at(np.array([shift]), 2_000, np.random.default_rng(8))[0]}
        (found,) = measure_drift(reference, counts, role=FieldRole.FEATURE, material_psi=0.02, alpha=1e-4)
        return found.drifted

    assert drifted(plain, 0.35)
    assert not drifted(knowing, 0.35)  # 2.3 ordinary days
    assert drifted(knowing, 1.2)


def test_the_smallest_detectable_shift_holds_for_the_test_between_windows() -> None:
    rng = np.random.default_rng(9)
    scatter, alpha, hits, promised = 0.1, 1e-3, [], []
    for _ in range(12):
        windows = windows_at(rng.normal(0, scatter, 60), 1_000, rng)
        profile = replace(PROFILE, counts=tuple(windows.counts.sum(axis=0).tolist()))
        reference = Reference(
            id="r",
            pipeline="p",
            training_rows=1,
            fields=(profile,),
            vocabularies={},
            windows=ReferenceWindows(fields={"x": windows}),
        )

        def check(shift: float, reference: Reference = reference) -> tuple[bool, float]:
            counts = {"x": counts_at(np.array([shift]), 1_000, rng)[0]}
            (found,) = measure_drift(reference, counts, role=FieldRole.FEATURE, material_psi=0.02, alpha=alpha)
            return found.drifted, found.smallest_detectable_psi

        wanted = np.sqrt(check(0.0)[1])
        promised.append(wanted)
        hits += [check(wanted * 1.03 + rng.normal(0, scatter))[0] for _ in range(25)]  # ten bins see 0.95 of the PSI
    assert 0.7 <= np.mean(hits) <= 0.97
    assert 0.3 < np.mean(promised) < 0.8
