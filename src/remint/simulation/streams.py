"""Streams of labelled rows whose drift is known, from a seed: what a policy's constants may be chosen on.

Features are normal and never drift; what drifts is the concept, so that only labels show it. How hard the days are
differs from day to day, which no retrain helps against and every policy is tempted by.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, assert_never

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_CONCEPTS: Final = 12  # changes in an abrupt or recurring stream
_RECURRING: Final = 3  # concepts that take turns
_PHASES: Final = 8  # concepts in a gradual stream, each blending into the next over half its time
_SEASONS: Final = 5  # years in a seasonal stream
_STEPS: Final = 220  # of the random walk
_NOISE: Final = 1.5  # scale of the logistic noise on the score
_DAY: Final = 0.4  # standard deviation of the logarithm of a day's noise


class Drift(StrEnum):
    """How the concept moves."""

    NONE = "none"
    ABRUPT = "abrupt"  # a new concept at random times
    GRADUAL = "gradual"  # rows of the old and the new concept are mixed, more and more of the new
    RECURRING = "recurring"  # three concepts take turns
    SEASONAL = "seasonal"  # two concepts are mixed by the sine of the time
    WALK = "walk"  # the weights walk at random: no point in time at which anything happens


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Rows in order of time. ``drift_at`` are the first rows of new concepts, empty where none begins at one row."""

    features: Floats  # (rows, features)
    labels: Integers  # (rows,), 0 or 1
    drift_at: tuple[int, ...]


def stream(
    drift: Drift, *, rows: int, seed: int, features: int = 6, day_rows: int = 336, quiet_rows: int = 0
) -> Stream:
    """A stream of two classes. The same arguments give the same rows. No abrupt change in the first ``quiet_rows``."""
    if rows < 1 or not 0 <= quiet_rows < rows or features < 1 or day_rows < 1:
        raise ValueError(f"{rows} rows of {features} features, {quiet_rows} of them quiet, {day_rows} a day")
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, features))
    drift_at: tuple[int, ...] = ()
    time = np.arange(rows) / rows
    match drift:
        case Drift.NONE:
            concepts = np.zeros(rows, dtype=np.int64)
        case Drift.ABRUPT | Drift.RECURRING:
            count = min(_CONCEPTS, rows - quiet_rows)
            cuts = np.sort(rng.choice(np.arange(quiet_rows, rows), count, replace=False))
            concepts = np.searchsorted(cuts, np.arange(rows), side="right")
            drift_at = tuple(int(cut) for cut in cuts)
            if drift is Drift.RECURRING:
                concepts %= _RECURRING
        case Drift.GRADUAL:
            phase = np.minimum((time * _PHASES).astype(np.int64), _PHASES - 1)
            blend = np.clip(2 * (time * _PHASES - phase) - 0.5, 0, 1)
            concepts = phase + (rng.random(rows) < blend)
        case Drift.SEASONAL:
            concepts = (rng.random(rows) < (np.sin(2 * np.pi * time * _SEASONS) + 1) / 2).astype(np.int64)
        case Drift.WALK:
            return Stream(features=values, labels=_labels(_walk(rng, values, time, seed), day_rows, rng), drift_at=())
        case _:
            assert_never(drift)
    score = np.zeros(rows)
    for concept in np.unique(concepts).tolist():
        mine = concepts == concept
        score[mine] = _score(values[mine], seed, concept)
    return Stream(features=values, labels=_labels(score, day_rows, rng), drift_at=drift_at)


def _score(values: Floats, seed: int, concept: int) -> Floats:
    """A concept: linear, quadratic and wavy in the features, so that trees have something to learn."""
    rng = np.random.default_rng([seed, concept])
    features = values.shape[1]
    linear = rng.normal(size=features)
    quadratic = rng.normal(size=(features, features)) / 2
    wave = rng.normal(size=features)
    return np.asarray(values @ linear + np.einsum("ij,jk,ik->i", values, quadratic, values) + np.sin(3 * values) @ wave)


def _walk(rng: np.random.Generator, values: Floats, time: Floats, seed: int) -> Floats:
    features = values.shape[1]
    path = np.cumsum(rng.normal(size=(_STEPS + 1, features)) / 4, axis=0) + rng.normal(size=features)
    place = time * _STEPS
    step = place.astype(np.int64)
    share = (place - step)[:, None]
    weights = path[step] * (1 - share) + path[np.minimum(step + 1, _STEPS)] * share
    linear = (values * weights).sum(axis=1) / np.linalg.norm(weights, axis=1)
    return np.asarray(3 * linear + _score(values, seed, 0) / 2)


def _labels(score: Floats, day_rows: int, rng: np.random.Generator) -> Integers:
    days = np.exp(_DAY * rng.normal(size=len(score) // day_rows + 1))
    noise = np.repeat(days, day_rows)[: len(score)] * rng.logistic(size=len(score)) * _NOISE
    return (score + noise > 0).astype(np.int64)
