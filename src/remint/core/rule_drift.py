"""The drift rule: has a feature, the predicted classes or the confidence moved, beyond chance and enough to matter?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import numpy as np

from remint.core.divergence import Method
from remint.core.document import finite
from remint.core.drift import FieldDrift, measure_drift
from remint.core.profile import FieldRole, Reference
from remint.core.signals import WindowCounts, percent, too_few
from remint.core.trigger import RuleKind, RuleResult, RuleState
from remint.core.verdict import Finding, Verdict

_NAMED: Final = 3  # fields that a sentence names; the rest is counted
_ROLE_NAMES: Final = {
    FieldRole.FEATURE: ("features", "no feature"),
    FieldRole.PREDICTION: ("predictions", "the predicted classes have not"),
    FieldRole.CONFIDENCE: ("confidence", "the confidence has not"),
}


def drift_rule(
    name: str,
    window: WindowCounts,
    reference: Reference,
    *,
    role: FieldRole,
    material_psi: float,
    alpha: float,
    min_rows: int,
    method: Method = Method.PSI,
    earlier: Sequence[WindowCounts] = (),
    span: tuple[datetime, datetime] | None = None,
) -> tuple[RuleResult, tuple[FieldDrift, ...]]:
    """Fires where a field of the role moved by more than ``material_psi``, beyond chance and beyond ordinary windows.

    Every field's drift is given too, also where the window is too small for an answer. ``earlier`` windows, the newest
    first, have to show it too; ``span`` is the window's start and end. NoDataError without any row.
    """
    drift = measure_drift(
        reference,
        window.counts,
        role=role,
        material_psi=material_psi,
        alpha=alpha,
        method=method,
        earlier=[before.counts for before in earlier],
        window=span,
    )
    rows = min(w.rows for w in (window, *earlier))
    if rows < min_rows:
        return too_few(name, RuleKind.DRIFT, rows, min_rows), drift
    moved = [field for field in drift if field.drifted]
    noun, none_of = _ROLE_NAMES[role]
    if moved:
        parts = [describe(field) for field in moved[:_NAMED]]
        if len(moved) > 1:  # ranked by what they have in it, and that is said
            parts = [f"{part}, {percent(f.share)} of the shift" for part, f in zip(parts, moved, strict=False)]
        named = "; ".join(parts)
        more = f"; and {len(moved) - _NAMED} more" if len(moved) > _NAMED else ""
        reason = f"{noun} drifted: {named}{more}"
    else:
        weakest = max((field.smallest_detectable_psi for field in drift), default=math.inf)
        found = f"a shift of {math.sqrt(weakest):.2f} sigma" if math.isfinite(weakest) else "not every shift"
        reason = f"{none_of} surely moved by more than PSI {material_psi:g}; {found} would have been found"
    others = sorted(field.field for field in drift if field.method is not method)
    if others:
        reason += f"; {method.label} cannot judge {_some(others)}: chi-square did"
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
    score = field.score
    where = f"{field.bin_labels[most]!r} from {percent(reference[most])} to {percent(current[most])}"
    return f"{field.field} by {score.sigmas:.2f} sigma ({field.method.label} {score.value:.3f}), {where}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _drift_finding(rule: str, field: FieldDrift, material_psi: float, alpha: float) -> Finding:
    return Finding(
        rule=rule,
        verdict=Verdict.FAIL if field.drifted else Verdict.PASS,
        field=field.field,
        reason=describe(field),
        observed=finite(field.score.sigmas**2),  # as PSI, whatever the method
        limit=material_psi,
        evidence={
            "method": field.method.value,
            "share": field.share,
            "p_material": field.p_material,
            "p_between": field.p_between,
            "p_adjusted": field.p_adjusted,
            "alpha": alpha,
            "own_window_psi": field.own_window_psi,
            "sees_concept_drift": False,
        },
    )
