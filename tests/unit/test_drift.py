"""PSI, KL and their null distribution: against closed forms, SciPy, and simulated nulls."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy, false_discovery_control, norm

from remint.core.bins import merge_bins
from remint.core.divergence import Method, divergence, smallest_detectable_psi
from remint.core.drift import benjamini_hochberg, holm, measure_drift
from remint.core.profile import FieldProfile, FieldRole, Measure, Reference
from remint.core.rule_drift import drift_rule
from remint.core.signals import WindowCounts
from remint.errors import DataError, NoDataError

counts = st.lists(st.integers(0, 10_000), min_size=2, max_size=12).filter(any)


def numeric(reference: list[int], name: str = "x", role: FieldRole = FieldRole.FEATURE) -> FieldProfile:
    """Counts: missing, below, then the bins, above."""
    return FieldProfile(
        name=name,
        role=role,
        column=name,
        measure=Measure.VALUE,
        edges=tuple(float(i) for i in range(len(reference) - 2)),
        values=None,
        counts=tuple(reference),
    )


def categorical(reference: list[int]) -> FieldProfile:
    return FieldProfile(
        name="c",
        role=FieldRole.FEATURE,
        column="c",
        measure=Measure.VALUE,
        edges=None,
        values=tuple(f"v{i}" for i in range(len(reference) - 2)),
        counts=tuple(reference),
    )


def reference_of(*fields: FieldProfile) -> Reference:
    return Reference(id="sha256:0", pipeline="p", training_rows=1, fields=fields, vocabularies={})


def gaussian_bins(mean: float, edges: np.ndarray) -> np.ndarray:
    return np.diff(norm.cdf(edges, loc=mean)) * 1e12


def test_a_unit_shift_of_a_gaussian_has_psi_1_and_kl_one_half() -> None:
    edges = np.concatenate([[-np.inf], np.linspace(-8, 9, 2_000), [np.inf]])
    found = divergence(gaussian_bins(0, edges), gaussian_bins(1, edges))
    assert found.psi == pytest.approx(1.0, abs=1e-3)
    assert found.kl == pytest.approx(0.5, abs=1e-3)
    assert found.sigmas == pytest.approx(1.0, abs=1e-3)


def test_psi_and_kl_agree_with_scipy_on_the_smoothed_shares() -> None:
    reference, current = np.array([100, 0, 30, 7]), np.array([10, 4, 0, 20])
    p, q = (current + 0.5) / (current.sum() + 2), (reference + 0.5) / (reference.sum() + 2)
    found = divergence(reference, current)
    assert found.kl == pytest.approx(entropy(p, q))
    assert found.psi == pytest.approx(entropy(p, q) + entropy(q, p))
    assert found.n_eff == pytest.approx(137 * 34 / (137 + 34))


@given(counts)
def test_equal_counts_have_no_drift_and_a_p_value_of_one(values: list[int]) -> None:
    found = divergence(values, values)
    assert found.psi == 0
    assert found.psi_adjusted == 0
    assert found.p_value() == 1
    assert found.p_value(at_most=0.01) == 1


@given(counts, st.randoms(use_true_random=False))
def test_psi_is_symmetric_and_never_negative(values: list[int], random: object) -> None:
    other = list(values)
    random.shuffle(other)  # type: ignore[attr-defined]
    assert divergence(values, other).psi == pytest.approx(divergence(other, values).psi)
    assert divergence(values, other).psi >= 0
    assert divergence(values, other).kl >= 0


@given(counts)
def test_a_larger_material_psi_never_makes_drift_more_likely(values: list[int]) -> None:
    found = divergence(values, values[::-1])
    by_limit = [found.p_value(at_most=limit) for limit in (0.0, 0.005, 0.02, 0.1)]
    assert by_limit == sorted(by_limit)
    assert all(0 <= p <= 1 for p in by_limit)


@pytest.mark.parametrize("rows", [200, 1_000])
def test_the_null_fires_as_often_as_alpha_says(rows: int) -> None:
    rng = np.random.default_rng(rows)
    share = np.full(10, 0.1)
    pairs = zip(rng.multinomial(10_000, share, 3_000), rng.multinomial(rows, share, 3_000), strict=True)
    size = np.mean([divergence(r, c).p_value() <= 0.05 for r, c in pairs])
    assert 0.038 <= size <= 0.062  # 0.05 give or take three standard errors


def test_at_the_material_psi_itself_the_test_fires_at_most_as_often_as_alpha_says() -> None:
    rng = np.random.default_rng(1)
    edges = np.concatenate([[-np.inf], norm.ppf(np.linspace(0.1, 0.9, 9)), [np.inf]])
    before, after = np.diff(norm.cdf(edges)), np.diff(norm.cdf(edges, loc=0.146))
    true_psi = float(np.sum((after - before) * np.log(after / before)))
    assert true_psi == pytest.approx(0.02, abs=5e-4)
    pairs = zip(rng.multinomial(10_000, before, 2_000), rng.multinomial(1_000, after, 2_000), strict=True)
    assert np.mean([divergence(r, c).p_value(at_most=true_psi) <= 0.05 for r, c in pairs]) <= 0.065


def test_the_smallest_detectable_shift_is_found_in_four_of_five_windows() -> None:
    rng = np.random.default_rng(2)
    n, m, alpha = 10_000, 1_000, 1e-3
    wanted = smallest_detectable_psi(bins=10, n_eff=n * m / (n + m), material_psi=0.02, alpha=alpha)
    edges = np.concatenate([[-np.inf], norm.ppf(np.linspace(0.1, 0.9, 9)), [np.inf]])
    before = np.diff(norm.cdf(edges))

    def psi_at(shift: float) -> float:
        after = np.diff(norm.cdf(edges, loc=shift))
        return float(np.sum((after - before) * np.log(after / before)))

    shift = min(np.linspace(0.05, 1, 500), key=lambda s: abs(psi_at(s) - wanted))
    after = np.diff(norm.cdf(edges, loc=shift))
    pairs = zip(rng.multinomial(n, before, 1_000), rng.multinomial(m, after, 1_000), strict=True)
    power = np.mean([divergence(r, c).p_value(at_most=0.02) <= alpha for r, c in pairs])
    assert 0.75 <= power <= 0.87


@pytest.mark.parametrize("n_eff", [20.0, 200.0, 1e4, 1e6, 1e8])
def test_the_smallest_detectable_shift_shrinks_towards_the_material_one(n_eff: float) -> None:
    found = smallest_detectable_psi(bins=12, n_eff=n_eff, material_psi=0.02, alpha=1e-5)
    assert found > 0.02
    assert found > smallest_detectable_psi(bins=12, n_eff=n_eff * 4, material_psi=0.02, alpha=1e-5)


def test_a_single_bin_can_show_nothing() -> None:
    assert divergence([10], [10]).p_value() == 1
    assert math.isinf(smallest_detectable_psi(bins=1, n_eff=100, material_psi=0.02, alpha=0.01))


def test_holm_is_between_the_raw_and_the_bonferroni_p_values() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]


@pytest.mark.parametrize("bad", [[1, -1], [1, float("nan")], [1, float("inf")]])
def test_impossible_counts_are_refused(bad: list[float]) -> None:
    with pytest.raises(DataError):
        divergence([1, 1], bad)


def test_an_empty_side_is_no_data_and_other_bins_are_an_error() -> None:
    with pytest.raises(NoDataError, match="window"):
        divergence([1, 1], [0, 0])
    with pytest.raises(NoDataError, match="reference"):
        divergence([0, 0], [1, 1])
    with pytest.raises(DataError, match="not the same bins"):
        divergence([1, 1], [1, 1, 1])


def test_numeric_bins_merge_into_their_neighbours_and_missing_stays_apart() -> None:
    profile = numeric([1, 1, 500, 2, 500, 1])  # missing, below, three bins, above
    reference, current = merge_bins(profile, np.array([3, 0, 50, 0, 50, 0]))
    assert reference.tolist() == [1, 501, 503]
    assert current.tolist() == [3, 50, 50]


def test_empty_missing_and_unseen_bins_are_left_out() -> None:
    reference, current = merge_bins(categorical([0, 0, 500, 500]), np.array([0, 0, 40, 60]))
    assert reference.tolist() == [500, 500]
    assert current.tolist() == [40, 60]


def test_rare_values_are_merged_and_unseen_ones_stay_apart() -> None:
    profile = categorical([0, 0, 2, 900, 3, 95])
    reference, current = merge_bins(profile, np.array([0, 9, 0, 190, 1, 0]))
    assert sorted(zip(reference.tolist(), current.tolist(), strict=True)) == [(0, 9), (100, 1), (900, 190)]


@settings(max_examples=50)
@given(st.lists(st.integers(0, 50), min_size=5, max_size=12).filter(any), st.data())
def test_merging_loses_no_row(reference: list[int], data: st.DataObject) -> None:
    current = data.draw(st.lists(st.integers(0, 50), min_size=len(reference), max_size=len(reference)).filter(any))
    for profile in (numeric(reference), categorical(reference)):
        r, c = merge_bins(profile, np.array(current))
        assert (r.sum(), c.sum()) == (sum(reference), sum(current))
        assert ((r + c) > 0).all()


def test_only_the_shifted_field_drifts_and_it_comes_first() -> None:
    rng = np.random.default_rng(3)
    flat = [0, 0, *([1_000] * 10), 0]
    fields = [numeric(flat, name=f"f{i}") for i in range(20)]
    current = {f.name: np.array([0, 0, *rng.multinomial(1_000, np.full(10, 0.1)), 0]) for f in fields}
    current["f7"] = np.array([0, 0, *rng.multinomial(1_000, np.linspace(0.16, 0.04, 10)), 0])
    found = measure_drift(reference_of(*fields), current, role=FieldRole.FEATURE, material_psi=0.02, alpha=1e-3)
    assert [f.field for f in found if f.drifted] == ["f7"]
    assert found[0].field == "f7"
    assert found[0].bin_labels[0] == "missing"
    document = found[0].to_json()
    assert document["current_counts"] == current["f7"].tolist()
    assert document["smallest_detectable_sigmas"] < 0.5


def test_clean_checks_on_twenty_fields_raise_no_alarm() -> None:
    rng = np.random.default_rng(4)
    fields = [numeric([0, 0, *([50] * 10), 0], name=f"f{i}") for i in range(20)]
    reference = reference_of(*fields)
    alarms = 0
    for _ in range(15):
        current = {f.name: np.array([0, 0, *rng.multinomial(300, np.full(10, 0.1)), 0]) for f in fields}
        found = measure_drift(reference, current, role=FieldRole.FEATURE, material_psi=0.02, alpha=1 / 1460 / 3)
        alarms += any(f.drifted for f in found)
    assert alarms == 0


def test_a_field_without_rows_is_no_data_not_no_drift() -> None:
    reference = reference_of(numeric([0, 0, 10, 0], name="a"))
    for counted in ({}, {"a": np.zeros(4, dtype=np.int64)}):
        with pytest.raises(NoDataError):
            measure_drift(reference, counted, role=FieldRole.FEATURE, material_psi=0.02, alpha=0.01)


def test_q_values_are_those_of_scipy() -> None:
    p_values = [0.01, 0.5, 0.04, 0.03, 0.9]
    assert benjamini_hochberg(p_values) == pytest.approx(false_discovery_control(p_values).tolist())
    assert benjamini_hochberg([]) == []


FLAT = [0, 0, *([1_000] * 10), 0]
SHIFTED = np.array([0, 0, *np.linspace(160, 40, 10).astype(int).tolist(), 0])
STILL = np.array([0, 0, *([100] * 10), 0])


def found_in(*windows: np.ndarray, **more: object) -> bool:
    first, *earlier = ({"f": counts} for counts in windows)
    (found,) = measure_drift(
        reference_of(numeric(FLAT, name="f")),
        first,
        role=FieldRole.FEATURE,
        material_psi=0.02,
        alpha=1e-3,
        earlier=earlier,
        **more,  # type: ignore[arg-type]
    )
    return found.drifted


def test_several_windows_in_a_row_have_to_show_it() -> None:
    assert found_in(SHIFTED)
    assert found_in(SHIFTED, SHIFTED)
    assert not found_in(SHIFTED, STILL)
    assert not found_in(STILL, SHIFTED)


@pytest.mark.parametrize("method", list(Method))
def test_every_method_finds_what_moved_and_leaves_what_did_not(method: Method) -> None:
    assert found_in(SHIFTED, method=method)
    assert not found_in(STILL, method=method)


def test_fields_are_ranked_by_their_share_in_what_moved() -> None:
    fields = [numeric(FLAT, name=name) for name in "abc"]
    half = (4 * SHIFTED + STILL) // 5
    found = measure_drift(
        reference_of(*fields),
        {"a": STILL, "b": half, "c": SHIFTED},
        role=FieldRole.FEATURE,
        material_psi=0.005,
        alpha=1e-3,
    )
    assert [f.field for f in found] == ["c", "b", "a"]
    assert [f.drifted for f in found] == [True, True, False]
    assert sum(f.share for f in found) == pytest.approx(1)
    assert found[0].share > 1.3 * found[1].share
    assert found[2].share == 0


def test_a_document_holds_the_scores_of_all_methods() -> None:
    (found,) = measure_drift(
        reference_of(numeric(FLAT, name="f")),
        {"f": SHIFTED},
        role=FieldRole.FEATURE,
        material_psi=0.02,
        alpha=1e-3,
        method=Method.KS,
    )
    document = found.to_json()
    assert document["method"] == "ks"
    assert list(document["scores"]) == [method.value for method in Method]
    sigmas = [score["sigmas"] for score in document["scores"].values()]
    assert max(sigmas) < 1.5 * min(sigmas)  # that much a uniform variable differs from a normal one


def test_the_rule_says_which_fields_its_method_cannot_judge() -> None:
    reference = reference_of(numeric(FLAT, name="f"), categorical([0, 0, 500, 500]))
    window = WindowCounts(rows=1_000, counts={"f": STILL, "c": np.array([0, 0, 510, 490])})
    result, drift = drift_rule(
        "drift",
        window,
        reference,
        role=FieldRole.FEATURE,
        method=Method.WASSERSTEIN,
        material_psi=0.02,
        alpha=1e-3,
        min_rows=200,
    )
    assert result.reason.endswith("Wasserstein cannot judge c: chi-square did")
    assert {f.field: f.method for f in drift} == {"f": Method.WASSERSTEIN, "c": Method.CHI_SQUARE}
