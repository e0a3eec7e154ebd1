"""The rules that ask users' labels: accuracy below the champion's at its gate, and the number of wrong predictions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from scipy.stats import beta

from remint.core.signals import ChampionAccuracy, FeedbackCounts, counted, no_data
from remint.core.trigger import RuleKind, RuleResult
from remint.errors import Silence


def accuracy_rule(
    name: str,
    feedback_by_start: Sequence[tuple[datetime, FeedbackCounts]],
    champion: ChampionAccuracy,
    *,
    drop: float,
    min_labels: int,
    yearly: float,
    window: timedelta,
    promoted_at: datetime,
    now: datetime,
) -> RuleResult:
    """``feedback_by_start``: labels from each of ``accuracy.anchored_starts(promoted_at, now, window)`` to ``now``."""
    raise NotImplementedError


def wrong_rule(name: str, feedback: FeedbackCounts, *, limit: int) -> RuleResult:
    """Fires at ``limit`` predictions in the window that users called wrong. No feedback at all is no data."""
    if feedback.labels == 0:
        return no_data(name, RuleKind.WRONG, "no feedback in the window", silence=Silence.EMPTY)
    reason = f"{feedback.wrong} predictions were called wrong, the limit is {limit}"
    return counted(name, RuleKind.WRONG, reason, observed=feedback.wrong, limit=limit)


def clopper_pearson(successes: int, trials: int, *, alpha: float) -> tuple[float, float]:
    """Exact limits of a binomial share, each missed with probability ``alpha`` at most (one-sided)."""
    if trials == 0:
        return 0.0, 1.0
    lower = 0.0 if successes == 0 else float(beta.ppf(alpha, successes, trials - successes + 1))
    upper = 1.0 if successes == trials else float(beta.isf(alpha, successes + 1, trials - successes))
    return lower, upper
