"""Counting a log of predictions over a reference's bins, against merely reading the file and against Evidently.

    .venv/bin/python benchmarks/profile_speed.py [--engines polars,duckdb,spark] [--evidently-python PYTHON]

Prints a Markdown table and the three claims of the issue with what was measured: at most 2 times reading, at least 200
times faster than Evidently's report, and memory within a budget for a file ten times as large. Timed calls alternate in
one run and the medians are compared, so read the ratios: on a busy machine the seconds mean little. Evidently needs an
environment of its own: ``uv venv DIR && uv pip install --python DIR/bin/python evidently pyarrow 'pandas<3'``.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from remint.adapters.engine import Engine, FileSource, count_files
from remint.core.profile import Reference, build_reference
from remint.core.rows import objects
from remint.core.schema import Column, Kind, Schema
from remint.core.table import Table

NAMES = [f"f{i}" for i in range(20)]
CLASSES = ("maybe", "no", "yes")
REFERENCE_ROWS = 10_000
ROW_GROUP = 125_000
SOURCE = FileSource(path="*.parquet", predicted="predicted", confidence="confidence")


def make_reference() -> Reference:
    random = np.random.default_rng(0)
    features = tuple(Column(name=name, kind=Kind.NUMERIC) for name in NAMES)
    return build_reference(
        Schema(pipeline="bench", features=features, label="y", classes=CLASSES),
        Table(features, {name: random.normal(size=REFERENCE_ROWS) for name in NAMES}),
        held_out_predicted=objects(random.choice(CLASSES, REFERENCE_ROWS).tolist()),
        held_out_confidence=random.beta(8, 2, REFERENCE_ROWS),
    )


def make_rows(rows: int, seed: int) -> pa.Table:
    """20 floats and what the model said of them."""
    random = np.random.default_rng(seed)
    columns = {name: random.normal(size=rows) for name in NAMES}
    predicted = pa.array(CLASSES).take(pa.array(random.integers(0, 3, rows)))
    return pa.table({**columns, "predicted": predicted, "confidence": random.beta(8, 2, rows)})


def medians(calls: dict[str, Callable[[], object]], repeat: int) -> dict[str, float]:
    """Seconds of each call, the median of ``repeat`` interleaved runs after a first one that is not counted."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for round_number in range(repeat + 1):
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            if round_number > 0:
                found[name].append(time.perf_counter() - begin)
    return {name: statistics.median(seconds) for name, seconds in found.items()}


def counting(path: Path, reference: Reference, engine: Engine) -> Callable[[], object]:
    source = FileSource(path=path.name, predicted="predicted", confidence="confidence", engine=engine)
    return lambda: count_files(source, reference, start=None, end=None, directory=path.parent)


EVIDENTLY = """
import sys, time
import pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset
names = [f"f{i}" for i in range(20)]
reference, current = (pd.read_parquet(path, columns=names) for path in sys.argv[1:3])
begin = time.perf_counter()
Report([DataDriftPreset()]).run(current, reference).dict()
print(time.perf_counter() - begin)
"""


def evidently_seconds(python: str, reference: Path, current: Path) -> float:
    """The report alone, on frames already in memory; reading the file is not held against it."""
    command = [python, "-W", "ignore", "-c", EVIDENTLY, str(reference), str(current)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


MEMORY = """
import re, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from profile_speed import SOURCE, make_reference
from remint.adapters.engine import count_files
reference, budget = make_reference(), int(sys.argv[3]) or None
begin = time.perf_counter()
rows = count_files(SOURCE, reference, start=None, end=None, directory=Path(sys.argv[2]), memory_bytes=budget).rows
seconds = time.perf_counter() - begin
print(rows, 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]), seconds)
"""


def peak_of(directory: Path, budget: int | None) -> tuple[int, int, float]:
    """Rows, the peak resident bytes of a process that counted them, and the seconds that took."""
    command = [sys.executable, "-c", MEMORY, str(Path(__file__).parent), str(directory), str(budget or 0)]
    rows, peak, seconds = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return int(rows), int(peak), float(seconds)


def write_large(path: Path, size: int, group_rows: int) -> int:
    """A file of at least ``size`` bytes in row groups of so many rows; the rows."""
    block = make_rows(group_rows, 2)
    rows = 0
    with pq.ParquetWriter(path, block.schema, compression="none", use_dictionary=False) as writer:
        while not path.exists() or path.stat().st_size < size:
            writer.write_table(block, row_group_size=group_rows)
            rows += group_rows
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--engines", default="polars,duckdb")
    parser.add_argument("--evidently-python")
    parser.add_argument("--budget-mb", type=int, default=300, help="0 leaves the memory part out")
    args = parser.parse_args()
    reference = make_reference()
    engines = [Engine(name) for name in args.engines.split(",")]
    claims: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        table = make_rows(args.rows, 1)
        print(f"\n{args.rows:,} rows x 20 floats, predicted class and confidence; median of {args.repeat}.\n")
        print("| file | what | seconds | times reading |\n|---|---|--:|--:|")
        profile = float("nan")
        for compression in ("none", "zstd"):
            path = directory / f"{compression}.parquet"
            pq.write_table(table, path, compression=compression, row_group_size=ROW_GROUP, use_dictionary=["predicted"])
            calls: dict[str, Callable[[], object]] = {"read by Polars": lambda path=path: pl.read_parquet(path)}
            calls |= {f"counted by {engine}": counting(path, reference, engine) for engine in engines}
            found = medians(calls, args.repeat)
            reading = found["read by Polars"]
            for what, seconds in found.items():
                print(f"| {compression} | {what} | {seconds:.3f} | {seconds / reading:.2f} |", flush=True)
            if Engine.POLARS in engines:
                profile = found["counted by polars"]
                claims.append(f"{compression}: {profile / reading:.2f} times reading (at most 2)")
        if args.evidently_python:
            baseline = directory / "baseline.parquet"
            pq.write_table(make_rows(args.rows, 3), baseline)
            seconds = evidently_seconds(args.evidently_python, baseline, directory / "zstd.parquet")
            print(f"| in memory | Evidently's DataDriftPreset | {seconds:.1f} | |")
            claims.append(f"{seconds / profile:.0f} times faster than Evidently, reading zstd included (at least 200)")
    if args.budget_mb:
        budget = args.budget_mb * 1_000_000
        print("\n| row groups of | file | budget | peak | seconds |\n|--:|--:|--:|--:|--:|")
        for group_rows in (100_000, 1_000_000):
            with tempfile.TemporaryDirectory() as name:
                path = Path(name) / "large.parquet"
                written = write_large(path, 10 * budget, group_rows)
                size = path.stat().st_size
                for limit in (budget, None):
                    rows, peak, seconds = peak_of(path.parent, limit)
                    assert rows == written
                    shown = f"{limit / 1e6:.0f} MB" if limit else "none"
                    cells = [f"{group_rows:,} rows", f"{size / 1e9:.1f} GB", shown, f"{peak / 1e6:.0f} MB"]
                    print(f"| {' | '.join(cells)} | {seconds:.1f} |", flush=True)
                    if limit:
                        claims.append(f"{size / 1e9:.1f} GB in {peak / 1e6:.0f} MB (at most {limit / 1e6:.0f})")
    print("\n" + "\n".join(f"- {claim}" for claim in claims))


if __name__ == "__main__":
    main()
