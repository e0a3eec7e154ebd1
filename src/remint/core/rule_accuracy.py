"""The rules that ask users' labels: accuracy below the champion's at its gate, and the number of wrong predictions."""

from __future__ import annotations

import math

from scipy.stats import beta

from remint.core.signals import ChampionAccuracy, FeedbackCounts, counted, no_data, percent, too_few
from remint.core.trigger import RuleKind, RuleResult, RuleState
from remint.core.verdict import Finding, Verdict
from remint.errors import Silence


def accuracy_rule(
    name: str,
    feedback: FeedbackCounts,
    champion: ChampionAccuracy,
    *,
    drop: float,
    min_labels: int,
    alpha: float,
) -> RuleResult:
    """Fires where feedback accuracy is below the champion's by more than ``drop``, beyond chance in both.

    The lower confidence limit of (champion's - feedback's) has to exceed ``drop``: Clopper-Pearson limits of each,
    joined by MOVER (Zou & Donner 2008), so a champion measured on few rows raises no alarm for its own uncertainty.
    """
    if feedback.labels < min_labels:
        return too_few(name, RuleKind.ACCURACY, feedback.labels, min_labels, of="labelled predictions in the window")
    observed = feedback.right / feedback.labels
    upper = clopper_pearson(feedback.right, feedback.labels, alpha=alpha)[1]
    champion_lower = clopper_pearson(round(champion.accuracy * champion.rows), champion.rows, alpha=alpha)[0]
    difference = champion.accuracy - observed
    surely = difference - math.hypot(champion.accuracy - champion_lower, upper - observed)
    fired = surely > drop
    reason = (
        f"{percent(observed)} of {feedback.labels} labelled predictions were right, the champion had "
        f"{percent(champion.accuracy)} on {champion.rows} {champion.measured_on} rows"
    )
    reason += (
        f": at least {percent(surely)} less, {percent(drop)} allowed"
        if fired
        else ": not surely beyond what is allowed"
    )
    finding = Finding(
        rule=name,
        verdict=Verdict.FAIL if fired else Verdict.PASS,
        reason=reason,
        observed=observed,
        limit=champion.accuracy - drop,
        evidence={
            "right": feedback.right,
            "wrong": feedback.wrong,
            "upper_bound": upper,
            "champion_accuracy": champion.accuracy,
            "champion_rows": champion.rows,
            "champion_lower_bound": champion_lower,
            "drop_lower_bound": surely,
            "alpha": alpha,
        },
    )
    return RuleResult(
        name=name, kind=RuleKind.ACCURACY, state=RuleState.OK, fired=fired, reason=reason, findings=(finding,)
    )


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
