"""The prediction log as a source of counts, for those without a Prometheus: the same bins, counted row by row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from remint.core.profile import PREDICTION, FieldRole, Measure, Reference
from remint.core.schema import Column, Kind, Schema
from remint.core.signals import WindowCounts
from remint.core.table import table_from_rows
from remint.errors import DataError

Logged = tuple[Mapping[str, Any], str, float]  # row, predicted class, confidence

_BATCH: Final = 5_000


def count_predictions(logged: Iterable[Logged], reference: Reference) -> WindowCounts:
    """Rows and counts over the reference's bins. What is no row of the reference's columns is counted apart."""
    schema = schema_of(reference)
    counts: dict[str, npt.NDArray[np.int64]] = {f.name: np.zeros(f.bins, dtype=np.int64) for f in reference.fields}
    rows = malformed = 0
    example: str | None = None
    rest = iter(logged)
    while batch := list(islice(rest, _BATCH)):
        try:
            found = _count(batch, schema, reference)
        except DataError:
            good: list[Logged] = []
            for one in batch:
                try:
                    table_from_rows(schema, [one[0]])
                except DataError as error:
                    malformed += 1
                    example = example or error.message
                else:
                    good.append(one)
            batch = good
            found = _count(batch, schema, reference)
        rows += len(batch)
        for name, more in found.items():
            counts[name] += more
    return WindowCounts(rows=rows, counts=counts, malformed_rows=malformed, malformed_example=example)


def schema_of(reference: Reference) -> Schema:
    """The feature columns that a reference was built on; its label's name is not known there."""
    kinds: dict[str, Kind] = {}
    for field in reference.fields:
        if field.role is FieldRole.FEATURE:
            if field.measure is not Measure.VALUE:
                kinds[field.column] = Kind.TEXT
            else:
                kinds[field.column] = Kind.NUMERIC if field.is_numeric else Kind.CATEGORICAL
    return Schema(
        pipeline=reference.pipeline,
        features=tuple(Column(name=name, kind=kind) for name, kind in kinds.items()),
        label="",
        classes=reference.field(PREDICTION).values or (),
    )


def _count(batch: list[Logged], schema: Schema, reference: Reference) -> dict[str, npt.NDArray[np.int64]]:
    if not batch:
        return {}
    table = table_from_rows(schema, [row for row, _, _ in batch])
    predicted = np.array([label for _, label, _ in batch], dtype=object)
    confidence = np.array([value for _, _, value in batch], dtype=np.float64)
    return reference.count(table, predicted, confidence)
