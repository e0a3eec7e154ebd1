"""How sure a difference between two models on the same rows is: a paired bootstrap and McNemar's exact test.

Rows with equal features are one observation: a file where each patient stands seventeen times must not look seventeen
times as sure. Both methods therefore work on distinct keys.

* Bootstrap: keys are drawn with replacement, which gives each the weights of a multinomial, the same for both models;
  the interval is that of the percentiles (Efron & Tibshirani, An Introduction to the Bootstrap, chapter 13).
* McNemar, exact: of the keys on which just one model is right, how many are the challenger's; two-sided binomial
  with p = 1/2 (McNemar 1947; a sign test where a key holds several rows).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

Floats = npt.NDArray[np.float64]
Statistic = Callable[[Floats], Floats]  # weights of the keys, shape (draws, keys) -> the metric, shape (draws,)

CONFIDENCE: Final = 0.95
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
    draws: int = 2_000,
    confidence: float = CONFIDENCE,
) -> Mapping[str, Noise | None]:
    """An interval of each metric's difference; None where no draw has the metric (one class only, say).

    The metrics are those of ``core.performance``, and have to have a value for both models. The same seed gives the
    same intervals.
    """
    group, count = distinct(keys)
    if count == 0:
        return dict.fromkeys(metrics)
    pairs = {
        name: (
            _statistic(name, champion, group, count),
            _statistic(name, challenger, group, count),
        )
        for name in metrics
    }
    generator = np.random.default_rng(seed)
    found: dict[str, list[Floats]] = {name: [] for name in metrics}
    step = max(1, _CELLS // max(count, len(keys)))
    for start in range(0, draws, step):
        size = min(step, draws - start)
        weights = generator.multinomial(count, np.full(count, 1 / count), size=size).astype(np.float64)
        for name, (before, after) in pairs.items():
            found[name].append(after(weights) - before(weights))
    return {name: _percentiles(np.concatenate(parts), confidence) for name, parts in found.items()}


def weighted(metric: str, scored: Scored, keys: npt.NDArray[np.str_], weights: Floats) -> Floats:
    """A metric with each key's rows weighted; ``weights`` has shape (draws, keys). Ones give the plain metric."""
    group, count = distinct(keys)
    return _statistic(metric, scored, group, count)(weights)


def _percentiles(differences: Floats, confidence: float) -> Noise | None:
    known = differences[np.isfinite(differences)]
    if known.size == 0:
        return None
    tail = (1 - confidence) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    return Noise(low=float(low), high=float(high), confidence=confidence)


def _statistic(metric: str, scored: Scored, group: npt.NDArray[np.int64], count: int) -> Statistic:
    if metric == "roc_auc":
        return _roc_auc(scored, group)
    if metric == "log_loss":
        return _log_loss(scored, group, count)
    return _from_counts(metric, scored, group, count)


def _by_key(values: Floats, group: npt.NDArray[np.int64], count: int) -> Floats:
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
    labels, predictions, hits = (_by_key(v, group, count) for v in (true, said, true * said))

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
    losses = _by_key(np.column_stack([loss, np.ones(len(group))]), group, count)

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
