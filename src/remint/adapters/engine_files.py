"""Files as frames: which there are, what their columns are, and how each engine opens those of one schema.

Files of one data set often differ: a column was added, integers became floats where a value was missing. Engines treat
that differently, some by silence. Here the files are grouped by their schema, each group is counted by itself, and
counts add up.
"""

from __future__ import annotations

import csv
import glob
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from remint.adapters.datafile import sniff_delimiter
from remint.errors import ConfigError, DataError, did_you_mean

_PARQUET: Final = frozenset({".parquet", ".pq"})
_TEXT: Final = frozenset({".csv", ".tsv", ".txt", ".tab"})
_PARTITION = re.compile(r"([^=]+)=(.*)")
_NULL_PARTITION: Final = "__HIVE_DEFAULT_PARTITION__"
_TIME_HINT: Final = "write timestamps (UTC, or with a zone) or dates; for Unix seconds: pl.from_epoch(column)"


class Time(StrEnum):
    """What a time column holds."""

    AWARE = "aware"
    NAIVE = "naive"  # taken as UTC
    DATE = "date"  # midnight UTC
    TEXT = "text"  # ISO 8601 in a text file
    PARTITION = "partition"  # the file's directory says it: the file is wholly inside the window, or not there at all


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFile:
    """The columns are text because the file is; their values mean what ``read_data_file`` takes them for."""

    decimal_comma: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FileGroup:
    """Files of one schema."""

    files: tuple[Path, ...]
    delimiter: str | None  # None: Parquet
    columns: tuple[str, ...]  # that are asked for and in the files
    constants: Mapping[str, str | None]  # that are asked for and in the directories' names
    time: str | None
    time_kind: Time | None
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
        if group.time_kind is Time.PARTITION and not _inside(path, time, start, end):
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
        kind, zone, key = (Time.TEXT if time in names else None), None, tuple(names)
    if time is not None and kind is None:
        if time not in partitions:
            raise absent(time, [*names, *partitions], str(path))
        kind = Time.PARTITION
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


def _time_kind(dtype: pa.DataType, where: str) -> tuple[Time, str | None]:
    if pa.types.is_timestamp(dtype):
        return (Time.NAIVE, None) if dtype.tz is None else (Time.AWARE, dtype.tz)
    if pa.types.is_date(dtype):
        return Time.DATE, None
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


def bounds(group: FileGroup, start: datetime | None, end: datetime | None) -> list[tuple[str, date]]:
    """Comparisons that keep [start, end), each in the column's own terms."""
    limits: list[tuple[str, date]] = []
    for operator, limit in ((">=", start), ("<", end)):
        if limit is None:
            continue
        limit = limit.astimezone(UTC)
        if group.time_kind is Time.DATE:  # midnights from the limit on are those of the next whole day
            midnight = limit.replace(hour=0, minute=0, second=0, microsecond=0)
            limits.append((operator, (midnight if midnight == limit else midnight + timedelta(days=1)).date()))
        elif group.time_kind is Time.NAIVE:
            limits.append((operator, limit.replace(tzinfo=None)))
        else:
            limits.append((operator, limit))
    return [] if group.time_kind in (None, Time.PARTITION) else limits


def absent(name: str, known: Sequence[str], where: str) -> DataError:
    """The error for a column that is not there."""
    shown = ", ".join(known[:8]) + (", ..." if len(known) > 8 else "")
    return DataError(f"no column {name!r}", where=where, hint=did_you_mean(name, known) or f"it has {shown}")


def first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
