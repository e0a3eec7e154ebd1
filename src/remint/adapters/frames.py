"""Data files in and out: CSV, TSV and Parquet, read into the core's tables; Parquet written with repeatable bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from remint.core.rows import LabelledRows
from remint.core.schema import Column, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """The labelled rows of a team's data file."""

    rows: LabelledRows
    event_at: npt.NDArray[np.datetime64] | None  # UTC, datetime64[us], shape (rows,); None without a time column
    missing_labels: int  # rows dropped because they had no label
    missing_times: int  # rows dropped because they had no time


def read_data_file(
    path: Path,
    *,
    columns: Mapping[str, Kind],
    label: str,
    time_column: str | None = None,
    zone: str | None = None,
) -> DataFile:
    """Rows of a CSV, TSV or Parquet file. ``columns`` as in ``task.columns``; ``zone`` is that of naive times."""
    raise NotImplementedError


def write_rows(
    path: Path,
    rows: LabelledRows,
    *,
    extra: Mapping[str, Sequence[str | None]] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write Parquet whose bytes depend on the rows (and the pyarrow version) alone.

    ``extra`` are further text columns (``remint.prediction_id`` ...); ``metadata`` are key-value pairs of the file
    (``remint.quarantine``: a JSON object of counts by reason).
    """
    raise NotImplementedError


def read_rows(path: Path, features: Sequence[Column]) -> LabelledRows:
    """Rows as ``write_rows`` wrote them. Pass ``schema.features`` or ``params.task.features``."""
    raise NotImplementedError


def read_extra(path: Path, name: str) -> list[str | None]:
    """One of the ``extra`` text columns of a file that ``write_rows`` wrote."""
    raise NotImplementedError


def read_metadata(path: Path) -> dict[str, str]:
    """The key-value pairs of a file that ``write_rows`` wrote."""
    raise NotImplementedError
