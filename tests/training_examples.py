"""Prepared rows of each kind of pipeline, small, and the params that go with them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy.sparse import csr_matrix

from params_examples import only_age
from remint.adapters.archive import dump_model
from remint.adapters.frames import write_rows
from remint.config import Params, parse_params
from remint.core.rows import LabelledRows, data_rows, objects
from remint.core.schema import Column, Kind
from remint.core.table import Table

SIDES = {"train": 240, "held_out": 60, "test": 80, "fresh": 0, "golden": 30}

KINDS: dict[str, dict[str, Kind]] = {
    "linear": {"size": Kind.NUMERIC, "shop": Kind.CATEGORICAL, "weight": Kind.NUMERIC},
    "boosting": {"shop": Kind.CATEGORICAL, "size": Kind.NUMERIC, "weight": Kind.NUMERIC},
    "text": {"review": Kind.TEXT, "size": Kind.NUMERIC},
    "numbers": {"size": Kind.NUMERIC, "weight": Kind.NUMERIC},
}


def features(name: str) -> tuple[Column, ...]:
    return tuple(Column(name=column, kind=kind) for column, kind in KINDS[name].items())


def make_rows(name: str, rows: int, *, seed: int = 0, classes: int = 2) -> LabelledRows:
    """Rows with missing values in every column; the class follows ``size``, and the words of ``review``."""
    random = np.random.default_rng([seed, rows])
    size = random.normal(size=rows)
    code = np.clip(((size + 1.5) / 3 * classes).astype(int), 0, classes - 1)
    words = [" ".join(random.permutation(["plain", "day", "the", ("bad", "good")[c % 2]])) for c in code.tolist()]
    columns: dict[str, Any] = {
        "size": np.where(random.random(rows) < 0.1, np.nan, size),
        "weight": np.where(random.random(rows) < 0.1, np.nan, random.normal(size=rows)),
        "shop": objects([None if u < 0.1 else f"shop-{int(u * 8)}" for u in random.random(rows).tolist()]),
        "review": objects([None if u < 0.1 else w for u, w in zip(random.random(rows).tolist(), words, strict=True)]),
    }
    chosen = features(name)
    group = objects([("north", "south", None)[i] for i in random.integers(0, 3, rows).tolist()])
    return data_rows(
        Table(chosen, {c.name: columns[c.name] for c in chosen}),
        objects([f"class-{c}" for c in code.tolist()]),
        sensitive={"region": group},
    )


def make_prepared(directory: Path, name: str, *, changes: dict[str, Any] | None = None, classes: int = 2) -> Params:
    """A pipeline directory as prepare leaves it; ``changes`` to the section ``train`` of params.yaml."""
    for side, (label, rows) in enumerate(SIDES.items()):
        write_rows(directory / f"artifacts/prepared/{label}.parquet", make_rows(name, rows, seed=side, classes=classes))
    (directory / "stages").mkdir()
    (directory / "stages/train.py").write_text("# a stage\n")
    columns = {column: kind.value for column, kind in KINDS[name].items()}
    document: dict[str, Any] = {
        "pipeline": "shop",
        "task": {"data": "data/d.csv", "label": "y", "columns": {**columns, "region": "sensitive"}},
        "prepare": {"golden": {"sha256": "0" * 64}},
        "train": {
            "estimator": f"remint.estimators:{'boosting' if name == 'boosting' else 'linear'}",
            **(changes or {}),
        },
        "gate": {"rules": [{"metric": "accuracy", "role": "gate", "floor": 0.4}]},
        "check": only_age(),
    }
    text = yaml.safe_dump(document)
    (directory / "params.yaml").write_text(text)
    return parse_params(text)


@dataclass
class Tag:
    """Something whose parts the archive has to put in order."""

    words: set[str]
    table: Any = None
    raw: bytes = b""


def ordered_things() -> bytes:
    """An archive of everything that skops writes in another order, or with other bytes, in another process."""
    shared = np.arange(3.0)
    padded = np.empty(5, dtype=np.dtype([("flag", "u1"), ("value", "f8")], align=True))
    padded.view("u1")[:] = np.frombuffer(hashlib.sha256(repr(id(padded)).encode()).digest() * 3, "u1")[:80]  # any bytes
    padded["flag"], padded["value"] = 1, 0.5
    table = [padded, csr_matrix(np.eye(3)), shared, {"again": shared, "__id__": 5, "file": "x.npy"}]
    return dump_model(Tag(words={"alpha", "beta", "gamma", "delta"}, table=table, raw=b"\x00\x01"))
