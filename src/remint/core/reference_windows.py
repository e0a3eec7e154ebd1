"""How much the training rows differ from one window of time to the next: what an ordinary day or week looks like.

A window of live traffic is compared with the reference, and with how far ordinary windows were from the reference: real
days differ, and a test that only knows chance calls every one of them drift.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt

ENOUGH_WINDOWS: Final = 20  # fewer say too little of how much windows differ
_MOST_WINDOWS: Final = 63  # the newest; nine of each weekday, and reference.json stays small
_LEAST_ROWS: Final = 50  # of a window that is kept
_DAY_SECONDS: Final = 86_400
_WEEK_SECONDS: Final = 7 * _DAY_SECONDS
_MONDAY_SECONDS: Final = 4 * _DAY_SECONDS  # the first Monday, 00:00 UTC, since the epoch
_SAME_LENGTH: Final = 0.1  # windows that differ by less in length are of one length


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)  # by identity: estimates from it are remembered
class FieldWindows:
    """One field's counts in complete windows of the training (or held-out) rows, oldest first.

    The phase of a window is its weekday (0 is Monday, UTC) where windows are a day long, its place in the day where
    they are a whole part of a day, else 0.
    """

    length_seconds: int
    phases: tuple[int, ...]
    counts: npt.NDArray[np.int64]  # shape (windows, bins)

    def phase_of(self, start: datetime, end: datetime) -> int | None:
        """The phase of a window of live traffic, to the nearest; None where it is not as long as these windows."""
        length = (end - start).total_seconds()
        if abs(length - self.length_seconds) > _SAME_LENGTH * self.length_seconds:
            return None
        steps = (start.timestamp() - _MONDAY_SECONDS) / self.length_seconds
        return round(steps) % _phases(self.length_seconds)

    def to_json(self) -> dict[str, Any]:
        return {
            "length_seconds": self.length_seconds,
            "phases": list(self.phases),
            "counts": self.counts.tolist(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> FieldWindows:
        return cls(
            length_seconds=data["length_seconds"],
            phases=tuple(data["phases"]),
            counts=np.array(data["counts"], dtype=np.int64),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceWindows:
    """The windows of each field that has enough of them."""

    fields: Mapping[str, FieldWindows]

    def to_json(self) -> dict[str, Any]:
        return {name: windows.to_json() for name, windows in sorted(self.fields.items())}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ReferenceWindows:
        return cls(fields={name: FieldWindows.from_json(windows) for name, windows in data.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Held-out rows, and how many of them the model got right, by bin of ``@confidence``."""

    rows: tuple[int, ...]
    right: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        return {"rows": list(self.rows), "right": list(self.right)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Calibration:
        return cls(rows=tuple(data["rows"]), right=tuple(data["right"]))


def window_counts(
    at: npt.NDArray[np.datetime64], assigned: Mapping[str, tuple[npt.NDArray[np.int64], int]], *, length: timedelta
) -> dict[str, FieldWindows]:
    """Counts of each field over complete windows of ``length``; empty where there are not enough of them.

    ``at`` are the rows' event times (UTC; NaT where unknown), ``assigned`` the bin of each row and the number of bins
    by field. Where there are fewer than 20 windows of ``length``, days stand in: a day differs at least as much from
    another as a week does from a week, so they make no false alarm.
    """
    for seconds in dict.fromkeys((int(length.total_seconds()), min(_DAY_SECONDS, int(length.total_seconds())))):
        numbers = _window_numbers(at, seconds)
        rows = np.bincount(numbers[numbers >= 0]) if (numbers >= 0).any() else np.zeros(0, dtype=np.int64)
        # The first and the last window are those that the rows begin and end within
        complete = [k for k in range(1, len(rows) - 1) if rows[k] >= _LEAST_ROWS][-_MOST_WINDOWS:]
        if len(complete) >= ENOUGH_WINDOWS:
            first = _first_window(at, seconds)
            phases = tuple((first + k) % _phases(seconds) for k in complete)
            return {
                name: FieldWindows(
                    length_seconds=seconds, phases=phases, counts=_counts_by(numbers, index, bins)[complete]
                )
                for name, (index, bins) in assigned.items()
            }
    return {}


def _phases(length_seconds: int) -> int:
    """How many kinds of windows there are."""
    if length_seconds == _DAY_SECONDS:
        return 7
    return _DAY_SECONDS // length_seconds if length_seconds and _DAY_SECONDS % length_seconds == 0 else 1


def _first_window(at: npt.NDArray[np.datetime64], length_seconds: int) -> int:
    """Which window since the first Monday of 1970 the oldest row is in."""
    oldest = at[~np.isnat(at)].min().astype("datetime64[us]").astype(np.int64)
    return int((oldest - _MONDAY_SECONDS * 1_000_000) // (length_seconds * 1_000_000))


def _window_numbers(at: npt.NDArray[np.datetime64], length_seconds: int) -> npt.NDArray[np.int64]:
    """The window of each row, 0 for the oldest row's; -1 where its time is unknown."""
    known = ~np.isnat(at)
    numbers = np.full(len(at), -1, dtype=np.int64)
    if known.any():
        since = at[known].astype("datetime64[us]").astype(np.int64) - _MONDAY_SECONDS * 1_000_000
        numbers[known] = since // (length_seconds * 1_000_000) - _first_window(at, length_seconds)
    return numbers


def _counts_by(numbers: npt.NDArray[np.int64], index: npt.NDArray[np.int64], bins: int) -> npt.NDArray[np.int64]:
    """Counts of shape (windows, bins)."""
    known = numbers >= 0
    windows = int(numbers.max()) + 1
    flat = np.bincount(numbers[known] * bins + index[known], minlength=windows * bins)
    return flat.reshape(windows, bins).astype(np.int64)
