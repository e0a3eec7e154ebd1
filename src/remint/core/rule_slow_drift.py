"""The slow drift rule: too little to be seen in any one window, but it adds up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from remint.core.profile import FieldRole, Reference
from remint.core.signals import WindowCounts
from remint.core.trigger import RuleResult


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
    """``windows``: counts from each of ``detector.restarts(promoted_at, now, every)`` to ``now``; any may be left out."""
    raise NotImplementedError
