"""The cost rule: is waiting dearer than retraining? Accuracy surely lost x predictions x cost of an error."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from remint.core.accuracy import drop_lower_bound
from remint.core.rule_accuracy import granted_alpha
from remint.core.signals import ChampionAccuracy, FeedbackCounts, percent, too_few
from remint.core.trigger import RuleKind, RuleResult, RuleState
from remint.core.verdict import Finding, Verdict

_DAY: Final = timedelta(days=1)


def cost_rule(
    name: str,
    feedback_by_start: Sequence[tuple[datetime, FeedbackCounts]],
    champion: ChampionAccuracy,
    *,
    predictions_per_day: float,
    error_cost: float,
    retrain_cost: float,
    horizon: timedelta,
    min_labels: int,
    yearly: float,
    window: timedelta,
    now: datetime,
) -> RuleResult:
    """Fires where waiting for ``horizon`` surely costs more than a retrain, in the currency of both costs.

    What waiting costs is (the champion's accuracy at its gate - its feedback accuracy) x predictions in the horizon x
    ``error_cost``; "surely" takes the lower confidence limit of that difference, valid at every look. The evidence and
    its limits are the accuracy rule's. It takes for granted that a retrain brings the lost accuracy back.
    """
    labels = max((counts.labels for _, counts in feedback_by_start), default=0)
    judged = [
        (
            drop_lower_bound(
                champion,
                counts.right,
                counts.wrong,
                alpha=granted_alpha(start, now, yearly=yearly, window=window),
            ),
            champion.accuracy - counts.right / counts.labels,
        )
        for start, counts in feedback_by_start
        if counts.labels >= min_labels and start < now
    ]
    if not judged:
        return too_few(name, RuleKind.COST, labels, min_labels, of="labelled predictions in the window")
    surely_lost, lost = max(judged)
    errors = predictions_per_day * (horizon / _DAY)
    sure_cost, likely_cost = (max(0.0, share) * errors * error_cost for share in (surely_lost, lost))
    fired = sure_cost > retrain_cost
    reason = (
        f"waiting {horizon / _DAY:g} d costs about {likely_cost:,.0f}, surely {sure_cost:,.0f} "
        f"({percent(max(0.0, lost))} less accuracy on {errors:,.0f} predictions at {error_cost:g} an error); "
        f"a retrain costs {retrain_cost:,.0f}"
    )
    finding = Finding(
        rule=name,
        verdict=Verdict.FAIL if fired else Verdict.PASS,
        reason=reason,
        observed=sure_cost,
        limit=retrain_cost,
        evidence={
            "likely_cost": likely_cost,
            "sure_cost": sure_cost,
            "accuracy_lost": lost,
            "accuracy_surely_lost": surely_lost,
            "predictions_in_horizon": errors,
            "error_cost": error_cost,
        },
    )
    return RuleResult(
        name=name, kind=RuleKind.COST, state=RuleState.OK, fired=fired, reason=reason, findings=(finding,)
    )
