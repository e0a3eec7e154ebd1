"""The rule that asks no labels: accuracy estimated from calibrated confidence. It cannot see concept drift."""

from __future__ import annotations

from remint.core.accuracy import estimate_accuracy
from remint.core.profile import Reference
from remint.core.signals import WindowCounts, percent, too_few
from remint.core.trigger import RuleKind, RuleResult, RuleState
from remint.core.verdict import Finding, Verdict


def estimated_accuracy_rule(
    name: str, window: WindowCounts, reference: Reference, *, drop: float, alpha: float, min_rows: int
) -> RuleResult:
    """Fires where the confidence of the window stands for an accuracy that is lower by more than ``drop``.

    Lower than on the held-out rows, beyond chance in both, once with probability ``alpha`` where it is not. ConfigError
    where the reference has no calibration, NoDataError without rows.
    """
    if 0 < window.rows < min_rows:
        return too_few(name, RuleKind.ESTIMATED_ACCURACY, window.rows, min_rows)
    found = estimate_accuracy(reference, window.counts, alpha=alpha)
    fired = found.drop_lower > drop
    outcome = (
        f"at least {percent(found.drop_lower)} less, {percent(drop)} allowed"
        if fired
        else "not surely beyond what is allowed"
    )
    reason = (
        f"accuracy is estimated at {percent(found.estimate)} ({percent(found.lower)} to {percent(found.upper)}) from "
        f"the confidence of {found.rows} predictions, {percent(found.reference_accuracy)} on held-out rows: {outcome}; "
        "this cannot see concept drift"
    )
    finding = Finding(
        rule=name,
        verdict=Verdict.FAIL if fired else Verdict.PASS,
        reason=reason,
        observed=found.estimate,
        limit=found.reference_accuracy - drop,
        evidence={
            "lower_bound": found.lower,
            "upper_bound": found.upper,
            "reference_accuracy": found.reference_accuracy,
            "drop_lower_bound": found.drop_lower,
            "rows": found.rows,
            "alpha": alpha,
            "knows_variation": found.knows_variation,
            "sees_concept_drift": False,
        },
    )
    return RuleResult(
        name=name,
        kind=RuleKind.ESTIMATED_ACCURACY,
        state=RuleState.OK,
        fired=fired,
        reason=reason,
        findings=(finding,),
    )
