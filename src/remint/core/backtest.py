"""What a policy would have done on a history: each check of the replay, each retrain, and what was lost before it.

The replay itself is ``workflows.backtest``; here is its record and the arithmetic on it. Nobody can know what a model
that was not trained would have done, so a replayed retrain is taken to give back what had been lost until then: the
recorded model's accuracy just after it stands for that of a new model, and only what is lost from there on is lost
again.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Final, TypeVar

from scipy.stats import chi2, norm

from remint.core.budget import YEAR
from remint.core.document import format_time
from remint.core.signals import ChampionAccuracy, FeedbackCounts
from remint.core.trigger import Answer

T = TypeVar("T")

CONFIDENCE: Final = 0.95  # of every interval here
_Z: Final = float(norm.isf((1 - CONFIDENCE) / 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Accuracy lost: the model's when it was new less that of its labels, 0 to 1; below 0 where it has risen.

    ``low`` and ``high`` are its 95 % interval: Wilson limits of both shares joined by MOVER (Zou & Donner 2008).
    """

    baseline: ChampionAccuracy
    feedback: FeedbackCounts
    lost: float
    low: float
    high: float

    @property
    def accuracy(self) -> float:
        return self.feedback.right / self.feedback.labels

    def to_json(self) -> dict[str, Any]:
        return {
            "accuracy": self.accuracy,
            "labels": self.feedback.labels,
            "baseline": self.baseline.accuracy,
            "baseline_rows": self.baseline.rows,
            "measured_on": self.baseline.measured_on,
            "lost": self.lost,
            "interval": {"low": self.low, "high": self.high},
        }


def accuracy_lost(baseline: ChampionAccuracy, feedback: FeedbackCounts) -> Loss | None:
    """None where there is no label, or the baseline was measured on no row: then nothing can be said."""
    if feedback.labels == 0 or baseline.rows == 0:
        return None
    before, now = baseline.accuracy, feedback.right / feedback.labels
    before_low, before_high = _wilson(before, baseline.rows)
    now_low, now_high = _wilson(now, feedback.labels)
    lost = before - now
    return Loss(
        baseline=baseline,
        feedback=feedback,
        lost=lost,
        low=lost - math.hypot(before - before_low, now_high - now),
        high=lost + math.hypot(before_high - before, now - now_low),
    )


def _wilson(share: float, rows: int) -> tuple[float, float]:
    """Score limits (Wilson 1927). Written out, since SciPy's comes with a test that takes a hundred times as long."""
    spread = _Z * _Z / rows
    centre = (share + spread / 2) / (1 + spread)
    half = math.sqrt(spread * share * (1 - share) + spread * spread / 4) / (1 + spread)
    return centre - half, centre + half


# -- the record ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One check of the replay. ``sigmas`` is the largest drift of any field (sqrt(PSI)); None without an answer."""

    at: datetime
    answer: Answer
    fired: tuple[str, ...]  # names of the rules
    summary: str
    sigmas: float | None
    field: str | None  # that drifted by so much
    loss: Loss | None  # in the check's window


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrain:
    """A RETRAIN of the replay. ``after`` is the time since the retrain before it, or since the history's start."""

    asked_at: datetime
    promoted_at: datetime
    rules: tuple[str, ...]
    reason: str
    after: timedelta
    loss: Loss | None  # in the window that the check looked at

    def to_json(self) -> dict[str, Any]:
        return {
            "asked_at": format_time(self.asked_at),
            "promoted_at": format_time(self.promoted_at),
            "rules": list(self.rules),
            "reason": self.reason,
            "after_seconds": self.after.total_seconds(),
            "loss": None if self.loss is None else self.loss.to_json(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenure:
    """The service of one model: a recorded champion's, or that of the model that a replayed retrain is taken to make.

    ``loss`` is over the whole of it; ``predictions`` is None where the history does not say how many there were.
    """

    since: datetime
    until: datetime
    recorded: bool
    predictions: int | None
    loss: Loss | None

    def to_json(self) -> dict[str, Any]:
        return {
            "since": format_time(self.since),
            "until": format_time(self.until),
            "recorded": self.recorded,
            "predictions": self.predictions,
            "loss": None if self.loss is None else self.loss.to_json(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Of one wrong prediction and of one retrain with its review, in one currency."""

    error: float
    retrain: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What retraining cost, and what the predictions cost that a model as good as new would have got right."""

    retrains: float
    errors: float
    errors_low: float
    errors_high: float

    @property
    def total(self) -> float:
        return self.retrains + self.errors

    def to_json(self) -> dict[str, Any]:
        interval = {"low": self.errors_low, "high": self.errors_high}
        return {"retrains": self.retrains, "errors": self.errors, "errors_interval": interval, "total": self.total}


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """The replay of one policy over [start, end)."""

    policy: str  # its file's name
    start: datetime
    end: datetime
    asked: tuple[Asked, ...]
    retrains: tuple[Retrain, ...]
    tenures: tuple[Tenure, ...]

    @property
    def years(self) -> float:
        return (self.end - self.start) / YEAR

    @property
    def answers(self) -> dict[Answer, int]:
        """Checks by answer, each answer named."""
        found = Counter(asked.answer for asked in self.asked)
        return {answer: found[answer] for answer in Answer}

    @property
    def by_rule(self) -> dict[str, int]:
        """Retrains by rule, the most frequent first; a retrain counts for each rule that had fired."""
        return dict(Counter(rule for retrain in self.retrains for rule in retrain.rules).most_common())

    @property
    def loss(self) -> tuple[float, float, float] | None:
        """Accuracy lost over the whole history with its interval: the tenures', weighted by their labels."""
        known = [(t.loss.feedback.labels, t.loss) for t in self.tenures if t.loss is not None]
        labels = sum(n for n, _ in known)
        if labels == 0:
            return None
        lost = sum(n * loss.lost for n, loss in known) / labels
        # The tenures' labels are different rows, so their errors add up like independent ones.
        below = math.hypot(*(n * (loss.lost - loss.low) for n, loss in known)) / labels
        above = math.hypot(*(n * (loss.high - loss.lost) for n, loss in known)) / labels
        return lost, lost - below, lost + above

    def cost(self, prices: Prices | None) -> Cost | None:
        """None without prices, or where no tenure says how many predictions it made and how many were right.

        A tenure costs its accuracy lost x its predictions x the price of an error; one that gained pays back, so that
        the noise of many short tenures does not add up. All of them together cost at least nothing.
        """
        priced = [(t.predictions, t.loss) for t in self.tenures if t.predictions is not None and t.loss is not None]
        if prices is None or not priced:
            return None

        errors = sum(n * loss.lost for n, loss in priced)
        below = math.hypot(*(n * (loss.lost - loss.low) for n, loss in priced))
        above = math.hypot(*(n * (loss.high - loss.lost) for n, loss in priced))
        return Cost(
            retrains=prices.retrain * len(self.retrains),
            errors=prices.error * max(0.0, errors),
            errors_low=prices.error * max(0.0, errors - below),
            errors_high=prices.error * max(0.0, errors + above),
        )

    def to_json(self, prices: Prices | None) -> dict[str, Any]:
        loss, cost = self.loss, self.cost(prices)
        return {
            "policy": self.policy,
            "checks": len(self.asked),
            "answers": {answer.value: count for answer, count in self.answers.items()},
            "retrains_a_year": len(self.retrains) / self.years,
            "retrains_a_year_at_most": rate_at_most(len(self.retrains), self.years),
            "by_rule": self.by_rule,
            "retrains": [retrain.to_json() for retrain in self.retrains],
            "tenures": [tenure.to_json() for tenure in self.tenures],
            "lost": None if loss is None else {"mean": loss[0], "interval": {"low": loss[1], "high": loss[2]}},
            "cost": None if cost is None else cost.to_json(),
            "episodes": [episode.to_json() for episode in episodes(self.asked)],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """Checks in a row with the same answer and the same rules that fired."""

    answer: Answer
    rules: tuple[str, ...]
    since: datetime
    until: datetime  # the last check's time
    checks: int
    summary: str  # of the first

    def to_json(self) -> dict[str, Any]:
        return {
            "answer": self.answer.value,
            "rules": list(self.rules),
            "since": format_time(self.since),
            "until": format_time(self.until),
            "checks": self.checks,
            "summary": self.summary,
        }


def episodes(asked: Sequence[Asked]) -> tuple[Episode, ...]:
    """The checks, those in a row that say the same put together."""
    found = []
    for (answer, rules), run in groupby(asked, key=lambda a: (a.answer, a.fired)):
        checks = list(run)
        found.append(
            Episode(
                answer=answer,
                rules=rules,
                since=checks[0].at,
                until=checks[-1].at,
                checks=len(checks),
                summary=checks[0].summary,
            )
        )
    return tuple(found)


# -- limits for a budget ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """A limit that would have kept a rule to its share of the budget on this history, if nothing was wrong in it.

    ``suggested`` is the most sensitive one that does; None where no limit tried does. The numbers of retrains are those
    of the rule alone.
    """

    rule: str | None  # None: the key is the policy's own (cooldown)
    key: str
    declared: str
    suggested: str | None
    retrains_declared: int
    retrains_suggested: int | None

    @property
    def changes(self) -> bool:
        return self.suggested is not None and self.suggested != self.declared

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def most_sensitive(candidates: Sequence[T], count: Callable[[T], int], *, allowed: int) -> tuple[T, int] | None:
    """The first of ``candidates`` (the most sensitive first) that fires at most ``allowed`` times, and how often.

    By bisection, so ``count`` is asked log2(candidates) times; what it says should not rise along the candidates. What
    is returned was counted. None where not even the last is enough.
    """
    low, high = 0, len(candidates)
    found: tuple[T, int] | None = None
    while low < high:
        middle = (low + high) // 2
        seen = count(candidates[middle])
        if seen <= allowed:
            found, high = (candidates[middle], seen), middle
        else:
            low = middle + 1
    return found


def round_limits(low: float, high: float) -> list[float]:
    """1, 1.5, 2, 3, 5, 7 times a power of ten, within [low, high]: limits that a person would write."""
    if not 0 < low <= high:
        return []
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    values = [float(f"{digit}e{power}") for power in range(first, last + 1) for digit in (1, 1.5, 2, 3, 5, 7)]
    return [value for value in values if low <= value <= high]


def rate_at_most(events: int, years: float) -> float:
    """The exact upper 95 % limit of a Poisson rate a year: 0 events in a year still allow 3 a year."""
    return float(chi2.ppf(CONFIDENCE, 2 * (events + 1))) / 2 / years
