"""Replays a retraining policy over a stream, test-then-train, without training anything twice.

A policy decides at the end of each window, so on a stream of W windows there are only W models that it can ever serve.
Train each once, keep what each got right on every row (``Outcomes``), and any policy is a walk through that matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """What each possible champion got right.

    Model i was trained on rows up to the end of window ``first + i - 1`` and may serve from window ``first + i`` on.
    ``right`` has the shape (models, rows), rows in order of time; the last window may be a short one.
    """

    right: Flags
    window_rows: int
    first: int

    @property
    def windows(self) -> int:
        return -(-self.right.shape[1] // self.window_rows)

    def of(self, model: int, window: int) -> Flags:
        """What ``model`` got right in ``window``, row by row."""
        start = window * self.window_rows
        return self.right[model, start : start + self.window_rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """What a policy knows at the end of a window: the champion's outcomes in it, and nothing that comes later."""

    window: int
    windows_left: int  # windows that a model trained now could still serve
    age: int  # windows that this champion has served, this one included: 1 is the first after a retrain
    right: Flags  # (rows of the window,), in order of time


class Policy(Protocol):
    """Says at the end of each window whether to retrain. Has a memory: one object for one replay."""

    def retrains(self, seen: Labelled) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """One walk. ``served`` holds the model of each window from ``first`` on; ``retrained_at`` the windows at whose end a
    model was trained; ``accuracy`` is over all rows from ``first`` on."""

    accuracy: float
    retrained_at: tuple[int, ...]
    served: tuple[int, ...]

    @property
    def retrains(self) -> int:
        return len(self.retrained_at)


def replay(outcomes: Outcomes, policy: Policy) -> Replay:
    """Serve model 0 from window ``first``, then each model that the policy asks for, from the window after."""
    raise NotImplementedError


def front(replays: list[Replay]) -> tuple[Replay, ...]:
    """The replays that no other beats: fewest retrains first, each more accurate than all before it."""
    raise NotImplementedError
