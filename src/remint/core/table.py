"""Rows as columns of NumPy arrays: what the core, the service and the stages pass around. No pandas."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from remint.core.schema import Column, Kind, Schema, canonical_label
from remint.errors import DataError, did_you_mean


@dataclass(frozen=True, slots=True)
class Table:
    """Feature columns in the schema's order.

    Numeric columns are float64 with NaN for missing; categorical and text columns are object arrays of ``str`` with
    None for missing. All have the same length. Infinity is kept: it is a value out of range, not a missing one.
    """

    features: tuple[Column, ...]
    columns: Mapping[str, npt.NDArray[Any]]

    @property
    def rows(self) -> int:
        return len(self.columns[self.features[0].name])

    def take(self, index: npt.NDArray[Any]) -> Table:
        """The rows at ``index`` (integer positions or a boolean mask)."""
        return Table(self.features, {name: values[index] for name, values in self.columns.items()})

    def matrix(self) -> npt.NDArray[Any]:
        """What an estimator sees, shape (rows, features): float64 where every feature is numeric, else object.

        Missing is NaN in numeric columns and None in the others, so that an imputer can tell it from any value.
        """
        arrays = [self.columns[c.name] for c in self.features]
        dtype = np.float64 if all(c.kind is Kind.NUMERIC for c in self.features) else object
        out = np.empty((self.rows, len(arrays)), dtype=dtype)
        for i, values in enumerate(arrays):
            out[:, i] = values
        return out

    def to_rows(self) -> list[dict[str, Any]]:
        """One dict a row, JSON-ready: missing is None."""
        lists = {c.name: _to_json_list(self.columns[c.name], c.kind) for c in self.features}
        return [{name: values[i] for name, values in lists.items()} for i in range(self.rows)]


def _to_json_list(values: npt.NDArray[Any], kind: Kind) -> list[Any]:
    if kind is not Kind.NUMERIC:
        return list(values.tolist())
    return [None if math.isnan(v) else v for v in values.tolist()]


def concatenate(tables: Sequence[Table]) -> Table:
    """The tables' rows one after another; all must have the same features."""
    features = tables[0].features
    if any(t.features != features for t in tables):
        raise DataError("tables of different schemas cannot be joined")
    return Table(features, {c.name: np.concatenate([t.columns[c.name] for t in tables]) for c in features})


def as_number(value: object, *, where: str) -> float:
    """A float; NaN for missing. Text that is a number is taken as one; anything else raises DataError at ``where``."""
    if value is None:
        return math.nan
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, str):
        if not value.strip():
            return math.nan
        try:
            return float(value)
        except ValueError:
            pass
    raise DataError(f"{_shown(value)} is not a number", where=where)


def as_text(value: object, *, where: str) -> str | None:
    """A string, or None for missing. Numbers and booleans become their canonical text, so ``3`` and ``3.0`` agree."""
    if isinstance(value, str):
        return value if value.strip() else None
    if value is None or isinstance(value, bool | int | float):
        return canonical_label(value)
    raise DataError(f"{_shown(value)} is not text", where=where)


def table_from_rows(schema: Schema, rows: Sequence[Mapping[str, object]]) -> Table:
    """Rows from JSON, checked by hand because this is the service's hot path.

    An unknown key, a missing key (say null where a value is missing) or a value of the wrong type raises DataError
    that names the row and the column.
    """
    names = set(schema.names)
    for i, row in enumerate(rows):
        if row.keys() != names:
            _explain_keys(i, row, schema)
    columns: dict[str, npt.NDArray[Any]] = {}
    for column in schema.features:
        name = column.name
        if column.kind is Kind.NUMERIC:
            columns[name] = np.array(
                [as_number(row[name], where=f"row {i}, {name}") for i, row in enumerate(rows)], dtype=np.float64
            )
        else:
            values = np.empty(len(rows), dtype=object)
            for i, row in enumerate(rows):
                text = as_text(row[name], where=f"row {i}, {name}")
                values[i] = text.strip() if text is not None and column.kind is Kind.CATEGORICAL else text
            columns[name] = values
    return Table(schema.features, columns)


def _explain_keys(i: int, row: Mapping[str, object], schema: Schema) -> None:
    for key in row:
        if key not in schema.names:
            raise DataError(f"unknown column {key!r}", where=f"row {i}", hint=did_you_mean(str(key), schema.names))
    absent = [n for n in schema.names if n not in row]
    raise DataError(f"column {absent[0]!r} is absent", where=f"row {i}", hint="send null for a missing value")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def row_keys(table: Table) -> npt.NDArray[np.str_]:
    """One key a row: 128 bits of SHA-256 over its features, in hex. Equal rows have equal keys.

    Source of every split: a row's side depends on nothing but its own features, so duplicates never straddle a split
    and appended rows move no other row.
    """
    encoded = [_encode(table.columns[c.name], c.kind) for c in table.features]
    header = "\x1f".join(c.name for c in table.features).encode()
    start = hashlib.sha256(header)
    keys = []
    for parts in zip(*encoded, strict=True):
        digest = start.copy()
        for part in parts:
            digest.update(b"\x1f" + part)
        keys.append(digest.hexdigest()[:32])
    return np.array(keys, dtype="U32")


def _encode(values: npt.NDArray[Any], kind: Kind) -> list[bytes]:
    if kind is Kind.NUMERIC:
        # + 0.0 makes -0.0 and 0.0 the same row; every NaN is the same missing value
        return [b"\x00" if math.isnan(v) else repr(v + 0.0).encode() for v in values.tolist()]
    return [b"\x00" if v is None else v.encode("utf-8", "surrogatepass") for v in values.tolist()]


def unit_interval(keys: npt.NDArray[np.str_], *, salt: str) -> npt.NDArray[np.float64]:
    """A number in [0, 1) for each key, the same for ever for the same key and salt."""
    return np.array(
        [int.from_bytes(hashlib.sha256(f"{salt}\x1f{k}".encode()).digest()[:7], "big") / 2**56 for k in keys.tolist()],
        dtype=np.float64,
    )
