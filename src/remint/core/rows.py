"""Labelled rows: what the splits are made of, and what training, evaluation and the gate read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from remint.core.table import Table, concatenate, row_keys
from remint.errors import DataError


class RowSource(StrEnum):
    """Where a labelled row comes from."""

    DATA = "data"  # the team's own data file
    FEEDBACK = "feedback"  # curated feedback on predictions


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledRows:
    """Rows with a label and their origin. All arrays have shape (rows,)."""

    table: Table
    labels: npt.NDArray[Any]  # object array of canonical strings, never None
    source: npt.NDArray[Any]  # object array of RowSource values ("data" or "feedback")
    sequence: npt.NDArray[np.int64]  # of the feedback; 0 for data
    arrived_at: npt.NDArray[Any]  # object array of aware UTC datetimes; None for data
    event_at: npt.NDArray[np.datetime64]  # UTC, datetime64[us]; NaT where unknown: always so for feedback
    keys: npt.NDArray[np.str_]  # row_keys(table)
    sensitive: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)  # object arrays of str or None
    weight: npt.NDArray[np.float64] | None = None  # of the row in training, 0 to 1; None: all weigh the same

    def __post_init__(self) -> None:
        lengths = {
            self.table.rows,
            len(self.labels),
            len(self.source),
            len(self.sequence),
            len(self.arrived_at),
            len(self.event_at),
            len(self.keys),
            *([] if self.weight is None else [len(self.weight)]),
            *(len(values) for values in self.sensitive.values()),
        }
        if len(lengths) != 1:
            raise ValueError(f"columns of different lengths: {sorted(lengths)}")

    @property
    def rows(self) -> int:
        return len(self.labels)

    def take(self, index: npt.NDArray[Any]) -> LabelledRows:
        """The rows at ``index`` (integer positions or a boolean mask)."""
        return LabelledRows(
            table=self.table.take(index),
            labels=self.labels[index],
            source=self.source[index],
            sequence=self.sequence[index],
            arrived_at=self.arrived_at[index],
            event_at=self.event_at[index],
            keys=self.keys[index],
            sensitive={name: values[index] for name, values in self.sensitive.items()},
            weight=None if self.weight is None else self.weight[index],
        )


def data_rows(
    table: Table,
    labels: npt.NDArray[Any],
    *,
    event_at: npt.NDArray[np.datetime64] | None = None,
    sensitive: Mapping[str, npt.NDArray[Any]] | None = None,
) -> LabelledRows:
    """Rows of the team's own data (or of the golden set): no sequence, no time of arrival.

    ``event_at`` are the times of the rows, datetime64[us] in UTC; None where there is no time column.
    """
    rows = len(labels)
    return LabelledRows(
        table=table,
        labels=labels,
        source=objects([RowSource.DATA.value] * rows),
        sequence=np.zeros(rows, dtype=np.int64),
        arrived_at=objects([None] * rows),
        event_at=no_times(rows) if event_at is None else event_at,
        keys=row_keys(table),
        sensitive=sensitive or {},
    )


def join_rows(parts: Sequence[LabelledRows]) -> LabelledRows:
    """The parts' rows one after another. A sensitive column that a part lacks is missing (None) there.

    Weights are not joined: each part's are relative to its own newest row.
    """
    if not parts:
        raise DataError("no rows to join")
    if any(part.weight is not None for part in parts):
        raise ValueError("rows are weighted after they are joined")
    sensitive = sorted({name for part in parts for name in part.sensitive})
    return LabelledRows(
        table=concatenate([part.table for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        source=np.concatenate([part.source for part in parts]),
        sequence=np.concatenate([part.sequence for part in parts]),
        arrived_at=np.concatenate([part.arrived_at for part in parts]),
        event_at=np.concatenate([part.event_at for part in parts]),
        keys=np.concatenate([part.keys for part in parts]),
        sensitive={
            name: np.concatenate([part.sensitive.get(name, objects([None] * part.rows)) for part in parts])
            for name in sensitive
        },
    )


def no_times(rows: int) -> npt.NDArray[np.datetime64]:
    """Unknown times, shape (rows,), as ``LabelledRows.event_at`` holds them."""
    return np.full(rows, np.datetime64("NaT"), dtype="datetime64[us]")


def objects(values: Sequence[Any]) -> npt.NDArray[Any]:
    """An object array of shape (len(values),), whatever the values are (NumPy would unpack lists and pick a dtype)."""
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out
