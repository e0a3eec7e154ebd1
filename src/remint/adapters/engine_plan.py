"""A reference's frozen bins as a query: the same bins as ``FieldProfile.assign``, whoever runs it.

Two shapes of one question, each where it was measured to be the faster. Polars and DuckDB answer sums of comparisons in
one pass: rows at or above each edge, of which neighbours' differences are the bins. Spark needs minutes for hundreds of
sums, so there (and on any other engine) each value becomes its bin's index: unpivot, group by field and bin, count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import narwhals as nw
import numpy as np
import numpy.typing as npt

from remint.adapters.engine_fields import Categorical, Field, Numeric, field_on
from remint.adapters.engine_files import TextFile, absent, first_line
from remint.core.profile import CONFIDENCE, MISSING, PREDICTION, UNSEEN, FieldProfile, Reference
from remint.core.rows import objects
from remint.core.schema import Column, Kind
from remint.core.table import Table, as_text
from remint.errors import DataError

_NUMBER: Final = r"(?i)^[+-]?(\d+\.?\d*(e[+-]?\d+)?|\.\d+(e[+-]?\d+)?|inf|infinity|nan)$"
_NOT_A_NUMBER: Final = -1  # "bin" of a text that an engine made null of instead of a number
_FIELDS_A_QUERY: Final = 40  # of the unpivoting plan: an engine interprets generated code that is too long
_LOOKUP_FROM: Final = 8  # so many keys, and Polars is faster to look each value up than to compare it with each key
_TEXT_ROWS: Final = 20_000  # texts measured at a time

Binned = dict[str, npt.NDArray[np.int64]]  # field name -> counts by bin
_Tally = dict[int, int]  # bin -> count


def column_names(reference: Reference, *, predicted: str, confidence: str) -> dict[str, str]:
    """The columns that the reference's fields are measured on, and what the file calls them."""
    renamed = {PREDICTION: predicted, CONFIDENCE: confidence}
    return {field.column: renamed.get(field.column, field.column) for field in reference.fields}


def count_lazy(
    frame: nw.LazyFrame[Any], reference: Reference, names: Mapping[str, str], *, text_file: TextFile | None, where: str
) -> Binned:
    """Counts by bin of each field of the reference; ``names`` as of ``column_names``.

    Raises DataError at a column that is absent, or that holds what cannot be what the reference declares.
    """
    known = frame.collect_schema().names()
    for name in names.values():
        if name not in known:
            raise absent(name, known, where)
    frame, columns = plain_names(frame)
    schema = frame.collect_schema()

    def field(profile: FieldProfile) -> Field:
        name = names[profile.column]
        column = columns[name]
        try:
            return field_on(profile, nw.col(column), name, _dtype(frame, column, schema[column]), text_file)
        except DataError as error:
            raise DataError(error.message, where=where, hint=error.hint) from None

    fields = [field(f) for f in reference.fields if f.column not in reference.vocabularies]
    try:
        tallies = _by_sums(frame, fields) if _sums_are_fast(frame) else _by_index(frame, fields)
    except engine_errors(frame) as error:
        _explain(frame, fields, where)
        raise DataError(first_line(error), where=where) from None
    if any(_NOT_A_NUMBER in tally for tally in tallies):
        _explain(frame, fields, where)
    counts = {f.field.name: _to_array(tally, f.field.bins) for f, tally in zip(fields, tallies, strict=True)}
    counts.update(_count_texts(frame, reference, names, columns, where))
    return {f.name: counts[f.name] for f in reference.fields}


def plain_names(frame: nw.LazyFrame[Any]) -> tuple[nw.LazyFrame[Any], dict[str, str]]:
    """The frame, and its columns' names in it: Spark would take ``petal.length`` for a part of ``petal``."""
    names = frame.collect_schema().names()
    if not frame.implementation.is_spark_like():
        return frame, dict(zip(names, names, strict=True))
    plain = [f"n{i}" for i in range(len(names))]
    return nw.from_native(frame.to_native().toDF(*plain)), dict(zip(names, plain, strict=True))


def engine_errors(frame: nw.LazyFrame[Any]) -> tuple[type[Exception], ...]:
    """What the frame's engine raises of its own. The engine is installed where there is a frame of it."""
    errors: list[type[Exception]] = [nw.exceptions.NarwhalsError]
    if frame.implementation.is_polars():
        from polars.exceptions import PolarsError

        errors.append(PolarsError)
    elif frame.implementation.is_duckdb():
        import duckdb

        errors.append(duckdb.Error)
    elif frame.implementation.is_spark_like():
        from pyspark.errors import PySparkException

        errors.append(PySparkException)
    return tuple(errors)


def rows_of(frame: nw.LazyFrame[Any]) -> list[tuple[Any, ...]]:
    """The rows of a small result."""
    native = frame.to_native()
    if frame.implementation.is_polars():
        return list(native.collect(engine="streaming").iter_rows())
    if frame.implementation.is_duckdb():
        return list(native.fetchall())
    if frame.implementation.is_spark_like():
        return [tuple(row) for row in native.collect()]
    return list(frame.collect().iter_rows())


def _dtype(frame: nw.LazyFrame[Any], column: str, dtype: Any) -> Any:
    """A column's type; None where it has none because no row of its file has a value."""
    if not isinstance(dtype, nw.Unknown):
        return dtype
    native = frame.to_native()
    kind = ""
    if frame.implementation.is_polars():
        kind = str(native.collect_schema()[column])
    elif frame.implementation.is_duckdb():
        kind = str(native.types[native.columns.index(column)])
    elif frame.implementation.is_spark_like():
        kind = native.schema[column].dataType.typeName()
    return None if kind.strip('"').lower() in {"null", "void"} else dtype


# The two plans ------------------------------------------------------------------------------------


def _sums_are_fast(frame: nw.LazyFrame[Any]) -> bool:
    return bool(frame.implementation.is_polars() or frame.implementation.is_duckdb())


def _by_sums(frame: nw.LazyFrame[Any], fields: Sequence[Field]) -> list[_Tally]:
    """Texts are looked up as they stand; columns where some are unseen are asked again, stripped."""
    as_they_stand = [
        replace(f, value=f.raw, raw=None) if isinstance(f, Categorical) and f.raw is not None else f for f in fields
    ]
    tallies = _sums(frame, as_they_stand)
    again = [
        i for i, f in enumerate(fields) if isinstance(f, Categorical) and f.raw is not None and tallies[i][UNSEEN] > 0
    ]
    if again:
        for i, tally in zip(again, _sums(frame, [fields[i] for i in again]), strict=True):
            tallies[i] = tally
    return tallies


def _sums(frame: nw.LazyFrame[Any], fields: Sequence[Field]) -> list[_Tally]:
    """One row of sums. Polars' own expressions are the same calls, without the time that it takes to wrap hundreds."""
    api: Any = nw
    if frame.implementation.is_polars():
        import polars as pl

        api, columns = pl, frame.select(*[f.value.alias(f"c{i}") for i, f in enumerate(fields)]).to_native()
        columns = columns.with_columns(
            pl.col(f"c{i}").replace_strict(
                [*f.keys, None], [*f.keys.values(), MISSING], default=UNSEEN, return_dtype=pl.Int16
            )
            for i, f in enumerate(fields)
            if isinstance(f, Categorical) and _is_looked_up(f, api)
        )
    else:
        columns = frame.select(*[_without_nan(f).alias(f"c{i}") for i, f in enumerate(fields)])
    sums = [api.len()]
    for i, field in enumerate(fields):
        column = api.col(f"c{i}")
        sums.append(column.null_count())
        if isinstance(field, Numeric):
            conditions = [column.is_nan(), *(column >= threshold for threshold in field.thresholds)]
        else:
            targets = range(field.field.bins) if _is_looked_up(field, api) else field.keys
            conditions = [column == target for target in targets]
        sums += [c.cast(nw.Int64()).sum() if api is nw else c.sum() for c in conditions]
    answer = columns.select(*[s.alias(str(i)) for i, s in enumerate(sums)])
    found = iter([int(n or 0) for n in rows_of(answer if api is nw else nw.from_native(answer))[0]])
    rows = next(found)
    return [_difference(f, rows, found, _is_looked_up(f, api)) for f in fields]


def _without_nan(field: Field) -> nw.Expr:
    """DuckDB has NaN above every number, except where a file's statistics, which leave it out, decide a comparison."""
    return nw.when(~field.value.is_nan()).then(field.value) if isinstance(field, Numeric) else field.value


def _is_looked_up(field: Field, api: Any) -> bool:
    return isinstance(field, Categorical) and len(field.keys) >= _LOOKUP_FROM and api is not nw


def _difference(field: Field, rows: int, found: Iterator[int], looked_up: bool) -> _Tally:
    """A field's bins from its share of the sums."""
    missing = next(found)
    if isinstance(field, Numeric):
        nan = next(found)  # reaches every threshold
        reached = [rows - missing, *(next(found) for _ in field.thresholds), nan]
        return {MISSING: missing + nan} | {i + 1: reached[i] - reached[i + 1] for i in range(len(reached) - 1)}
    if looked_up:  # null too
        return {index: next(found) for index in range(field.field.bins)}
    tally = {MISSING: missing, UNSEEN: rows - missing}
    for index in field.keys.values():
        n = next(found)
        tally[index] = tally.get(index, 0) + n
        tally[UNSEEN] -= n
    return tally


def _by_index(frame: nw.LazyFrame[Any], fields: Sequence[Field]) -> list[_Tally]:
    tallies: list[_Tally] = [{} for _ in fields]
    for begin in range(0, len(fields), _FIELDS_A_QUERY):
        part = {f"c{i}": _index(fields[i]) for i in range(begin, min(begin + _FIELDS_A_QUERY, len(fields)))}
        indexed = frame.select(*[index.cast(nw.Int32()).alias(name) for name, index in part.items()])
        long = _unpivot(indexed, list(part)).group_by("field", "bin").agg(nw.len().alias("rows"))
        for name, index, n in rows_of(long.select("field", "bin", "rows")):
            tallies[int(name[1:])][int(index)] = int(n)
    return tallies


def _index(field: Field) -> nw.Expr:
    value = field.value
    if isinstance(field, Categorical):
        index = nw.lit(UNSEEN)
        for key, i in field.keys.items():
            index = nw.when(value == key).then(nw.lit(i)).otherwise(index)
        return nw.when(value.is_null()).then(nw.lit(MISSING)).otherwise(index)
    thresholds = field.thresholds
    index = nw.when(value.is_nan()).then(nw.lit(MISSING)).otherwise(_search(value, thresholds, 0, len(thresholds)))
    index = nw.when(value.is_null()).then(nw.lit(MISSING)).otherwise(index)
    if field.text is None:
        return index
    return nw.when(~field.text.is_null() & value.is_null()).then(nw.lit(_NOT_A_NUMBER)).otherwise(index)


def _search(value: nw.Expr, thresholds: Sequence[float], low: int, high: int) -> nw.Expr:
    """One more than the number of thresholds, known to be low to high, that a value reaches: bisection, written out."""
    if low == high:
        return nw.lit(low + 1)
    middle = (low + high + 1) // 2
    upper = _search(value, thresholds, middle, high)
    return nw.when(value >= thresholds[middle - 1]).then(upper).otherwise(_search(value, thresholds, low, middle - 1))


def _unpivot(frame: nw.LazyFrame[Any], columns: list[str]) -> nw.LazyFrame[Any]:
    if frame.implementation.is_duckdb():  # Narwhals unpivots on the default connection only
        query = f"SELECT * FROM (FROM wide) UNPIVOT (bin FOR field IN ({', '.join(columns)}))"  # noqa: S608 - c0, c1, ...
        long: nw.LazyFrame[Any] = nw.from_native(frame.to_native().query("wide", query))
        return long
    return frame.unpivot(on=columns, variable_name="field", value_name="bin")


def _to_array(tally: Mapping[int, int], bins: int) -> npt.NDArray[np.int64]:
    return np.array([tally.get(index, 0) for index in range(bins)], dtype=np.int64)


def _explain(frame: nw.LazyFrame[Any], fields: Sequence[Field], where: str) -> None:
    """DataError at the first text that is not a number, where one is; asked only after an engine stumbled."""
    for field in fields:
        if not isinstance(field, Numeric) or field.text is None:
            continue
        strange = frame.select(field.text.alias("text")).filter(~nw.col("text").str.contains(_NUMBER)).head(1)
        for (text,) in rows_of(strange):
            shown = text if len(text) <= 40 else text[:37] + "..."
            raise DataError(
                f"{shown!r} is not a number", where=f"{where}: column {field.column!r}", hint="training knew numbers"
            )


# Texts --------------------------------------------------------------------------------------------


def _count_texts(
    frame: nw.LazyFrame[Any], reference: Reference, names: Mapping[str, str], columns: Mapping[str, str], where: str
) -> Binned:
    """Words cannot be measured by an engine: the text columns, and no other, are fetched a batch at a time."""
    fields = tuple(f for f in reference.fields if f.column in reference.vocabularies)
    if not fields:
        return {}
    texts = list(reference.vocabularies)
    own = replace(reference, fields=fields)
    features = tuple(Column(name=c, kind=Kind.TEXT) for c in texts)
    counts: Binned = {f.name: np.zeros(f.bins, dtype=np.int64) for f in fields}
    try:
        for batch in _batches(frame.select(*[nw.col(columns[names[c]]).alias(f"t{i}") for i, c in enumerate(texts)])):
            measured = {
                c: objects([as_text(v, where=f"{where}: column {names[c]!r}") for v in values])
                for c, values in zip(texts, batch, strict=True)
            }
            rows = len(batch[0])  # of predictions, the other fields of a reference, there are none here
            found = own.count(Table(features, measured), np.full(rows, None, dtype=object), np.full(rows, np.nan))
            for name, more in found.items():
                counts[name] += more
    except engine_errors(frame) as error:
        raise DataError(first_line(error), where=where) from None
    return counts


def _batches(frame: nw.LazyFrame[Any]) -> Iterator[list[list[Any]]]:
    """The frame's columns as lists of Python values, so many rows at a time."""
    native = frame.to_native()
    if frame.implementation.is_polars():
        for part in native.collect_batches(chunk_size=_TEXT_ROWS, maintain_order=False, engine="streaming"):
            yield [part[name].to_list() for name in part.columns]
    elif frame.implementation.is_duckdb():
        for part in native.to_arrow_reader(_TEXT_ROWS):
            yield [column.to_pylist() for column in part.columns]
    elif frame.implementation.is_spark_like():
        held: list[Any] = []
        for row in native.toLocalIterator():
            held.append(row)
            if len(held) == _TEXT_ROWS:
                yield [list(column) for column in zip(*held, strict=True)]
                held = []
        if held:
            yield [list(column) for column in zip(*held, strict=True)]
    else:
        whole = frame.collect()
        yield [whole[name].to_list() for name in whole.columns]
