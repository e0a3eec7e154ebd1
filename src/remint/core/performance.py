"""How good predictions are, against labels: each metric a finite number, or None with the reason why there is none."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

#: A probability of zero for what came true would make the log loss infinite: it is clipped here (34.5 nats a row).
_CLIP: Final = 1e-15


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A metric's value. ``reason`` says why there is none, and is None where there is one."""

    value: float | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class _Rows:
    """What every metric is computed from. ``actual`` is -1, always wrong, where a label is no class of the model."""

    actual: npt.NDArray[np.int64]  # (rows,)
    predicted: npt.NDArray[np.int64]  # (rows,)
    probabilities: npt.NDArray[np.float64]  # (rows, classes)
    positive: int | None  # class code

    @property
    def is_single_class(self) -> bool:
        return len(np.unique(self.actual)) < 2


def measure(
    metrics: Sequence[str],
    labels: npt.NDArray[Any],
    probabilities: npt.NDArray[np.float64],
    classes: Sequence[str],
    positive: str | None = None,
) -> dict[str, float | None]:
    """The value of each metric; None where it has none. Arguments as for ``measurements``."""
    return {
        name: found.value for name, found in measurements(metrics, labels, probabilities, classes, positive).items()
    }


def measurements(
    metrics: Sequence[str],
    labels: npt.NDArray[Any],
    probabilities: npt.NDArray[np.float64],
    classes: Sequence[str],
    positive: str | None = None,
) -> dict[str, Measurement]:
    """Each metric of the rows, or the reason why it has no value. Never NaN, never an error for what the data hold.

    ``labels`` are canonical strings, shape (rows,); ``probabilities`` has a column for each of ``classes``. A row's
    prediction is its most probable class. A label that is not among ``classes`` counts as a wrong prediction. One
    probability that is not finite takes every value away: a model that fails on some rows has no score.
    """
    if (unknown := [name for name in metrics if name not in METRICS]) or probabilities.shape[1:] != (len(classes),):
        raise ValueError(f"unknown metrics {unknown} or probabilities of shape {probabilities.shape}")
    rows = len(labels)
    if rows == 0:
        return {name: Measurement(value=None, reason="no rows") for name in metrics}
    broken = int((~np.isfinite(probabilities).all(axis=1)).sum())
    if broken:
        reason = f"{broken} of {rows} predictions are not finite"
        return {name: Measurement(value=None, reason=reason) for name in metrics}
    codes = {name: code for code, name in enumerate(classes)}
    given = _Rows(
        actual=np.array([codes.get(label, -1) for label in labels.tolist()], dtype=np.int64),
        predicted=probabilities.argmax(axis=1).astype(np.int64),
        probabilities=probabilities,
        positive=None if positive is None else codes.get(positive),
    )
    return {name: _measurement(METRICS[name](given)) for name in metrics}


def _measurement(found: float | str) -> Measurement:
    if isinstance(found, str):
        return Measurement(value=None, reason=found)
    if not math.isfinite(found):
        return Measurement(value=None, reason="not a finite number")
    return Measurement(value=float(found))


# A metric answers with its value, or with the words that say why there is none.

_ONE_CLASS = "all labels are of one class"
_NO_POSITIVE = "task.positive is not declared, or not a class of the model"


def _accuracy(rows: _Rows) -> float | str:
    return float((rows.actual == rows.predicted).mean())


def _balanced_accuracy(rows: _Rows) -> float | str:
    """The mean, over the classes that occur, of the share of a class's rows that is predicted as it."""
    if rows.is_single_class:
        return _ONE_CLASS
    hit = rows.actual == rows.predicted
    return float(np.mean([hit[rows.actual == code].mean() for code in np.unique(rows.actual)]))


def _f1_macro(rows: _Rows) -> float | str:
    """The mean of each class's F1 = 2 TP / (2 TP + FP + FN), over the classes that occur or are predicted."""
    if rows.is_single_class:
        return _ONE_CLASS
    scores = []
    for code in np.union1d(rows.actual, rows.predicted):
        hits = int(((rows.actual == code) & (rows.predicted == code)).sum())
        scores.append(2 * hits / int((rows.actual == code).sum() + (rows.predicted == code).sum()))
    return float(np.mean(scores))


def _log_loss(rows: _Rows) -> float | str:
    """The mean of -log p(label), in nats."""
    of_label = rows.probabilities[np.arange(len(rows.actual)), rows.actual]
    of_label = np.where(rows.actual < 0, 0.0, of_label)
    return float(-np.log(np.clip(of_label, _CLIP, 1.0)).mean())


def _precision(rows: _Rows) -> float | str:
    if rows.positive is None:
        return _NO_POSITIVE
    chosen = rows.predicted == rows.positive
    return float((rows.actual[chosen] == rows.positive).mean()) if chosen.any() else "nothing is predicted positive"


def _recall(rows: _Rows) -> float | str:
    if rows.positive is None:
        return _NO_POSITIVE
    true = rows.actual == rows.positive
    return float((rows.predicted[true] == rows.positive).mean()) if true.any() else "no label is positive"


def _roc_auc(rows: _Rows) -> float | str:
    """The chance that a positive row gets a higher probability than a negative one, ties by half (Mann-Whitney)."""
    if rows.positive is None:
        return _NO_POSITIVE
    if rows.probabilities.shape[1] != 2:
        return "roc_auc needs two classes"
    if rows.is_single_class:
        return _ONE_CLASS
    true = rows.actual == rows.positive
    positives, negatives = int(true.sum()), int((~true).sum())
    if not positives:
        return "no label is positive"
    ranks = rankdata(rows.probabilities[:, rows.positive])
    return float((ranks[true].sum() - positives * (positives + 1) / 2) / (positives * negatives))


METRICS: Final[dict[str, Callable[[_Rows], float | str]]] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "f1_macro": _f1_macro,
    "log_loss": _log_loss,
    "precision": _precision,
    "recall": _recall,
    "roc_auc": _roc_auc,
}
