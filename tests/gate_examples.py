"""Two small real models of one pipeline: the champion knows the old world, the challenger has seen the new one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from params_examples import only_age
from remint import __version__
from remint.adapters.frames import write_rows
from remint.config import Params, load_params
from remint.core.golden import draw_golden, format_golden, golden_hash
from remint.core.rows import LabelledRows, data_rows, no_times, objects
from remint.core.schema import Column, Kind
from remint.core.table import Table
from remint.workflows.prepare import prepare
from remint.workflows.train import train

PIPELINE = "shop"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
_FEATURES = (Column(name="x", kind=Kind.NUMERIC), Column(name="z", kind=Kind.NUMERIC))
_START = datetime(2026, 11, 1, tzinfo=UTC)


def rows_of(count: int, *, seed: int, new_world: bool = False) -> LabelledRows:
    """In the old world x decides, in the new one z does; one label in twenty is wrong."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(count, 2)).round(4)
    right = values[:, 1 if new_world else 0] > 0
    labels = np.where(random.random(count) < 0.05, ~right, right)
    table = Table(_FEATURES, {"x": values[:, 0], "z": values[:, 1]})
    return data_rows(table, objects([("no", "yes")[int(v)] for v in labels]))


def as_feedback(rows: LabelledRows, *, first: int = 1) -> LabelledRows:
    sequence = np.arange(first, first + rows.rows, dtype=np.int64)
    return LabelledRows(
        table=rows.table,
        labels=rows.labels,
        source=objects(["feedback"] * rows.rows),
        sequence=sequence,
        arrived_at=objects([_START + timedelta(minutes=int(n)) for n in sequence]),
        event_at=no_times(rows.rows),
        keys=rows.keys,
    )


def make_model(
    directory: Path, *, feedback: int = 0, until: int | None = None, regions: bool = False, **gate: Any
) -> Params:
    """A pipeline directory with its artifacts, trained on 300 rows of the old world and ``feedback`` of the new.

    With ``regions`` each row of the data file has a sensitive one, north or south.
    """
    (directory / "data").mkdir(parents=True)
    (directory / "golden").mkdir()
    data = rows_of(300, seed=1)
    lines = [f"{r['x']!r},{r['z']!r},{label}" for r, label in zip(data.table.to_rows(), data.labels, strict=True)]
    header, columns = "x,z,bought", {"x": "numeric", "z": "numeric"}
    if regions:
        lines = [f"{line},{('north', 'south')[i % 2]}" for i, line in enumerate(lines)]
        header, columns = f"{header},region", {**columns, "region": "sensitive"}
    (directory / "data/d.csv").write_text("\n".join([header, *lines]) + "\n")
    (directory / "requirements.txt").write_text(f"remint=={__version__}\n")
    golden = format_golden(data.take(draw_golden(data, size=60, salt="shop:0")))
    (directory / "golden/golden.jsonl").write_bytes(golden)
    write_rows(directory / "data/feedback.parquet", as_feedback(rows_of(feedback, seed=2, new_world=True)))
    rules = [
        {"metric": "accuracy", "role": "gate", "tolerance": 0.02, "floor": 0.6},
        {"metric": "accuracy", "role": "guard", "tolerance": 0.05},
        {"metric": "log_loss", "role": "info", "direction": "lower"},
    ]
    document: dict[str, Any] = {
        "pipeline": PIPELINE,
        "task": {"data": "data/d.csv", "label": "bought", "columns": columns},
        "prepare": {
            "golden": {"sha256": golden_hash(golden)},
            "until": {"sequence": feedback if until is None else until},
        },
        "train": {"estimator": "remint.estimators:linear"},
        "gate": {"min_rows": 40, "rules": rules, **gate},
        "check": only_age(),
        "serve": {"min_free_bytes": 0},
    }
    (directory / "params.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    params = load_params(directory / "params.yaml")
    prepare(params, directory)
    train(params, directory)
    return params
