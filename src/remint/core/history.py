"""What was counted step by step over a long past: what ``remint backtest`` replays the rules over.

A step without a single sample is a gap, not a quiet step. Counters keep counting while nobody looks, so what was
counted during a gap belongs to the first step after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from remint.core.document import readable_time
from remint.core.profile import PREDICTION
from remint.core.signals import FeedbackCounts, WindowCounts
from remint.errors import NoDataError, Silence

Whole = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class CountsHistory:
    """One reference's counts on one track. Step ``i`` is ``[start + i * step, start + (i + 1) * step)``."""

    start: datetime
    step: timedelta
    counts: Mapping[str, Whole]  # field -> (steps, bins)
    covered: npt.NDArray[np.bool_]  # (steps,); False where nothing was sampled: its counts are 0 and mean nothing
    right: Whole  # (steps,), by arrival of the label
    wrong: Whole  # (steps,)

    def __post_init__(self) -> None:
        per_step = (self.covered, self.right, self.wrong, *self.counts.values())
        if any(len(array) != self.steps for array in per_step):
            raise ValueError(f"not {self.steps} steps everywhere")

    @property
    def steps(self) -> int:
        return len(self.covered)

    @property
    def end(self) -> datetime:
        return self.time(self.steps)

    def time(self, step: int) -> datetime:
        """When a step begins."""
        return self.start + step * self.step

    def step_at(self, at: datetime) -> int:
        """The step that ``at`` falls into; below 0 or from ``steps`` up where that is outside of the history."""
        return (at - self.start) // self.step

    def covered_share(self, first: int, last: int) -> float:
        """Share of the steps [first, last) in which something was sampled; 0 for no steps."""
        covered = self.covered[self._slice(first, last)]
        return float(covered.mean()) if covered.size else 0.0

    def window(self, first: int, last: int) -> WindowCounts:
        """Counts of the steps [first, last), cut to the history; gaps add nothing.

        NoDataError where none of the steps was covered (NO_SERIES) or nothing was counted (EMPTY).
        """
        steps = self._slice(first, last)
        between = f"between {readable_time(self.time(steps.start))} and {readable_time(self.time(steps.stop))}"
        if not self.covered[steps].any():
            raise NoDataError(f"nothing was sampled {between}", silence=Silence.NO_SERIES)
        counts = {field: table[steps].sum(axis=0) for field, table in self.counts.items()}
        rows = int(counts[PREDICTION].sum())
        if rows == 0:
            raise NoDataError(f"no predictions {between}", silence=Silence.EMPTY)
        return WindowCounts(rows=rows, counts=counts)

    def feedback(self, first: int, last: int) -> FeedbackCounts:
        """Labels that arrived in the steps [first, last), and the predictions of the same steps."""
        steps = self._slice(first, last)
        return FeedbackCounts(
            right=int(self.right[steps].sum()),
            wrong=int(self.wrong[steps].sum()),
            predictions=int(self.counts[PREDICTION][steps].sum()),
        )

    def _slice(self, first: int, last: int) -> slice:
        begin = min(max(first, 0), self.steps)
        return slice(begin, min(max(last, begin), self.steps))
