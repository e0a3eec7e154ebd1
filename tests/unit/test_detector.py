"""The e-detector: known values, its promise kept in simulation, and what it says about slow drift."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gammaln
from scipy.stats import norm

from remint.core.detector import Detection, detect, log_e_values, null_radius, restarts, spread_of_windows
from remint.core.profile import FieldProfile, FieldRole, Measure, Reference
from remint.core.reference_windows import FieldWindows, ReferenceWindows
from remint.core.rule_slow_drift import slow_drift_rule
from remint.core.signals import WindowCounts
from remint.core.trigger import RuleState
from remint.errors import NoDataError, Silence

PROMOTED = datetime(2026, 1, 5, tzinfo=UTC)
HOURS = timedelta(hours=6)
DAY = timedelta(days=1)
EDGES = norm.ppf(np.linspace(0, 1, 11)[1:-1])
Counts = npt.NDArray[np.int64]


def shares(mean: float = 0.0) -> npt.NDArray[np.float64]:
    """Of missing, below, ten tenths of a standard normal moved by ``mean``, and above."""
    return np.concatenate([[0, 0], np.diff(norm.cdf(EDGES - mean), prepend=0, append=1), [0]])


def make_reference(*fields: Counts, windows: Counts | None = None) -> Reference:
    """``windows``: counts of days, of the first field."""
    profiles = tuple(
        FieldProfile(
            name=f"f{i}",
            role=FieldRole.FEATURE,
            column=f"f{i}",
            measure=Measure.VALUE,
            edges=tuple(float(k) for k in range(len(counts) - 2)),
            values=None,
            counts=tuple(counts.tolist()),
        )
        for i, counts in enumerate(fields)
    )
    known = None
    if windows is not None:
        phases = tuple(k % 7 for k in range(len(windows)))
        known = ReferenceWindows(fields={"f0": FieldWindows(length_seconds=86_400, phases=phases, counts=windows)})
    return Reference(
        id="r", pipeline="p", training_rows=int(fields[0].sum()), fields=profiles, vocabularies={}, windows=known
    )


def detected(reference: Reference, daily: Counts, *, yearly: float = 0.2, days: int | None = None) -> Detection:
    """After ``daily`` counts, (days, fields, bins), with a restart a day."""
    now = PROMOTED + (days or len(daily)) * DAY
    by_restart = []
    for start in restarts(PROMOTED, now, DAY):
        counts = daily[(start - PROMOTED) // DAY :].sum(axis=0)
        by_restart.append((start, {f.name: counts[i] for i, f in enumerate(reference.fields)}))
    return detect(
        reference,
        by_restart,
        role=FieldRole.FEATURE,
        material_psi=0.005,
        yearly=yearly,
        checks_a_year=365,
        promoted_at=PROMOTED,
        now=now,
    )


# -- restarts --------------------------------------------------------------------------------------------------------


@given(steps=st.integers(1, 10_000))
def test_restarts_are_few_and_reach_from_now_back_to_the_promotion_in_steps_below_four_times(steps: int) -> None:
    found = [(at - PROMOTED) // HOURS for at in restarts(PROMOTED, PROMOTED + steps * HOURS, HOURS)]
    assert found == sorted(set(found))
    assert found[0] == 0
    assert found[-1] == steps - 1
    assert len(found) <= 2 * steps.bit_length()
    ages = [steps - k for k in found]
    assert all(older < 4 * younger for older, younger in pairwise(ages))


@given(steps=st.integers(1, 500))
def test_a_restart_that_was_dropped_never_comes_back(steps: int) -> None:
    now, after = (set(restarts(PROMOTED, PROMOTED + k * HOURS, HOURS)) for k in (steps, steps + 1))
    assert after - now == {PROMOTED + steps * HOURS}


def test_a_champion_promoted_this_moment_has_no_restart_and_one_of_a_minute_ago_has_one() -> None:
    assert restarts(PROMOTED, PROMOTED, HOURS) == ()
    assert restarts(PROMOTED, PROMOTED - DAY, HOURS) == ()
    assert restarts(PROMOTED, PROMOTED + timedelta(minutes=1), HOURS) == (PROMOTED,)


# -- the e-value of one field ----------------------------------------------------------------------------------------


def test_with_a_null_of_one_point_it_is_the_mixture_of_likelihood_ratios() -> None:
    """Radius 0 leaves the reference's own shares; Dirichlet-multinomials by their definition."""
    r, c = np.array([40.0, 60.0]), np.array([9.0, 3.0])
    smoothed = (r + 0.5) / 101
    mixed = 0.0
    for a in (20.0, 200.0, 2000.0):
        alpha = a * smoothed
        mixed += math.exp(gammaln(a) - gammaln(a + 12) + float((gammaln(alpha + c) - gammaln(alpha)).sum())) / 3
    null = 0.4**9 * 0.6**3
    assert float(log_e_values(r, c, 0.0)) == pytest.approx(math.log(mixed / null), abs=1e-5)


def test_the_largest_likelihood_of_the_null_is_the_one_that_a_search_finds() -> None:
    r, c, radius = np.array([50.0, 50.0]), np.array([70.0, 30.0]), 2.0
    p = np.linspace(1e-6, 1 - 1e-6, 400_001)
    inside = 50 * np.log(0.5 / p) + 50 * np.log(0.5 / (1 - p)) <= radius
    largest = float(np.max((70 * np.log(p) + 30 * np.log(1 - p))[inside]))
    free = float(log_e_values(r, c, math.inf)) + 70 * math.log(0.7) + 30 * math.log(0.3)  # the mixture alone
    assert free - float(log_e_values(r, c, radius)) == pytest.approx(largest, abs=1e-4)


@given(
    r=st.lists(st.integers(0, 500), min_size=2, max_size=8).filter(lambda x: sum(x) > 0),
    seed=st.integers(0, 1_000),
    rows=st.sampled_from([0, 1, 7, 10_000, 10_000_000]),
    radius=st.sampled_from([0.5, 20.0, 1e4, math.inf]),
)
@settings(max_examples=60, deadline=None)
def test_it_is_a_number_whatever_is_empty_and_no_evidence_within_the_null(
    r: list[int], seed: int, rows: int, radius: float
) -> None:
    random = np.random.default_rng(seed)
    c = random.multinomial(rows, random.dirichlet(np.full(len(r), 0.3)))
    found = float(log_e_values(r, c, radius))
    assert math.isfinite(found)
    if rows == 0 or math.isinf(radius):
        assert found <= 1e-9
    assert found <= float(log_e_values(r, c, radius / 2)) + 1e-4  # a wider null is less evidence


def test_the_null_is_missed_no_more_often_than_said_also_with_rare_bins() -> None:
    random = np.random.default_rng(3)
    p = np.array([0.5, 0.3, 0.15, 0.03, 0.01, 0.006, 0.004])
    missed = []
    for r in random.multinomial(500, p, size=1_500):
        held = r > 0
        distance = float((r[held] * np.log(r[held] / 500 / p[held])).sum())
        missed.append(distance > null_radius(r, eta=0.02, material_psi=0.0))
    assert np.mean(missed) <= 0.03


def test_looking_at_every_step_the_e_value_reaches_its_limit_no_more_often_than_one_in_the_limit() -> None:
    """Against a known reference, the hardest null: 20 looks, the running maximum, every start at zero."""
    random = np.random.default_rng(1)
    reference = 1e9 * np.full(5, 0.2)
    steps = random.multinomial(40, np.full(5, 0.2), size=(2_000, 20))
    log_e = log_e_values(reference, steps.cumsum(axis=1), 0.0)
    assert np.mean(log_e.max(axis=1) >= math.log(20)) <= 0.05
    assert np.mean(np.exp(log_e[:, -1])) <= 1.2


# -- many fields and starts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mean", "days", "expected"), [(0.0, 90, False), (0.25, 60, True), (0.5, 3, True)])
def test_a_lasting_shift_of_one_field_of_five_is_found_and_named(mean: float, days: int, expected: bool) -> None:
    random = np.random.default_rng(0)
    reference = make_reference(*random.multinomial(10_000, shares(), size=5))
    daily = np.stack([random.multinomial(1_000, shares(mean if i == 2 else 0.0), size=days) for i in range(5)], axis=1)
    found = detected(reference, daily)
    assert found.detected is expected
    assert (found.fields[0].field == "f2") or not expected
    assert 0 <= found.p_bound <= 1
    assert not found.knows_variation


def test_a_shift_of_the_smallest_size_that_would_have_been_found_is_found() -> None:
    random = np.random.default_rng(5)
    reference = make_reference(random.multinomial(10_000, shares()))
    quiet = detected(reference, random.multinomial(1_000, shares(), size=(64, 1)))
    assert not quiet.detected
    smallest = math.sqrt(quiet.smallest_detectable_psi)
    assert 0.08 < smallest < 0.2
    hits = [detected(reference, random.multinomial(1_000, shares(smallest), size=(64, 1))).detected for _ in range(20)]
    assert sum(hits) >= 14


@given(seed=st.integers(0, 50), parts=st.integers(2, 5))
@settings(max_examples=10, deadline=None)
def test_how_often_rows_were_counted_on_the_way_does_not_matter(seed: int, parts: int) -> None:
    random = np.random.default_rng(seed)
    reference = make_reference(random.multinomial(2_000, shares()))
    c = random.multinomial(200, shares(0.3), size=parts)
    once = log_e_values(reference.fields[0].counts, c.sum(axis=0), 5.0)
    merged = log_e_values(reference.fields[0].counts, np.add.reduce(c[::-1]), 5.0)
    assert float(once) == pytest.approx(float(merged))


def test_more_of_the_same_shift_is_more_evidence() -> None:
    reference = make_reference(np.round(10_000 * shares()).astype(np.int64))
    by_days = [detected(reference, np.round(1_000 * shares(0.2)).astype(np.int64)[None, None].repeat(n, axis=0))
               for n in (2, 8, 32)]  # fmt: skip
    assert by_days[0].log_e < by_days[1].log_e < by_days[2].log_e
    smallest = [found.smallest_detectable_psi for found in by_days]
    assert smallest[0] > smallest[1] > smallest[2]


def test_days_that_always_differed_are_no_drift_where_the_reference_knows_its_days() -> None:
    random = np.random.default_rng(2)

    def days(number: int, rows: int) -> Counts:
        return np.stack([random.multinomial(rows, shares(m)) for m in 0.2 * random.normal(size=number)])

    before = days(60, 1_000)
    live = days(40, 1_000)[:, None]
    blind, known = make_reference(before.sum(axis=0)), make_reference(before.sum(axis=0), windows=before)
    assert any(detected(blind, live[:k]).detected for k in range(1, 41))
    found = [detected(known, live[:k]) for k in range(1, 41)]
    assert not any(each.detected for each in found)
    assert all(each.knows_variation for each in found)


def test_scatter_is_measured_along_its_worst_direction() -> None:
    random = np.random.default_rng(4)
    plain = random.multinomial(1_000, shares(), size=60)
    moved = np.stack([random.multinomial(1_000, shares(m)) for m in 0.2 * random.normal(size=60)])
    assert 1 <= spread_of_windows(plain) <= 2.5
    assert 1 + 1_000 * 0.04 * 0.6 <= spread_of_windows(moved) <= 1 + 1_000 * 0.04 * 2.5
    assert spread_of_windows(plain[:1]) == spread_of_windows(plain[:, :3]) == 1


# -- the rule --------------------------------------------------------------------------------------------------------


def rule(daily: Counts, *, windows: Counts | None = None, age: timedelta | None = None, min_rows: int = 200):  # type: ignore[no-untyped-def]
    reference = make_reference(np.round(10_000 * shares()).astype(np.int64), windows=windows)
    now = PROMOTED + (age or len(daily) * DAY)
    counted = []
    for start in restarts(PROMOTED, now, DAY):
        counts = daily[(start - PROMOTED) // DAY :].sum(axis=0)
        counted.append((start, WindowCounts(rows=int(counts.sum()), counts={"f0": counts})))
    return slow_drift_rule(
        "slow",
        counted,
        reference,
        role=FieldRole.FEATURE,
        material_psi=0.005,
        yearly=0.2,
        checks_a_year=365,
        min_rows=min_rows,
        promoted_at=PROMOTED,
        now=now,
    )


def test_the_rule_says_which_field_by_how_much_since_when_and_that_it_sees_no_concept_drift() -> None:
    found = rule(np.round(1_000 * shares(0.2)).astype(np.int64)[None].repeat(30, axis=0))
    assert found.fired
    assert found.reason.startswith("slow drift: f0 by 0.2")
    assert "since 2026-01-" in found.reason
    assert "how much ordinary days differ is not known" in found.reason
    assert found.findings[0].evidence["sees_concept_drift"] is False


def test_a_quiet_rule_says_what_it_would_have_found() -> None:
    found = rule(np.round(1_000 * shares()).astype(np.int64)[None].repeat(30, axis=0))
    assert not found.fired
    assert "sigma would have been found" in found.reason


def test_too_few_rows_since_the_promotion_are_no_data() -> None:
    found = rule(np.round(10 * shares()).astype(np.int64)[None], min_rows=200)
    assert (found.state, found.silence) == (RuleState.NO_DATA, Silence.TOO_FEW)


def test_an_hour_says_nothing_where_only_days_are_known() -> None:
    windows = np.random.default_rng(0).multinomial(1_000, shares(), size=30)
    counts = np.round(1_000 * shares(1.0)).astype(np.int64)[None]
    found = rule(counts, windows=windows, age=timedelta(hours=1))
    assert (found.state, found.silence) == (RuleState.NO_DATA, Silence.TOO_FEW)
    assert "judged from 2026-01-06" in found.reason
    assert rule(counts, windows=windows, age=DAY).state is RuleState.OK


def test_a_field_without_rows_is_no_data() -> None:
    with pytest.raises(NoDataError):
        detected(make_reference(np.round(1_000 * shares()).astype(np.int64)), np.zeros((3, 1, 13), dtype=np.int64))
