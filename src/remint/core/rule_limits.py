"""The rules that compare a number with a limit: volume of new labels, the champion's age, a query, a person's word."""

from __future__ import annotations

from datetime import datetime, timedelta

from remint.core.signals import counted, no_data, percent
from remint.core.trigger import RuleKind, RuleResult, RuleState
from remint.core.verdict import Finding, Verdict
from remint.errors import Silence


def volume_rule(name: str, fresh_labels: int, training_rows: int, *, share: float) -> RuleResult:
    """Fires where the labelled rows that are new since the champion are ``share`` of its training rows or more."""
    if training_rows <= 0:
        return no_data(name, RuleKind.VOLUME, "the champion's number of training rows is 0", silence=Silence.EMPTY)
    observed = fresh_labels / training_rows
    reason = (
        f"{fresh_labels} new labelled rows are {percent(observed)} of the champion's {training_rows} training rows, "
        f"the limit is {percent(share)}"
    )
    return counted(name, RuleKind.VOLUME, reason, observed=observed, limit=share)


def age_rule(name: str, since: datetime, now: datetime, *, max_age: timedelta) -> RuleResult:
    """Fires where the champion was promoted ``max_age`` ago or earlier."""
    age_days, limit_days = ((span / timedelta(days=1)) for span in (now - since, max_age))
    reason = f"the champion is {age_days:.1f} days old, the limit is {limit_days:g} days"
    return counted(name, RuleKind.AGE, reason, observed=age_days, limit=limit_days)


def promql_rule(name: str, value: float, *, above: float | None, below: float | None) -> RuleResult:
    """Fires where the query's value is beyond the one limit that is given; at the limit itself it is quiet."""
    if above is not None:
        fired, limit, side = value > above, above, "above"
    elif below is not None:
        fired, limit, side = value < below, below, "below"
    else:
        raise ValueError(f"rule {name!r} has no limit")
    reason = f"the query answers {value:.6g}, {side if fired else f'not {side}'} {limit:.6g}"
    finding = Finding(
        rule=name, verdict=Verdict.FAIL if fired else Verdict.PASS, reason=reason, observed=value, limit=limit
    )
    return RuleResult(
        name=name, kind=RuleKind.PROMQL, state=RuleState.OK, fired=fired, reason=reason, findings=(finding,)
    )


def manual_rule(reason: str) -> RuleResult:
    """A person asks for a retrain and says why."""
    finding = Finding(rule="manual", verdict=Verdict.FAIL, reason=reason)
    return RuleResult(
        name="manual", kind=RuleKind.MANUAL, state=RuleState.OK, fired=True, reason=reason, findings=(finding,)
    )
