"""Counts over a reference's frozen bins from files, by the engine a team has: Polars, DuckDB or Spark."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from remint.core.profile import Counts, Reference
from remint.core.signals import FeedbackCounts, WindowCounts


class Engine(StrEnum):
    """What reads and counts. Each is an extra of its own: ``uv pip install 'remint[files]'`` is Polars."""

    POLARS = "polars"
    DUCKDB = "duckdb"
    SPARK = "spark"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSource:
    """A log of predictions in files: one row a prediction, the features under the names that training knew them by."""

    path: str  # glob or directory, relative to the pipeline's directory, or absolute
    predicted: str
    confidence: str
    time: str | None = None  # aware timestamps, naive ones taken as UTC, or dates; None: every row is in the window
    label: str | None = None  # the true class where it is known by now
    engine: Engine = Engine.POLARS


def count_files(
    source: FileSource,
    reference: Reference,
    *,
    start: datetime | None,
    end: datetime | None,
    directory: Path,
    memory_bytes: int | None = None,
) -> WindowCounts:
    """Rows of ``[start, end)`` counted over the reference's bins; equal to ``Reference.count`` of the same rows."""
    raise NotImplementedError


def count_feedback(
    source: FileSource, *, start: datetime | None, end: datetime | None, directory: Path
) -> FeedbackCounts:
    """Labels of the predictions of ``[start, end)``, right and wrong; a missing label is a label yet to come."""
    raise NotImplementedError


def count_frame(frame: Any, reference: Reference, *, predicted: str, confidence: str) -> Counts:
    """Counts of a frame that Narwhals can wrap: a Polars LazyFrame, a DuckDB relation, a PySpark DataFrame."""
    raise NotImplementedError
