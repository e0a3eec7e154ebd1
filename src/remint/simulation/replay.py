"""Replays a retraining policy over a stream, test-then-train, without training anything twice.

A policy decides at the end of each window, so on a stream of W windows there are only W models that it can ever serve.
Train each once, keep what each got right on every row (``Outcomes``), and any policy is a walk through that matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)  # no slots: its counts are computed once and kept
class Outcomes:
    """What each possible champion got right.

    Model i was trained on rows up to the end of window ``first + i - 1`` and may serve from window ``first + i`` on.
    ``right`` has the shape (models, rows), rows in order of time; the last window may be a short one. ``shadow_right``,
    shape (rows,), is of a cheap model that is trained anew before every window. ``drift``, shape (models, windows), is
    how far a window's features are from those that the model was trained on. Either is None where nobody measured it.
    """

    right: Flags
    window_rows: int
    first: int
    shadow_right: Flags | None = None
    drift: Floats | None = None

    def __post_init__(self) -> None:
        if self.window_rows < 1:
            raise ValueError(f"windows of {self.window_rows} rows")
        if self.windows <= self.first or len(self.right) < self.windows - self.first:
            raise ValueError(
                f"{self.right.shape} outcomes make {self.windows} windows of {self.window_rows} rows: "
                f"one model for each window from {self.first} on is needed"
            )

    @property
    def windows(self) -> int:
        return -(-int(self.right.shape[1]) // self.window_rows)

    @cached_property
    def right_by_window(self) -> npt.NDArray[np.int64]:
        """Right answers, shape (models, windows)."""
        starts = np.arange(0, self.right.shape[1], self.window_rows)
        return np.add.reduceat(self.right, starts, axis=1, dtype=np.int64)

    @cached_property
    def rows_by_window(self) -> npt.NDArray[np.int64]:
        starts = np.arange(0, self.right.shape[1], self.window_rows)
        return np.diff(np.append(starts, self.right.shape[1]))

    def labelled(self, model: int, window: int, *, age: int) -> Labelled:
        """What a policy sees at the end of ``window``, in which ``model`` served."""
        rows = slice(window * self.window_rows, (window + 1) * self.window_rows)
        return Labelled(
            window=window,
            windows_left=self.windows - 1 - window,
            age=age,
            right=self.right[model, rows],
            shadow_right=None if self.shadow_right is None else self.shadow_right[rows],
            drift=None if self.drift is None else float(self.drift[model, window]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """What a policy knows at the end of a window: outcomes in it, and nothing that comes later."""

    window: int
    windows_left: int  # windows that a model trained now could still serve
    age: int  # windows since the last retrain: 1 is the first that the new model has served
    right: Flags  # of the model that served; (rows of the window,), in order of time
    shadow_right: Flags | None = None
    drift: float | None = None

    @property
    def accuracy(self) -> float:
        return float(self.right.mean())


class Policy(Protocol):
    """Says at the end of each window whether to retrain. Has a memory: one object for one replay."""

    def retrains(self, seen: Labelled, /) -> bool: ...


class Choice(Protocol):
    """Says which of the models trained so far serves next. Has a memory: one object for one replay.

    ``accuracies`` has one item for each of ``trained``, oldest first: its accuracy in the window that just ended, or
    None where the model was trained on rows of that window. ``served`` is an index into ``trained``.
    """

    def chooses(self, trained: Sequence[int], accuracies: Sequence[float | None], served: int, /) -> int: ...


class Newest:
    """The usual choice: what was trained last serves."""

    def chooses(self, trained: Sequence[int], _accuracies: Sequence[float | None], _served: int) -> int:
        return len(trained) - 1


class BestOfEarlier:
    """Earlier champions are candidates at the end of every window: a concept that comes back needs no training.

    A model's advantage is the discounted mean, over the windows that it was not trained on, of its accuracy minus that
    of the model that served, drawn towards 0 by one window's weight::

        a = sum_i d^(now - i) (accuracy_i - served_i) / (1 + sum_i d^(now - i)),   d = 2^(-1 / half_life_windows)

    The largest serves, the model just trained serves its first window untested.
    """

    def __init__(self, half_life_windows: float = 1.0) -> None:
        self._keep = 0.5 ** (1 / half_life_windows)
        self._weight: dict[int, float] = {}
        self._sum: dict[int, float] = {}

    def chooses(self, trained: Sequence[int], accuracies: Sequence[float | None], served: int) -> int:
        base = accuracies[served]
        if base is None:
            raise ValueError("the model that served was trained on what it served")
        for model, accuracy in zip(trained, accuracies, strict=True):
            if accuracy is not None:
                self._weight[model] = self._weight.get(model, 0.0) * self._keep + 1
                self._sum[model] = self._sum.get(model, 0.0) * self._keep + accuracy - base
        if accuracies[-1] is None:
            return len(trained) - 1
        return max(range(len(trained)), key=lambda i: (self._advantage(trained[i]), i == served, i))

    def _advantage(self, model: int) -> float:
        return self._sum[model] / (1 + self._weight[model])


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """One walk. ``served`` is the model of each window from ``Outcomes.first`` on, ``accuracy`` over all their rows.

    ``retrained_at`` are the windows at whose end a model was trained.
    """

    accuracy: float
    retrained_at: tuple[int, ...]
    served: tuple[int, ...]

    @property
    def retrains(self) -> int:
        return len(self.retrained_at)


def replay(outcomes: Outcomes, policy: Policy, choice: Callable[[], Choice] = Newest) -> Replay:
    """Serve model 0 from window ``first``; after each window ask whether to train, then which model serves next.

    Nothing is asked after the last window: a model trained then would serve nobody.
    """
    rights, rows = outcomes.right_by_window, outcomes.rows_by_window
    choose = choice()
    trained, served, now, right, age = [0], [0], 0, 0, 0
    retrained_at: list[int] = []
    last = outcomes.windows - 1
    for window in range(outcomes.first, last + 1):
        right += int(rights[trained[now], window])
        age += 1
        if window == last:
            break
        if policy.retrains(outcomes.labelled(trained[now], window, age=age)):
            retrained_at.append(window)
            trained.append(window + 1 - outcomes.first)
            age = 0
        # a model serves from window first + model on: it has seen the rows of all windows before
        accuracies = [
            float(rights[m, window] / rows[window]) if outcomes.first + m <= window else None for m in trained
        ]
        now = choose.chooses(trained, accuracies, now)
        served.append(trained[now])
    return Replay(
        accuracy=right / int(rows[outcomes.first :].sum()), retrained_at=tuple(retrained_at), served=tuple(served)
    )


def front(replays: Iterable[Replay]) -> tuple[Replay, ...]:
    """The replays that no other beats: fewest retrains first, each more accurate than all before it."""
    best: list[Replay] = []
    for one in sorted(replays, key=lambda r: (r.retrains, -r.accuracy)):
        if not best or one.accuracy > best[-1].accuracy:
            best.append(one)
    return tuple(best)


def accuracy_within(replays: Iterable[Replay], retrains: int) -> float | None:
    """The best accuracy with at most that many retrains, None where no replay has so few."""
    return max((one.accuracy for one in replays if one.retrains <= retrains), default=None)


def best_in_hindsight(outcomes: Outcomes, retrains: int) -> tuple[float, ...]:
    """The best accuracy that 0, 1, ... ``retrains`` retrains could have had, by one who knows the future.

    Dynamic programming over (retrains so far, window from which the newest model serves): O(retrains x windows^2).
    """
    first, windows = outcomes.first, outcomes.windows
    # right[m, w]: right answers of model m in the windows before w
    right = np.pad(np.cumsum(outcomes.right_by_window, axis=1), ((0, 0), (1, 0)))
    total = int(outcomes.rows_by_window[first:].sum())
    # until[w]: the most right answers before window w, if a new model serves from w on
    until = np.full(windows + 1, -1, dtype=np.int64)
    until[first] = 0
    found: list[float] = []
    for _ in range(retrains + 1):
        then = np.full(windows + 1, -1, dtype=np.int64)
        for start in np.flatnonzero(until[:windows] >= 0):
            gained = until[start] + right[start - first] - right[start - first, start]
            then[start + 1 :] = np.maximum(then[start + 1 :], gained[start + 1 :])
        found.append(max(found[-1] if found else 0.0, int(then[windows]) / total))
        until = then
    return tuple(found)
