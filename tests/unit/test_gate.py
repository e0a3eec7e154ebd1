"""The gate's rules as a table of claims: what passes, what fails, and above all what never passes."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remint.core.gate import (
    Acceptance,
    Comparison,
    Direction,
    GateRule,
    MetricRole,
    Pair,
    accept,
    judge,
    judge_metric,
    verdict_of,
    weighs,
)
from remint.core.gate_service import ServiceLimits, ServiceProbe, SizeRule, judge_service, judge_size
from remint.core.paired import Disagreement, Noise
from remint.core.verdict import Absence, Finding, FindingVerdict, Verdict, counted
from remint.errors import UsageError

BUNDLE, OTHER = "sha256:aa", "sha256:bb"
NOW = datetime(2026, 11, 21, tzinfo=UTC)


def rule(
    metric: str = "accuracy",
    *,
    role: MetricRole = MetricRole.GATE,
    direction: Direction = Direction.HIGHER,
    tolerance: float | None = 0.02,
    floor: float | None = None,
    **more: Any,
) -> GateRule:
    return GateRule(metric=metric, role=role, direction=direction, tolerance=tolerance, floor=floor, **more)


def comparison(
    champion: float | None, challenger: float | None, *, keys: int = 100, first: bool = False, **more: Any
) -> Comparison:
    return Comparison(
        rows_name="fresh",
        rows=keys,
        keys=keys,
        has_champion=not first,
        metrics={"accuracy": Pair(champion=champion, challenger=challenger)},
        **more,
    )


@pytest.mark.parametrize(
    ("direction", "champion", "challenger", "verdict"),
    [
        (Direction.HIGHER, 0.70, 0.75, Verdict.PASS),
        (Direction.HIGHER, 0.72, 0.70, Verdict.PASS),  # worse by exactly the tolerance, not by a float's rounding
        (Direction.HIGHER, 0.72, 0.69, Verdict.FAIL),
        (Direction.LOWER, 0.50, 0.40, Verdict.PASS),
        (Direction.LOWER, 0.50, 0.52, Verdict.PASS),
        (Direction.LOWER, 0.50, 0.53, Verdict.FAIL),
    ],
)
def test_a_challenger_may_be_worse_by_the_tolerance_and_no_more(
    direction: Direction, champion: float, challenger: float, verdict: Verdict
) -> None:
    found = judge_metric(rule(direction=direction), comparison(champion, challenger), min_rows=50)
    assert found.verdict is verdict
    assert found.rule == "gate:accuracy"


@pytest.mark.parametrize("role", [MetricRole.GATE, MetricRole.GUARD])
@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (comparison(0.7, None), Absence.MISSING),
        (comparison(0.7, math.nan), Absence.MISSING),
        (comparison(None, 0.9), Absence.MISSING),
        (comparison(math.nan, 0.9), Absence.MISSING),
        (comparison(0.7, math.inf), Absence.MISSING),
        (comparison(0.7, 0.9, keys=49), Verdict.INCONCLUSIVE),
        (comparison(0.7, 0.9, keys=0), Verdict.INCONCLUSIVE),
        (Comparison(rows_name="fresh", rows=100, keys=100, has_champion=True), Absence.MISSING),
    ],
)
def test_missing_nan_and_too_few_rows_never_pass(role: MetricRole, seen: Comparison, said: FindingVerdict) -> None:
    found = judge_metric(rule(role=role), seen, min_rows=50)
    assert found.verdict is said
    assert verdict_of([found]) is Verdict.INCONCLUSIVE


@given(
    champion=st.none() | st.floats(),
    challenger=st.none() | st.floats(),
    keys=st.integers(0, 100),
    first=st.booleans(),
    direction=st.sampled_from(Direction),
    floor=st.none() | st.floats(0, 1),
)
def test_a_gate_rule_passes_only_on_a_finite_number_that_was_compared(
    champion: float | None,
    challenger: float | None,
    keys: int,
    first: bool,
    direction: Direction,
    floor: float | None,
) -> None:
    found = judge_metric(
        rule(direction=direction, floor=floor), comparison(champion, challenger, keys=keys, first=first), min_rows=50
    )
    if found.verdict is Verdict.PASS:
        assert keys >= 50
        assert challenger is not None
        assert math.isfinite(challenger)
        assert found.limit is not None


@pytest.mark.parametrize(
    ("floor", "challenger", "verdict"),
    [(0.6, 0.7, Verdict.PASS), (0.6, 0.5, Verdict.FAIL), (None, 0.99, Absence.NO_CHAMPION)],
)
def test_the_first_model_faces_the_floor_and_nothing_else(
    floor: float | None, challenger: float, verdict: FindingVerdict
) -> None:
    found = judge_metric(rule(floor=floor), comparison(None, challenger, first=True), min_rows=50)
    assert found.verdict is verdict
    assert verdict_of([found]) is counted(verdict)  # without a champion and a floor, role gate stops


def test_a_guard_without_floor_lets_the_first_model_set_the_level() -> None:
    found = judge_metric(rule(role=MetricRole.GUARD), comparison(None, 0.8, first=True), min_rows=50)
    assert found.verdict is Absence.NO_CHAMPION
    assert verdict_of([found]) is Verdict.PASS
    assert "the next model is compared with it" in found.reason


def test_floors_hold_beside_a_champion() -> None:
    found = judge_metric(rule(floor=0.8), comparison(0.5, 0.7), min_rows=50)
    assert found.verdict is Verdict.FAIL
    assert found.limit == 0.8
    ceiling = judge_metric(rule(floor=0.3, direction=Direction.LOWER), comparison(0.5, 0.4), min_rows=50)
    assert ceiling.verdict is Verdict.FAIL
    assert "above the floor of 0.3" in ceiling.reason


@pytest.mark.parametrize(
    ("tolerance", "relative", "challenger", "verdict"),
    [
        (None, 0.1, 0.73, Verdict.PASS),  # 0.08 of 0.8 are allowed
        (None, 0.1, 0.71, Verdict.FAIL),
        (0.02, 0.1, 0.77, Verdict.FAIL),  # both must hold
        (0.2, 0.1, 0.71, Verdict.FAIL),
        (0.2, 0.1, 0.73, Verdict.PASS),
        (None, None, 0.7999, Verdict.FAIL),  # neither: any loss is too much
        (None, None, 0.8, Verdict.PASS),
    ],
)
def test_absolute_and_relative_tolerance_must_both_hold(
    tolerance: float | None, relative: float | None, challenger: float, verdict: Verdict
) -> None:
    found = judge_metric(
        rule(tolerance=tolerance, relative_tolerance=relative), comparison(0.8, challenger), min_rows=50
    )
    assert found.verdict is verdict


def test_a_rule_may_ask_for_rows_of_its_own() -> None:
    found = judge_metric(rule(min_rows=200), comparison(0.7, 0.8, keys=100), min_rows=50)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "needs 200 (its min_rows)" in found.reason


@pytest.mark.parametrize(
    ("challenger", "low", "high", "words"),
    [
        (0.803, -0.010, 0.016, "+0.003, 95 % interval -0.010 to +0.016, within noise"),
        (0.8, 0.0, 0.0, "0.800 against the champion's 0.800, no difference on any row"),
        (0.80004, 0.00001, 0.00007, "+4.0e-05, 95 % interval +1.0e-05 to +7.0e-05"),
        (0.8, -0.02, 0.02, ", 0, 95 % interval -0.020 to +0.020, within noise"),
        (0.79, -0.02, 0.0, "-0.010, 95 % interval -0.020 to 0, within noise"),
    ],
)
def test_small_differences_keep_their_digits_and_none_is_said_as_none(
    challenger: float, low: float, high: float, words: str
) -> None:
    noise = {"accuracy": Noise(low=low, high=high)}
    reason = judge_metric(rule(), comparison(0.8, challenger, noise=noise), min_rows=50).reason
    assert words in reason
    assert "+0.000" not in reason


@pytest.mark.parametrize(
    ("rule_id", "verdict", "weight"),
    [
        ("gate:accuracy", Absence.NO_CHAMPION, Verdict.INCONCLUSIVE),
        ("guard:accuracy", Absence.NO_CHAMPION, Verdict.PASS),
        ("slice:accuracy@plan", Absence.NO_CHAMPION, Verdict.PASS),
        ("flips", Absence.NO_CHAMPION, Verdict.PASS),
        ("guard:accuracy", Absence.MISSING, Verdict.INCONCLUSIVE),
        ("flips", Absence.MISSING, Verdict.INCONCLUSIVE),
        ("info:accuracy", Absence.MISSING, Verdict.PASS),
        ("info:accuracy@plan", Verdict.INCONCLUSIVE, Verdict.PASS),
        ("slice:accuracy@plan", Verdict.FAIL, Verdict.FAIL),
    ],
)
def test_what_a_finding_counts_for(rule_id: str, verdict: FindingVerdict, weight: Verdict) -> None:
    assert weighs(rule_id, verdict) is weight
    assert Finding.from_json(failed(rule_id, verdict).to_json()).verdict is verdict


@pytest.mark.parametrize(
    ("size", "champion", "challenger", "said"),
    [
        (SizeRule(), 10, 99, None),
        (SizeRule(bundle_bytes=50), None, 50, Verdict.PASS),
        (SizeRule(bundle_bytes=50), 10, 51, Verdict.FAIL),
        (SizeRule(max_growth_share=0.5), 100, 150, Verdict.PASS),
        (SizeRule(max_growth_share=0.5), 100, 151, Verdict.FAIL),
        (SizeRule(max_growth_share=0.5), None, 151, Absence.NO_CHAMPION),
        (SizeRule(bundle_bytes=120, max_growth_share=0.5), 100, 130, Verdict.FAIL),
        (SizeRule(bundle_bytes=120, max_growth_share=0.5), None, 110, Verdict.PASS),
    ],
)
def test_a_bundle_may_be_so_large_and_grow_so_much(
    size: SizeRule, champion: int | None, challenger: int, said: FindingVerdict | None
) -> None:
    assert [f.verdict for f in judge_size(size, champion=champion, challenger=challenger)] == ([said] if said else [])


def test_the_reason_shows_the_difference_with_its_noise() -> None:
    sure = judge_metric(
        rule(),
        comparison(0.778, 0.812, noise={"accuracy": Noise(low=0.010, high=0.058)}),
        min_rows=50,
    )
    assert "0.812 against the champion's 0.778, +0.034, 95 % interval +0.010 to +0.058" in sure.reason
    assert "within noise" not in sure.reason
    unsure = judge_metric(
        rule(),
        comparison(
            0.778,
            0.790,
            noise={"accuracy": Noise(low=-0.010, high=0.034)},
            disagreement=Disagreement(champion_right=10, challenger_right=12, p_value=0.83),
        ),
        min_rows=50,
    )
    assert "within noise" in unsure.reason
    assert unsure.evidence["interval"] == {"low": -0.010, "high": 0.034, "confidence": 0.95}
    assert unsure.evidence["mcnemar"]["p_value"] == 0.83


def test_what_informs_never_fails_and_never_carries_the_verdict() -> None:
    info = rule(role=MetricRole.INFO)
    assert judge_metric(info, comparison(0.9, 0.1), min_rows=50).verdict is Verdict.PASS
    found = judge([info], judged=comparison(0.7, 0.9), golden=comparison(0.7, 0.9), min_rows=50)
    assert verdict_of(found) is Verdict.INCONCLUSIVE


def test_without_a_gate_rule_a_perfect_guard_is_not_enough() -> None:
    guards = [rule(role=MetricRole.GUARD)]
    found = judge(guards, judged=comparison(0.7, 0.9), golden=comparison(0.7, 0.9), min_rows=50)
    assert verdict_of(found) is Verdict.INCONCLUSIVE


def test_gate_rules_look_at_fresh_rows_and_guards_at_the_golden_set() -> None:
    rules = [rule(), rule(role=MetricRole.GUARD)]
    found = judge(rules, judged=comparison(0.5, 0.7), golden=comparison(0.85, 0.42), min_rows=50)
    assert [(f.rule, f.verdict) for f in found] == [("gate:accuracy", Verdict.PASS), ("guard:accuracy", Verdict.FAIL)]


def failed(name: str = "guard:accuracy", verdict: FindingVerdict = Verdict.FAIL) -> Finding:
    return Finding(rule=name, verdict=verdict, reason="fell", observed=0.42)


def acceptance(name: str = "guard:accuracy", *, reason: str = "the world changed", by: str = "Ada") -> Acceptance:
    return Acceptance(rule=name, reason=reason, by=by, bundle=BUNDLE, at=NOW)


def test_an_accepted_guard_passes_and_says_who_accepted_it() -> None:
    (found,), used = accept([failed()], [acceptance()], bundle=BUNDLE)
    assert found.verdict is Verdict.PASS
    assert found.reason == "accepted by Ada: the world changed (fell)"
    assert found.observed == 0.42
    assert used == (acceptance(),)


def test_an_acceptance_is_for_one_challenger_and_not_for_the_next() -> None:
    (found,), used = accept([failed()], [acceptance()], bundle=OTHER)
    assert found.verdict is Verdict.FAIL
    assert used == ()


def test_accepting_what_passes_records_nothing() -> None:
    _, used = accept([failed(verdict=Verdict.PASS)], [acceptance()], bundle=BUNDLE)
    assert used == ()


@pytest.mark.parametrize(
    ("findings", "given_acceptance", "message"),
    [
        ([failed("gate:accuracy")], acceptance("gate:accuracy"), "only a guard"),
        ([failed("service:memory")], acceptance("service:memory"), "only a guard"),
        ([failed()], acceptance("guard:acuracy"), "did you mean 'guard:accuracy'?"),
        ([failed()], acceptance(by=" "), "takes a reason and a name"),
        ([failed()], acceptance(reason=""), "takes a reason and a name"),
        ([failed(verdict=Verdict.INCONCLUSIVE)], acceptance(), "only a failed guard"),
        ([failed(verdict=Absence.MISSING)], acceptance(), "only a failed guard"),
    ],
)
def test_nothing_but_a_failed_guard_can_be_accepted(
    findings: list[Finding], given_acceptance: Acceptance, message: str
) -> None:
    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        accept(findings, [given_acceptance], bundle=BUNDLE)


LIMITS = ServiceLimits(p95_latency_seconds=0.5, memory_bytes=1_000_000_000, boot_seconds=60)


def probe(**changes: Any) -> ServiceProbe:
    seen: dict[str, Any] = {
        "boot_seconds": 2.0,
        "p95_latency_seconds": 0.01,
        "memory_bytes": 200_000_000,
        "golden_rows": 20,
        "golden_mismatches": 0,
        "requests": 100,
    }
    return ServiceProbe(**{**seen, **changes})


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, {}),
        ({"p95_latency_seconds": 0.6}, {"service:latency": Verdict.FAIL}),
        ({"p95_latency_seconds": None}, {"service:latency": Absence.MISSING}),
        ({"p95_latency_seconds": math.nan}, {"service:latency": Absence.MISSING}),
        ({"memory_bytes": 2_000_000_000}, {"service:memory": Verdict.FAIL}),
        ({"memory_bytes": None}, {"service:memory": Absence.MISSING}),
        ({"golden_mismatches": 1}, {"service:golden": Verdict.FAIL}),
        ({"golden_mismatches": None}, {"service:golden": Absence.MISSING}),
        ({"golden_rows": 0}, {"service:golden": Absence.MISSING}),
        ({"boot_seconds": 61.0}, {"service:boot": Verdict.FAIL}),
        ({"boot_seconds": None, "problem": "port taken"}, {"service:boot": Verdict.FAIL}),
    ],
)
def test_the_service_passes_only_where_everything_was_measured(
    changes: dict[str, Any], wanted: dict[str, FindingVerdict]
) -> None:
    found = {f.rule: f.verdict for f in judge_service(probe(**changes), LIMITS)}
    expected = dict.fromkeys(["service:boot", "service:golden", "service:latency", "service:memory"], Verdict.PASS)
    assert found == {**expected, **wanted}


def test_a_service_that_did_not_start_says_why() -> None:
    boot = judge_service(probe(boot_seconds=None, problem="port taken"), LIMITS)[0]
    assert boot.reason == "the service did not start: port taken"
