"""Labelled rows in and out of files: a team's data file, and Parquet written with repeatable bytes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from remint.adapters.datafile import RawFile, read_raw
from remint.core.rows import LabelledRows, data_rows, no_times, objects
from remint.core.schema import Column, Kind
from remint.core.table import Table
from remint.errors import DataError

PREFIX: Final = "remint."  # of the columns that are Remint's own, beside the features
_OWN: Final = {
    "remint.label": pa.string(),
    "remint.source": pa.string(),
    "remint.sequence": pa.int64(),
    "remint.arrived_at": pa.timestamp("us", tz="UTC"),
    "remint.key": pa.string(),
}
_EVENT_AT: Final = "remint.event_at"  # files of before it was kept lack it: no time is known then
_WEIGHT: Final = "remint.weight"  # only where rows are weighted


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """The labelled rows of a team's data file."""

    rows: LabelledRows  # with a time column, every row has its ``event_at``
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
    """Rows of a CSV, TSV or Parquet file. ``columns`` as in ``task.columns``; ``zone`` is that of naive times.

    Rows without a label (or, with a time column, without a time) are dropped and counted. Raises DataError where the
    file or a value contradicts the declaration, ConfigError for naive times without a zone.
    """
    return label_rows(read_raw(path), columns=columns, label=label, time_column=time_column, zone=zone)


def label_rows(
    raw: RawFile, *, columns: Mapping[str, Kind], label: str, time_column: str | None, zone: str | None
) -> DataFile:
    """As ``read_data_file``, of a file that is open already."""
    labels = raw.texts(label, Kind.CATEGORICAL)
    features = tuple(Column(name=name, kind=kind) for name, kind in columns.items() if kind.is_feature)
    table = Table(
        features,
        {c.name: raw.numbers(c.name) if c.kind is Kind.NUMERIC else raw.texts(c.name, c.kind) for c in features},
    )
    sensitive = {name: raw.texts(name, kind) for name, kind in columns.items() if kind is Kind.SENSITIVE}
    event_at = None if time_column is None else raw.times(time_column, zone)
    labelled = np.array([value is not None for value in labels], dtype=bool)
    timed = np.ones(raw.rows, dtype=bool) if event_at is None else ~np.isnat(event_at)
    kept = labelled & timed
    if not kept.any():
        raise DataError(
            f"no row has a value in {label!r}" if not labelled.any() else f"no row has a time in {time_column!r}",
            where=str(raw.path),
        )
    return DataFile(
        rows=data_rows(
            table.take(kept),
            labels[kept],
            event_at=None if event_at is None else event_at[kept],
            sensitive={name: values[kept] for name, values in sensitive.items()},
        ),
        missing_labels=int((~labelled).sum()),
        missing_times=int((labelled & ~timed).sum()),
    )


def write_rows(
    path: Path,
    rows: LabelledRows,
    *,
    extra: Mapping[str, Sequence[str | None]] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write Parquet whose bytes depend on the rows (and the pyarrow version) alone; the file is whole or absent.

    ``extra`` are further text columns (``remint.prediction_id`` ...); ``metadata`` are key-value pairs of the file
    (``remint.quarantine``: a JSON object of counts by reason).
    """
    arrays: dict[str, pa.Array] = {}
    for column in rows.table.features:
        values = rows.table.columns[column.name]
        if column.kind is Kind.NUMERIC:
            arrays[column.name] = pa.array(values, type=pa.float64(), from_pandas=True)  # NaN is null in the file
        else:
            arrays[column.name] = _texts(column.name, values)
    for name, sensitive in rows.sensitive.items():
        arrays[name] = _texts(name, sensitive)
    own = (rows.labels, rows.source, rows.sequence, rows.arrived_at, rows.keys)
    for (name, kind), values in zip(_OWN.items(), own, strict=True):
        arrays[name] = pa.array(values.tolist(), type=kind)
    arrays[_EVENT_AT] = pa.array(rows.event_at, type=pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC"))
    if rows.weight is not None:
        arrays[_WEIGHT] = pa.array(rows.weight, type=pa.float64())
    for name, given in (extra or {}).items():
        arrays[name] = _texts(name, given)
    table = pa.table(arrays).replace_schema_metadata(dict(metadata) if metadata else None)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        pq.write_table(table, draft, compression="zstd")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _texts(name: str, values: Sequence[str | None] | npt.NDArray[Any]) -> pa.Array:
    try:
        return pa.array(list(values), type=pa.large_string())
    except UnicodeEncodeError:
        raise DataError("a text that is not Unicode (a lone surrogate)", where=name) from None


def read_rows(path: Path, features: Sequence[Column]) -> LabelledRows:
    """Rows as ``write_rows`` wrote them. Pass ``schema.features`` or ``params.task.features``."""
    table = _read(path)
    names = table.column_names
    absent = [name for name in (*(c.name for c in features), *_OWN) if name not in names]
    if absent:
        raise DataError(f"column {absent[0]!r} is absent", where=str(path), hint="written for other columns?")
    columns: dict[str, npt.NDArray[Any]] = {}
    for column in features:
        stored = table.column(column.name)
        if pa.types.is_floating(stored.type) is not (column.kind is Kind.NUMERIC):
            raise DataError(
                f"column {column.name!r} holds {stored.type}, but is declared {column.kind.value}", where=str(path)
            )
        columns[column.name] = (
            stored.to_numpy().astype(np.float64) if column.kind is Kind.NUMERIC else objects(stored.to_pylist())
        )
    taken = set(columns)
    return LabelledRows(
        table=Table(tuple(features), columns),
        labels=objects(table.column("remint.label").to_pylist()),
        source=objects(table.column("remint.source").to_pylist()),
        sequence=table.column("remint.sequence").to_numpy().astype(np.int64),
        arrived_at=objects(table.column("remint.arrived_at").to_pylist()),
        event_at=_times(table, _EVENT_AT) if _EVENT_AT in names else no_times(table.num_rows),
        keys=np.array(table.column("remint.key").to_pylist(), dtype="U32"),
        weight=table.column(_WEIGHT).to_numpy() if _WEIGHT in names else None,
        sensitive={
            name: objects(table.column(name).to_pylist())
            for name in names
            if name not in taken and not name.startswith(PREFIX)
        },
    )


def _times(table: pa.Table, name: str) -> npt.NDArray[np.datetime64]:
    stored = table.column(name).cast(pa.timestamp("us", tz="UTC")).cast(pa.timestamp("us"))
    return np.asarray(stored.to_numpy(), dtype="datetime64[us]")


def read_extra(path: Path, name: str) -> list[str | None]:
    """One of the ``extra`` text columns of a file that ``write_rows`` wrote."""
    table = _read(path)
    if name not in table.column_names:
        raise DataError(f"column {name!r} is absent", where=str(path))
    values: list[str | None] = table.column(name).to_pylist()
    return values


def read_metadata(path: Path) -> dict[str, str]:
    """The key-value pairs of a file that ``write_rows`` wrote."""
    found = _read(path).schema.metadata or {}
    return {key.decode(): value.decode() for key, value in found.items()}


def _read(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except FileNotFoundError:
        raise DataError("no such file", where=str(path), hint="remint init makes it") from None
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"not a readable Parquet file: {str(error).splitlines()[0]}", where=str(path)) from None
