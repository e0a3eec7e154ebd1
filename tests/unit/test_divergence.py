"""Six distances from counts: against closed forms, SciPy on the raw rows, and simulated null distributions."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency, ks_2samp, norm, wasserstein_distance

from remint.core.bins import merge_bins
from remint.core.divergence import Comparison, Method, divergence, limit_of, sigmas_of
from remint.core.ordered import bridge_tail, ks_critical, ordered_counts, sum_tail, wasserstein_critical
from remint.core.profile import FieldProfile, FieldRole, Measure, quantile_edges

CHI_SQUARES = (Method.PSI, Method.KL, Method.JS, Method.CHI_SQUARE)


def profile_of(values: np.ndarray, *, bins: int = 10, edges: tuple[float, ...] | None = None) -> FieldProfile:
    edges = edges or quantile_edges(values, bins)
    blank = FieldProfile(
        name="x",
        role=FieldRole.FEATURE,
        column="x",
        measure=Measure.VALUE,
        edges=edges,
        values=None,
        counts=(0,) * (len(edges) + 2),
    )
    return FieldProfile(
        **{f: getattr(blank, f) for f in blank.__slots__ if f != "counts"}, counts=tuple(blank.count(values))
    )


def categorical(counts: list[int]) -> FieldProfile:
    return FieldProfile(
        name="c",
        role=FieldRole.FEATURE,
        column="c",
        measure=Measure.VALUE,
        edges=None,
        values=tuple(f"v{i}" for i in range(len(counts) - 2)),
        counts=tuple(counts),
    )


def compare(profile: FieldProfile, current: np.ndarray) -> Comparison:
    return Comparison(divergence=divergence(*merge_bins(profile, current)), ordered=ordered_counts(profile, current))


def of_values(before: np.ndarray, now: np.ndarray, *, bins: int = 10) -> Comparison:
    profile = profile_of(before, bins=bins)
    return compare(profile, profile.count(now))


# -- closed forms ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [0.1, 0.5, 1.0])
def test_a_shifted_gaussian_has_the_distances_that_the_closed_forms_say(shift: float) -> None:
    edges = np.linspace(-7, 8, 601)
    inner = tuple(edges.tolist())
    before, now = (np.diff(norm.cdf(edges, loc=mean)) * 1e12 for mean in (0, shift))
    blank = profile_of(np.zeros(1), edges=inner)
    profile = replace(blank, counts=(0, 0, *before.astype(np.int64).tolist(), 0))
    found = {m: s.value for m, s in compare(profile, np.array([0, 0, *now.astype(np.int64), 0])).scores().items()}

    def js_term(x: float) -> float:
        p, q = norm.pdf(x, loc=shift), norm.pdf(x)
        return float((p * math.log(2 * p / (p + q)) + q * math.log(2 * q / (p + q))) / 2)

    assert found[Method.PSI] == pytest.approx(shift**2, rel=2e-3)
    assert found[Method.KL] == pytest.approx(shift**2 / 2, rel=2e-3)
    assert found[Method.JS] == pytest.approx(quad(js_term, -8, 9)[0], rel=2e-3)
    assert found[Method.KS] == pytest.approx(2 * norm.cdf(shift / 2) - 1, rel=2e-3)
    assert found[Method.WASSERSTEIN] == pytest.approx(shift, rel=2e-3)


@pytest.mark.parametrize("method", list(Method))
def test_sigmas_are_one_currency(method: Method) -> None:
    for shift in (0.05, 0.2):
        assert sigmas_of(method, limit_of(method, shift**2)) == pytest.approx(shift)


# -- SciPy on the raw rows -------------------------------------------------------------------------------------------


def test_distances_from_bins_agree_with_scipy_on_the_raw_rows() -> None:
    rng = np.random.default_rng(0)
    before, now = rng.normal(size=20_000), rng.normal(loc=0.3, size=5_000)
    found = of_values(before, now, bins=40).scores()
    raw = ks_2samp(before, now).statistic
    assert found[Method.KS].value <= raw <= found[Method.KS].high
    assert found[Method.KS].value == pytest.approx(raw, abs=0.01)
    spread = float(np.subtract(*np.quantile(before, [0.75, 0.25]))) / 1.349
    assert found[Method.WASSERSTEIN].value == pytest.approx(wasserstein_distance(before, now) / spread, rel=0.05)


def test_wasserstein_of_the_raw_rows_is_within_its_bin_width_bounds() -> None:
    rng = np.random.default_rng(1)
    for shape in (rng.normal, rng.exponential, rng.uniform):
        before = shape(size=2_000)
        now = np.clip(shape(size=700) * 1.2, before.min(), before.max())
        found = of_values(before, now).score(Method.WASSERSTEIN)
        spread = float(np.subtract(*np.quantile(before, [0.75, 0.25]))) / 1.349
        raw = wasserstein_distance(before, now) / spread
        assert found.low is not None
        assert found.high is not None
        assert found.low * 0.98 <= raw <= found.high * 1.02  # the spread from bins is not that from rows
        assert math.isinf(of_values(before, before + 1).score(Method.WASSERSTEIN).high or 0)


def test_chi_square_and_jensen_shannon_are_those_of_scipy() -> None:
    r, c = np.array([100, 40, 30, 7]), np.array([10, 14, 5, 20])
    found = divergence(r, c)
    expected = chi2_contingency(np.vstack([r, c]), correction=False)
    assert found.n_eff * found.chi_square == pytest.approx(expected.statistic)
    assert found.p_value(Method.CHI_SQUARE) == pytest.approx(expected.pvalue)
    assert found.js == pytest.approx(jensenshannon(r, c) ** 2)


# -- null distributions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [200, 2_000])
@pytest.mark.parametrize("method", CHI_SQUARES)
def test_chi_square_methods_fire_as_often_as_alpha_says(method: Method, rows: int) -> None:
    rng = np.random.default_rng(rows)
    share = np.full(10, 0.1)
    pairs = zip(rng.multinomial(10_000, share, 1_000), rng.multinomial(rows, share, 1_000), strict=True)
    assert 0.03 <= np.mean([divergence(r, c).p_value(method) <= 0.05 for r, c in pairs]) <= 0.072


def bridges(times: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Brownian bridges at ``times``, shape (count, times)."""
    rng = np.random.default_rng(seed)
    steps = np.diff(np.concatenate([[0.0], times, [1.0]]))
    walk = np.cumsum(rng.normal(size=(count, steps.size)) * np.sqrt(steps), axis=1)
    return walk[:, :-1] - walk[:, -1:] * times


TIMES = (
    np.arange(0.1, 1, 0.1),
    np.array([0.002, 0.01, 0.3, 0.305, 0.9, 0.99]),
    np.array([0.5]),
    np.linspace(0.03, 0.97, 25),
)


@pytest.mark.parametrize("times", TIMES)
def test_the_largest_bridge_value_is_distributed_as_in_simulation(times: np.ndarray) -> None:
    largest = np.abs(bridges(times, 40_000, 3)).max(axis=1)
    for level in np.quantile(largest, [0.1, 0.5, 0.9, 0.99, 0.999]):
        share = float(np.mean(largest >= level))
        assert bridge_tail(level, times) == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 40_000))


def test_one_edge_is_a_normal_variable_and_far_tails_keep_their_digits() -> None:
    for level in (0.2, 1.0, 2.3, 4.0):
        assert bridge_tail(level, np.array([0.3])) == pytest.approx(2 * norm.sf(level / math.sqrt(0.21)), rel=1e-6)


@pytest.mark.parametrize("times", TIMES)
def test_the_weighted_sum_of_bridge_values_is_distributed_as_in_simulation(times: np.ndarray) -> None:
    gaps = np.random.default_rng(4).uniform(0.2, 2, times.size)
    sums = np.abs(bridges(times, 60_000, 5)) @ gaps
    for wanted in (0.3, 0.05, 0.01, 1e-3):
        found = sum_tail(float(np.quantile(sums, 1 - wanted)), gaps, times)
        assert found == pytest.approx(wanted, rel=0.1 + 3 / math.sqrt(60_000 * wanted))


@pytest.mark.parametrize(("method", "draws"), [(Method.KS, 400), (Method.WASSERSTEIN, 120)])
def test_ordered_methods_fire_as_often_as_alpha_says(method: Method, draws: int) -> None:
    rng = np.random.default_rng(6)
    profile = profile_of(rng.normal(size=20_000))
    share = np.array(profile.counts) / sum(profile.counts)
    fired = []
    for counts, now in zip(rng.multinomial(4_000, share, draws), rng.multinomial(600, share, draws), strict=True):
        drawn = replace(profile, counts=tuple(counts.tolist()))
        fired.append(compare(drawn, now).p_value(method) <= 0.05)
    assert 0.01 <= np.mean(fired) <= 0.1


def test_critical_values_are_where_the_p_value_is_alpha() -> None:
    profile = profile_of(np.random.default_rng(7).normal(size=5_000))
    counts = compare(profile, np.array([0, 0, *[60] * 10, 0])).ordered
    assert counts is not None
    assert counts.gaps is not None
    root = math.sqrt(counts.n_eff)
    for alpha in (0.05, 1e-3, 1e-5):
        distance = wasserstein_critical(counts, alpha)
        assert sum_tail(root * distance, counts.gaps, counts.edge_shares) == pytest.approx(alpha, rel=1e-6)
        assert alpha * 0.5 <= bridge_tail(root * ks_critical(counts, alpha), counts.edge_shares) <= alpha


# -- what must not blind a test --------------------------------------------------------------------------------------


def p_of_shift(before: np.ndarray, now: np.ndarray) -> dict[Method, float]:
    found = of_values(before, now)
    return {method: found.p_value(found.judged_by(method), at_most_psi=0.02) for method in Method}


def test_one_far_value_blinds_no_method_to_half_a_sigma() -> None:
    rng = np.random.default_rng(8)
    before, now = rng.normal(size=10_000), rng.normal(loc=0.5, size=1_000)
    for spoilt, window in (
        (np.append(before, 1e6), now),
        (before, np.append(now, 1e6)),
        (np.append(before, -np.inf), now),
    ):
        assert max(p_of_shift(spoilt, window).values()) < 1e-6


@pytest.mark.parametrize("scale", ["cauchy", "lognormal"])
def test_heavy_tails_blind_no_method(scale: str) -> None:
    rng = np.random.default_rng(9)
    draw = {"cauchy": rng.standard_cauchy, "lognormal": lambda size: rng.lognormal(0, 2, size)}[scale]
    before = draw(size=10_000)
    middle = float(np.subtract(*np.quantile(before, [0.75, 0.25])))
    assert max(p_of_shift(before, draw(size=2_000) + middle).values()) < 1e-6
    assert min(p_of_shift(before, draw(size=2_000)).values()) > 1e-3


def test_a_constant_that_moves_is_found_and_one_that_stays_is_not() -> None:
    same = np.full(1_000, 7.0)
    assert max(p_of_shift(same, np.full(300, 8.0)).values()) < 1e-6
    assert min(p_of_shift(same, np.full(300, 7.0)).values()) == 1


def test_values_that_go_missing_are_found_by_every_method_and_a_column_always_missing_is_quiet() -> None:
    rng = np.random.default_rng(10)
    before, now = rng.normal(size=5_000), rng.normal(size=1_000)
    nothing = np.full(500, np.nan)
    now[:200] = np.nan
    assert max(p_of_shift(before, now).values()) < 1e-6
    assert max(p_of_shift(before, nothing).values()) < 1e-6
    assert min(p_of_shift(nothing, nothing).values()) == 1
    assert max(p_of_shift(nothing, before).values()) < 1e-6


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(-1e9, 1e9) | st.just(math.nan) | st.just(math.inf), min_size=5, max_size=60),
    st.lists(st.floats(-1e9, 1e9) | st.just(math.nan) | st.just(-math.inf), min_size=1, max_size=60),
)
def test_every_method_answers_with_a_probability_whatever_the_values(before: list[float], now: list[float]) -> None:
    found = of_values(np.array(before), np.array(now))
    for method in Method:
        used = found.judged_by(method)
        p_values = [found.p_value(used, at_most_psi=limit) for limit in (0.0, 0.02, 0.2)]
        assert all(0 <= p <= 1 for p in p_values)
        assert p_values == sorted(p_values)
        assert found.smallest_detectable_psi(used, material_psi=0.02, alpha=1e-3) > 0


# -- what a method cannot judge --------------------------------------------------------------------------------------


def test_a_field_without_order_is_judged_by_chi_square_and_says_so() -> None:
    found = compare(categorical([0, 0, 500, 500]), np.array([0, 0, 90, 10]))
    assert [found.judged_by(method) for method in Method] == [*CHI_SQUARES, Method.CHI_SQUARE, Method.CHI_SQUARE]
    assert set(found.scores()) == set(CHI_SQUARES)


def test_a_field_without_spread_is_not_measured_in_spreads() -> None:
    found = of_values(np.full(500, 3.0), np.full(100, 3.0))
    assert found.judged_by(Method.WASSERSTEIN) is Method.CHI_SQUARE
    assert found.judged_by(Method.KS) is Method.KS


def test_few_values_are_measured_at_their_places() -> None:
    rng = np.random.default_rng(11)
    before, now = rng.integers(0, 5, 4_000).astype(float), np.clip(rng.integers(0, 5, 900) + 1.0, 0, 4)
    found = of_values(before, now).score(Method.WASSERSTEIN)
    assert found.value == pytest.approx(wasserstein_distance(before, now) / before.std(), rel=0.01)


@pytest.mark.parametrize("method", [Method.JS, Method.KS, Method.WASSERSTEIN])
def test_the_smallest_detectable_shift_is_found_in_four_of_five_windows_or_more(method: Method) -> None:
    rng = np.random.default_rng(12)
    edges = norm.ppf(np.linspace(0, 1, 11))
    profile = profile_of(np.zeros(1), edges=(-4.0, *edges[1:-1].tolist(), 4.0))
    profile = replace(profile, counts=(0, 0, *[1_000] * 10, 0))

    def shares(shift: float) -> np.ndarray:
        return np.concatenate([[0, 0], np.diff(norm.cdf(edges, loc=shift)), [0]])

    wanted = compare(profile, (shares(0) * 1_000).astype(np.int64)).smallest_detectable_psi(
        method, material_psi=0.02, alpha=1e-3
    )
    # The shift whose distance, as these bins see it, is the one that was promised
    found = [compare(profile, (shares(s) * 1e9).astype(np.int64)).score(method).sigmas for s in np.arange(0, 0.6, 0.02)]
    shift = float(np.interp(math.sqrt(wanted), found, np.arange(0, 0.6, 0.02)))
    hits = []
    for before, now in zip(
        rng.multinomial(10_000, shares(0), 120), rng.multinomial(1_000, shares(shift), 120), strict=True
    ):
        drawn = replace(profile, counts=tuple(before.tolist()))
        hits.append(compare(drawn, now).p_value(method, at_most_psi=0.02) <= 1e-3)
    assert np.mean(hits) >= 0.74
    assert shift < 0.45
