"""The gate: may the challenger replace the champion? Declared rules over measured metrics; no default is a pass.

The verdict of a metric rule follows from the point estimates and the declared tolerance, so that two people who read
``params.yaml`` expect the same answer. How sure the difference is stands beside it, in the reason and the evidence: a
difference "within noise" is one whose 95 % interval holds 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, assert_never

from remint.core.document import finite, format_time
from remint.core.verdict import Absence, Finding, FindingVerdict, Verdict, counted, overall
from remint.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from remint.core.paired import Disagreement, Noise


class Direction(StrEnum):
    """Which way a metric is better."""

    HIGHER = "higher"
    LOWER = "lower"


class MetricRole(StrEnum):
    """Which rows a rule looks at, and whether it can stop a release."""

    GATE = "gate"  # on the freshest labelled rows
    GUARD = "guard"  # on the golden set
    INFO = "info"  # shown, never fails


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRule:
    """One metric, how it may compare with the champion's, and what it must reach in any case."""

    metric: str
    role: MetricRole
    direction: Direction
    tolerance: float  # how much worse than the champion is still accepted
    floor: float | None = None  # at least this (at most, where lower is better)

    @property
    def id(self) -> str:
        return f"{self.role.value}:{self.metric}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One metric of both models; None is "not measured", never a number that stands for it."""

    champion: float | None
    challenger: float | None

    def to_json(self) -> dict[str, float | None]:
        return {"champion": self.champion, "challenger": self.challenger}


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Both models on the same rows."""

    rows_name: str  # "fresh", "test" or "golden"
    rows: int
    keys: int  # rows with distinct features: what counts as an observation
    has_champion: bool
    metrics: Mapping[str, Pair] = field(default_factory=dict)
    noise: Mapping[str, Noise | None] = field(default_factory=dict)
    disagreement: Disagreement | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """A named person takes the responsibility for a failed guard of one challenger."""

    rule: str
    reason: str
    by: str
    bundle: str  # the challenger it is bound to
    at: datetime

    def to_json(self) -> dict[str, str]:
        return {
            "rule": self.rule,
            "reason": self.reason,
            "by": self.by,
            "bundle": self.bundle,
            "at": format_time(self.at),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLimits:
    """What the booted service may take."""

    p95_latency_seconds: float
    memory_bytes: int
    boot_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceProbe:
    """What was seen of the challenger's own service over HTTP. None is "could not be measured"."""

    boot_seconds: float | None
    p95_latency_seconds: float | None
    memory_bytes: int | None
    golden_rows: int
    golden_mismatches: int | None
    requests: int
    problem: str | None = None  # why it did not start or did not answer

    def to_json(self) -> dict[str, float | int | None]:
        return {
            "p95_latency_seconds": self.p95_latency_seconds,
            "memory_bytes": self.memory_bytes,
            "boot_seconds": self.boot_seconds,
        }


def judge(rules: Sequence[GateRule], *, judged: Comparison, golden: Comparison, min_rows: int) -> tuple[Finding, ...]:
    """A finding for each rule: gate and info rules on the ``judged`` rows, guards on the golden set.

    Rules that inform cannot let a model pass, so without a rule of role gate the answer is INCONCLUSIVE.
    """
    findings = [judge_metric(r, golden if r.role is MetricRole.GUARD else judged, min_rows=min_rows) for r in rules]
    if not any(rule.role is MetricRole.GATE for rule in rules):
        reason = "no rule of role gate: nothing judges the challenger on fresh rows; add one to gate.rules"
        findings.append(Finding(rule="gate", verdict=Verdict.INCONCLUSIVE, reason=reason))
    return tuple(findings)


def judge_metric(rule: GateRule, comparison: Comparison, *, min_rows: int) -> Finding:
    """One rule on one set of rows. A missing metric, NaN or too few distinct rows are INCONCLUSIVE, never a pass."""
    pair = comparison.metrics.get(rule.metric, Pair(champion=None, challenger=None))
    challenger = _number(pair.challenger)
    champion = _number(pair.champion) if comparison.has_champion else None
    limit = _limit(rule, champion)
    evidence = _evidence(rule, comparison, champion, challenger)
    where = f"{rule.metric} on {comparison.rows_name} rows"

    def finding(verdict: Verdict, reason: str) -> Finding:
        if rule.role is MetricRole.INFO:
            verdict, reason = Verdict.PASS, f"{reason}; for information only"
        return Finding(
            rule=rule.id, verdict=verdict, reason=reason, observed=challenger, limit=limit, evidence=evidence
        )

    if comparison.keys < min_rows:
        return finding(
            Verdict.INCONCLUSIVE,
            f"{where}: {comparison.keys} distinct rows, the gate needs {min_rows} (gate.min_rows)",
        )
    if challenger is None:
        return finding(Verdict.INCONCLUSIVE, f"{where}: not a number for the challenger")
    if comparison.has_champion and champion is None:
        return finding(
            Verdict.INCONCLUSIVE, f"{where}: not a number for the champion, {challenger:.3f} for the challenger"
        )
    if limit is None:
        if rule.role is MetricRole.GATE:
            return finding(
                Verdict.INCONCLUSIVE,
                f"{where}: {challenger:.3f}, with no champion to compare with and no floor to reach; declare one",
            )
        return finding(Verdict.PASS, f"{where}: {challenger:.3f}, the first model: the next one is compared with it")
    words = f"{where}: {_compared(rule, comparison, champion, challenger)}"
    below_floor = rule.floor is not None and _worse_by(rule.direction, challenger, rule.floor) > 0
    too_much_worse = champion is not None and _worse_by(rule.direction, challenger, champion) > rule.tolerance
    if below_floor:
        side = "below" if rule.direction is Direction.HIGHER else "above"
        return finding(Verdict.FAIL, f"{words}; {side} the floor of {rule.floor:g}")
    if too_much_worse:
        return finding(Verdict.FAIL, f"{words}; worse by more than the tolerance of {rule.tolerance:g}")
    return finding(Verdict.PASS, words if rule.floor is None else f"{words}; floor {rule.floor:g} reached")


def judge_service(probe: ServiceProbe, limits: ServiceLimits) -> tuple[Finding, ...]:
    """Did the challenger start, answer its golden predictions over HTTP, and stay within latency and memory?"""
    boot = _measured("service:boot", probe.boot_seconds, limits.boot_seconds, "s to be ready")
    if probe.boot_seconds is None:
        problem = probe.problem or f"not ready after {limits.boot_seconds:g} s"
        boot = replace(boot, verdict=Verdict.FAIL, reason=f"the service did not start: {problem}")
    golden_evidence = {"rows": probe.golden_rows, "mismatches": probe.golden_mismatches}
    if probe.golden_mismatches is None or probe.golden_rows == 0:
        golden = Finding(
            rule="service:golden",
            verdict=Verdict.INCONCLUSIVE,
            reason=f"golden predictions could not be compared: {probe.problem or 'there are none'}",
            evidence=golden_evidence,
        )
    else:
        right = probe.golden_rows - probe.golden_mismatches
        golden = Finding(
            rule="service:golden",
            verdict=Verdict.FAIL if probe.golden_mismatches else Verdict.PASS,
            reason=f"{right} of {probe.golden_rows} golden predictions came back over HTTP as the bundle has them",
            observed=float(probe.golden_mismatches),
            limit=0.0,
            evidence=golden_evidence,
        )
    milliseconds = None if probe.p95_latency_seconds is None else probe.p95_latency_seconds * 1e3
    latency = _measured("service:latency", milliseconds, limits.p95_latency_seconds * 1e3, "ms for 95 % of requests")
    latency = replace(
        latency,
        observed=_number(probe.p95_latency_seconds),
        limit=limits.p95_latency_seconds,
        evidence={"requests": probe.requests},
    )
    megabytes = None if probe.memory_bytes is None else probe.memory_bytes / 1e6
    memory = _measured("service:memory", megabytes, limits.memory_bytes / 1e6, "MB of memory at the peak")
    memory = replace(
        memory,
        observed=None if probe.memory_bytes is None else float(probe.memory_bytes),
        limit=float(limits.memory_bytes),
    )
    return (boot, golden, latency, memory)


def _measured(rule: str, value: float | None, limit: float, unit: str) -> Finding:
    observed = _number(value)
    if observed is None:
        return Finding(rule=rule, verdict=Verdict.INCONCLUSIVE, reason=f"could not be measured ({unit})", limit=limit)
    return Finding(
        rule=rule,
        verdict=Verdict.PASS if observed <= limit else Verdict.FAIL,
        reason=f"{_amount(observed)} {unit}, limit {_amount(limit)}",
        observed=observed,
        limit=limit,
    )


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def accept(
    findings: Sequence[Finding], acceptances: Sequence[Acceptance], *, bundle: str
) -> tuple[tuple[Finding, ...], tuple[Acceptance, ...]]:
    """The findings after the acceptances given for ``bundle``, and the acceptances that changed one.

    Only a failed guard can be accepted. Raises UsageError for any other rule, and where reason or name is blank.
    Acceptances of another bundle do not count: what a person accepted was that model, not the next one.
    """
    own = [a for a in acceptances if a.bundle == bundle]
    known = [f.rule for f in findings]
    for acceptance in own:
        if acceptance.rule not in known:
            raise UsageError(
                f"no finding {acceptance.rule!r} to accept",
                hint=did_you_mean(acceptance.rule, known) or f"one of {', '.join(known)}",
            )
        if not acceptance.rule.startswith(f"{MetricRole.GUARD.value}:"):
            raise UsageError(f"{acceptance.rule} cannot be accepted", hint="only a guard on the golden set can be")
        if not acceptance.reason.strip() or not acceptance.by.strip():
            raise UsageError(f"accepting {acceptance.rule} takes a reason and a name", hint="--reason TEXT --by NAME")
    judged, used = [], []
    for finding in findings:
        match = next((a for a in own if a.rule == finding.rule), None)
        if match is not None and finding.verdict is Verdict.INCONCLUSIVE:
            raise UsageError(
                f"{finding.rule} is inconclusive ({finding.reason})", hint="only a failed guard can be accepted"
            )
        if match is not None and finding.verdict is Verdict.FAIL:
            used.append(match)
            finding = replace(
                finding,
                verdict=Verdict.PASS,
                reason=f"accepted by {match.by}: {match.reason} ({finding.reason})",
                evidence={**finding.evidence, "accepted": match.to_json()},
            )
        judged.append(finding)
    return tuple(judged), tuple(used)


def weighs(rule: str, verdict: FindingVerdict) -> Verdict:
    """What one finding contributes to the gate's verdict, by the role that its rule's id begins with.

    A rule of role info stops nothing. Without a champion only the rules of role gate are unanswered: everything else
    is first compared with the next model. What is MISSING is INCONCLUSIVE.
    """
    if rule.startswith(f"{MetricRole.INFO.value}:"):
        return Verdict.PASS
    if verdict is Absence.NO_CHAMPION and not rule.startswith(f"{MetricRole.GATE.value}:"):
        return Verdict.PASS
    return counted(verdict)


def verdict_of(findings: Sequence[Finding]) -> Verdict:
    """The worst finding wins; what only informs does not count, and nothing at all is INCONCLUSIVE."""
    return overall(
        replace(f, verdict=weighs(f.rule, f.verdict))
        for f in findings
        if not f.rule.startswith(f"{MetricRole.INFO.value}:")
    )


def worse_by(direction: Direction, challenger: float, champion: float) -> float:
    """How much worse the challenger is, in the metric's own unit; negative where it is better."""
    match direction:
        case Direction.HIGHER:
            return champion - challenger
        case Direction.LOWER:
            return challenger - champion
        case _:
            assert_never(direction)


def _worse_by(direction: Direction, challenger: float, bound: float) -> float:
    # 0.72 - 0.70 is 0.020000000000000018 in floats: a difference equal to the tolerance must not fail for that
    return round(worse_by(direction, challenger, bound), 12)


def _limit(rule: GateRule, champion: float | None) -> float | None:
    """The stricter of the floor and the champion's value with its tolerance."""
    match rule.direction:
        case Direction.HIGHER:
            bounds = [rule.floor, None if champion is None else champion - rule.tolerance]
            return max((b for b in bounds if b is not None), default=None)
        case Direction.LOWER:
            bounds = [rule.floor, None if champion is None else champion + rule.tolerance]
            return min((b for b in bounds if b is not None), default=None)
        case _:
            assert_never(rule.direction)


def _compared(rule: GateRule, comparison: Comparison, champion: float | None, challenger: float) -> str:
    if champion is None:
        return f"{challenger:.3f}, no champion to compare with"
    text = f"{challenger:.3f} against the champion's {champion:.3f}, {challenger - champion:+.3f}"
    noise = comparison.noise.get(rule.metric)
    if noise is None:
        return text
    text += f", {noise.confidence:.0%} interval {noise.low:+.3f} to {noise.high:+.3f}".replace("%", " %")
    return f"{text}, within noise" if noise.low <= 0 <= noise.high else text


def _evidence(
    rule: GateRule, comparison: Comparison, champion: float | None, challenger: float | None
) -> dict[str, Any]:
    noise = comparison.noise.get(rule.metric)
    split = comparison.disagreement
    return {
        "rows_name": comparison.rows_name,
        "rows": comparison.rows,
        "distinct_rows": comparison.keys,
        "direction": rule.direction.value,
        "tolerance": rule.tolerance,
        "floor": rule.floor,
        "champion": champion,
        "challenger": challenger,
        "difference": None if champion is None or challenger is None else challenger - champion,
        "interval": None
        if noise is None
        else {"low": finite(noise.low), "high": finite(noise.high), "confidence": noise.confidence},
        "mcnemar": None
        if split is None
        else {
            "champion_right": split.champion_right,
            "challenger_right": split.challenger_right,
            "p_value": finite(split.p_value),
        },
    }


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
