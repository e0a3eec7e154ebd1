"""The rules: each looks at its own evidence and says fired, not fired, or that there is too little to say.

Shares are 0 to 1 inside and per cent in sentences. ``alpha`` is the chance of firing once where nothing is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np
from scipy.stats import beta, binom

from remint.core.drift import FieldDrift, measure_drift
from remint.core.profile import BELOW, MISSING, UNSEEN, Counts, FieldProfile, FieldRole, Measure, Reference
from remint.core.trigger import RuleKind, RuleResult, RuleState
from remint.core.verdict import Finding, Verdict
from remint.errors import NoDataError, RemintError

_NAMED: Final = 3  # fields that a sentence names; the rest is counted
_ROLE_NAMES: Final = {
    FieldRole.FEATURE: ("features", "no feature"),
    FieldRole.PREDICTION: ("predictions", "the predicted classes have not"),
    FieldRole.CONFIDENCE: ("confidence", "the confidence has not"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowCounts:
    """The window's predictions: rows, counts by field and bin, and rows that could not be read as rows at all."""

    rows: int
    counts: Counts
    malformed_rows: int = 0
    malformed_example: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackCounts:
    """Answers that say whether a prediction was right. Unknown answers are not among them."""

    right: int
    wrong: int

    @property
    def labels(self) -> int:
        return self.right + self.wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class ChampionAccuracy:
    """The champion's accuracy when it was evaluated, and on how many rows of which set."""

    accuracy: float
    rows: int
    measured_on: str


def no_answer(name: str, kind: RuleKind, error: RemintError) -> RuleResult:
    """The result of a rule whose source failed: no data where there is none yet, else an error."""
    state = RuleState.NO_DATA if isinstance(error, NoDataError) else RuleState.ERROR
    return RuleResult(name=name, kind=kind, state=state, fired=False, reason=str(error))


def drift_rule(
    name: str,
    window: WindowCounts,
    reference: Reference,
    *,
    role: FieldRole,
    material_psi: float,
    alpha: float,
    min_rows: int,
) -> tuple[RuleResult, tuple[FieldDrift, ...]]:
    """Fires where a field of the role moved by more than ``material_psi``, beyond chance.

    Every field's drift is given too, also where the window is too small for an answer. NoDataError without any row.
    """
    drift = measure_drift(reference, window.counts, role=role, material_psi=material_psi, alpha=alpha)
    if window.rows < min_rows:
        return _no_data(name, RuleKind.DRIFT, f"{window.rows} predictions in the window, {min_rows} needed"), drift
    moved = [field for field in drift if field.drifted]
    noun, none_of = _ROLE_NAMES[role]
    if moved:
        named = "; ".join(describe(field) for field in moved[:_NAMED])
        more = f"; and {len(moved) - _NAMED} more" if len(moved) > _NAMED else ""
        reason = f"{noun} drifted: {named}{more}"
    else:
        weakest = max((field.smallest_detectable_psi for field in drift), default=math.inf)
        found = f"a shift of {math.sqrt(weakest):.2f} sigma would have been found" if math.isfinite(weakest) else ""
        reason = f"{none_of} moved by more than PSI {material_psi:g}{f'; {found}' if found else ''}"
    shown = moved or list(drift[:1])
    findings = tuple(_drift_finding(name, field, material_psi, alpha) for field in shown)
    result = RuleResult(
        name=name, kind=RuleKind.DRIFT, state=RuleState.OK, fired=bool(moved), reason=reason, findings=findings
    )
    return result, drift


def describe(field: FieldDrift) -> str:
    """How much a field moved, and its bin that moved most.

    For example ``age by 0.62 sigma (PSI 0.380), '41 to 52' from 10 % to 31 %``.
    """
    reference = np.asarray(field.reference_counts) / max(1, sum(field.reference_counts))
    current = np.asarray(field.current_counts) / max(1, sum(field.current_counts))
    most = int(np.argmax(np.abs(current - reference)))
    d = field.divergence
    where = f"{field.bin_labels[most]!r} from {_percent(reference[most])} to {_percent(current[most])}"
    return f"{field.field} by {d.sigmas:.2f} sigma (PSI {d.psi:.3f}), {where}"


def integrity_rule(
    name: str,
    window: WindowCounts,
    reference: Reference,
    *,
    missing_share: float,
    unseen_share: float,
    out_of_range_share: float,
    alpha: float,
    min_rows: int,
) -> RuleResult:
    """Fires where a feature holds more values that cannot be than its reference share plus the limit, beyond chance.

    One-sided exact binomial test of share <= reference share + limit, ``alpha`` split over all tests, so that it fires
    on a few rows only when nearly all of them are broken. Rows that could not be read at all count as missing.
    """
    if window.rows == 0 and window.malformed_rows == 0:
        return _no_data(name, RuleKind.INTEGRITY, "no predictions in the window")
    limits = {"missing": missing_share, "unseen": unseen_share, "out of range": out_of_range_share}
    tests = [_Share("row", "unreadable", missing_share, window.malformed_rows, window.rows + window.malformed_rows)]
    for profile in reference.fields:
        if profile.role is FieldRole.FEATURE and profile.name in window.counts:
            for what, bins in _impossible(profile):
                tests.append(_share(profile, what, bins, window.counts, margin=limits[what]))
    findings = []
    for test in tests:
        # A limit of everything is never exceeded: a column that was nearly all missing cannot get much worse
        if test.count > test.limit * test.rows:
            p_value = float(binom.sf(test.count - 1, test.rows, test.limit))
            if p_value <= alpha / len(tests):
                findings.append(_broken(name, test, p_value))
    findings.sort(key=lambda f: -(f.observed or 0.0))
    if findings:
        named = "; ".join(f.reason for f in findings[:_NAMED])
        more = f"; and {len(findings) - _NAMED} more" if len(findings) > _NAMED else ""
        example = f" (such as {window.malformed_example})" if window.malformed_example else ""
        reason = f"the data broke: {named}{more}{example}"
        return RuleResult(
            name=name,
            kind=RuleKind.INTEGRITY,
            state=RuleState.OK,
            fired=True,
            reason=reason,
            findings=tuple(findings),
        )
    if window.rows < min_rows:
        return _no_data(name, RuleKind.INTEGRITY, f"{window.rows} predictions in the window, {min_rows} needed")
    reason = "missing, unseen and out-of-range values are as rare as the limits allow"
    return _quiet(name, RuleKind.INTEGRITY, reason)


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
        return _no_data(
            name, RuleKind.ACCURACY, f"{feedback.labels} labelled predictions in the window, {min_labels} needed"
        )
    observed = feedback.right / feedback.labels
    upper = clopper_pearson(feedback.right, feedback.labels, alpha=alpha)[1]
    champion_lower = clopper_pearson(round(champion.accuracy * champion.rows), champion.rows, alpha=alpha)[0]
    difference = champion.accuracy - observed
    surely = difference - math.hypot(champion.accuracy - champion_lower, upper - observed)
    fired = surely > drop
    reason = (
        f"{_percent(observed)} of {feedback.labels} labelled predictions were right, the champion had "
        f"{_percent(champion.accuracy)} on {champion.rows} {champion.measured_on} rows"
    )
    reason += (
        f": at least {_percent(surely)} less, {_percent(drop)} allowed"
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
        return _no_data(name, RuleKind.WRONG, "no feedback in the window")
    reason = f"{feedback.wrong} predictions were called wrong, the limit is {limit}"
    return _counted(name, RuleKind.WRONG, reason, observed=feedback.wrong, limit=limit)


def volume_rule(name: str, fresh_labels: int, training_rows: int, *, share: float) -> RuleResult:
    """Fires where the labelled rows that are new since the champion are ``share`` of its training rows or more."""
    if training_rows <= 0:
        return _no_data(name, RuleKind.VOLUME, "the champion's number of training rows is 0")
    observed = fresh_labels / training_rows
    reason = (
        f"{fresh_labels} new labelled rows are {_percent(observed)} of the champion's {training_rows} training rows, "
        f"the limit is {_percent(share)}"
    )
    return _counted(name, RuleKind.VOLUME, reason, observed=observed, limit=share)


def age_rule(name: str, since: datetime, now: datetime, *, max_age: timedelta) -> RuleResult:
    """Fires where the champion was promoted ``max_age`` ago or earlier."""
    age_days, limit_days = ((span / timedelta(days=1)) for span in (now - since, max_age))
    reason = f"the champion is {age_days:.1f} days old, the limit is {limit_days:g} days"
    return _counted(name, RuleKind.AGE, reason, observed=age_days, limit=limit_days)


def manual_rule(reason: str) -> RuleResult:
    """A person asks for a retrain and says why."""
    finding = Finding(rule="manual", verdict=Verdict.FAIL, reason=reason)
    return RuleResult(
        name="manual", kind=RuleKind.MANUAL, state=RuleState.OK, fired=True, reason=reason, findings=(finding,)
    )


def clopper_pearson(successes: int, trials: int, *, alpha: float) -> tuple[float, float]:
    """Exact limits of a binomial share, each missed with probability ``alpha`` at most (one-sided)."""
    if trials == 0:
        return 0.0, 1.0
    lower = 0.0 if successes == 0 else float(beta.ppf(alpha, successes, trials - successes + 1))
    upper = 1.0 if successes == trials else float(beta.isf(alpha, successes + 1, trials - successes))
    return lower, upper


@dataclass(frozen=True, slots=True)
class _Share:
    field: str
    what: str
    limit: float  # the reference's own share and what may come on top of it
    count: int
    rows: int


def _impossible(profile: FieldProfile) -> list[tuple[str, list[int]]]:
    """The bins whose values the reference has hardly or not at all, by what is wrong with them.

    A text's length or share of new words beyond the range of training is how a text drifts: nothing broke.
    """
    if profile.is_numeric and profile.measure is not Measure.VALUE:
        return [("missing", [MISSING])]
    if profile.is_numeric:
        return [("missing", [MISSING]), ("out of range", [BELOW, profile.above])]
    return [("missing", [MISSING]), ("unseen", [UNSEEN])]


def _share(profile: FieldProfile, what: str, bins: Sequence[int], counts: Counts, *, margin: float) -> _Share:
    current = np.asarray(counts[profile.name])
    expected = sum(profile.counts[i] for i in bins) / max(1, sum(profile.counts))
    return _Share(profile.name, what, min(1.0, expected + margin), int(current[list(bins)].sum()), int(current.sum()))


def _broken(rule: str, test: _Share, p_value: float) -> Finding:
    observed = test.count / test.rows
    reason = f"{test.field} is {test.what} in {_percent(observed)} of {test.rows} rows"
    return Finding(
        rule=rule,
        verdict=Verdict.FAIL,
        field=test.field,
        reason=f"{reason}, {_percent(test.limit)} allowed",
        observed=observed,
        limit=test.limit,
        evidence={"what": test.what, "count": test.count, "rows": test.rows, "p_value": p_value},
    )


def _drift_finding(rule: str, field: FieldDrift, material_psi: float, alpha: float) -> Finding:
    return Finding(
        rule=rule,
        verdict=Verdict.FAIL if field.drifted else Verdict.PASS,
        field=field.field,
        reason=describe(field),
        observed=field.divergence.psi,
        limit=material_psi,
        evidence={"p_adjusted": field.p_adjusted, "alpha": alpha, "sees_concept_drift": False},
    )


def _counted(name: str, kind: RuleKind, reason: str, *, observed: float, limit: float) -> RuleResult:
    fired = observed >= limit
    finding = Finding(
        rule=name, verdict=Verdict.FAIL if fired else Verdict.PASS, reason=reason, observed=observed, limit=limit
    )
    return RuleResult(name=name, kind=kind, state=RuleState.OK, fired=fired, reason=reason, findings=(finding,))


def _quiet(name: str, kind: RuleKind, reason: str) -> RuleResult:
    return RuleResult(name=name, kind=kind, state=RuleState.OK, fired=False, reason=reason)


def _no_data(name: str, kind: RuleKind, reason: str) -> RuleResult:
    return RuleResult(name=name, kind=kind, state=RuleState.NO_DATA, fired=False, reason=reason)


def _percent(share: float) -> str:
    percent = 100 * float(share)
    return f"{percent:.0f} %" if percent >= 10 or percent == 0 else f"{percent:.1f} %"
