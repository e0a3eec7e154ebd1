"""A team's data file as it stands: CSV, TSV or Parquet, its columns turned into numbers, texts and times one at a time.

Every value gets the form that the service gives to the same value in JSON, because a row's key, and with it its side of
a split, comes from its values: ``1`` in a CSV, ``1.0`` in a Parquet file and ``1`` over HTTP must be one and the same.
"""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from remint.core.rows import objects
from remint.core.schema import Kind
from remint.core.table import as_number, as_text
from remint.errors import ConfigError, DataError, did_you_mean

#: Spellings of "no value" in text files. A text column knows only the empty one: "null" may be what somebody wrote.
MISSING_NUMBER: Final = frozenset({"", "na", "n/a", "#n/a", "nan", "<na>", "null", "none", "?", "-", "."})
MISSING_CATEGORY: Final = frozenset({"", "NaN", "nan", "<NA>", "NULL", "null"})

INTEGER_AS_FLOAT = re.compile(r"-?(?:0|[1-9]\d*)(?:\.0)?")  # what pandas makes of integers beside missing values
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
_DELIMITERS: Final = (",", ";", "\t", "|")
_SUFFIXES: Final = {".csv": None, ".txt": None, ".tsv": "\t", ".tab": "\t"}


@dataclass(frozen=True, slots=True)
class RawFile:
    """A data file's columns before they have a kind: strings of a text file, typed values of a Parquet file."""

    path: Path
    content: pd.DataFrame | pa.Table
    delimiter: str | None  # None for Parquet

    @property
    def names(self) -> tuple[str, ...]:
        if isinstance(self.content, pa.Table):
            return tuple(self.content.column_names)
        return tuple(str(name) for name in self.content.columns)

    @property
    def rows(self) -> int:
        return int(self.content.num_rows) if isinstance(self.content, pa.Table) else len(self.content)

    def values(self, name: str) -> list[Any]:
        """A column's values as Python objects; missing is None (Parquet) or an empty string (text files)."""
        try:
            values: list[Any] = (
                self.content.column(name).to_pylist()
                if isinstance(self.content, pa.Table)
                else self.content[name].tolist()
            )
        except KeyError:
            raise DataError(f"no column {name!r}", where=str(self.path), hint=_known(name, self.names)) from None
        return values

    def numbers(self, name: str) -> npt.NDArray[np.float64]:
        """The column as float64, missing as NaN. Raises DataError at the first value that is not a number."""
        values = self.values(name)
        if self.delimiter is None:
            return self._floats([float(v) if isinstance(v, Decimal) else v for v in values], name)
        if self.delimiter == ";" and any(_DECIMAL_COMMA.fullmatch(v.strip()) for v in values):
            values = [v.replace(",", ".") for v in values]
        bare = [None if v.strip().lower() in MISSING_NUMBER else v for v in values]
        if _are_booleans(bare):
            bare = [None if v is None else str(int(v.strip().lower() == "true")) for v in bare]
        return self._floats(bare, name)

    def _floats(self, values: list[Any], name: str) -> npt.NDArray[np.float64]:
        try:
            return np.array([as_number(v, where="") for v in values], dtype=np.float64)
        except DataError:  # say where, which is too slow to work out for every value
            return np.array([as_number(v, where=self._place(name, i)) for i, v in enumerate(values)], dtype=np.float64)

    def texts(self, name: str, kind: Kind) -> npt.NDArray[Any]:
        """The column as an object array of str, missing as None. Anything but a text column is stripped."""
        values = self.values(name)
        if self.delimiter is not None:
            if kind is Kind.TEXT:
                return objects([v if v.strip() else None for v in values])
            return objects(canonical_texts([None if v.strip() in MISSING_CATEGORY else v.strip() for v in values]))
        found = [self._text(v, name, i) for i, v in enumerate(values)]
        return objects(found if kind is Kind.TEXT else [None if v is None else v.strip() for v in found])

    def _text(self, value: object, name: str, row: int) -> str | None:
        if isinstance(value, date | Decimal):  # datetime too
            value = str(value)
        return as_text(value, where=self._place(name, row))

    def times(self, name: str, zone: str | None) -> npt.NDArray[np.datetime64]:
        """The column as UTC datetime64[us], missing as NaT.

        Naive times are of ``zone``; where none is declared they raise ConfigError. An hour that the clocks repeat is
        taken the first time, one that they skip becomes the next that exists. Numbers are Unix seconds.
        """
        values = [v.strip() if isinstance(v, str) else v for v in self.values(name)]
        series = pd.Series([None if v == "" else v for v in values], dtype=object)
        given = series.dropna()
        where = f"{self.path}: {name}"
        if given.empty:
            return np.full(len(series), np.datetime64("NaT"), dtype="datetime64[us]")
        numbers = pd.to_numeric(given, errors="coerce") if not isinstance(given.iloc[0], date) else None
        if numbers is not None and numbers.notna().all():
            moments = pd.to_datetime(numbers, unit="s", utc=True)
        else:
            moments = _localised(_parse_times(given, where), zone, where)
        out = np.full(len(series), np.datetime64("NaT"), dtype="datetime64[us]")
        out[series.notna().to_numpy()] = moments.dt.tz_localize(None).to_numpy().astype("datetime64[us]")
        return out

    def _place(self, name: str, row: int) -> str:
        return f"{self.path}: row {row + 1}, column {name!r}"


def read_raw(path: Path) -> RawFile:
    """Open a data file. Raises DataError, with what to do, where it is absent, empty, undecodable or malformed."""
    where = str(path)
    if not path.is_file():
        near = [p.name for p in path.parent.glob("*")] if path.parent.is_dir() else []
        raise DataError("no such file", where=where, hint=did_you_mean(path.name, near) or "is the path right?")
    if path.stat().st_size == 0:
        raise DataError("is empty", where=where)
    suffix = path.suffix.lower()
    if suffix in {".parquet", ".pq"}:
        try:
            raw = RawFile(path, pq.read_table(path), None)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"not a readable Parquet file: {_first_line(error)}", where=where) from None
        _check_names(raw.names, where)
    elif suffix in _SUFFIXES:
        raw = _read_text(path, _SUFFIXES[suffix])
    else:
        raise DataError(f"{suffix or 'no'} file type", where=where, hint="use .csv, .tsv or .parquet")
    if raw.rows == 0:
        raise DataError("has a header and no rows", where=where)
    return raw


def _read_text(path: Path, delimiter: str | None) -> RawFile:
    where = str(path)
    text = _decode(path.read_bytes(), where)
    if not text.strip():
        raise DataError("is empty", where=where)
    delimiter = delimiter or sniff_delimiter(text)
    plain = delimiter == "\t" and _is_plain_tsv(text)
    quoting: Final = csv.QUOTE_NONE if plain else csv.QUOTE_MINIMAL
    names = [name.strip() for name in next(csv.reader(io.StringIO(text), delimiter=delimiter, quoting=quoting))]
    names = [_unquote(name) if plain else name for name in names]
    names = [name or f"Unnamed: {i}" for i, name in enumerate(names)]  # an index that was written without a name
    _check_names(names, where)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                io.StringIO(text),
                sep=delimiter,
                quoting=quoting,
                header=0,
                names=names,
                dtype=str,
                keep_default_na=False,
                index_col=False,
            )
    except pd.errors.ParserWarning:
        raise DataError("rows have more fields than the header", where=where) from None
    except (pd.errors.ParserError, csv.Error) as error:
        raise DataError(f"malformed: {_first_line(error).split('C error: ')[-1]}", where=where) from None
    if plain:
        for name in names:
            frame[name] = [_unquote(v) for v in frame[name].tolist()]
    return RawFile(path, frame, delimiter)


def _decode(content: bytes, where: str) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError("is UTF-16", where=where, hint="save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"line {line} is not UTF-8: byte 0x{content[error.start]:02x}", where=where, hint="save the file as UTF-8"
        ) from None


def sniff_delimiter(text: str) -> str:
    """The delimiter that cuts the header into most columns; a comma where several do."""
    return max(_DELIMITERS, key=lambda d: len(next(csv.reader(io.StringIO(text), delimiter=d))))


def _is_plain_tsv(text: str) -> bool:
    """Whether each line has the header's number of tabs.

    Then no field holds a tab or a line break, and a lone quotation mark is just one, not the start of a field that
    swallows the following lines.
    """
    lines = [line for line in re.split(r"\r\n|\n|\r", text) if line]
    return len({line.count("\t") for line in lines}) == 1


def _unquote(field: str) -> str:
    match = re.fullmatch(r'"((?:[^"]|"")*)"', field, re.DOTALL)
    return match[1].replace('""', '"') if match else field


def _check_names(names: Sequence[str], where: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DataError(f"two columns are called {name!r}", where=where, hint="rename one")
        if name.startswith("remint."):
            raise DataError(f"column {name!r}: names that start in 'remint.' are Remint's own", where=where)
        seen.add(name)


def canonical_texts(values: list[str | None]) -> list[str | None]:
    """Integers that a tool wrote as ``3.0`` because a value was missing, and ``True`` or ``FALSE``, as JSON says them.

    Only where the whole column agrees, so that a version ``1.0`` beside ``1.0.1`` and a postcode ``0123`` stay.
    """
    if _are_booleans(values):
        return [None if v is None else v.lower() for v in values]
    if all(v is None or INTEGER_AS_FLOAT.fullmatch(v) for v in values):
        return [None if v is None else v.removesuffix(".0") for v in values]
    return values


def _are_booleans(values: Sequence[str | None]) -> bool:
    found = {v.strip().lower() for v in values if v is not None}
    return bool(found) and found <= {"true", "false"}


def _parse_times(given: pd.Series[Any], where: str) -> pd.Series[Any]:
    """Aware or naive times. ISO 8601 first; else the one reading, day or month first, that all values allow."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas tells which format it guessed; both guesses are compared below
        try:
            return _to_datetime(given, format="ISO8601")
        except (ValueError, TypeError, OverflowError):
            readings = []
            for dayfirst in (False, True):
                try:
                    readings.append(_to_datetime(given, dayfirst=dayfirst))
                except (ValueError, TypeError, OverflowError):
                    continue
    if not readings:
        raise DataError("holds values that are not times", where=where, hint="use ISO 8601: 2026-01-31T12:00:00Z")
    if len(readings) == 2 and not readings[0].equals(readings[1]):
        raise DataError("is ambiguous: day or month first?", where=where, hint="use ISO 8601: 2026-01-31T12:00:00Z")
    return readings[0]


def _to_datetime(given: pd.Series[Any], **how: Any) -> pd.Series[Any]:
    try:
        moments: pd.Series[Any] = pd.to_datetime(given, **how)
    except ValueError as error:
        if "utc=True" not in str(error):
            raise
        aware = given.astype(str).str.contains(r"(?:Z|[+-]\d\d:?\d\d)$", regex=True)
        if not aware.all():
            raise ValueError("aware and naive times are mixed") from None
        moments = pd.to_datetime(given, utc=True, **how)  # several offsets
    return moments


def _localised(moments: pd.Series[Any], zone: str | None, where: str) -> pd.Series[Any]:
    if moments.dt.tz is None:
        if zone is None:
            raise ConfigError(
                "times without a zone", where=where, hint="declare task.time.zone, such as Europe/Amsterdam or UTC"
            )
        first = np.ones(len(moments), dtype=bool)
        moments = moments.dt.tz_localize(zone, ambiguous=first, nonexistent="shift_forward")
    in_utc: pd.Series[Any] = moments.dt.tz_convert("UTC")
    return in_utc


def _known(name: str, names: Sequence[str]) -> str:
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    return did_you_mean(name, names) or f"it has {shown}"


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
