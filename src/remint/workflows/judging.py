"""Each declared rule on the evidence that it asks for: the one place where ``params.yaml`` meets the rules of the core.

``remint check`` and ``remint watch`` ask live sources, ``remint backtest`` a history. All of them judge here, so that a
back-test says what the check would have said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar, assert_never

from remint import config
from remint.core.accuracy import anchored_starts
from remint.core.budget import YEAR
from remint.core.detector import restarts
from remint.core.divergence import Method
from remint.core.drift import FieldDrift
from remint.core.profile import FieldRole, Reference
from remint.core.rule_accuracy import accuracy_rule, wrong_rule
from remint.core.rule_cost import cost_rule
from remint.core.rule_drift import drift_rule
from remint.core.rule_estimated_accuracy import estimated_accuracy_rule
from remint.core.rule_integrity import integrity_rule
from remint.core.rule_limits import age_rule, manual_rule, promql_rule, volume_rule
from remint.core.rule_slow_drift import slow_drift_rule
from remint.core.signals import ChampionAccuracy, FeedbackCounts, WindowCounts, no_answer
from remint.core.trigger import RuleKind, RuleResult, TriggerPolicy, remember
from remint.errors import ConfigError, NoDataError, RemintError, RetentionError, Silence
from remint.workflows.evidence import Evidence

T = TypeVar("T")

_STATISTICAL = (
    config.DriftRule,
    config.SlowDriftRule,
    config.AccuracyRule,
    config.EstimatedAccuracyRule,
    config.CostRule,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """The champion as the rules see it. ``metrics`` is its ``artifacts/metrics.json``."""

    reference: Reference
    promoted_at: datetime
    training_rows: int
    metrics: Mapping[str, Any]
    where: str  # names the champion in messages, such as its tag

    def accuracy(self, min_rows: int) -> ChampionAccuracy:
        """On the freshest rows of its evaluation where there were ``min_rows``, else on its test rows."""
        rows = self.metrics.get("rows") or {}
        for side, needed in (("fresh", min_rows), ("test", 1)):
            accuracy = (self.metrics.get(side) or {}).get("accuracy")
            if accuracy is not None and rows.get(side, 0) >= needed:
                return ChampionAccuracy(accuracy=float(accuracy), rows=int(rows[side]), measured_on=side)
        raise ConfigError(
            "the champion's accuracy was not measured",
            where=f"{self.where}:artifacts/metrics.json",
            hint="add accuracy to evaluate.metrics",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When is judged, and what the ledger remembers. The window is [start, end)."""

    now: datetime
    start: datetime
    end: datetime
    alpha: float  # the chance of a false alarm that this check's statistical rules may take together
    active: Mapping[str, datetime] = field(default_factory=dict)  # rule -> since when its condition holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What each rule says, every field's drift (the most drifted first), and the failures that silenced rules."""

    rules: tuple[RuleResult, ...]
    drift: tuple[FieldDrift, ...]
    failures: tuple[RemintError, ...]


def statistical_rules(check: config.Check) -> int:
    """How many rules share the false-alarm budget."""
    return sum(isinstance(rule, _STATISTICAL) for rule in check.rules.values())


def trigger_policy(check: config.Check) -> TriggerPolicy:
    return TriggerPolicy(
        cooldown=check.cooldown,
        min_fresh_labels=check.min_fresh_labels,
        retrains_a_week=check.retrains_a_week,
        retrain_when=check.retrain_when,
        investigating=check.investigating,
        no_data=check.no_data.treatments(),
    )


def judge(
    check: config.Check, watched: Watched, evidence: Evidence, moment: Moment, *, manual_reason: str | None = None
) -> Judged:
    """Each declared rule on its evidence, the manual one first where it was asked for.

    The budget is split evenly over the statistical rules: those that test once a check take their part of
    ``moment.alpha``, those that are valid at every look take theirs of the year.
    """
    bench = _Bench(check, watched, evidence, moment)
    rules = [] if manual_reason is None else [manual_rule(manual_reason)]
    failures: list[RemintError] = []
    for name, rule in check.rules.items():
        try:
            result = bench.apply(name, rule)
        except RemintError as error:
            failures.append(error)
            result = no_answer(name, RuleKind(rule.kind), error)
        since = moment.active.get(name)
        rules.append(remember(result, active_since=since, hold_for=rule.hold_for, now=moment.now))
    drift = sorted(bench.drift, key=lambda d: (not d.drifted, -d.divergence.psi_adjusted, d.field))
    return Judged(rules=tuple(rules), drift=tuple(drift), failures=tuple(failures))


class _Bench:
    """One judging of all rules; made and used once."""

    def __init__(self, check: config.Check, watched: Watched, evidence: Evidence, moment: Moment) -> None:
        statistical = max(1, statistical_rules(check))
        self.check = check
        self.watched = watched
        self.evidence = evidence
        self.moment = moment
        self.alpha = moment.alpha / statistical
        self.yearly = check.false_retrains_a_year / statistical
        self.drift: list[FieldDrift] = []

    def apply(self, name: str, rule: config.Rule) -> RuleResult:
        """Raises the RemintError of the evidence that the rule needs."""
        check, watched, moment = self.check, self.watched, self.moment
        match rule:
            case config.DriftRule():
                result, fields = drift_rule(
                    name,
                    self._window(),
                    watched.reference,
                    role=FieldRole(rule.role),
                    method=Method(rule.method),
                    material_psi=self._limit(name, rule.material_psi, rule.clear_psi),
                    alpha=self.alpha,
                    min_rows=check.min_rows,
                    earlier=self._earlier(rule.windows),
                    span=(moment.start, moment.end),
                )
                self.drift.extend(fields)
                return result
            case config.SlowDriftRule():
                starts = restarts(watched.promoted_at, moment.end, check.every)
                return slow_drift_rule(
                    name,
                    self._since(starts, self.evidence.counts),
                    watched.reference,
                    role=FieldRole(rule.role),
                    material_psi=rule.material_psi,
                    yearly=self.yearly,
                    checks_a_year=YEAR / check.every,
                    min_rows=check.min_rows,
                    promoted_at=watched.promoted_at,
                    now=moment.end,
                )
            case config.IntegrityRule():
                return integrity_rule(
                    name,
                    self._window(),
                    watched.reference,
                    missing_share=rule.missing_share,
                    unseen_share=rule.unseen_share,
                    out_of_range_share=rule.out_of_range_share,
                    alpha=moment.alpha,
                    min_rows=check.min_rows,
                )
            case config.AccuracyRule():
                return accuracy_rule(
                    name,
                    self._feedback_by_start(),
                    watched.accuracy(rule.min_labels),
                    drop=self._limit(name, rule.drop, rule.clear_drop),
                    min_labels=rule.min_labels,
                    yearly=self.yearly,
                    window=check.window,
                    now=moment.end,
                )
            case config.EstimatedAccuracyRule():
                return estimated_accuracy_rule(
                    name,
                    self._window(),
                    watched.reference,
                    drop=self._limit(name, rule.drop, rule.clear_drop),
                    alpha=self.alpha,
                    min_rows=check.min_rows,
                )
            case config.CostRule():
                window = self._window()
                return cost_rule(
                    name,
                    self._feedback_by_start(),
                    watched.accuracy(rule.min_labels),
                    predictions_per_day=window.rows / ((moment.end - moment.start) / timedelta(days=1)),
                    error_cost=rule.error_cost,
                    retrain_cost=rule.retrain_cost,
                    horizon=rule.horizon,
                    min_labels=rule.min_labels,
                    yearly=self.yearly,
                    window=check.window,
                    now=moment.end,
                )
            case config.WrongRule():
                self._refuse_empty()
                feedback = self.evidence.feedback(moment.start, moment.end)
                return wrong_rule(name, feedback, limit=int(self._limit(name, rule.limit, rule.clear)))
            case config.VolumeRule():
                fresh = self.evidence.fresh()
                return volume_rule(name, fresh.count, watched.training_rows, share=rule.share)
            case config.AgeRule():
                return age_rule(name, watched.promoted_at, moment.now, max_age=rule.max_age)
            case config.PromqlRule():
                return promql_rule(
                    name,
                    self.evidence.signal(rule.query),
                    above=None if rule.above is None else self._limit(name, rule.above, rule.clear),
                    below=None if rule.below is None else self._limit(name, rule.below, rule.clear),
                )
            case _:
                assert_never(rule)

    def _limit(self, name: str, fire: float, clear: float | None) -> float:
        """Once a rule's condition holds it has to come back to the clear limit, so that it does not flicker."""
        return clear if clear is not None and name in self.moment.active else fire

    def _window(self) -> WindowCounts:
        self._refuse_empty()
        return self.evidence.counts(self.moment.start, self.moment.end)

    def _earlier(self, windows: int) -> list[WindowCounts]:
        """The windows before this one, each as long, the newest first."""
        found = []
        length = self.check.window
        for back in range(1, windows):
            start, end = self.moment.end - (back + 1) * length, self.moment.end - back * length
            if start < self.watched.promoted_at:
                raise NoDataError(
                    f"{windows} windows in a row are asked for, {back} have passed since the promotion",
                    silence=Silence.TOO_FEW,
                )
            found.append(self.evidence.counts(start, end))
        return found

    def _feedback_by_start(self) -> list[tuple[datetime, FeedbackCounts]]:
        self._refuse_empty()
        starts = anchored_starts(self.watched.promoted_at, self.moment.end, self.check.window)
        return self._since(starts, self.evidence.feedback)

    def _since(self, starts: Sequence[datetime], ask: Callable[[datetime, datetime], T]) -> list[tuple[datetime, T]]:
        """What was counted from each start until now. A start that is too new or too old to tell may be left out, as
        long as one is left: evidence since any of them is valid by itself. Everything else is no answer."""
        found: list[tuple[datetime, T]] = []
        untold: RemintError | None = None
        for start in starts:
            try:
                found.append((start, ask(start, self.moment.end)))
            except RetentionError as error:
                untold = error
            except NoDataError as error:
                if error.silence is not Silence.EMPTY:
                    raise
                untold = untold or error
        if not found and untold is not None:
            raise untold
        return found

    def _refuse_empty(self) -> None:
        if self.moment.start >= self.moment.end:
            raise NoDataError(
                "the window is empty: it begins with the champion's promotion at the earliest",
                where=self.watched.where,
            )
