"""Accuracy: a confidence sequence from labels, and an estimate from calibrated confidence where there are none."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from remint.core.profile import Counts, Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimatedAccuracy:
    """Accuracy without labels. Blind to concept drift."""

    estimate: float
    lower: float
    upper: float
    reference_accuracy: float
    rows: int
    drop_lower: float  # (reference's accuracy - estimate) is surely at least this


def anchored_starts(promoted_at: datetime, now: datetime, window: timedelta) -> tuple[datetime, ...]:
    """Starts of the previous and of the current block, the older first."""
    raise NotImplementedError


def estimate_accuracy(reference: Reference, counts: Counts, *, alpha: float = 0.05) -> EstimatedAccuracy:
    raise NotImplementedError
