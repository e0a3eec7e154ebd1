"""Which training rows still count, and how much: where the world drifts, the newest say most about tomorrow.

A row of the data is as old as its event, feedback as old as the arrival of its label (when the event was is not known).
Without a time column the order alone is known: any feedback is newer than the data file, whose rows rise as they stand.
Ages are measured from the newest of the rows at hand, never from a clock: the same rows give the same answer next year.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from remint.core.rows import LabelledRows
from remint.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The newest ``rows``, or those of the ``last`` so long; both None is all."""

    rows: int | None = None
    last: timedelta | None = None

    def __str__(self) -> str:
        if self.last is not None:
            return f"the last {self.last.total_seconds() / 86400:g} days"
        return "all rows" if self.rows is None else f"the newest {self.rows} rows"


ALL: Final = Window()


def newest(rows: LabelledRows, window: Window) -> LabelledRows:
    """The rows inside ``window``, in the order in which they came.

    ``last`` counts back from the newest row, which is in; a row of just that age is out. Raises ConfigError where it
    is given and a row's time is not known.
    """
    if rows.rows == 0:
        return rows
    if window.last is not None:
        at = _times(rows)
        return rows.take(at > at.max() - np.timedelta64(window.last))
    if window.rows is not None and window.rows < rows.rows:
        return rows.take(age_in_rows(rows) < window.rows)
    return rows


def weights(rows: LabelledRows, half_life: timedelta | int) -> npt.NDArray[np.float64]:
    """0.5 ** (age / half life) of each row, shape (rows,): the newest weighs 1, one half life older 0.5.

    ``half_life`` is a time, or a number of rows: then a row's age is how many are newer. Raises ConfigError for a time
    where a row's own is not known.
    """
    if rows.rows == 0:
        return np.zeros(0)
    if isinstance(half_life, timedelta):
        at = _times(rows)
        ages = (at.max() - at) / np.timedelta64(half_life)
    else:
        ages = age_in_rows(rows) / half_life
    return np.asarray(0.5**ages, dtype=np.float64)


def age_in_rows(rows: LabelledRows) -> npt.NDArray[np.int64]:
    """How many of the rows are newer than each, shape (rows,); of rows of one moment the later one counts as newer."""
    at = known_since(rows)
    rising = np.argsort(rows.sequence if np.isnat(at).any() else at, kind="stable")
    age = np.empty(rows.rows, dtype=np.int64)
    age[rising] = np.arange(rows.rows - 1, -1, -1)
    return age


def known_since(rows: LabelledRows) -> npt.NDArray[np.datetime64]:
    """The event's time, for feedback the arrival of its label, datetime64[us] in UTC; NaT where neither is known."""
    arrived = np.array([_naive(at) for at in rows.arrived_at.tolist()], dtype="datetime64[us]")
    return np.where(np.isnat(rows.event_at), arrived, rows.event_at)


def _naive(at: Any) -> Any:
    """NumPy's times have no zone: ours are UTC already."""
    return np.datetime64("NaT") if at is None else at.replace(tzinfo=None)


def _times(rows: LabelledRows) -> npt.NDArray[np.datetime64]:
    at = known_since(rows)
    unknown = int(np.isnat(at).sum())
    if unknown:
        raise ConfigError(
            f"the time of {unknown} of {rows.rows} training rows is not known",
            hint="declare task.time, or count in rows: {rows: N}",
        )
    return at
