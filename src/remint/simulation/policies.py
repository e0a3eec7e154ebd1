"""Policies for a replay: when to retrain. Each has one limit; sweeping it gives the whole curve."""

from __future__ import annotations

import math

from remint.core.regret import lost_to_promise, lost_to_shadow, regret
from remint.simulation.replay import Labelled


class Never:
    def retrains(self, _seen: Labelled) -> bool:
        return False


class Every:
    """At the end of every ``windows``-th window; 1 is always."""

    def __init__(self, windows: int) -> None:
        if windows < 1:
            raise ValueError(f"every {windows} windows")
        self._windows = windows

    def retrains(self, seen: Labelled) -> bool:
        return seen.age >= self._windows


class AccuracyBelow:
    """Where a window's accuracy is below a fixed limit."""

    def __init__(self, limit: float) -> None:
        self._limit = limit

    def retrains(self, seen: Labelled) -> bool:
        return seen.accuracy < self._limit


class AccuracyDrop:
    """Where a window's accuracy is below that of the champion's first window by more than ``drop``."""

    def __init__(self, drop: float) -> None:
        self._drop = drop
        self._promised = math.nan

    def retrains(self, seen: Labelled) -> bool:
        if seen.age == 1:
            self._promised = seen.accuracy
        return seen.accuracy < self._promised - self._drop


class DriftAbove:
    """Where the features drifted by more than ``limit``, whatever that did to accuracy. Needs no label."""

    def __init__(self, limit: float) -> None:
        self._limit = limit

    def retrains(self, seen: Labelled) -> bool:
        if seen.drift is None:
            raise ValueError("drift was not measured on this stream")
        return seen.drift > self._limit


class Regret:
    """Where the champion has lost ``limit`` right answers against the accuracy of fresh champions so far.

    What is promised is the mean accuracy of all champions in their first window.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._fresh: list[float] = []
        self._lost: list[float] = []

    def retrains(self, seen: Labelled) -> bool:
        if seen.age == 1:
            self._fresh.append(seen.accuracy)
            self._lost.clear()
        promised = math.fsum(self._fresh) / len(self._fresh)
        self._lost.append(lost_to_promise(promised, seen.accuracy, len(seen.right)))
        return regret(self._lost) >= self._limit


class ShadowRegret:
    """Where the champion has lost ``limit`` right answers to its age, measured by a cheap shadow (``core.regret``)."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._handicaps: list[float] = []
        self._lost: list[float] = []

    def retrains(self, seen: Labelled) -> bool:
        return self.regret(seen) >= self._limit

    def regret(self, seen: Labelled) -> float:
        """Right answers lost since the last retrain, this window included."""
        if seen.shadow_right is None:
            raise ValueError("no shadow was trained on this stream")
        shadow = float(seen.shadow_right.mean())
        if seen.age == 1:
            self._handicaps.append(shadow - seen.accuracy)
            self._lost.clear()
        self._lost.append(lost_to_shadow(shadow, seen.accuracy, len(seen.right), handicaps=self._handicaps))
        return regret(self._lost)


class ShadowBudget:
    """``ShadowRegret`` that finds its limit itself, so that about ``retrains`` of them last to the end of the stream.

    The first limit is ``pace`` (accuracy lost a window) times the windows that one retrain has to last. After each
    window it moves against the spending, by Robbins and Monro's recursion for the limit that is passed in just so many
    of the windows, and the budget is never exceeded::

        log limit += step (retrained - retrains left / windows left)
    """

    def __init__(self, retrains: int, *, step: float = 0.5, pace: float = 0.02) -> None:
        self._left = retrains
        self._step = step
        self._pace = pace
        self._log_limit: float | None = None
        self._shadow = ShadowRegret(math.inf)

    def retrains(self, seen: Labelled) -> bool:
        lost = self._shadow.regret(seen)
        if self._left == 0:
            return False
        rate = min(1.0, self._left / max(1, seen.windows_left))
        if self._log_limit is None:
            self._log_limit = math.log(self._pace * len(seen.right) / rate)
        due = lost >= math.exp(self._log_limit)
        self._log_limit += self._step * (due - rate)
        self._left -= due
        return due
