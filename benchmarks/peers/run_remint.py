"""Remint: counts over the bins that training froze, and the decision that ``remint check`` takes on them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from protocol import REFERENCE_DAYS, Alarms, Rows, Stream, Tool, main

from remint.adapters.engine import FileSource, count_files
from remint.core.budget import YEAR
from remint.core.drift import measure_drift
from remint.core.profile import Counts, FieldRole, Reference, build_reference
from remint.core.release import Track
from remint.core.schema import Column, Kind, Schema
from remint.core.table import Table
from remint.serving.metrics import BinCounts

_CLASSES = ("no", "yes")
_TRAINED_TO = datetime(2026, 1, 1, tzinfo=UTC)
_EVERY = timedelta(days=1)
_ALPHA = _EVERY / YEAR  # one false alarm a year, checked daily: what `false_retrains_a_year: 1` gives a single rule
_MATERIAL_PSI = 0.02  # the default of params.yaml: 0.14 standard deviations
_CHECK_ROWS = 1_000  # of a stream, between two decisions


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """What a prediction log holds: the features, and what the model said. The decision here is about the features."""

    table: Table
    predicted: npt.NDArray[np.object_]
    confidence: npt.NDArray[np.float64]


def log(rows: Rows) -> Log:
    columns = tuple(Column(name=f"f{i}", kind=Kind.NUMERIC) for i in range(rows.shape[1]))
    return Log(
        table=Table(columns, {c.name: rows[:, i] for i, c in enumerate(columns)}),
        predicted=np.array(_CLASSES, dtype=object)[np.arange(len(rows)) % 2],
        confidence=np.linspace(0.5, 1.0, len(rows)),
    )


def profile(reference: Log, *, dated: bool = True) -> Reference:
    before = np.arange(reference.table.rows, 0, -1) * (REFERENCE_DAYS * np.timedelta64(_EVERY) // reference.table.rows)
    return build_reference(
        Schema(pipeline="bench", features=reference.table.features, label="y", classes=_CLASSES),
        reference.table,
        held_out_predicted=reference.predicted,
        held_out_confidence=reference.confidence,
        training_at=np.datetime64(_TRAINED_TO.replace(tzinfo=None), "us") - before if dated else None,
        window=_EVERY if dated else None,
    )


def count(reference: Reference, window: Log) -> Counts:
    return reference.count(window.table, window.predicted, window.confidence)


def decide(
    reference: Reference,
    counts: Counts,
    *,
    day: int = 0,
    material_psi: float = _MATERIAL_PSI,
    alpha: float = _ALPHA,
) -> bool:
    """Has a feature drifted in a window of a day, ``day`` days after the reference ends?"""
    start = _TRAINED_TO + day * _EVERY
    drifts = measure_drift(
        reference,
        counts,
        role=FieldRole.FEATURE,
        material_psi=material_psi,
        alpha=alpha,
        window=(start, start + _EVERY),
    )
    return any(drift.drifted for drift in drifts)


def check(reference: Reference, window: Log) -> Alarms:
    return {"data set": decide(reference, count(reference, window))}


class Daily:
    """A check each day; the day tells the reference's windows of the same weekday."""

    def __init__(self, reference: Log) -> None:
        self.dated, self.undated = profile(reference), profile(reference, dated=False)
        self.day = 0

    def check(self, window: Log) -> Alarms:
        """The default with event times of the training rows and without; and what other tools decide.

        Without times nothing says how much days differ. Others are wrong in 5 % of the checks, and any shift counts.
        """
        counts, day = count(self.undated, window), self.day  # the bins of both are the same
        self.day += 1
        return {
            "one false alarm a year, PSI > 0.02, training rows dated": decide(self.dated, counts, day=day),
            "one false alarm a year, PSI > 0.02": decide(self.undated, counts, day=day),
            "5 % a check, any shift": decide(self.undated, counts, day=day, material_psi=0.0, alpha=0.05),
        }


def parquet(rows: Rows) -> Path:
    """A prediction log as a file, with Polars' own compression (zstd)."""
    found = log(rows)
    path = Path(tempfile.mkdtemp()) / "log.parquet"
    frame = pl.DataFrame(dict(found.table.columns))
    frame = frame.with_columns(predicted=pl.Series(found.predicted.tolist()), confidence=pl.Series(found.confidence))
    frame.write_parquet(path)
    return path


def profile_file(path: Path) -> Reference:
    frame = pl.read_parquet(path)
    return profile(log(frame.drop("predicted", "confidence").to_numpy()))


def check_file(reference: Reference, path: Path) -> Alarms:
    source = FileSource(path=str(path), predicted="predicted", confidence="confidence")
    counted = count_files(source, reference, start=None, end=None, directory=path.parent)
    return {"data set": decide(reference, counted.counts)}


def read_only(_: Path, path: Path) -> Alarms:
    """The limit: Polars reads every column and forgets it."""
    pl.read_parquet(path)
    return {}


def count_batches(batch_rows: int) -> Stream:
    def start(values: npt.NDArray[np.float64]) -> Callable[[npt.NDArray[np.float64]], int]:
        reference = profile(log(values.reshape(-1, 20)))
        bins = BinCounts(reference, Track.STABLE)

        def feed(values: npt.NDArray[np.float64]) -> int:
            rows = values.reshape(-1, 20)
            for first in range(0, len(rows), batch_rows):
                batch = log(rows[first : first + batch_rows])
                bins.add(reference.assign(batch.table, batch.predicted, batch.confidence), batch.table.rows)
            if bins.predictions % _CHECK_ROWS:
                return 0
            counts = dict(zip([name for name, _ in bins.fields], np.split(bins.counts, _ends(bins)), strict=True))
            return int(decide(reference, counts))

        return feed

    return Stream(call=f"assign, BinCounts.add, {batch_rows} x 20 at a time", errors=False, start=start)


def _ends(bins: BinCounts) -> list[int]:
    return list(np.cumsum([size for _, size in bins.fields])[:-1])


if __name__ == "__main__":
    main(
        {
            "counts": Tool(call="Reference.count (NumPy), measure_drift", load=log, prepare=profile, check=check),
            "decisions": Tool(call="measure_drift", load=log, prepare=Daily, check=Daily.check),
            "files": Tool(
                call="count_files (Polars, Parquet read included), measure_drift",
                load=parquet,
                prepare=profile_file,
                check=check_file,
            ),
            "read": Tool(
                call="Polars reads the Parquet file, no more", load=parquet, prepare=lambda p: p, check=read_only
            ),
        },
        {"250 rows": count_batches(250), "1 row": count_batches(1)},
    )
