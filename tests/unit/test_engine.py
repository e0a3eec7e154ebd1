"""Files as a source of counts: the bins are those of the profile, whoever counts."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import narwhals as nw
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine_examples import START, as_lists, expected, make_log, make_reference
from remint.adapters import engine_fields, engine_open, engine_plan
from remint.adapters.engine import Engine, FileSource, count_feedback, count_files, count_frame
from remint.adapters.prediction_log import count_predictions
from remint.core.profile import PREDICTION
from remint.errors import ConfigError, DataError, MissingExtraError, NoDataError, RemintError, Silence

REFERENCE = make_reference()
SOURCE = FileSource(path="log.parquet", time="at", predicted="said", confidence="sure", label="truth")
ENGINES = (Engine.POLARS, Engine.DUCKDB)
DAY = timedelta(days=1)


def counted(directory: Path, source: FileSource = SOURCE, **window: Any) -> dict[str, list[int]]:
    found = count_files(source, REFERENCE, directory=directory, **({"start": None, "end": None} | window))
    assert found.rows == found.counts[PREDICTION].sum()
    return as_lists(found.counts)


def refused(error: type[RemintError], question: Callable[[], object]) -> str:
    with pytest.raises(error) as caught:
        question()
    assert "\n" not in str(caught.value)
    return str(caught.value)


numbers = st.one_of(
    st.none(), st.floats(width=64), st.sampled_from([0.0, -0.0, *(REFERENCE.field("size").edges or ())])
)
texts = st.one_of(st.none(), st.sampled_from(["ax", " by", "", "cz\t", "1", "nope"]), st.text(max_size=3))
integers = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.integers(-2, 90))
flags = st.one_of(st.none(), st.booleans())
rows = st.tuples(numbers, integers, flags, texts, st.one_of(st.none(), st.sampled_from([3, 4, 50, 7])), flags, texts)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(st.lists(rows, min_size=1, max_size=30), st.floats(0, 1), st.sampled_from(["yes", "no", "maybe"]))
def test_each_engine_counts_what_numpy_counts(rows: list[Any], sure: float, said: str) -> None:
    columns = dict(zip(("size", "age", "on", "shop", "code", "flag", "many"), zip(*rows, strict=True), strict=True))
    base = make_log(len(rows), REFERENCE)
    columns |= {
        "petal.length": base["petal.length"].to_pylist(),
        "said": [said] * len(rows),
        "sure": [sure] * len(rows),
    }
    columns |= {"at": base["at"].to_pylist(), "truth": base["truth"].to_pylist()}
    log = pa.table({name: list(values) for name, values in columns.items()}, schema=base.schema)
    want = expected(log, REFERENCE)
    logged = [({n: r[n] for n in log.column_names[:8]}, said, sure) for r in log.to_pylist()]
    assert as_lists(count_predictions(logged, REFERENCE).counts) == want
    frame = pl.DataFrame(pl.from_arrow(log)).lazy()
    with duckdb.connect() as connection:
        for asked in (frame, connection.from_arrow(log)):
            assert as_lists(count_frame(asked, REFERENCE, predicted="said", confidence="sure")) == want
    by_index = engine_plan._by_index(nw.from_native(frame), fields_of(frame))
    assert [f.field.name for f in fields_of(frame)] == list(want)
    for name, tally in zip(want, by_index, strict=True):
        assert [tally.get(i, 0) for i in range(len(want[name]))] == want[name]


def fields_of(frame: pl.LazyFrame) -> list[Any]:
    """The fields as the plan sees them, to run the plan that Polars would not choose."""
    names = engine_plan.column_names(REFERENCE, predicted="said", confidence="sure")
    schema = nw.from_native(frame).collect_schema()
    columns = [(f, names[f.column]) for f in REFERENCE.fields]
    return [engine_fields.field_on(f, nw.col(name), name, schema[name], None) for f, name in columns]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_file_counts_as_its_rows_do(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = make_log(2_500, REFERENCE)
    pq.write_table(log, tmp_path / "log.parquet", row_group_size=300)
    want = expected(log, REFERENCE)
    assert counted(tmp_path, replace(SOURCE, engine=engine)) == want
    monkeypatch.setattr(engine_open, "_COPIES", 10_000_000)  # batches of a thousand rows
    monkeypatch.setattr(engine_open, "_LEAST_ROOM", 1)
    assert counted(tmp_path, replace(SOURCE, engine=engine), memory_bytes=10**10) == want


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_text_file_means_what_training_would_read_in_it(engine: Engine, delimiter: str, tmp_path: Path) -> None:
    log = make_log(500, REFERENCE)
    floats = pa.array([None if v is None else float(v) for v in log["code"].to_pylist()])  # as pandas writes them
    written = log.set_column(4, "code", floats.cast(pa.string()))
    written = written.set_column(7, "petal.length", log["petal.length"].cast(pa.float64()))
    written = written.set_column(0, "size", pa.array([None if v is None else repr(v) for v in log["size"].to_pylist()]))
    options = pa.csv.WriteOptions(delimiter=delimiter)
    pa.csv.write_csv(written, tmp_path / "log.csv", write_options=options)
    source = replace(SOURCE, engine=engine, path="*.csv")
    want = expected(log, REFERENCE)
    assert counted(tmp_path, source) == want
    first_day = expected(log.slice(24, 24), REFERENCE)
    assert counted(tmp_path, source, start=START + DAY, end=START + 2 * DAY) == first_day
    if engine is Engine.POLARS:
        assert counted(tmp_path, source, memory_bytes=10**10) == want


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "kind", [pa.timestamp("us", "UTC"), pa.timestamp("ms", "Europe/Amsterdam"), pa.timestamp("us")]
)
def test_the_window_is_half_open_in_utc(engine: Engine, kind: pa.DataType, tmp_path: Path) -> None:
    log = make_log(100, REFERENCE)
    pq.write_table(log.set_column(10, "at", log["at"].cast(kind)), tmp_path / "log.parquet")
    begin = START + timedelta(hours=10)
    got = counted(tmp_path, replace(SOURCE, engine=engine), start=begin, end=begin + timedelta(hours=20))
    assert got == expected(log.slice(10, 20), REFERENCE)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_date_is_its_midnight(engine: Engine, tmp_path: Path) -> None:
    log = make_log(72, REFERENCE)
    pq.write_table(log.set_column(10, "at", log["at"].cast(pa.date32())), tmp_path / "log.parquet")
    source = replace(SOURCE, engine=engine)
    assert counted(tmp_path, source, start=START + DAY, end=START + 2 * DAY) == expected(log.slice(24, 24), REFERENCE)
    late = START + DAY + timedelta(hours=1)  # the second day's midnight is past
    assert counted(tmp_path, source, start=late, end=None) == expected(log.slice(48), REFERENCE)


@pytest.mark.parametrize("engine", ENGINES)
def test_directories_may_name_columns(engine: Engine, tmp_path: Path) -> None:
    log = make_log(72, REFERENCE)
    for day in range(3):
        part = log.slice(24 * day, 24).drop_columns(["at", "shop"])
        place = tmp_path / "logs" / f"date=2026-01-0{day + 1}" / "shop=by"
        place.mkdir(parents=True)
        pq.write_table(part, place / "part-0.parquet")
    (tmp_path / "logs" / "_SUCCESS").touch()
    source = replace(SOURCE, engine=engine, path="logs", time="date")
    want = expected(log.slice(24, 24).set_column(3, "shop", pa.array(["by"] * 24)), REFERENCE)
    assert counted(tmp_path, source, start=START + DAY, end=START + 2 * DAY) == want


@pytest.mark.parametrize("engine", ENGINES)
def test_files_of_different_schemas_add_up(engine: Engine, tmp_path: Path) -> None:
    log = make_log(90, REFERENCE)
    parts = [log.slice(0, 30), log.slice(30, 30), log.slice(60, 30)]
    codes = parts[1]["code"].cast(pa.float64())
    parts[1] = parts[1].set_column(4, "code", codes).append_column("new", pa.array([1] * 30))
    nothing = pa.nulls(30)
    parts[2] = parts[2].set_column(0, "size", nothing).set_column(3, "shop", nothing)
    for i, part in enumerate(parts):
        pq.write_table(part, tmp_path / f"{i}.parquet")
    want = log.set_column(0, "size", pa.array([*log["size"].to_pylist()[:60], *[None] * 30], pa.float64()))
    want = want.set_column(3, "shop", pa.array([*log["shop"].to_pylist()[:60], *[None] * 30]))
    assert counted(tmp_path, replace(SOURCE, engine=engine, path="*.parquet")) == expected(want, REFERENCE)


@pytest.mark.parametrize("engine", ENGINES)
def test_texts_are_measured_by_the_profile_itself(engine: Engine, tmp_path: Path) -> None:
    reference = make_reference(text=True)
    random = np.random.default_rng(3)
    words = [None, "", " ", "Good day", "the unheard of", "bad bad bad", "4"]
    log = make_log(300, reference).append_column("review", pa.array([words[i] for i in random.integers(0, 7, 300)]))
    pq.write_table(log, tmp_path / "log.parquet")
    source = replace(SOURCE, engine=engine)
    found = count_files(source, reference, start=None, end=None, directory=tmp_path)
    assert as_lists(found.counts) == expected(log, reference)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_not_what_training_knew_is_named(engine: Engine, tmp_path: Path) -> None:
    source = replace(SOURCE, engine=engine)
    log = make_log(10, REFERENCE)

    def said_of(changed: pa.Table, **window: Any) -> str:
        pq.write_table(changed, tmp_path / "log.parquet")
        return refused(DataError, lambda: counted(tmp_path, source, **window))

    assert "'size' holds Date" in said_of(log.set_column(0, "size", log["at"].cast(pa.date32())))
    strange = said_of(log.set_column(0, "size", pa.array(["1", " 2.5", "", None, "four", *"12345"])))
    assert "'four' is not a number" in strange
    assert "'size'" in strange
    assert "did you mean 'size_'" in said_of(log.rename_columns(["size_", *log.column_names[1:]]))
    assert "'shop' holds List" in said_of(log.set_column(3, "shop", pa.array([["a"]] * 10)))
    assert "is double, not a time" in said_of(log.set_column(10, "at", pa.array([1.0] * 10)), start=START)
    assert "is string, not a time" in said_of(log.set_column(10, "at", pa.array(["2026-01-01"] * 10)), start=START)
    (tmp_path / "log.parquet").write_bytes(b"PAR1 not really PAR1")
    assert "not a readable Parquet file" in refused(DataError, lambda: counted(tmp_path, source))


def test_numbers_written_as_text_are_numbers(tmp_path: Path) -> None:
    log = make_log(20, REFERENCE)
    texts = [None if v is None else f" {v!r} " for v in log["size"].to_pylist()]
    pq.write_table(log.set_column(0, "size", pa.array(texts)), tmp_path / "log.parquet")
    for engine in ENGINES:
        assert counted(tmp_path, replace(SOURCE, engine=engine)) == expected(log, REFERENCE)


@pytest.mark.parametrize("engine", ENGINES)
def test_silence_is_never_an_answer(engine: Engine, tmp_path: Path) -> None:
    source = replace(SOURCE, engine=engine)
    assert "no file matches" in refused(DataError, lambda: counted(tmp_path, source))
    (tmp_path / "log.json").write_text("{}")
    assert "only .json files" in refused(DataError, lambda: counted(tmp_path, replace(source, path=".")))
    pq.write_table(make_log(10, REFERENCE), tmp_path / "log.parquet")
    with pytest.raises(NoDataError) as caught:
        counted(tmp_path, source, start=START + DAY, end=START + 2 * DAY)
    assert caught.value.silence is Silence.EMPTY
    assert "time column" in refused(ConfigError, lambda: counted(tmp_path, replace(source, time=None), start=START))
    assert "not a path" in refused(ConfigError, lambda: counted(tmp_path, replace(source, path="s3://logs/*.parquet")))
    assert "is too small" in refused(ConfigError, lambda: counted(tmp_path, SOURCE, memory_bytes=1_000))
    nowhere = replace(source, label=None)
    with pytest.raises(NoDataError) as caught:
        count_feedback(nowhere, start=None, end=None, directory=tmp_path)
    assert caught.value.silence is Silence.NO_SERIES


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_label_that_has_not_come_is_neither_right_nor_wrong(engine: Engine, suffix: str, tmp_path: Path) -> None:
    log = pa.table(
        {
            "said": ["1", "1", "0", "0", "0", "1"],
            "truth": pa.array([1.0, 0.0, 0.0, None, float("nan"), 1.0]),
            "at": pa.array([START + i * DAY for i in range(6)]),
        }
    )
    if suffix == "csv":
        texts = pa.array(["1.0", "0.0", "0.0", "", "nan", "1.0"])
        pa.csv.write_csv(log.set_column(1, "truth", texts), tmp_path / "log.csv")
    else:
        pq.write_table(log, tmp_path / "log.parquet")
    source = replace(SOURCE, engine=engine, path=f"log.{suffix}")
    found = count_feedback(source, start=START, end=START + 5 * DAY, directory=tmp_path)
    assert (found.right, found.wrong, found.predictions) == (2, 1, 5)


def test_an_absent_engine_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, engine, extra in (("polars", Engine.POLARS, "files"), ("duckdb", Engine.DUCKDB, "duckdb")):
        monkeypatch.setitem(sys.modules, module, None)
        message = refused(MissingExtraError, lambda e=engine: counted(tmp_path, replace(SOURCE, engine=e)))
        assert f"uv pip install 'remint[{extra}]'" in message
