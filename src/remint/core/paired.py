"""How sure a difference between two models on the same rows is: a paired bootstrap and McNemar's exact test.

Rows with equal features are one observation: a file where each patient stands seventeen times must not look seventeen
times as sure. Both methods therefore work on distinct keys.

* Bootstrap: keys are drawn with replacement, which gives each the weights of a multinomial, the same for both models;
  the interval is that of the percentiles (Efron & Tibshirani, An Introduction to the Bootstrap, chapter 13).
* McNemar, exact: of the keys on which just one model is right, how many are the challenger's; two-sided binomial
  with p = 1/2 (McNemar 1947; a sign test where a key holds several rows).
* Exchange: each key's answers of the two models change sides with probability 1/2; how often the challenger then looks
  as bad as it did is the p-value of "the models are the same". Exact at any size, for any metric (Fisher's paired
  randomisation test; Phipson & Smyth 2010 for the 1 that is added, so that it is never 0).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

Floats = npt.NDArray[np.float64]
Statistic = Callable[[Floats], Floats]  # weights of the keys, shape (draws, keys) -> the metric, shape (draws,)

CONFIDENCE: Final = 0.95
DRAWS: Final = 2_000
NEEDS_POSITIVE: Final = frozenset({"precision", "recall", "roc_auc"})
_CELLS: Final = 2_000_000  # of the largest array in memory at a time: 16 MB
_CLIP: Final = 1e-15  # of probabilities in the log loss, as in ``core.performance``


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """What chance alone does to one metric's difference, challenger minus champion."""

    low: float
    high: float
    confidence: float = CONFIDENCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """Keys on which one model is right more often than the other, and how likely so uneven a split is by chance."""

    champion_right: int
    challenger_right: int
    p_value: float


@dataclass(frozen=True, slots=True)
class Scored:
    """One model's answers on labelled rows, as the statistics need them.

    ``labels`` are class codes, shape (rows,), -1 (always wrong) where a label is no class of the model;
    ``probabilities`` has shape (rows, classes); ``positive`` is the code that precision, recall and roc_auc are about.
    """

    labels: npt.NDArray[np.int64]
    probabilities: Floats
    positive: int | None = None

    @property
    def predicted(self) -> npt.NDArray[np.int64]:
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)

    def take(self, index: npt.NDArray[Any]) -> Scored:
        """The rows at ``index`` (integer positions or a boolean mask)."""
        return Scored(self.labels[index], self.probabilities[index], self.positive)


def distinct(keys: npt.NDArray[np.str_]) -> tuple[npt.NDArray[np.int64], int]:
    """Each row's key as an index, shape (rows,), and how many distinct keys there are."""
    values, group = np.unique(keys, return_inverse=True)
    return group.astype(np.int64), len(values)


def disagreement(champion: Scored, challenger: Scored, keys: npt.NDArray[np.str_]) -> Disagreement:
    """McNemar's exact test over distinct keys. Without any disagreement the p-value is 1."""
    group, count = distinct(keys)
    lead = np.zeros(count, dtype=np.int64)
    ahead = (challenger.predicted == challenger.labels).astype(np.int64) - (champion.predicted == champion.labels)
    np.add.at(lead, group, ahead)
    wins, losses = int((lead > 0).sum()), int((lead < 0).sum())
    p_value = float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0
    return Disagreement(champion_right=losses, challenger_right=wins, p_value=p_value)


def intervals(
    metrics: Sequence[str],
    champion: Scored,
    challenger: Scored,
    keys: npt.NDArray[np.str_],
    *,
    seed: int,
    draws: int = DRAWS,
    confidence: float = CONFIDENCE,
) -> Mapping[str, Noise | None]:
    """An interval of each metric's difference; None where no draw has the metric (one class only, say).

    The metrics are those of ``core.performance``, and have to have a value for both models. The same seed gives the
    same intervals.
    """
    group, count = distinct(keys)
    pairs = {
        name: (statistic_of(name, champion, group, count), statistic_of(name, challenger, group, count))
        for name in metrics
    }
    found = differences(pairs, keys=count, rows=len(keys), seed=seed, draws=draws)
    return {name: interval(values, confidence) for name, values in found.items()}


def differences(
    pairs: Mapping[str, tuple[Statistic, Statistic]], *, keys: int, rows: int, seed: int, draws: int = DRAWS
) -> Mapping[str, Floats]:
    """Challenger minus champion in each bootstrap draw of the keys, shape (draws,); all pairs see the same draws."""
    if keys == 0:
        return {name: np.zeros(0) for name in pairs}
    generator = np.random.default_rng(seed)
    found: dict[str, list[Floats]] = {name: [] for name in pairs}
    step = max(1, _CELLS // max(keys, rows))
    for start in range(0, draws, step):
        size = min(step, draws - start)
        weights = generator.multinomial(keys, np.full(keys, 1 / keys), size=size).astype(np.float64)
        for name, (before, after) in pairs.items():
            found[name].append(after(weights) - before(weights))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def exchanged(
    metric: str, champion: Scored, challenger: Scored, keys: npt.NDArray[np.str_], *, seed: int, draws: int = DRAWS
) -> Floats:
    """Challenger minus champion after the two changed sides on a random half of the keys, shape (draws,).

    Both models have to answer in the same classes: a draw's "model" is made of rows of both.
    """
    group, count = distinct(keys)
    both = Scored(
        np.concatenate([champion.labels, challenger.labels]),
        np.concatenate([champion.probabilities, challenger.probabilities]),
        champion.positive,
    )
    statistic = statistic_of(metric, both, np.concatenate([group, group + count]), 2 * count)
    generator = np.random.default_rng(seed)
    found: list[Floats] = []
    step = max(1, _CELLS // (2 * max(count, len(keys), 1)))
    for start in range(0, draws, step):
        stays = generator.integers(0, 2, size=(min(step, draws - start), count)).astype(np.float64)
        found.append(statistic(np.hstack([1 - stays, stays])) - statistic(np.hstack([stays, 1 - stays])))
    return np.concatenate(found)


def value(metric: str, scored: Scored, keys: npt.NDArray[np.str_]) -> float | None:
    """The plain metric of some rows; None where it has none there (no rows, one class, a probability of NaN)."""
    known = np.isfinite(scored.probabilities).all() and (scored.positive is not None or metric not in NEEDS_POSITIVE)
    if not len(keys) or not known:
        return None
    found = float(weighted(metric, scored, keys, np.ones((1, distinct(keys)[1])))[0])
    return found if math.isfinite(found) else None


def weighted(metric: str, scored: Scored, keys: npt.NDArray[np.str_], weights: Floats) -> Floats:
    """A metric with each key's rows weighted; ``weights`` has shape (draws, keys). Ones give the plain metric."""
    group, count = distinct(keys)
    return statistic_of(metric, scored, group, count)(weights)


def interval(found: Floats, confidence: float = CONFIDENCE) -> Noise | None:
    """The percentile interval of bootstrap draws; None where no draw has a value."""
    known = found[np.isfinite(found)]
    if known.size == 0:
        return None
    tail = (1 - confidence) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    return Noise(low=float(low), high=float(high), confidence=confidence)


def statistic_of(metric: str, scored: Scored, group: npt.NDArray[np.int64], count: int) -> Statistic:
    if metric == "roc_auc":
        return _roc_auc(scored, group)
    if metric == "log_loss":
        return _log_loss(scored, group, count)
    return _from_counts(metric, scored, group, count)


def by_key(values: Floats, group: npt.NDArray[np.int64], count: int) -> Floats:
    """Rows summed by key: shape (rows, columns) -> (keys, columns)."""
    out = np.zeros((count, values.shape[1]))
    np.add.at(out, group, values)
    return out


def _from_counts(metric: str, scored: Scored, group: npt.NDArray[np.int64], count: int) -> Statistic:
    """Metrics of the confusion matrix need three counts a class: labels, predictions, hits."""
    codes = np.arange(-1, scored.probabilities.shape[1])  # the first column is that of labels which are no class
    positive = None if scored.positive is None else scored.positive + 1
    said = (scored.predicted[:, None] == codes).astype(np.float64)
    true = (scored.labels[:, None] == codes).astype(np.float64)
    labels, predictions, hits = (by_key(v, group, count) for v in (true, said, true * said))

    def statistic(weights: Floats) -> Floats:
        label, prediction, hit = weights @ labels, weights @ predictions, weights @ hits
        several = (label > 0).sum(axis=1) > 1
        with np.errstate(divide="ignore", invalid="ignore"):
            match metric:
                case "accuracy":
                    return np.asarray(hit.sum(axis=1) / label.sum(axis=1))
                case "balanced_accuracy":
                    return np.where(several, _mean_where(hit / label, label > 0), np.nan)
                case "f1_macro":
                    scores = 2 * hit / (label + prediction)
                    return np.where(several, _mean_where(scores, label + prediction > 0), np.nan)
                case "precision" if positive is not None:
                    return np.asarray(hit[:, positive] / prediction[:, positive])
                case "recall" if positive is not None:
                    return np.asarray(hit[:, positive] / label[:, positive])
                case _:
                    raise ValueError(f"no such metric here: {metric}, positive {scored.positive}")

    return statistic


def _mean_where(values: Floats, known: npt.NDArray[Any]) -> Floats:
    return np.asarray(np.where(known, values, 0.0).sum(axis=1) / known.sum(axis=1))


def _log_loss(scored: Scored, group: npt.NDArray[np.int64], count: int) -> Statistic:
    unknown = scored.labels < 0
    own = scored.probabilities[np.arange(len(group)), np.where(unknown, 0, scored.labels)]
    loss = -np.log(np.clip(np.where(unknown, 0.0, own), _CLIP, 1.0))
    losses = by_key(np.column_stack([loss, np.ones(len(group))]), group, count)

    def statistic(weights: Floats) -> Floats:
        summed = weights @ losses
        return np.asarray(summed[:, 0] / summed[:, 1])

    return statistic


def _roc_auc(scored: Scored, group: npt.NDArray[np.int64]) -> Statistic:
    """The chance that a positive row scores above a negative one, ties counting half (Mann and Whitney's U)."""
    if scored.positive is None:
        raise ValueError("roc_auc needs a positive class")
    scores = scored.probabilities[:, scored.positive]
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0])
    sorted_group = group[order]
    is_positive = (scored.labels[order] == scored.positive).astype(np.float64)

    def statistic(weights: Floats) -> Floats:
        by_row = weights[:, sorted_group]
        above = np.add.reduceat(by_row * is_positive, starts, axis=1)
        below = np.add.reduceat(by_row * (1 - is_positive), starts, axis=1)
        wins = (above * (np.cumsum(below, axis=1) - below / 2)).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(wins / (above.sum(axis=1) * below.sum(axis=1)))

    return statistic
