"""The rule that asks no labels: accuracy estimated from calibrated confidence. It cannot see concept drift."""

from __future__ import annotations

from remint.core.profile import Reference
from remint.core.signals import WindowCounts
from remint.core.trigger import RuleResult


def estimated_accuracy_rule(
    name: str, window: WindowCounts, reference: Reference, *, drop: float, alpha: float, min_rows: int
) -> RuleResult:
    raise NotImplementedError
