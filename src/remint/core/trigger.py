"""Rules and their evidence, the ledger's past and ``now`` -> one of five answers.

Each rule looks at its own evidence and says: fired, did not fire, no data, or error. ``decide`` puts them together and
needs nothing else, so a decision can be made again from what it records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from remint.core.document import format_time
from remint.core.verdict import Finding
from remint.errors import Silence


class Answer(StrEnum):
    """What to do. There is no default: what cannot be answered is INCONCLUSIVE."""

    RETRAIN = "RETRAIN"
    HOLD = "HOLD"
    INVESTIGATE = "INVESTIGATE"  # the data broke: never train on it, alert a person
    NEED_LABELS = "NEED_LABELS"  # drift, but too few fresh labels to learn from
    INCONCLUSIVE = "INCONCLUSIVE"


class RuleKind(StrEnum):
    DRIFT = "drift"
    SLOW_DRIFT = "slow_drift"
    INTEGRITY = "integrity"
    ACCURACY = "accuracy"
    ESTIMATED_ACCURACY = "estimated_accuracy"
    COST = "cost"
    PROMQL = "promql"
    WRONG = "wrong"
    VOLUME = "volume"
    AGE = "age"
    MANUAL = "manual"


class RuleState(StrEnum):
    OK = "ok"
    NO_DATA = "no_data"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleResult:
    """What one rule says. ``reason`` is a sentence in any state; ``fired`` only where the state is OK."""

    name: str
    kind: RuleKind
    state: RuleState
    fired: bool
    reason: str
    findings: tuple[Finding, ...] = ()
    silence: Silence | None = None  # why there is no answer, where the source and not the question is to blame

    def __post_init__(self) -> None:
        if self.fired and self.state is not RuleState.OK:
            raise ValueError(f"rule {self.name!r} fired without an answer")

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "kind": self.kind.value,
            "state": self.state.value,
            "fired": self.fired,
            "reason": self.reason,
            "findings": [finding.to_json() for finding in self.findings],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerPolicy:
    cooldown: timedelta
    min_fresh_labels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What the ledger knows: when RETRAIN was last answered, and the run id of a retrain that runs now."""

    last_retrain_at: datetime | None = None
    running: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    answer: Answer
    summary: str
    reasons: tuple[str, ...]
    rules: tuple[RuleResult, ...]


def decide(
    rules: Sequence[RuleResult],
    policy: TriggerPolicy,
    *,
    history: History,
    fresh_labels: int | None,
    now: datetime,
) -> Decision:
    """The answer, in this order; the first that applies wins.

    1. A retrain that runs holds the next one off, also a manual one. (INVESTIGATE is still said: it trains nothing.)
    2. Manual: RETRAIN, whatever the rules say; a person has given a reason.
    3. Integrity: INVESTIGATE. Drift of broken data is not a reason to learn from it.
    4. Drift, accuracy, wrong, volume, age: RETRAIN; HOLD within the cooldown since the last RETRAIN; NEED_LABELS where
       drift alone fired and ``fresh_labels`` (None: unknown) are fewer than the policy asks for.
    5. Nothing fired: HOLD only if no rule ended in an error and one of those that watch the predictions (drift,
       integrity; where none is declared, accuracy and wrong) had an answer. Else INCONCLUSIVE: neither the model's age
       nor old labels make a source that has gone quiet look healthy.
    """
    fired = [rule for rule in rules if rule.fired]
    manual = [rule for rule in fired if rule.kind is RuleKind.MANUAL]
    broken = [rule for rule in fired if rule.kind is RuleKind.INTEGRITY]
    due = [rule for rule in fired if rule.kind not in {RuleKind.MANUAL, RuleKind.INTEGRITY}]
    silent = _silent(rules)

    def decision(answer: Answer, summary: str, because: Sequence[RuleResult], *more: str) -> Decision:
        reasons = (*(r.reason for r in because), *more, *silent)
        return Decision(answer=answer, summary=summary, reasons=reasons, rules=tuple(rules))

    if broken and not manual:
        return decision(Answer.INVESTIGATE, f"Investigate, do not train: {_headline(broken)}", broken + due)
    wanted = manual + broken + due if manual else due
    if wanted and history.running is not None:
        hold = f"retrain {history.running} is running"
        return decision(Answer.HOLD, f"Hold: {hold}", (), hold, *(r.reason for r in wanted))
    if manual:
        return decision(Answer.RETRAIN, f"Retrain by hand: {manual[0].reason}", wanted)
    if due:
        last = history.last_retrain_at
        if last is not None and now - last < policy.cooldown:
            hold = f"cooling down until {format_time(last + policy.cooldown)} after the retrain of {format_time(last)}"
            return decision(Answer.HOLD, f"Hold: {hold}", (), hold, *(r.reason for r in due))
        if all(rule.kind is RuleKind.DRIFT for rule in due):
            lacking = _lacking_labels(fresh_labels, policy.min_fresh_labels)
            if lacking is not None:
                return decision(Answer.NEED_LABELS, f"Labels needed: {_headline(due)}, but {lacking}", due, lacking)
        return decision(Answer.RETRAIN, f"Retrain: {_headline(due)}", due)
    watching = [r for r in rules if r.kind in _ON_PREDICTIONS] or [r for r in rules if r.kind in _ON_FEEDBACK]
    if not rules or any(rule.state is RuleState.ERROR for rule in rules):
        return decision(Answer.INCONCLUSIVE, "Inconclusive: not every rule could be asked, and none fired", ())
    if watching and all(rule.state is not RuleState.OK for rule in watching):
        return decision(Answer.INCONCLUSIVE, "Inconclusive: too little data in the window to judge the model by", ())
    answered = [rule for rule in rules if rule.state is RuleState.OK]
    if not answered:
        return decision(Answer.INCONCLUSIVE, "Inconclusive: no rule has data", ())
    count = f"{len(answered)} of {len(rules)} rules" if len(answered) < len(rules) else f"all {len(rules)} rules"
    return decision(Answer.HOLD, f"Hold: {count} answered, none fired", answered)


_ON_PREDICTIONS: Final = frozenset({RuleKind.DRIFT, RuleKind.INTEGRITY})
_ON_FEEDBACK: Final = frozenset({RuleKind.ACCURACY, RuleKind.WRONG})


def _headline(rules: Sequence[RuleResult]) -> str:
    more = f" (and {len(rules) - 1} more)" if len(rules) > 1 else ""
    return rules[0].reason + more


def _silent(rules: Sequence[RuleResult]) -> list[str]:
    """What has no answer and why; rules that share a source share a sentence."""
    names: dict[str, list[str]] = {}
    for rule in rules:
        if rule.state is not RuleState.OK:
            names.setdefault(rule.reason, []).append(rule.name)
    return [f"no answer from {', '.join(silent)}: {reason}" for reason, silent in names.items()]


def _lacking_labels(fresh: int | None, needed: int) -> str | None:
    if fresh is None:
        return f"the number of fresh labels is unknown ({needed} needed)"
    return None if fresh >= needed else f"only {fresh} of {needed} fresh labels are there to learn from"
