"""Rules and their evidence, the ledger's past and ``now`` -> one of five answers.

Each rule looks at its own evidence and says: fired, did not fire, no data, or error. ``remember`` holds it against what
it said before (``for``), ``decide`` puts all of them together. They need nothing else, so a decision can be made again
from what it records, and a back-test makes it as the check would have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from remint.core.condition import AnyOf, Condition, holds
from remint.core.document import format_time, readable_time
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
    active_since: datetime | None = None  # since when the condition has held at each check; fired is later with ``for``

    def __post_init__(self) -> None:
        if self.fired and self.state is not RuleState.OK:
            raise ValueError(f"rule {self.name!r} fired without an answer")

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "kind": self.kind.value,
            "state": self.state.value,
            "silence": None if self.silence is None else self.silence.value,
            "fired": self.fired,
            "active_since": None if self.active_since is None else format_time(self.active_since),
            "reason": self.reason,
            "findings": [finding.to_json() for finding in self.findings],
        }


class Treatment(StrEnum):
    """What a silence means for the answer."""

    INCONCLUSIVE = "inconclusive"  # the rule has no answer
    QUIET = "quiet"  # as if the rule had answered that all is well
    INVESTIGATE = "investigate"  # a person has to look


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerPolicy:
    """What turns rules into an answer. A silence that ``no_data`` does not name is INCONCLUSIVE."""

    cooldown: timedelta
    min_fresh_labels: int
    retrains_a_week: int | None = None
    retrain_when: Condition | None = None  # None: any rule that asks for a retrain
    investigating: frozenset[str] = frozenset()  # rules that ask for a person, besides those on integrity
    no_data: Mapping[Silence, Treatment] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snooze:
    """Somebody wants no retrain until a moment. ``at`` is when that was said; the last word counts."""

    until: datetime
    by: str
    reason: str
    at: datetime

    def __str__(self) -> str:
        return f"snoozed until {readable_time(self.until)} by {self.by}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What the ledger knows: when retrains were asked for or finished, and the run id of one that runs now.

    ``frozen`` says who pulled the brake and why, such as ``frozen by Ada since ...: the labels are wrong``. ``snoozed``
    is the last snooze, which may be over.
    """

    retrains_at: tuple[datetime, ...] = ()
    running: str | None = None
    frozen: str | None = None
    snoozed: Snooze | None = None

    @property
    def last_retrain_at(self) -> datetime | None:
        return max(self.retrains_at, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    answer: Answer
    summary: str
    reasons: tuple[str, ...]
    rules: tuple[RuleResult, ...]


def remember(
    rule: RuleResult, *, active_since: datetime | None, hold_for: timedelta | None, now: datetime
) -> RuleResult:
    """The rule's result held against its past: with ``hold_for`` it fires once its condition has held that long.

    ``active_since`` is what the last check said. A check without data neither fires nor forgets.
    """
    if rule.state is not RuleState.OK:
        return replace(rule, active_since=active_since)
    if not rule.fired:
        return rule
    since = now if active_since is None else active_since
    if hold_for is None or now - since >= hold_for:
        return replace(rule, active_since=since)
    waits = f"{rule.reason}; not yet for {_span(hold_for)}, only since {readable_time(since)}"
    return replace(rule, fired=False, active_since=since, reason=waits)


def decide(
    rules: Sequence[RuleResult],
    policy: TriggerPolicy,
    *,
    history: History,
    fresh_labels: int | None,
    now: datetime,
) -> Decision:
    """The answer, in this order; the first that applies wins.

    1. A brake that is on, or a retrain that runs, holds the next one off, also a manual one. (INVESTIGATE is still
       said: it trains nothing.) A brake is named in every HOLD.
    2. Manual: RETRAIN, whatever the rules say; a person has given a reason.
    3. Integrity, a rule that asks for a person, or a silence that does: INVESTIGATE. Drift of broken data is not a
       reason to learn from it.
    4. ``retrain_when`` holds: RETRAIN; HOLD within the cooldown or where the week's budget is spent; NEED_LABELS where
       it would not hold without the rules that see no labels, and ``fresh_labels`` (None: unknown) are fewer than the
       policy asks for; HOLD while somebody snoozes it.
    5. It does not hold: HOLD only if no rule ended in an error and one of those that watch the predictions (drift,
       integrity; where none is declared, those on labels) had an answer. Else INCONCLUSIVE: neither the model's age
       nor old labels make a source that has gone quiet look healthy.
    """
    fired = [rule for rule in rules if rule.fired]
    manual = [rule for rule in fired if rule.kind is RuleKind.MANUAL]
    broken = [rule for rule in rules if _asks_for_a_person(rule, policy)]
    asking = [rule for rule in rules if rule.kind is not RuleKind.MANUAL and not _investigates(rule, policy)]
    wants = [rule for rule in asking if rule.fired]
    is_due = _holds(asking, policy) is True
    silent = _silent(rules)

    def decision(answer: Answer, summary: str, because: Sequence[RuleResult], *more: str) -> Decision:
        braked = (history.frozen,) if answer is Answer.HOLD and history.frozen is not None else ()
        reasons = (*braked, *(r.reason for r in because), *more, *silent)
        return Decision(answer=answer, summary=summary, reasons=tuple(dict.fromkeys(reasons)), rules=tuple(rules))

    if broken and not manual:
        return decision(Answer.INVESTIGATE, f"Investigate, do not train: {_headline(broken)}", broken + wants)
    wanted = manual + [rule for rule in broken if rule.fired] + wants if manual else wants if is_due else []
    hold = history.frozen or (None if history.running is None else f"retrain {history.running} is running")
    if wanted and hold is not None:
        return decision(Answer.HOLD, f"Hold: {hold}", (), hold, *(r.reason for r in wanted))
    if manual:
        return decision(Answer.RETRAIN, f"Retrain by hand: {manual[0].reason}", wanted)
    if is_due:
        hold_off = _held_off(policy, history, now)
        if hold_off is not None:
            return decision(Answer.HOLD, f"Hold: {hold_off}", (), hold_off, *(r.reason for r in wants))
        if _holds(asking, policy, without=_LABEL_FREE) is not True:
            lacking = _lacking_labels(fresh_labels, policy.min_fresh_labels)
            if lacking is not None:
                return decision(Answer.NEED_LABELS, f"Labels needed: {_headline(wants)}, but {lacking}", wants, lacking)
        if history.snoozed is not None and now < history.snoozed.until:
            asleep = str(history.snoozed)
            return decision(Answer.HOLD, f"Hold: {asleep}", (), asleep, *(r.reason for r in wants))
        return decision(Answer.RETRAIN, f"Retrain: {_headline(wants)}", wants)
    answered = [rule for rule in rules if _answered(rule, policy)]
    watching = [r for r in rules if r.kind in _ON_PREDICTIONS] or [r for r in rules if r.kind in _ON_LABELS]
    if not rules or any(rule.state is RuleState.ERROR and rule not in answered for rule in rules):
        return decision(Answer.INCONCLUSIVE, "Inconclusive: not every rule could be asked, and none fired", wants)
    if watching and not any(rule in answered for rule in watching):
        summary = "Inconclusive: too little data in the window to judge the model by"
        return decision(Answer.INCONCLUSIVE, summary, wants)
    if not answered:
        return decision(Answer.INCONCLUSIVE, "Inconclusive: no rule has data", ())
    count = f"{len(answered)} of {len(rules)} rules" if len(answered) < len(rules) else f"all {len(rules)} rules"
    if wants:
        alone = ", ".join(rule.name for rule in wants)
        summary = f"Hold: {alone} fired, which alone is not check.retrain_when"
        return decision(Answer.HOLD, summary, [*wants, *(rule for rule in answered if not rule.fired)])
    return decision(Answer.HOLD, f"Hold: {count} answered, none fired", answered)


_ON_PREDICTIONS: Final = frozenset({RuleKind.DRIFT, RuleKind.SLOW_DRIFT, RuleKind.INTEGRITY})
_ON_LABELS: Final = frozenset({RuleKind.ACCURACY, RuleKind.COST, RuleKind.WRONG})
#: Evidence without a label: it says that the data moved, not that the model is worse, and nothing to learn from.
_LABEL_FREE: Final = frozenset({RuleKind.DRIFT, RuleKind.SLOW_DRIFT, RuleKind.ESTIMATED_ACCURACY})
_WEEK: Final = timedelta(days=7)


def _holds(
    rules: Sequence[RuleResult], policy: TriggerPolicy, *, without: frozenset[RuleKind] = frozenset()
) -> bool | None:
    """Whether the condition holds, with the rules of the kinds ``without`` taken for quiet; None where unknown."""
    truth: dict[str, bool | None] = {}
    for rule in rules:
        known = _answered(rule, policy) or rule.kind in without
        truth[rule.name] = (rule.fired and rule.kind not in without) if known else None
    condition = policy.retrain_when or AnyOf(tuple(truth))
    return holds(condition, truth)


def _investigates(rule: RuleResult, policy: TriggerPolicy) -> bool:
    return rule.kind is RuleKind.INTEGRITY or rule.name in policy.investigating


def _treatment(rule: RuleResult, policy: TriggerPolicy) -> Treatment:
    if rule.silence is None:  # a mistake in the configuration: no policy makes that an answer
        return Treatment.INCONCLUSIVE
    return policy.no_data.get(rule.silence, Treatment.INCONCLUSIVE)


def _answered(rule: RuleResult, policy: TriggerPolicy) -> bool:
    return rule.state is RuleState.OK or _treatment(rule, policy) is Treatment.QUIET


def _asks_for_a_person(rule: RuleResult, policy: TriggerPolicy) -> bool:
    if rule.state is RuleState.OK:
        return rule.fired and _investigates(rule, policy)
    return _treatment(rule, policy) is Treatment.INVESTIGATE


def _held_off(policy: TriggerPolicy, history: History, now: datetime) -> str | None:
    """Why a retrain that is due has to wait, or None."""
    last = history.last_retrain_at
    if last is not None and now - last < policy.cooldown:
        return f"cooling down until {readable_time(last + policy.cooldown)} after the retrain of {readable_time(last)}"
    week = sorted(at for at in history.retrains_at if now - at < _WEEK)
    if policy.retrains_a_week is not None and len(week) >= policy.retrains_a_week:
        free_at = week[len(week) - policy.retrains_a_week] + _WEEK
        return f"the budget of {policy.retrains_a_week} retrains a week is spent until {readable_time(free_at)}"
    return None


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


def _span(duration: timedelta) -> str:
    hours = duration / timedelta(hours=1)
    return f"{hours / 24:g} d" if hours >= 48 else f"{hours:g} h"
