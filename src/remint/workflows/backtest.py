"""``remint backtest``: the check's own rules asked over a recorded past, on the schedule of ``params.yaml``.

Nothing here decides: ``judging.judge`` and ``core.trigger.decide`` do, with the memory that the ledger would have had
at each check (cooldown, budget a week, ``for``, clear limits, alpha spent). What the replay adds is the model that a
RETRAIN would have made: see ``_Model.retrained``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np

from remint.config import Check, CostRule
from remint.core.backtest import Asked, Backtest, Loss, Prices, Retrain, Tenure, accuracy_lost
from remint.core.budget import alpha_of_check
from remint.core.document import format_time, readable_time
from remint.core.profile import Reference
from remint.core.signals import ChampionAccuracy
from remint.core.trigger import Answer, Decision, History, decide
from remint.errors import ConfigError, NoDataError
from remint.workflows.backtest_recording import Chapter, Recording, ReplayedEvidence
from remint.workflows.judging import Judged, Moment, Watched, judge, trigger_policy

Progress = Callable[[int, int], None]  # checks done, checks in all

_LEAST_LABELS: Final = 30  # of a window whose accuracy a replayed model starts with
_WEEK: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """What is taken for granted of a retrain. ``reference_window`` None: as long as ``check.window``."""

    retrain_takes: timedelta = timedelta()  # from the decision to the promotion
    rereference: bool = True  # the new model's reference is the window that it was trained on
    reference_window: timedelta | None = None

    def assumptions(self) -> tuple[str, ...]:
        after = self.retrain_takes / timedelta(hours=1)
        first = f"Each RETRAIN leads to a model that is promoted {after:g} h later, whatever its gate would have said."
        if not self.rereference:
            return (first, "It is compared with the first champion's reference and accuracy, as the champion was.")
        days = (
            "check.window" if self.reference_window is None else f"{self.reference_window / timedelta(days=1):g} days"
        )
        return (
            first,
            f"Its reference is what the recorded model saw in the {days} before the decision, over the same bins.",
            "It starts with the accuracy that the champion had at its gate: what had been lost until then is given "
            "back, and only what the recorded model lost since is lost again. So its labels are held against what the "
            "recorded model got right in the check.window after the promotion.",
            "Nobody can know what a model that was not trained would have done.",
            "Predictions and labels stay those of the recorded models.",
        )


def replay(
    check: Check,
    chapters: Sequence[Chapter],
    *,
    policy: str,
    options: ReplayOptions | None = None,
    progress: Progress | None = None,
) -> Backtest:
    """Ask ``check`` at each time of its schedule; a check without enough to answer counts as INCONCLUSIVE.

    ``chapters`` in their order. Raises NoDataError where the history is shorter than the first window.
    """
    walk = _Walk(check, options or ReplayOptions())
    schedules = [_schedule(check, chapter) for chapter in chapters]
    total = sum(map(len, schedules))
    if total == 0:
        start, end = chapters[0].recording.start, chapters[-1].recording.end
        raise NoDataError(
            f"the history, {readable_time(start)} to {readable_time(end)}, is shorter than check.window and one check",
            hint="a longer history, or a shorter check.window",
        )
    for chapter, schedule in zip(chapters, schedules, strict=True):
        walk.open(chapter)
        for at in schedule:
            walk.ask(at)
            if progress is not None:
                progress(len(walk.asked), total)
    walk.close(chapters[-1].recording.end)
    return Backtest(
        policy=policy,
        start=chapters[0].recording.start,
        end=chapters[-1].recording.end,
        asked=tuple(walk.asked),
        retrains=tuple(walk.retrains),
        tenures=tuple(walk.tenures),
    )


def declared_prices(check: Check) -> Prices | None:
    """Those of the policy's cost rule."""
    found = next((rule for rule in check.rules.values() if isinstance(rule, CostRule)), None)
    return None if found is None else Prices(error=found.error_cost, retrain=found.retrain_cost)


def _schedule(check: Check, chapter: Chapter) -> Sequence[datetime]:
    """From the first check after the promotion on; where that was before the history began, once a window is full."""
    recording, promoted_at = chapter.recording, chapter.watched.promoted_at
    if promoted_at < recording.start:
        return recording.checks(max(promoted_at + check.every, recording.start + check.window), check.every)
    return recording.checks(promoted_at + check.every, check.every)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Model:
    """The model that a check judges, and what the ledger has of its time."""

    watched: Watched
    since: datetime  # of its service within the history
    trained_until: datetime
    recorded: bool
    baseline: ChampionAccuracy | None
    active: dict[str, datetime]
    spent_alpha: float = 0.0

    @classmethod
    def of(cls, watched: Watched, *, since: datetime, trained_until: datetime, recorded: bool) -> _Model:
        try:
            baseline = watched.accuracy(_LEAST_LABELS)
        except ConfigError:  # not measured: the rules that need it say so
            baseline = None
        return cls(
            watched=watched,
            since=since,
            trained_until=trained_until,
            recorded=recorded,
            baseline=baseline,
            active={},
        )

    def retrained(self, check: Check, options: ReplayOptions, recording: Recording, *, at: datetime) -> _Model:
        """The model that a RETRAIN at ``at`` is taken to make, promoted ``options.retrain_takes`` later."""
        watched, promoted_at = self.watched, at + options.retrain_takes
        fresh = recording.feedback(self.trained_until, at).labels
        changes: dict[str, Any] = {"promoted_at": promoted_at, "training_rows": watched.training_rows + fresh}
        if options.rereference:
            start = at - (options.reference_window or check.window)
            changes["reference"] = _rereferenced(watched.reference, recording, start, at)
            # Of the window after, which was not chosen for its low accuracy as the one before may have been
            found = recording.feedback(promoted_at, promoted_at + check.window)
            if found.labels >= _LEAST_LABELS:
                measured = {"accuracy": found.right / found.labels}
                rows = {"fresh": found.labels, "test": found.labels}
                changes["metrics"] = {"fresh": measured, "test": measured, "rows": rows}
        return _Model.of(replace(watched, **changes), since=promoted_at, trained_until=at, recorded=False)


def _rereferenced(reference: Reference, recording: Recording, start: datetime, end: datetime) -> Reference:
    """The same bins with the counts of [start, end); of a field that was not counted there, the same counts."""
    try:
        found = recording.counts(start, end)
    except NoDataError:
        return reference
    fields = tuple(
        replace(field, counts=tuple(found.counts[field.name].tolist())) if field.name in found.counts else field
        for field in reference.fields
    )
    return replace(reference, id=f"replayed:{format_time(end)}", fields=fields, training_rows=found.rows)


class _Walk:
    """The state that the ledger and git would hold, check by check."""

    def __init__(self, check: Check, options: ReplayOptions) -> None:
        self._check = check
        self._policy = trigger_policy(check)
        self._options = options
        self._recording: Recording
        self._model: _Model
        self._next: _Model | None = None  # trained, not yet promoted
        self._retrains_at: list[datetime] = []
        self.asked: list[Asked] = []
        self.retrains: list[Retrain] = []
        self.tenures: list[Tenure] = []
        self._began: datetime | None = None

    def open(self, chapter: Chapter) -> None:
        """A recorded promotion: what was recorded from here on is that champion's, in its own bins."""
        since = max(chapter.watched.promoted_at, chapter.recording.start)
        if self._began is None:
            self._began = since
        else:
            self._end_tenure(since)
        self._recording = chapter.recording
        self._next = None
        self._model = _Model.of(chapter.watched, since=since, trained_until=since, recorded=True)

    def ask(self, now: datetime) -> None:
        if self._next is not None and self._next.since <= now:
            self._end_tenure(self._next.since)
            self._model, self._next = self._next, None
        model, check = self._model, self._check
        moment = Moment(
            now=now,
            start=max(now - check.window, model.watched.promoted_at),
            end=now,
            alpha=alpha_of_check(
                yearly=check.false_retrains_a_year,
                every=check.every,
                age=now - model.watched.promoted_at,
                spent=model.spent_alpha,
            ),
            active=model.active,
        )
        evidence = ReplayedEvidence(self._recording, now=now, trained_until=model.trained_until)
        judged = judge(check, model.watched, evidence, moment)
        running = None if self._next is None else "of this back-test"
        decision = decide(
            judged.rules,
            self._policy,
            history=History(retrains_at=tuple(self._retrains_at), running=running),
            fresh_labels=evidence.fresh().count,
            now=now,
        )
        active = {rule.name: rule.active_since for rule in decision.rules if rule.active_since is not None}
        self._model = replace(model, active=active, spent_alpha=model.spent_alpha + moment.alpha)
        self._note(now, decision, judged, self._loss(moment.start, now))

    def _note(self, now: datetime, decision: Decision, judged: Judged, loss: Loss | None) -> None:
        most = max(judged.drift, key=lambda drift: drift.divergence.psi_adjusted, default=None)
        fired = tuple(rule.name for rule in decision.rules if rule.fired)
        self.asked.append(
            Asked(
                at=now,
                answer=decision.answer,
                fired=fired,
                summary=decision.summary,
                sigmas=None if most is None else float(np.sqrt(most.divergence.psi_adjusted)),
                field=None if most is None else most.field,
                loss=loss,
            )
        )
        if decision.answer is not Answer.RETRAIN:
            return
        self._next = self._model.retrained(self._check, self._options, self._recording, at=now)
        assert self._began is not None
        before = self.retrains[-1].asked_at if self.retrains else self._began
        self.retrains.append(
            Retrain(
                asked_at=now,
                promoted_at=self._next.since,
                rules=fired,
                reason=decision.summary.removeprefix("Retrain: "),
                after=now - before,
                loss=loss,
            )
        )
        # As in the ledger, a retrain counts from its end once that has come; older ones than a week only as the last
        self._retrains_at = [at for at in self._retrains_at if now - at < _WEEK] + [self._next.since]

    def close(self, end: datetime) -> None:
        self._end_tenure(end)

    def _end_tenure(self, until: datetime) -> None:
        model = self._model
        if until <= model.since:
            return
        found = self._recording.feedback(model.since, until)
        loss = None if model.baseline is None else accuracy_lost(model.baseline, found)
        self.tenures.append(
            Tenure(since=model.since, until=until, recorded=model.recorded, predictions=found.predictions, loss=loss)
        )

    def _loss(self, start: datetime, end: datetime) -> Loss | None:
        if self._model.baseline is None or start >= end:
            return None
        return accuracy_lost(self._model.baseline, self._recording.feedback(start, end))
