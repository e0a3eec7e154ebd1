"""The files of one schema as frames of an engine, within a memory budget where one is given."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, assert_never
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from remint.adapters.engine_files import FileGroup, Time, bounds, first_line
from remint.errors import ConfigError, DataError, MissingExtraError

_ENGINE_BYTES: Final = 60_000_000  # that Arrow and Polars come to hold beside a batch, measured with 22 columns
_COPIES: Final = 12  # of a batch at the worst: pages, decoded columns, casts, filtered rows, what the allocator keeps
_LEAST_ROOM: Final = 1_000_000  # of a batch
_BUFFER_BYTES: Final = 1 << 18  # read ahead of each column


class Engine(StrEnum):
    """What reads and counts; each is an extra of its own."""

    POLARS = "polars"
    DUCKDB = "duckdb"
    SPARK = "spark"


def open_group(
    group: FileGroup, engine: Engine, *, start: datetime | None, end: datetime | None, memory_bytes: int | None
) -> Iterator[Any]:
    """Frames of the engine that together hold the group's rows of [start, end).

    One lazy frame; with a budget and Polars, one for each batch that fits into it.
    """
    match engine:
        case Engine.POLARS if memory_bytes is not None:
            return _polars_batches(group, start, end, memory_bytes)
        case Engine.POLARS:
            return iter([_polars_frame(group, start, end)])
        case Engine.DUCKDB:
            return iter([_duckdb_relation(group, start, end, memory_bytes)])
        case Engine.SPARK:
            if memory_bytes is not None:
                raise ConfigError("a memory budget is Spark's own", hint="set spark.driver.memory where Spark starts")
            return iter([_spark_frame(group, start, end)])
        case _:
            assert_never(engine)


def require(engine: Engine) -> None:
    """ConfigError, with the extra to install, where the engine is not there."""
    extra = "files" if engine is Engine.POLARS else engine.value
    try:
        import narwhals  # noqa: F401

        match engine:
            case Engine.POLARS:
                import polars  # noqa: F401
            case Engine.DUCKDB:
                import duckdb  # noqa: F401
            case Engine.SPARK:
                import pyspark  # noqa: F401
            case _:
                assert_never(engine)
    except ImportError:
        raise MissingExtraError(f"{engine.value} is not installed", hint=f"uv pip install 'remint[{extra}]'") from None


def _polars_frame(group: FileGroup, start: datetime | None, end: datetime | None) -> Any:
    import polars as pl

    files = list(group.files)
    if group.delimiter is None:
        frame = pl.scan_parquet(files, glob=False, hive_partitioning=False)
    else:
        frame = pl.scan_csv(files, glob=False, separator=group.delimiter, infer_schema=False)
    return _polars_rows(frame, group, start, end)


def _polars_rows(frame: Any, group: FileGroup, start: datetime | None, end: datetime | None) -> Any:
    import polars as pl

    if limits := bounds(group, start, end):
        moment = pl.col(group.time or "")
        if group.time_kind is Time.TEXT:  # Polars would also read 31/01/2026
            iso = pl.when(moment.str.contains(r"^\s*\d{4}-\d\d-\d\d")).then(moment.str.strip_chars())
            moment = iso.otherwise(pl.when(moment.str.strip_chars() != "").then(pl.lit("?")))
            moment = moment.str.to_datetime(time_zone="UTC", time_unit="us")
        for operator, limit in limits:
            if group.zone is not None and isinstance(limit, datetime):
                limit = limit.astimezone(ZoneInfo(group.zone))
            frame = frame.filter(moment >= limit if operator == ">=" else moment < limit)
    constants = [pl.lit(value, dtype=pl.String).alias(name) for name, value in group.constants.items()]
    return frame.select(*group.columns, *constants)


def _polars_batches(group: FileGroup, start: datetime | None, end: datetime | None, memory_bytes: int) -> Iterator[Any]:
    """Batches by Arrow's reader, which holds a page of each column, however large the row groups are.

    Polars' own streaming holds several row groups: 600 MB for row groups of 160 MB, whatever its settings.
    """
    import polars as pl

    room = (memory_bytes - _resident_bytes() - _ENGINE_BYTES) // _COPIES
    if room < _LEAST_ROOM:
        least = _resident_bytes() + _ENGINE_BYTES + _COPIES * _LEAST_ROOM
        raise ConfigError(f"a budget of {memory_bytes} bytes is too small", hint=f"this process needs {least}")
    columns = list(dict.fromkeys([*group.columns, *([group.time] if bounds(group, start, end) else [])]))
    for path in group.files:
        try:
            for batch in _arrow_batches(path, group.delimiter, columns, room):
                yield _polars_rows(pl.DataFrame(pl.from_arrow(batch)).lazy(), group, start, end)
        except (pa.ArrowException, OSError) as error:
            raise DataError(first_line(error), where=str(path)) from None


def _resident_bytes() -> int:
    """What this process holds by now; where the system does not say, what it holds with Polars and little else."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 200_000_000
    return pages * os.sysconf("SC_PAGE_SIZE")


def _arrow_batches(path: Path, delimiter: str | None, columns: list[Any], room: int) -> Iterator[pa.RecordBatch]:
    if delimiter is None:
        with pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
            whole = max(1, file.metadata.num_rows)
            size = sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
            row_bytes = max(8 * len(columns), size / whole * len(columns) / len(file.schema_arrow.names))
            rows = int(min(max(room / row_bytes, 1_000), 100_000))
            yield from file.iter_batches(batch_size=rows, columns=columns, use_threads=False)
    else:
        with pa.csv.open_csv(
            path,
            read_options=pa.csv.ReadOptions(block_size=min(max(room, 1 << 16), 1 << 23), use_threads=False),
            parse_options=pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.string()),
                include_columns=columns,
                null_values=[""],
                strings_can_be_null=True,
            ),
        ) as reader:
            yield from reader


def _duckdb_relation(group: FileGroup, start: datetime | None, end: datetime | None, memory_bytes: int | None) -> Any:
    import duckdb

    connection: Any = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    if memory_bytes is not None:
        room = max(memory_bytes - _resident_bytes() - _ENGINE_BYTES, 1 << 26)
        connection.execute(f"SET memory_limit = '{room}B'; SET threads = 1; SET preserve_insertion_order = false")
    files = [str(path) for path in group.files]
    if group.delimiter is None:
        relation = connection.read_parquet(files, hive_partitioning=False)
    else:
        relation = connection.read_csv(
            files, header=True, sep=group.delimiter, quotechar='"', escapechar='"', all_varchar=True
        )
    moment = _quoted(group.time or "", '"')
    if group.time_kind is Time.TEXT:
        moment = f"CAST(nullif(trim({moment}), '') AS TIMESTAMPTZ)"
    for operator, limit in bounds(group, start, end):
        aware = "TIMESTAMPTZ" if isinstance(limit, datetime) and limit.tzinfo else "TIMESTAMP"
        kind = aware if isinstance(limit, datetime) else "DATE"
        relation = relation.filter(f"{moment} {operator} {kind} {_literal_of(limit)}")
    columns = [_quoted(name, '"') for name in group.columns]
    constants = [
        f"CAST({_literal(value)} AS VARCHAR) AS {_quoted(name, chr(34))}" for name, value in group.constants.items()
    ]
    return relation.project(", ".join(columns + constants))


def _spark_frame(group: FileGroup, start: datetime | None, end: datetime | None) -> Any:
    from pyspark.sql import functions

    session = spark_session()
    files = [f"file:{path}" for path in group.files]
    if group.delimiter is None:
        frame = session.read.parquet(*files)
    else:
        frame = session.read.csv(
            files, header=True, sep=group.delimiter, quote='"', escape='"', multiLine=True, mode="FAILFAST"
        )
    moment = _quoted(group.time or "", "`")
    if group.time_kind is Time.TEXT:  # naive times are UTC, whatever the session's own zone
        text = f"nullif(trim({moment}), '')"
        zoned = f"WHEN {text} RLIKE '(Z|[+-][0-9]{{2}}:?[0-9]{{2}})$' THEN {text}"
        day = f"WHEN length({text}) <= 10 THEN concat({text}, 'T00:00:00Z')"
        moment = f"CAST(CASE {zoned} {day} ELSE concat({text}, 'Z') END AS TIMESTAMP)"
    for operator, limit in bounds(group, start, end):
        aware = "TIMESTAMP" if isinstance(limit, datetime) and limit.tzinfo else "TIMESTAMP_NTZ"
        kind = aware if isinstance(limit, datetime) else "DATE"
        frame = frame.filter(f"{moment} {operator} {kind} {_literal_of(limit)}")
    columns = [functions.col(_quoted(name, "`")).alias(name) for name in group.columns]
    constants = [functions.lit(value).cast("string").alias(name) for name, value in group.constants.items()]
    return frame.select(*columns, *constants)


def spark_session() -> Any:
    """The session that is active, else one of our own; it ends with the process."""
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    session = SparkSession.getActiveSession()
    if session is not None:
        return session
    try:
        return (
            SparkSession.builder.appName("remint")
            .config("spark.sql.session.timeZone", "UTC")
            .config("spark.ui.enabled", "false")
            .config("spark.ui.showConsoleProgress", "false")
            .config("spark.driver.bindAddress", "127.0.0.1")
            .config("spark.driver.host", "127.0.0.1")
            .config("spark.sql.shuffle.partitions", "4")
            .getOrCreate()
        )
    except PySparkException as error:
        raise ConfigError(
            f"Spark does not start: {first_line(error)}", hint="it needs Java 17 or newer, found by JAVA_HOME"
        ) from None


def _literal_of(limit: date) -> str:
    return f"'{limit.isoformat(sep=' ') if isinstance(limit, datetime) else limit.isoformat()}'"


def _quoted(name: str, mark: str) -> str:
    return mark + name.replace(mark, 2 * mark) + mark


def _literal(value: str | None) -> str:
    return "NULL" if value is None else "'" + value.replace("'", "''") + "'"
