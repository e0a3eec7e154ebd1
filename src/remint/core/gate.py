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
from remint.core.gate_words import difference
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
    """One metric, how it may compare with the champion's, and what it must reach in any case.

    Where both tolerances are given, both must hold; where neither is, any loss is too much.
    """

    metric: str
    role: MetricRole
    direction: Direction
    tolerance: float | None = None  # how much worse than the champion is still accepted, in the metric's unit
    relative_tolerance: float | None = None  # the same as a share of the champion's value
    floor: float | None = None  # at least this (at most, where lower is better)
    min_rows: int | None = None  # distinct rows; None: the gate's own
    slices: tuple[str, ...] | None = None  # columns of declared slices; None: all of them for role gate, else none

    @property
    def id(self) -> str:
        return f"{self.role.value}:{self.metric}"

    def allowed(self, champion: float | None) -> float:
        """How much worse than ``champion`` is accepted, in the metric's unit. Without a champion the absolute part."""
        bounds = [] if self.tolerance is None else [self.tolerance]
        if self.relative_tolerance is not None and champion is not None:
            bounds.append(self.relative_tolerance * abs(champion))
        return min(bounds, default=0.0)

    def looks_at(self, column: str) -> bool:
        """Whether the slices of ``column`` are judged by this rule."""
        return self.role is MetricRole.GATE if self.slices is None else column in self.slices


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceRule:
    """How one column's slices are judged."""

    column: str
    min_rows: int  # distinct rows; a smaller slice is shown and not judged
    tolerance: float | None = None  # in the metric's unit; None: the tolerances of the metric's rule

    def of(self, rule: GateRule) -> GateRule:
        """The metric's rule as it holds within these slices; a floor is about the whole."""
        own = {} if self.tolerance is None else {"tolerance": self.tolerance, "relative_tolerance": None}
        return replace(rule, floor=None, **own)  # type: ignore[arg-type]


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
    """One rule on one set of rows; ``min_rows`` counts where the rule has none of its own.

    Too few distinct rows are INCONCLUSIVE, what is not a finite number is MISSING, and with neither champion nor floor
    the answer is NO_CHAMPION: none of them is a pass.
    """
    pair = comparison.metrics.get(rule.metric, Pair(champion=None, challenger=None))
    challenger = finite_number(pair.challenger)
    champion = finite_number(pair.champion) if comparison.has_champion else None
    limit = _limit(rule, champion)
    evidence = _evidence(rule, comparison, champion, challenger)
    where = f"{rule.metric} on {comparison.rows_name} rows"

    def finding(verdict: FindingVerdict, reason: str) -> Finding:
        if rule.role is MetricRole.INFO:
            verdict = Verdict.PASS if verdict is Verdict.FAIL else verdict
            reason = f"{reason}; for information only"
        return Finding(
            rule=rule.id, verdict=verdict, reason=reason, observed=challenger, limit=limit, evidence=evidence
        )

    needed, key = (min_rows, "gate.min_rows") if rule.min_rows is None else (rule.min_rows, "its min_rows")
    if comparison.keys < needed:
        return finding(
            Verdict.INCONCLUSIVE, f"{where}: {comparison.keys} distinct rows, the gate needs {needed} ({key})"
        )
    if challenger is None:
        return finding(Absence.MISSING, f"{where}: not a number for the challenger")
    if comparison.has_champion and champion is None:
        return finding(Absence.MISSING, f"{where}: not a number for the champion, {challenger:.3f} for the challenger")
    if limit is None:
        words = f"{where}: {challenger:.3f}, with no champion to compare with and no floor to reach"
        if rule.role is MetricRole.GATE:
            return finding(Absence.NO_CHAMPION, f"{words}; declare one")
        return finding(Absence.NO_CHAMPION, f"{words}: the next model is compared with it")
    words = f"{where}: {difference(champion, challenger, comparison.noise.get(rule.metric))}"
    below_floor = rule.floor is not None and _worse_by(rule.direction, challenger, rule.floor) > 0
    if below_floor:
        side = "below" if rule.direction is Direction.HIGHER else "above"
        return finding(Verdict.FAIL, f"{words}; {side} the floor of {rule.floor:g}")
    if champion is not None and exceeds(rule, champion, challenger):
        return finding(Verdict.FAIL, f"{words}; worse by more than the tolerance of {rule.allowed(champion):.3g}")
    return finding(Verdict.PASS, words if rule.floor is None else f"{words}; floor {rule.floor:g} reached")


def exceeds(rule: GateRule, champion: float, challenger: float) -> bool:
    """Whether the challenger is worse by more than ``rule`` allows."""
    return _worse_by(rule.direction, challenger, champion) > round(rule.allowed(champion), 12)


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
        if match is not None and weighs(finding.rule, finding.verdict) is Verdict.INCONCLUSIVE:
            raise UsageError(
                f"{finding.rule} is {finding.verdict.value.replace('_', ' ')} ({finding.reason})",
                hint="only a failed guard can be accepted",
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
            bounds = [rule.floor, None if champion is None else champion - rule.allowed(champion)]
            return max((b for b in bounds if b is not None), default=None)
        case Direction.LOWER:
            bounds = [rule.floor, None if champion is None else champion + rule.allowed(champion)]
            return min((b for b in bounds if b is not None), default=None)
        case _:
            assert_never(rule.direction)


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
        "tolerance": rule.allowed(champion),
        "relative_tolerance": rule.relative_tolerance,
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


def finite_number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
