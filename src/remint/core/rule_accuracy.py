"""The rules that ask users' labels: accuracy below the champion's at its gate, and the number of wrong predictions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from remint.core.accuracy import confidence_limits, drop_lower_bound
from remint.core.budget import YEAR
from remint.core.document import format_time
from remint.core.signals import ChampionAccuracy, FeedbackCounts, LabelDelay, counted, no_data, percent, too_few
from remint.core.trigger import RuleKind, RuleResult, RuleState
from remint.core.verdict import Finding, Verdict
from remint.errors import Silence

_HIGHEST_ALPHA: Final = 0.25  # whatever the budget: a coin is no evidence


def accuracy_rule(
    name: str,
    feedback_by_start: Sequence[tuple[datetime, FeedbackCounts]],
    champion: ChampionAccuracy,
    *,
    drop: float,
    min_labels: int,
    yearly: float,
    window: timedelta,
    now: datetime,
) -> RuleResult:
    """Fires where feedback accuracy is below the champion's by more than ``drop``, beyond chance in both.

    ``feedback_by_start``: labels that arrived from each of ``accuracy.anchored_starts(promoted_at, now, window)`` to
    ``now``. Each start is granted its share of the ``yearly`` false alarms, ``window`` by a year, as time passes, and
    its limits hold at every look at once: neither the schedule nor the number of champions changes their sum.
    """
    labels = max((counts.labels for _, counts in feedback_by_start), default=0)
    if labels < min_labels:
        return too_few(name, RuleKind.ACCURACY, labels, min_labels, of="labelled predictions in the window")
    judged = [
        _judge(name, start, counts, champion, drop=drop, alpha=granted_alpha(start, now, yearly=yearly, window=window))
        for start, counts in feedback_by_start
        if counts.labels >= min_labels and start < now
    ]
    if not judged:
        return too_few(name, RuleKind.ACCURACY, 0, min_labels, of="labelled predictions up to now")
    finding = max(judged, key=lambda found: float(found.evidence["drop_lower_bound"]))
    return RuleResult(
        name=name,
        kind=RuleKind.ACCURACY,
        state=RuleState.OK,
        fired=finding.verdict is Verdict.FAIL,
        reason=finding.reason,
        findings=(finding,),
    )


def wrong_rule(name: str, feedback: FeedbackCounts, *, limit: int) -> RuleResult:
    """Fires at ``limit`` predictions in the window that users called wrong. No feedback at all is no data."""
    if feedback.labels == 0:
        return no_data(name, RuleKind.WRONG, "no feedback in the window", silence=Silence.EMPTY)
    reason = f"{feedback.wrong} predictions were called wrong, the limit is {limit}"
    return counted(name, RuleKind.WRONG, reason, observed=feedback.wrong, limit=limit)


def granted_alpha(start: datetime, now: datetime, *, yearly: float, window: timedelta) -> float:
    """What evidence since ``start`` may take of the yearly false alarms: the share of the year that has passed."""
    return min(_HIGHEST_ALPHA, yearly * (min(window, now - start) / YEAR))


def _judge(
    name: str, start: datetime, feedback: FeedbackCounts, champion: ChampionAccuracy, *, drop: float, alpha: float
) -> Finding:
    observed = feedback.right / feedback.labels
    lower, upper = confidence_limits(feedback.right, feedback.wrong, alpha=alpha)
    surely = drop_lower_bound(champion, feedback.right, feedback.wrong, alpha=alpha)
    fired = surely > drop
    outcome = (
        f"at least {percent(surely)} less, {percent(drop)} allowed" if fired else "not surely beyond what is allowed"
    )
    reason = (
        f"{percent(observed)} of {feedback.labels} labelled predictions were right "
        f"({percent(lower)} to {percent(upper)}), the champion had {percent(champion.accuracy)} on {champion.rows} "
        f"{champion.measured_on} rows: {outcome}{_of_whom(feedback)}"
    )
    return Finding(
        rule=name,
        verdict=Verdict.FAIL if fired else Verdict.PASS,
        reason=reason,
        observed=observed,
        limit=champion.accuracy - drop,
        evidence={
            "since": format_time(start),
            "right": feedback.right,
            "wrong": feedback.wrong,
            "lower_bound": lower,
            "upper_bound": upper,
            "champion_accuracy": champion.accuracy,
            "champion_rows": champion.rows,
            "drop_lower_bound": surely,
            "alpha": alpha,
            "coverage_share": feedback.coverage_share,
            "label_delay_median_seconds": None if feedback.delay is None else feedback.delay.median_seconds,
            "label_delay_p90_seconds": None if feedback.delay is None else feedback.delay.p90_seconds,
        },
    )


def _of_whom(feedback: FeedbackCounts) -> str:
    """Which predictions these labels are of, and how late they come; as far as that is known."""
    coverage = feedback.coverage_share
    of = ""
    if coverage is not None and coverage < 1:
        of = f"; {percent(coverage)} of the predictions have a label, and this is the accuracy of those"
    return of + ("" if feedback.delay is None else f"; {_delay(feedback.delay)}")


def _delay(delay: LabelDelay) -> str:
    return f"half of the labels came within {_span(delay.median_seconds)}, 90 % within {_span(delay.p90_seconds)}"


def _span(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
