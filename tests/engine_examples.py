"""A reference with a field of every kind, and logged rows of every awkward value, for the engines' tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from remint.adapters.prediction_log import schema_of
from remint.core.profile import CONFIDENCE, PREDICTION, Reference, build_reference
from remint.core.rows import objects
from remint.core.schema import Column, Kind, Schema
from remint.core.table import Table, table_from_rows

START = datetime(2026, 1, 1, tzinfo=UTC)
CLASSES = ("no", "yes")
KINDS = {
    "size": Kind.NUMERIC,
    "age": Kind.NUMERIC,
    "on": Kind.NUMERIC,
    "shop": Kind.CATEGORICAL,
    "code": Kind.CATEGORICAL,
    "flag": Kind.CATEGORICAL,
    "many": Kind.CATEGORICAL,
    "petal.length": Kind.NUMERIC,
}
SCHEMA = pa.schema(
    {
        "size": pa.float64(),
        "age": pa.int64(),
        "on": pa.bool_(),
        "shop": pa.string(),
        "code": pa.int32(),
        "flag": pa.bool_(),
        "many": pa.string(),
        "petal.length": pa.float32(),
        "said": pa.string(),
        "sure": pa.float64(),
        "at": pa.timestamp("us", tz="UTC"),
        "truth": pa.string(),
    }
)


def make_reference(*, text: bool = False, seed: int = 0) -> Reference:
    random = np.random.default_rng(seed)
    rows = 400
    columns: dict[str, npt.NDArray[Any]] = {
        "size": random.normal(size=rows),
        "age": random.integers(0, 90, rows).astype(float),
        "on": random.integers(0, 2, rows).astype(float),
        "shop": objects(random.choice(["ax", "by", "cz", "1"], rows).tolist()),
        "code": objects(random.choice(["3", "4", "50"], rows).tolist()),
        "flag": objects(random.choice(["true", "false"], rows).tolist()),
        "many": objects([f"m{i}" for i in random.integers(0, 20, rows)]),
        "petal.length": random.normal(size=rows),
        "review": objects([" ".join(random.choice(["good", "bad", "the", "day"], 4)) for _ in range(rows)]),
    }
    kinds = KINDS | ({"review": Kind.TEXT} if text else {})
    schema = Schema(
        pipeline="shop",
        features=tuple(Column(name=name, kind=kind) for name, kind in kinds.items()),
        label="y",
        classes=CLASSES,
    )
    return build_reference(
        schema,
        Table(schema.features, {name: columns[name] for name in kinds}),
        held_out_predicted=objects(random.choice(CLASSES, rows).tolist()),
        held_out_confidence=random.beta(8, 2, rows),
    )


def make_log(rows: int, reference: Reference, *, seed: int = 1, minutes: int = 60) -> pa.Table:
    """A row each ``minutes`` from START, with what logs hold: missing, NaN, infinite, padded, unseen, on an edge."""
    random = np.random.default_rng([seed, rows])
    edges = reference.field("size").edges or ()
    size = [None, float("nan"), float("inf"), float("-inf"), *edges, -0.0, 1e300, *random.normal(size=20)]
    length = [None, float("nan"), *(reference.field("petal.length").edges or ()), *random.normal(size=10)]

    def pick(values: list[Any]) -> list[Any]:
        return [values[i] for i in random.integers(0, len(values), rows)]

    return pa.table(
        {
            "size": pick(size),
            "age": pick([None, -1, 200, 2**60, *range(90)]),
            "on": pick([None, True, False]),
            "shop": pick([None, "", "  ", "ax", "by", " ax ", "cz\u3000", "AX", "1", "1.0", "é"]),
            "code": pick([None, 3, 4, 50, 51, -3]),
            "flag": pick([None, True, False]),
            "many": pick([None, *[f"m{i}" for i in range(22)]]),
            "petal.length": pick(length),
            "said": pick(["yes", "no"]),
            "sure": pick([0.2, 0.5, 0.9, 0.95, 1.0, None]),
            "at": (np.datetime64("2026-01-01", "us") + np.arange(rows) * np.timedelta64(minutes, "m")),
            "truth": pick([None, "yes", "no"]),
        },
        schema=SCHEMA,
    )


def expected(log: pa.Table, reference: Reference) -> dict[str, list[int]]:
    """The counts by NumPy, row by row, of what a JSON request with these rows would be."""
    schema = schema_of(reference)
    rows = [{name: row[name] for name in schema.names} for row in log.to_pylist()]
    table = table_from_rows(schema, rows)
    sure = np.array([np.nan if v is None else v for v in log["sure"].to_pylist()])
    counts = reference.count(table, objects(log["said"].to_pylist()), sure)
    return as_lists(counts)


def as_lists(counts: Any) -> dict[str, list[int]]:
    return {name: [int(n) for n in values] for name, values in counts.items()}


__all__ = ["CONFIDENCE", "PREDICTION", "START", "as_lists", "expected", "make_log", "make_reference"]
