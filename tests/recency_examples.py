"""Rows of known and unknown age."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import numpy as np

from remint.core.rows import LabelledRows, data_rows, no_times, objects
from remint.core.schema import Column, Kind
from remint.core.table import Table

DAY = np.timedelta64(1, "D")
START = np.datetime64("2026-01-01", "us")


def data_of(days: list[int] | None, *, rows: int = 0) -> LabelledRows:
    """Data rows ``x = 0, 1, ...`` on these days; ``rows`` of them of unknown time where there are none."""
    count = rows if days is None else len(days)
    table = Table((Column(name="x", kind=Kind.NUMERIC),), {"x": np.arange(count, dtype=np.float64)})
    at = None if days is None else START + np.array(days, dtype=np.int64) * DAY
    return data_rows(table, objects([str(i % 2) for i in range(count)]), event_at=at)


def feedback_of(days: list[int], *, first: float = 100.0) -> LabelledRows:
    """Feedback rows ``x = first, ...`` that arrived on these days."""
    table = Table((Column(name="x", kind=Kind.NUMERIC),), {"x": first + np.arange(len(days), dtype=np.float64)})
    rows = data_rows(table, objects(["1"] * len(days)))
    return dataclasses.replace(
        rows,
        source=objects(["feedback"] * len(days)),
        sequence=np.arange(1, len(days) + 1, dtype=np.int64),
        arrived_at=objects([datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day) for day in days]),
        event_at=no_times(len(days)),
    )


def xs(rows: LabelledRows) -> list[float]:
    found: list[float] = rows.table.columns["x"].tolist()
    return found
