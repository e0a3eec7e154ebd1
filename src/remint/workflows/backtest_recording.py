"""What is left of the past, asked as evidence: counts by step (Prometheus, a log) or the ledger's windows."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from itertools import pairwise
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from remint.core.document import format_time, readable_time
from remint.core.history import CountsHistory
from remint.core.profile import PREDICTION
from remint.core.signals import FeedbackCounts, WindowCounts
from remint.errors import ConfigError, NoDataError, Silence
from remint.workflows.evidence import FreshLabels
from remint.workflows.judging import Watched

_NEAR: Final = 8  # recorded windows that are looked at around an end

Signals = Mapping[
    str, Callable[[datetime], float]
]  # PromQL -> its value at a time; raises NoDataError where there is none


class Recording(Protocol):
    """The past of one reference on the stable track. Windows are cut to [start, end)."""

    @property
    def start(self) -> datetime: ...

    @property
    def end(self) -> datetime: ...

    def checks(self, first: datetime, every: timedelta) -> Sequence[datetime]:
        """When a schedule could have asked, from ``first`` on and up to the end."""
        ...

    def counts(self, start: datetime, end: datetime) -> WindowCounts: ...

    def feedback(self, start: datetime, end: datetime) -> FeedbackCounts:
        """Labels as far as they are known; none where the history has a hole."""
        ...

    def signal(self, promql: str, at: datetime) -> float: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """The time of one recorded champion, up to the next one's promotion or the end of the history."""

    watched: Watched
    recording: Recording


class StepRecording:
    """Counts by step, summed up once, so that any window is one subtraction: O(bins) whatever its length.

    A window's ends go to the nearest step, which is exact where the schedule, the window and the steps share a grid.
    """

    def __init__(self, history: CountsHistory, signals: Signals | None = None) -> None:
        self._history = history
        self._signals = signals or {}
        self._fields = list(history.counts)
        table = np.concatenate([history.counts[name] for name in self._fields], axis=1)
        self._sums = _summed(table)
        bounds = np.cumsum([0, *(history.counts[name].shape[1] for name in self._fields)])
        self._slices = [slice(a, b) for a, b in pairwise(bounds.tolist())]
        self._prediction = self._slices[self._fields.index(PREDICTION)]
        self._labels = _summed(np.stack([history.right, history.wrong], axis=1))
        covered = history.covered
        self._first = int(np.argmax(covered)) if covered.any() else 0
        self._last = len(covered) - int(np.argmax(covered[::-1])) if covered.any() else 0
        # For each step boundary, the end of the newest step before it in which something was sampled
        self._sampled_until = np.maximum.accumulate(
            np.concatenate([[0], np.where(covered, np.arange(len(covered)) + 1, 0)])
        )

    @property
    def start(self) -> datetime:
        """The first step in which anything was sampled."""
        return self._history.time(self._first)

    @property
    def end(self) -> datetime:
        return self._history.time(self._last)

    def checks(self, first: datetime, every: timedelta) -> Sequence[datetime]:
        return [first + k * every for k in range(max(0, (self.end - first) // every + 1))]

    def counts(self, start: datetime, end: datetime) -> WindowCounts:
        first, last = self._steps(start, end)
        between = f"between {readable_time(start)} and {readable_time(end)}"
        sampled_until = int(self._sampled_until[last])
        if sampled_until <= first:
            raise NoDataError(f"nothing was sampled {between}", silence=Silence.NO_SERIES)
        if sampled_until < last:
            at = format_time(self._history.time(sampled_until))
            raise NoDataError(f"nothing was sampled from {at} until the window's end", silence=Silence.STALE)
        found = self._sums[last] - self._sums[first]
        rows = int(found[self._prediction].sum())
        if rows == 0:
            raise NoDataError(f"no predictions {between}", silence=Silence.EMPTY)
        return WindowCounts(
            rows=rows, counts={name: found[part] for name, part in zip(self._fields, self._slices, strict=True)}
        )

    def feedback(self, start: datetime, end: datetime) -> FeedbackCounts:
        first, last = self._steps(start, end)
        right, wrong = (int(n) for n in self._labels[last] - self._labels[first])
        found = self._sums[last, self._prediction] - self._sums[first, self._prediction]
        return FeedbackCounts(right=right, wrong=wrong, predictions=int(found.sum()))

    def signal(self, promql: str, at: datetime) -> float:
        try:
            asked = self._signals[promql]
        except KeyError:
            raise ConfigError(
                "this history answers no PromQL", where=promql, hint="back-test from Prometheus"
            ) from None
        return asked(at)

    def _steps(self, start: datetime, end: datetime) -> tuple[int, int]:
        """The boundaries nearest to the window's ends."""
        first, last = (round((at - self._history.start) / self._history.step) for at in (start, end))
        first = min(max(first, 0), self._history.steps)
        return first, min(max(last, first), self._history.steps)


def _summed(table: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Sums of all rows before each: one row more than ``table``."""
    sums: npt.NDArray[np.int64] = np.zeros((table.shape[0] + 1, table.shape[1]), dtype=np.int64)
    np.cumsum(table, axis=0, out=sums[1:])
    return sums


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSpan:
    """Labels that arrived in [start, end)."""

    start: datetime
    end: datetime
    right: int
    wrong: int


class KnownCounts(dict[str, npt.NDArray[np.int64]]):
    """A decision holds the counts of the fields that its drift rules looked at, and no others."""

    def __missing__(self, field: str) -> npt.NDArray[np.int64]:
        raise NoDataError(f"the recorded decisions hold no counts of {field}", hint="no drift rule looked at it")


class _LabelCurve:
    """Right and wrong labels since the first recorded ones, put together from spans; between two of them a line."""

    def __init__(self, spans: Sequence[LabelSpan]) -> None:
        self._times: list[float] = []
        self._right: list[float] = []
        self._wrong: list[float] = []
        for span in sorted(spans, key=lambda span: span.end):
            if not self._times:
                self._add(span.start, 0.0, 0.0)
            right, wrong = self._at(span.start)
            self._add(span.end, right + span.right, wrong + span.wrong)

    def between(self, start: datetime, end: datetime) -> tuple[int, int]:
        if not self._times:
            return 0, 0
        (r0, w0), (r1, w1) = self._at(start), self._at(end)
        return round(r1 - r0), round(w1 - w0)

    def _add(self, at: datetime, right: float, wrong: float) -> None:
        self._times.append(at.timestamp())
        self._right.append(max(right, self._right[-1] if self._right else 0.0))
        self._wrong.append(max(wrong, self._wrong[-1] if self._wrong else 0.0))

    def _at(self, at: datetime) -> tuple[float, float]:
        right, wrong = (float(np.interp(at.timestamp(), self._times, known)) for known in (self._right, self._wrong))
        return right, wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedWindow:
    """What one decision of the ledger looked at. ``labels`` is None where no rule had said them."""

    start: datetime
    end: datetime
    counts: WindowCounts | None
    labels: LabelSpan | None


class WindowRecording:
    """The windows of recorded decisions. A window is answered by recorded ones that tile it, to within the schedule.

    Coarse: a window that begins at a replayed promotion is known only once recorded windows fit into it.
    """

    def __init__(self, windows: Sequence[RecordedWindow]) -> None:
        self._windows = sorted(windows, key=lambda window: window.end)
        self._ends = [window.end for window in self._windows]
        self._labels = _LabelCurve([window.labels for window in self._windows if window.labels is not None])

    @property
    def start(self) -> datetime:
        return min(window.start for window in self._windows)

    @property
    def end(self) -> datetime:
        return self._ends[-1]

    @cached_property
    def _tolerance(self) -> timedelta:
        """Three quarters of the usual time between two decisions: a check that came late is still the same check."""
        gaps = sorted(b - a for a, b in pairwise(self._ends) if b > a)
        return 0.75 * gaps[len(gaps) // 2] if gaps else timedelta(hours=1)

    def checks(self, first: datetime, every: timedelta) -> Sequence[datetime]:
        """The recorded checks, those left out that came sooner after one than ``every`` says (by less than a tenth)."""
        found: list[datetime] = []
        for end in self._ends:
            if end >= first and (not found or end - found[-1] >= 0.9 * every):
                found.append(end)
        return found

    def counts(self, start: datetime, end: datetime) -> WindowCounts:
        found = [window.counts for window in self._tiles(start, end) if window.counts is not None]
        if not found:
            raise NoDataError(
                f"no predictions recorded between {readable_time(start)} and {readable_time(end)}",
                silence=Silence.EMPTY,
            )
        names = set(found[0].counts).intersection(*(one.counts for one in found))
        counts = KnownCounts({name: np.sum([one.counts[name] for one in found], axis=0) for name in sorted(names)})
        return WindowCounts(rows=sum(one.rows for one in found), counts=counts)

    def feedback(self, start: datetime, end: datetime) -> FeedbackCounts:
        right, wrong = self._labels.between(start, end)
        return FeedbackCounts(right=right, wrong=wrong, predictions=round(self._predictions(start, end)))

    def signal(self, promql: str, at: datetime) -> float:  # noqa: ARG002 - as every recording is asked
        raise ConfigError("the ledger answers no PromQL", where=promql, hint="back-test from Prometheus")

    def _tiles(self, start: datetime, end: datetime) -> list[RecordedWindow]:
        """Recorded windows end to end from ``end`` back to ``start``. NoDataError where there is a hole."""
        tiles: list[RecordedWindow] = []
        reached = end
        while reached - start > self._tolerance:
            fitting = [
                window
                for window in self._windows[: bisect_right(self._ends, reached + self._tolerance)][-_NEAR:]
                if abs(window.end - reached) <= self._tolerance and start - self._tolerance <= window.start < reached
            ]
            if not fitting:
                raise NoDataError(
                    f"the ledger has no window that ends at {readable_time(reached)} and fits into one from "
                    f"{readable_time(start)}",
                    silence=Silence.NO_SERIES,
                )
            tile = min(fitting, key=lambda window: (window.start, abs(window.end - reached)))
            tiles.append(tile)
            reached = tile.start
        return tiles

    def _predictions(self, start: datetime, end: datetime) -> float:
        """Of [start, end), a window that is only partly in it taken as even; none for the holes."""
        total, reached = 0.0, end
        for window in reversed(self._windows):
            if window.end > reached + self._tolerance or window.end <= start or window.start >= reached:
                continue
            begin = max(window.start, start)
            if window.counts is not None:
                total += window.counts.rows * ((min(window.end, reached) - begin) / (window.end - window.start))
            reached = begin
        return total


class ReplayedEvidence:
    """A recording as the rules ask it at one check. ``trained_until``: labels before it are no longer fresh."""

    def __init__(self, recording: Recording, *, now: datetime, trained_until: datetime) -> None:
        self._recording = recording
        self._now = now
        self._trained_until = trained_until

    def counts(self, start: datetime, end: datetime) -> WindowCounts:
        return self._recording.counts(start, end)

    def feedback(self, start: datetime, end: datetime) -> FeedbackCounts:
        return self._recording.feedback(start, end)

    def fresh(self) -> FreshLabels:
        found = self._recording.feedback(self._trained_until, self._now)
        return FreshLabels(count=found.labels, sequence=found.labels, arrived_at=None)

    def signal(self, promql: str) -> float:
        return self._recording.signal(promql, self._now)
