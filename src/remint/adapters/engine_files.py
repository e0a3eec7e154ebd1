"""Files as frames: which there are, what their columns are, and how each engine opens those of one schema.

Files of one data set often differ: a column was added, integers became floats where a value was missing. Engines treat
that differently, some by silence. Here the files are grouped by their schema, each group is counted by itself, and
counts add up.
"""

from __future__ import annotations

import csv
import glob
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, assert_never
from urllib.parse import unquote
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from remint.adapters.datafile import sniff_delimiter
from remint.adapters.engine_plan import TextFile, absent, first_line
from remint.errors import ConfigError, DataError

_PARQUET: Final = frozenset({".parquet", ".pq"})
_TEXT: Final = frozenset({".csv", ".tsv", ".txt", ".tab"})
_PARTITION = re.compile(r"([^=]+)=(.*)")
_NULL_PARTITION: Final = "__HIVE_DEFAULT_PARTITION__"
_OWN_BYTES: Final = 200_000_000  # of the process before it reads a row: Python, NumPy, SciPy, Arrow, Polars
_LEAST_BYTES: Final = 256_000_000
_COPIES: Final = 8  # of a batch: Arrow's pages and decoded columns, casts, filtered rows
_TIME_HINT: Final = "write timestamps (UTC, or with a zone) or dates; for Unix seconds: pl.from_epoch(column)"


class Engine(StrEnum):
    """What reads and counts; each is an extra of its own."""

    POLARS = "polars"
    DUCKDB = "duckdb"
    SPARK = "spark"


class _Time(StrEnum):
    """What a time column holds."""

    AWARE = "aware"
    NAIVE = "naive"  # taken as UTC
    DATE = "date"  # midnight UTC
    TEXT = "text"  # ISO 8601 in a text file
    PARTITION = "partition"  # the file's directory says it: the file is wholly inside the window, or not there at all


@dataclass(frozen=True, slots=True, kw_only=True)
class FileGroup:
    """Files of one schema."""

    files: tuple[Path, ...]
    delimiter: str | None  # None: Parquet
    columns: tuple[str, ...]  # that are asked for and in the files
    constants: Mapping[str, str | None]  # that are asked for and in the directories' names
    time: str | None
    time_kind: _Time | None
    zone: str | None  # of aware times

    @property
    def text_file(self) -> TextFile | None:
        return None if self.delimiter is None else TextFile(decimal_comma=self.delimiter == ";")


def group_files(
    pattern: str,
    directory: Path,
    *,
    wanted: Sequence[str],
    time: str | None,
    start: datetime | None,
    end: datetime | None,
) -> list[FileGroup]:
    """The files that may hold rows of [start, end), grouped by schema.

    Raises DataError where nothing matches, a wanted column is absent from a file, or the time is none.
    """
    groups: dict[Any, list[Path]] = {}
    kinds: dict[Any, FileGroup] = {}
    for path in find_files(pattern, directory):
        group, schema = _describe(path, wanted, time)
        if group.time_kind is _Time.PARTITION and not _inside(path, time, start, end):
            continue
        key = (schema, group.delimiter, tuple(group.constants.items()), group.time_kind)
        groups.setdefault(key, []).append(path)
        kinds.setdefault(key, group)
    return [_with_files(kinds[key], files) for key, files in groups.items()]


def find_files(pattern: str, directory: Path) -> list[Path]:
    """The data files of a glob or a directory, hidden ones and ``_SUCCESS`` and the like left out."""
    if "://" in pattern:
        raise ConfigError(
            "is an address, not a path", where=pattern, hint="mount it, or count_frame() with a session of your own"
        )
    root = directory / pattern
    found = root.rglob("*") if root.is_dir() else map(Path, glob.glob(str(root), recursive=True))  # noqa: PTH207 - may be absolute
    files = sorted(p for p in found if p.is_file() and not p.name.startswith((".", "_")))
    known = [p for p in files if p.suffix.lower() in _PARQUET | _TEXT]
    if not known:
        what = f"only {files[0].suffix or 'nameless'} files" if files else "no file matches"
        raise DataError(what, where=str(root), hint="Parquet, CSV or TSV files, by a glob such as logs/**/*.parquet")
    if len(known) < len(files) and not root.is_dir():
        raise DataError("file type unknown", where=str(next(p for p in files if p not in known)))
    return known


def _describe(path: Path, wanted: Sequence[str], time: str | None) -> tuple[FileGroup, Any]:
    partitions = {
        match[1]: None if match[2] == _NULL_PARTITION else unquote(match[2])
        for match in map(_PARTITION.fullmatch, path.parent.parts)
        if match
    }
    if path.suffix.lower() in _PARQUET:
        delimiter, schema = None, _parquet_schema(path)
        names: list[str] = list(schema.names)
        kind, zone = _time_kind(schema.field(time).type, f"{path}: column {time!r}") if time in names else (None, None)
        key: Any = tuple((f.name, str(f.type)) for f in schema)
    else:
        delimiter, names = _header(path)
        kind, zone, key = (_Time.TEXT if time in names else None), None, tuple(names)
    if time is not None and kind is None:
        if time not in partitions:
            raise absent(time, [*names, *partitions], str(path))
        kind = _Time.PARTITION
    for name in wanted:
        if name not in names and name not in partitions:
            raise absent(name, [*names, *partitions], str(path))
    group = FileGroup(
        files=(path,),
        delimiter=delimiter,
        columns=tuple(name for name in dict.fromkeys(wanted) if name in names),
        constants={name: partitions[name] for name in dict.fromkeys(wanted) if name not in names},
        time=time,
        time_kind=kind,
        zone=zone,
    )
    return group, key


def _with_files(group: FileGroup, files: Sequence[Path]) -> FileGroup:
    return FileGroup(
        files=tuple(files),
        delimiter=group.delimiter,
        columns=group.columns,
        constants=group.constants,
        time=group.time,
        time_kind=group.time_kind,
        zone=group.zone,
    )


def _parquet_schema(path: Path) -> pa.Schema:
    try:
        return pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"not a readable Parquet file: {first_line(error)}", where=str(path)) from None


def _header(path: Path) -> tuple[str, list[str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            line = file.readline()
    except UnicodeDecodeError:
        raise DataError("is not UTF-8", where=str(path)) from None
    if not line.strip():
        raise DataError("is empty", where=str(path))
    delimiter = "\t" if path.suffix.lower() in {".tsv", ".tab"} else sniff_delimiter(line)
    return delimiter, next(csv.reader([line], delimiter=delimiter))


# Time ---------------------------------------------------------------------------------------------


def _time_kind(dtype: pa.DataType, where: str) -> tuple[_Time, str | None]:
    if pa.types.is_timestamp(dtype):
        return (_Time.NAIVE, None) if dtype.tz is None else (_Time.AWARE, dtype.tz)
    if pa.types.is_date(dtype):
        return _Time.DATE, None
    raise DataError(f"is {dtype}, not a time", where=where, hint=_TIME_HINT)


def _inside(path: Path, time: str | None, start: datetime | None, end: datetime | None) -> bool:
    """Whether the moment in a directory's name (``date=2026-01-31``: midnight UTC) is in the window."""
    text = next(unquote(part.partition("=")[2]) for part in path.parent.parts if part.startswith(f"{time}="))
    if text == _NULL_PARTITION:
        return False
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise DataError(f"{text!r} is not a date", where=str(path.parent), hint=f"{time}=2026-01-31") from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return (start is None or start <= moment) and (end is None or moment < end)


def _bounds(group: FileGroup, start: datetime | None, end: datetime | None) -> list[tuple[str, date]]:
    """Comparisons that keep [start, end), each in the column's own terms."""
    limits: list[tuple[str, date]] = []
    for operator, limit in ((">=", start), ("<", end)):
        if limit is None:
            continue
        limit = limit.astimezone(UTC)
        if group.time_kind is _Time.DATE:  # midnights from the limit on are those of the next whole day
            midnight = limit.replace(hour=0, minute=0, second=0, microsecond=0)
            limits.append((operator, (midnight if midnight == limit else midnight + timedelta(days=1)).date()))
        elif group.time_kind is _Time.NAIVE:
            limits.append((operator, limit.replace(tzinfo=None)))
        else:
            limits.append((operator, limit))
    return [] if group.time_kind in (None, _Time.PARTITION) else limits


# Opening ------------------------------------------------------------------------------------------


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
        raise ConfigError(f"{engine.value} is not installed", hint=f"uv pip install 'remint[{extra}]'") from None


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

    if bounds := _bounds(group, start, end):
        moment = pl.col(group.time or "")
        if group.time_kind is _Time.TEXT:  # Polars would also read 31/01/2026
            iso = pl.when(moment.str.contains(r"^\s*\d{4}-\d\d-\d\d")).then(moment.str.strip_chars())
            moment = iso.otherwise(pl.when(moment.str.strip_chars() != "").then(pl.lit("?")))
            moment = moment.str.to_datetime(time_zone="UTC", time_unit="us")
        limits = [
            limit.astimezone(ZoneInfo(group.zone)) if group.zone and isinstance(limit, datetime) else limit
            for _, limit in bounds
        ]
        for (operator, _), limit in zip(bounds, limits, strict=True):
            frame = frame.filter(moment >= limit if operator == ">=" else moment < limit)
    constants = [pl.lit(value, dtype=pl.String).alias(name) for name, value in group.constants.items()]
    return frame.select(*group.columns, *constants)


def _polars_batches(group: FileGroup, start: datetime | None, end: datetime | None, memory_bytes: int) -> Iterator[Any]:
    """Batches by Arrow's reader, which holds a page of each column, however large the row groups are.

    Polars' own streaming holds several row groups: 600 MB for row groups of 160 MB, whatever its settings.
    """
    import polars as pl

    if memory_bytes < _LEAST_BYTES:
        raise ConfigError(
            f"a budget of {memory_bytes} bytes is less than an idle process takes", hint=f"{_LEAST_BYTES} or more"
        )
    room = (memory_bytes - _OWN_BYTES) // _COPIES
    columns = list(dict.fromkeys([*group.columns, *([group.time] if _bounds(group, start, end) else [])]))
    for path in group.files:
        try:
            for batch in _arrow_batches(path, group.delimiter, columns, room):
                yield _polars_rows(pl.DataFrame(pl.from_arrow(batch)).lazy(), group, start, end)
        except (pa.ArrowException, OSError) as error:
            raise DataError(first_line(error), where=str(path)) from None


def _arrow_batches(path: Path, delimiter: str | None, columns: list[Any], room: int) -> Iterator[pa.RecordBatch]:
    if delimiter is None:
        with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
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
        room = max(memory_bytes - _OWN_BYTES, 1 << 26)
        connection.execute(f"SET memory_limit = '{room}B'; SET threads = 1; SET preserve_insertion_order = false")
    files = [str(path) for path in group.files]
    if group.delimiter is None:
        relation = connection.read_parquet(files, hive_partitioning=False)
    else:
        relation = connection.read_csv(
            files, header=True, sep=group.delimiter, quotechar='"', escapechar='"', all_varchar=True
        )
    moment = _quoted(group.time or "", '"')
    if group.time_kind is _Time.TEXT:
        moment = f"CAST(nullif(trim({moment}), '') AS TIMESTAMPTZ)"
    for operator, limit in _bounds(group, start, end):
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
    if group.time_kind is _Time.TEXT:  # naive times are UTC, whatever the session's own zone
        text = f"nullif(trim({moment}), '')"
        zoned = f"WHEN {text} RLIKE '(Z|[+-][0-9]{{2}}:?[0-9]{{2}})$' THEN {text}"
        day = f"WHEN length({text}) <= 10 THEN concat({text}, 'T00:00:00Z')"
        moment = f"CAST(CASE {zoned} {day} ELSE concat({text}, 'Z') END AS TIMESTAMP)"
    for operator, limit in _bounds(group, start, end):
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
