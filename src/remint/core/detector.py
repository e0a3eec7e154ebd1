"""Slow drift: an e-detector over counts accumulated since dyadic restarts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from remint.core.profile import Counts, FieldRole, Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """What has added up since the restarts."""

    log_e: float
    log_limit: float


def restarts(promoted_at: datetime, now: datetime, every: timedelta) -> tuple[datetime, ...]:
    """Where windows that end now begin: O(log T) of them, the oldest (the promotion) first."""
    raise NotImplementedError


def detect(
    reference: Reference,
    counts_by_restart: Sequence[tuple[datetime, Counts]],
    *,
    role: FieldRole,
    material_psi: float,
    yearly: float,
    checks_a_year: float,
    promoted_at: datetime,
    now: datetime,
) -> Detection:
    raise NotImplementedError
