"""The slow drift rule: too little to be seen in any one window, but it adds up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from remint.core.detector import Detection, FieldEvidence, detect, judged_from
from remint.core.document import finite, format_time, readable_time
from remint.core.profile import FieldRole, Reference
from remint.core.signals import WindowCounts, no_data, too_few
from remint.core.trigger import RuleKind, RuleResult, RuleState
from remint.core.verdict import Finding, Verdict
from remint.errors import Silence

_NAMED: Final = 3  # fields that a sentence names
_ROLE_NAMES: Final = {
    FieldRole.FEATURE: "the features",
    FieldRole.PREDICTION: "the predicted classes",
    FieldRole.CONFIDENCE: "the confidence",
}


def slow_drift_rule(
    name: str,
    windows: Sequence[tuple[datetime, WindowCounts]],
    reference: Reference,
    *,
    role: FieldRole,
    material_psi: float,
    yearly: float,
    checks_a_year: float,
    min_rows: int,
    promoted_at: datetime,
    now: datetime,
) -> RuleResult:
    """Fires where fields of the role have moved by more than ``material_psi`` for long enough to be beyond chance.

    ``windows``: counts from each of ``detector.restarts(promoted_at, now, every)`` to ``now``; any may be left out, as
    where the source does not reach back that far. ``yearly`` false alarms a year at most, with ``checks_a_year``
    restarts, however often it is looked at. NoDataError where a field has no rows in a window.
    """
    rows = max((window.rows for _, window in windows), default=0)
    if rows < min_rows:
        return too_few(name, RuleKind.SLOW_DRIFT, rows, min_rows, of="predictions since the promotion")
    wait = judged_from(reference, role)
    used = [(start, w.counts) for start, w in windows if w.rows >= min_rows and start < now and now - start >= wait]
    if not used:
        reason = (
            f"only time since the promotion shows how much is ordinary: judged from {readable_time(promoted_at + wait)}"
        )
        return no_data(name, RuleKind.SLOW_DRIFT, reason, silence=Silence.TOO_FEW)
    found = detect(
        reference,
        used,
        role=role,
        material_psi=material_psi,
        yearly=yearly,
        checks_a_year=checks_a_year,
        promoted_at=promoted_at,
        now=now,
    )
    carrying = _carrying(found)
    reason = _moved(carrying) if found.detected else _quiet(found, role, material_psi)
    if not found.knows_variation:
        reason += "; how much ordinary days differ is not known, so that would count as drift"
    return RuleResult(
        name=name,
        kind=RuleKind.SLOW_DRIFT,
        state=RuleState.OK,
        fired=found.detected,
        reason=reason,
        findings=tuple(_finding(name, field, found, material_psi) for field in carrying),
    )


def _carrying(found: Detection) -> tuple[FieldEvidence, ...]:
    """The fields that most of the evidence is of; the first one where there is none."""
    strongest = found.fields[0].log_e
    return tuple(field for k, field in enumerate(found.fields) if k == 0 or field.log_e >= max(1.0, strongest / 2))


def _moved(carrying: Sequence[FieldEvidence]) -> str:
    named = "; ".join(_describe(field) for field in carrying[:_NAMED])
    more = f"; and {len(carrying) - _NAMED} more" if len(carrying) > _NAMED else ""
    return f"slow drift: {named}{more}"


def _quiet(found: Detection, role: FieldRole, material_psi: float) -> str:
    smallest = found.smallest_detectable_psi
    shown = f"; a lasting shift of {math.sqrt(smallest):.2f} sigma would have been found" if smallest < math.inf else ""
    return f"{_ROLE_NAMES[role]} have not slowly moved by more than PSI {material_psi:g} in {found.rows} rows{shown}"


def _describe(field: FieldEvidence) -> str:
    shift = f"{math.sqrt(field.psi):.2f} sigma (PSI {field.psi:.3f})"
    return f"{field.field} by {shift} in {field.rows} rows since {readable_time(field.start)}"


def _finding(rule: str, field: FieldEvidence, found: Detection, material_psi: float) -> Finding:
    evidence: dict[str, Any] = {
        "since": format_time(field.start),
        "rows": field.rows,
        "log_e": finite(field.log_e),
        "log_e_all_fields": finite(found.log_e),
        "log_limit": found.log_limit,
        "chance_at_most": found.p_bound,
        "smallest_detectable_psi": finite(found.smallest_detectable_psi),
        "knows_variation": found.knows_variation,
        "sees_concept_drift": False,
    }
    return Finding(
        rule=rule,
        verdict=Verdict.FAIL if found.detected else Verdict.PASS,
        field=field.field,
        reason=_describe(field),
        observed=field.psi,
        limit=material_psi,
        evidence=evidence,
    )
