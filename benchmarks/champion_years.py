"""Years of one champion, drawn as counts: its reference, its live days, and what goes wrong in them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from remint.core.profile import CONFIDENCE, FieldProfile, FieldRole, Measure, Reference
from remint.core.reference_windows import Calibration, FieldWindows, ReferenceWindows

Counts = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]

FEATURES: Final = 20
BINS: Final = 10
ROWS_A_DAY: Final = 1_000
REFERENCE_DAYS: Final = 60
REFERENCE_ROWS: Final = 10_000
MONDAY: Final = datetime(2026, 1, 5, tzinfo=UTC)  # the promotion
DAY: Final = timedelta(days=1)
EDGES: Final = norm.ppf(np.linspace(0, 1, BINS + 1)[1:-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """How days differ, and what goes wrong from day ``begins`` on."""

    name: str
    weekend: float = 0.0  # sigma
    own_day_psi: float = 0.0
    shift: float = 0.0  # sigma, of ``shifted`` features
    shifted: int = 3
    lost: float = 0.0  # accuracy
    begins: int = 60
    reference_rows: int = REFERENCE_ROWS

    @property
    def is_healthy(self) -> bool:
        return self.shift == 0 and self.lost == 0


HEALTHY: Final = (
    World(name="plain"),
    World(name="weekday pattern", weekend=0.2),
    World(name="own-day PSI 0.0045", own_day_psi=0.0045),
    World(name="own-day PSI 0.018", own_day_psi=0.018),
)


def shares(means: Numbers) -> Numbers:
    """Bin shares of normal variables with these means; shape (..., bins)."""
    below = norm.cdf(EDGES - means[..., None])
    return np.diff(below, prepend=0.0, append=1.0, axis=-1)


def daily_means(world: World, random: np.random.Generator, days: int, fields: int, *, first_day: int) -> Numbers:
    """Each day's mean of each field, in sigma; shape (days, fields)."""
    weekday = (np.arange(days) + first_day) % 7
    means = np.where(weekday >= 5, world.weekend, 0.0)[:, None] + np.zeros((days, fields))
    return np.asarray(means + math.sqrt(world.own_day_psi) * random.normal(size=(days, fields)))


def split_days(daily: Numbers, random: np.random.Generator, rows_a_day: int, parts: int) -> Counts:
    """Counts of each part of each day; shape (days * parts, fields, bins)."""
    pvals = np.repeat(shares(daily), parts, axis=0)
    return random.multinomial(rows_a_day // parts, pvals).astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Year:
    """One champion's year: its reference, and the counts of each step, (steps, fields, bins + 3)."""

    reference: Reference
    steps: Counts

    @property
    def summed(self) -> Counts:
        """Counts up to each step; the first is zero."""
        return np.concatenate([np.zeros_like(self.steps[:1]), np.cumsum(self.steps, axis=0)])


def draw_year(
    world: World, random: np.random.Generator, *, days: int, parts: int, role: FieldRole, has_windows: bool = True
) -> Year:
    """Reference days and live days from the same world; drift, where there is any, comes on top of live ones."""
    fields = FEATURES if role is FieldRole.FEATURE else 1
    before = daily_means(world, random, REFERENCE_DAYS, fields, first_day=-REFERENCE_DAYS)
    rows = world.reference_rows // REFERENCE_DAYS
    windows = as_bins(split_days(before, random, rows, 1))
    live = daily_means(world, random, days, fields, first_day=0)
    live[world.begins :, : world.shifted] += world.shift
    names = [f"f{i}" for i in range(fields)] if role is FieldRole.FEATURE else [CONFIDENCE]
    profiles = tuple(
        FieldProfile(
            name=name,
            role=role,
            column=name,
            measure=Measure.VALUE,
            edges=tuple(float(i) for i in range(BINS + 1)),
            values=None,
            counts=tuple(windows[:, i].sum(axis=0).tolist()),
        )
        for i, name in enumerate(names)
    )
    phases = tuple((k - REFERENCE_DAYS) % 7 for k in range(REFERENCE_DAYS))
    known = {
        name: FieldWindows(length_seconds=86_400, phases=phases, counts=windows[:, i]) for i, name in enumerate(names)
    }
    calibration = None
    if role is FieldRole.CONFIDENCE:
        held = np.array(profiles[0].counts)
        right = random.binomial(held, true_accuracies())
        calibration = Calibration(rows=tuple(held.tolist()), right=tuple(right.tolist()))
    reference = Reference(
        id="sha256:0",
        pipeline="bench",
        training_rows=world.reference_rows,
        fields=profiles,
        vocabularies={},
        windows=ReferenceWindows(fields=known) if has_windows else None,
        calibration=calibration,
    )
    return Year(reference=reference, steps=as_bins(split_days(live, random, ROWS_A_DAY, parts)))


def true_accuracies() -> Numbers:
    """Of each bin of confidence, missing, below and above included: 0.75 to 0.99, 0.9 on average."""
    return np.concatenate([[0.7, 0.7], 0.81 + 0.2 * np.linspace(0, 1, BINS), [0.99]]).clip(0, 0.99)


def as_bins(counts: Counts) -> Counts:
    """With empty bins for missing, below and above the range."""
    return np.pad(counts, ((0, 0), (0, 0), (2, 1)))
