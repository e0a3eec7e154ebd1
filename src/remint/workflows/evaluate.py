"""The evaluate stage: the bundle and the rows it was not trained on in; metrics and plots out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from remint.adapters.bundle import Prediction, read_bundle
from remint.adapters.files import write_atomically
from remint.adapters.frames import read_rows
from remint.adapters.modules import importable
from remint.config import Params
from remint.core.performance import measurements
from remint.core.rows import LabelledRows
from remint.workflows.own_metrics import read_own_metrics
from remint.workflows.prepare import PREPARED
from remint.workflows.train import ARTIFACTS, BUNDLE

METRICS: Final = ARTIFACTS / "metrics.json"
PLOTS: Final = ARTIFACTS / "plots"

_MEASURED: Final = ("test", "golden", "fresh")
_MAX_SLICES: Final = 20  # of a sensitive column: its most frequent values
_CALIBRATION_BINS: Final = 10


def evaluate(params: Params, directory: Path) -> None:
    """Measure ``artifacts/bundle/`` on the test, golden and fresh rows; write ``metrics.json`` and the plots.

    A metric without a value is null, and ``reasons`` says why. ``fresh`` is null where there is no feedback yet.
    ``slices`` holds the accuracy on the test rows for each value of each sensitive column, ``info`` the numbers of
    the metrics files that ``evaluate.info_files`` names.
    """
    with importable(directory):
        bundle = read_bundle(directory / BUNDLE, trusted_types=params.train.trusted_types)
    prepared = directory / PREPARED
    rows = {
        side: read_rows(prepared / f"{side}.parquet", bundle.schema.features)
        for side in ("train", "held_out", *_MEASURED)
    }
    predictions = {side: bundle.predict(rows[side].table) for side in _MEASURED}
    metrics: dict[str, Any] = {}
    reasons: dict[str, dict[str, str]] = {}
    for side in _MEASURED:
        if side == "fresh" and rows[side].rows == 0:
            metrics[side] = None
            continue
        found = measurements(
            params.evaluate.metrics,
            rows[side].labels,
            predictions[side].probabilities,
            bundle.schema.classes,
            params.task.positive,
        )
        metrics[side] = {str(name): measured.value for name, measured in found.items()}
        if absent := {str(name): m.reason for name, m in found.items() if m.reason is not None}:
            reasons[side] = absent
    metrics["rows"] = {side: labelled.rows for side, labelled in rows.items()}
    if reasons:
        metrics["reasons"] = reasons
    if rows["test"].sensitive:
        metrics["slices"] = slices(rows["test"], predictions["test"])
    if params.evaluate.info_files:
        metrics["info"] = read_own_metrics(directory, params.evaluate.info_files)
    _write(directory / METRICS, metrics)
    test = rows["test"]
    _write(directory / PLOTS / "confusion.json", confusion(test.labels, predictions["test"]))
    _write(directory / PLOTS / "calibration.json", calibration(test.labels, predictions["test"]))


def slices(rows: LabelledRows, prediction: Prediction) -> dict[str, dict[str, Mapping[str, float]]]:
    """Accuracy and rows by value, for the most frequent values of each sensitive column; missing is ``(missing)``."""
    right = prediction.labels == rows.labels
    found: dict[str, dict[str, Mapping[str, float]]] = {}
    for name, values in rows.sensitive.items():
        shown = np.array(["(missing)" if value is None else value for value in values.tolist()], dtype=object)
        ranked = sorted(Counter(shown.tolist()).items(), key=lambda pair: (-pair[1], pair[0]))
        found[name] = {
            value: {"accuracy": float(right[shown == value].mean()), "rows": count}
            for value, count in ranked[:_MAX_SLICES]
        }
    return found


def confusion(labels: npt.NDArray[Any], prediction: Prediction) -> list[dict[str, str]]:
    """One entry a row, as DVC's confusion template counts them."""
    return [
        {"actual": actual, "predicted": predicted}
        for actual, predicted in zip(labels.tolist(), prediction.labels.tolist(), strict=True)
    ]


def calibration(labels: npt.NDArray[Any], prediction: Prediction) -> list[dict[str, Any]]:
    """Mean confidence and share of right answers, by bins of equal width of the confidence; empty ones are left out."""
    finite = np.isfinite(prediction.confidence)
    confidence = prediction.confidence[finite]
    right = (prediction.labels == labels)[finite]
    index = np.minimum((confidence * _CALIBRATION_BINS).astype(np.int64), _CALIBRATION_BINS - 1)
    return [
        {
            "confidence": float(confidence[index == i].mean()),
            "right": float(right[index == i].mean()),
            "rows": int((index == i).sum()),
        }
        for i in np.unique(index).tolist()
    ]


def _write(path: Path, value: Any) -> None:
    write_atomically(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
