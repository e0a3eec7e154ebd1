"""A real local Spark, and a memory budget measured from outside."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from engine_examples import START, as_lists, expected, make_log, make_reference
from remint.adapters.engine import Engine, FileSource, count_feedback, count_files, count_frame
from remint.errors import ConfigError, DataError, NoDataError

pytestmark = pytest.mark.slow

REFERENCE = make_reference(text=True)
SOURCE = FileSource(
    path="*.parquet", time="at", predicted="said", confidence="sure", label="truth", engine=Engine.SPARK
)
DAY = timedelta(days=1)


def log_with_reviews(rows: int) -> pa.Table:
    words = [None, "", "Good day", "the unheard of", "bad bad bad"]
    return make_log(rows, REFERENCE).append_column("review", pa.array([words[i % 5] for i in range(rows)]))


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    """One session for all: it takes seconds to start. Its JVM is gone afterwards."""
    pytest.importorskip("pyspark", reason="needs pyspark: uv pip install 'remint[spark]'")
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("Spark needs Java 17 or newer, as java on the PATH or by JAVA_HOME")
    from pyspark import SparkContext

    from remint.adapters.engine_open import spark_session

    session = spark_session()
    session.sparkContext.setLogLevel("OFF")
    session.conf.set("spark.sql.codegen.wholeStage", "false")  # compiling a query takes longer than a hundred rows
    session.conf.set("spark.sql.shuffle.partitions", "1")
    yield session
    session.stop()
    gateway = SparkContext._gateway
    assert gateway is not None
    gateway.shutdown()
    process = gateway.proc
    process.stdin.close()
    process.wait(timeout=30)
    SparkContext._gateway = SparkContext._jvm = None


def counted(directory: Path, source: FileSource = SOURCE, **window: Any) -> dict[str, list[int]]:
    asked = {"start": None, "end": None} | window
    return as_lists(count_files(source, REFERENCE, directory=directory, **asked).counts)


def test_spark_counts_what_numpy_counts(spark: Any, tmp_path: Path) -> None:
    log = log_with_reviews(96)
    first, second = log.slice(0, 48), log.slice(48)
    second = second.set_column(4, "code", second["code"].cast(pa.float64())).append_column("new", pa.array([1] * 48))
    pq.write_table(first, tmp_path / "0.parquet")
    pq.write_table(second.set_column(10, "at", second["at"].cast(pa.timestamp("us"))), tmp_path / "1.parquet")
    begin = START + timedelta(hours=7)
    assert counted(tmp_path, start=begin, end=begin + 3 * DAY) == expected(log.slice(7, 72), REFERENCE)
    found = count_feedback(SOURCE, start=begin, end=begin + 3 * DAY, directory=tmp_path)
    pairs = list(zip(log["said"].to_pylist()[7:79], log["truth"].to_pylist()[7:79], strict=True))
    assert found.predictions == 72
    assert found.right == sum(said == truth for said, truth in pairs)
    assert found.wrong == sum(truth is not None and said != truth for said, truth in pairs)
    frame = spark.read.parquet(str(tmp_path / "0.parquet"))
    assert as_lists(count_frame(frame, REFERENCE, predicted="said", confidence="sure")) == expected(first, REFERENCE)


def test_spark_reads_text_files_and_directories_that_name_columns(spark: Any, tmp_path: Path) -> None:
    log = log_with_reviews(48)
    spark.conf.set("spark.sql.session.timeZone", "Asia/Tokyo")  # a team's own session; times without a zone stay UTC
    written = log.set_column(7, "petal.length", log["petal.length"].cast(pa.float64())).drop_columns(["shop"])
    texts = pa.array([str(at)[:19] for at in log["at"].to_pylist()])
    (tmp_path / "shop=by").mkdir()
    pa.csv.write_csv(written.set_column(9, "at", texts), tmp_path / "shop=by" / "log.csv")
    want = expected(log.set_column(3, "shop", pa.array(["by"] * 48)).slice(24), REFERENCE)
    assert counted(tmp_path, replace(SOURCE, path="."), start=START + DAY, end=START + 2 * DAY) == want


def test_spark_names_what_is_not_what_training_knew(spark: Any, tmp_path: Path) -> None:
    log = log_with_reviews(10)
    strange = log.set_column(0, "size", pa.array(["1", "four", *"12345678"]))
    pq.write_table(strange, tmp_path / "log.parquet")
    for strict in ("true", "false"):  # without ANSI, Spark makes null of what it cannot read
        spark.conf.set("spark.sql.ansi.enabled", strict)
        with pytest.raises(DataError, match="'size': 'four' is not a number"):
            counted(tmp_path)
    pq.write_table(log, tmp_path / "log.parquet")
    with pytest.raises(NoDataError):
        counted(tmp_path, start=START + DAY, end=START + 2 * DAY)
    with pytest.raises(ConfigError, match=r"spark\.driver\.memory"):
        counted(tmp_path, memory_bytes=300_000_000)


def test_a_budget_holds_for_a_row_group_larger_than_it(tmp_path: Path) -> None:
    """Polars by itself holds such a row group whole; the benchmark does this with ten times the budget."""
    block = pa.table({f"f{i}": np.random.default_rng(i).normal(size=2_500_000) for i in range(18)})
    block = block.append_column("sure", block["f0"]).append_column("said", pa.array(["a"]).take([0] * block.num_rows))
    pq.write_table(
        block, tmp_path / "log.parquet", row_group_size=block.num_rows, compression="none", use_dictionary=False
    )
    assert (tmp_path / "log.parquet").stat().st_size > 340_000_000
    result = subprocess.run([sys.executable, "-c", _PEAK, str(tmp_path)], capture_output=True, text=True, check=True)
    rows, peak = result.stdout.split()
    assert int(rows) == block.num_rows
    assert int(peak) < 280_000_000


_PEAK = """
import re, sys
from pathlib import Path
import numpy as np
from remint.adapters.engine import FileSource, count_files
from remint.core.profile import build_reference
from remint.core.schema import Column, Kind, Schema
from remint.core.table import Table

names = [f"f{i}" for i in range(18)]
features = tuple(Column(name=n, kind=Kind.NUMERIC) for n in names)
schema = Schema(pipeline="big", features=features, label="y", classes=("a", "b"))
values = np.random.default_rng(0).normal(size=1_000)
reference = build_reference(schema, Table(features, dict.fromkeys(names, values)),
                            held_out_predicted=np.array(["a", "b"], dtype=object), held_out_confidence=values[:2])
source = FileSource(path="log.parquet", predicted="said", confidence="sure")
found = count_files(source, reference, start=None, end=None, directory=Path(sys.argv[1]), memory_bytes=280_000_000)
print(found.rows, 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]))
"""
