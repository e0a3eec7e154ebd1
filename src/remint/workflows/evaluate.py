"""The evaluate stage: the bundle on rows that it was not trained on; metrics and plots out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np

from remint.adapters.bundle import Bundle, Prediction, read_bundle
from remint.adapters.files import write_atomically
from remint.adapters.frames import read_rows
from remint.config import Params
from remint.core.performance import measure
from remint.core.rows import LabelledRows
from remint.workflows.prepare import PREPARED
from remint.workflows.train import ARTIFACTS, BUNDLE

_SIDES: Final = ("test", "golden", "fresh")
_CALIBRATION_BINS: Final = 10


def evaluate(params: Params, directory: Path) -> None:
    """Write ``metrics.json`` (a number or null for each metric of each side) and the plots' data."""
    bundle = read_bundle(directory / BUNDLE, trusted_types=params.train.trusted_types)
    rows = {
        name: read_rows(directory / PREPARED / f"{name}.parquet", params.task.features)
        for name in ("train", "held_out", *_SIDES)
    }
    metrics: dict[str, Any] = {}
    for name in _SIDES:
        metrics[name] = _measured(params, bundle, rows[name]) if rows[name].rows else None
    slices = _slices(params, bundle, rows["test"])
    if slices:
        metrics["slices"] = slices
    metrics["rows"] = {name: side.rows for name, side in rows.items()}
    _write(directory / ARTIFACTS / "metrics.json", metrics)
    test = rows["test"]
    answers = bundle.predict(test.table)
    _write(directory / ARTIFACTS / "plots" / "confusion.json", _confusion(test, answers))
    _write(directory / ARTIFACTS / "plots" / "calibration.json", _calibration(test, answers))


def _measured(params: Params, bundle: Bundle, rows: LabelledRows) -> dict[str, float | None]:
    answers = bundle.predict(rows.table)
    return measure(
        [metric.value for metric in params.evaluate.metrics],
        rows.labels,
        answers.probabilities,
        bundle.schema.classes,
        params.task.positive,
    )


def _slices(params: Params, bundle: Bundle, rows: LabelledRows) -> dict[str, Any]:
    """Metrics for each value of each sensitive column of the test rows."""
    found: dict[str, Any] = {}
    for column, values in rows.sensitive.items():
        names = sorted({str(v) for v in values.tolist()})
        masks = {name: np.array([str(v) == name for v in values.tolist()]) for name in names}
        found[column] = {
            name: {**_measured(params, bundle, rows.take(mask)), "rows": int(mask.sum())}
            for name, mask in masks.items()
        }
    return found


def _confusion(rows: LabelledRows, answers: Prediction) -> list[dict[str, str]]:
    return [
        {"actual": str(actual), "predicted": str(predicted)}
        for actual, predicted in zip(rows.labels.tolist(), answers.labels.tolist(), strict=True)
    ]


def _calibration(rows: LabelledRows, answers: Prediction) -> list[dict[str, float | int]]:
    """How often predictions of a confidence are right; a calibrated model is right as often as it says."""
    right = answers.labels == rows.labels
    place = np.minimum((answers.confidence * _CALIBRATION_BINS).astype(int), _CALIBRATION_BINS - 1)
    return [
        {
            "confidence": float(answers.confidence[place == i].mean()),
            "right": float(right[place == i].mean()),
            "rows": int((place == i).sum()),
        }
        for i in np.unique(place).tolist()
    ]


def _write(path: Path, value: Any) -> None:
    write_atomically(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
