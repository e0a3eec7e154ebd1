"""The demo's traffic is what it says it is."""

from __future__ import annotations

import numpy as np

from remint.core.schema import Column, Kind, Schema
from remint.core.table import row_keys, table_from_rows
from remint.demo import traffic

SCHEMA = Schema(
    pipeline="demo",
    features=(
        Column(name="size", kind=Kind.NUMERIC),
        Column(name="colour", kind=Kind.CATEGORICAL),
        Column(name="note", kind=Kind.TEXT),
    ),
    label="kind",
    classes=("a", "b"),
)
_RANDOM = np.random.default_rng(3)
POOL = table_from_rows(
    SCHEMA,
    [
        {"size": float(_RANDOM.normal(5 + 2 * (i % 2), 1)), "colour": "red", "note": f"word{i} and some more words"}
        for i in range(80)
    ],
)
TRUTH = ["ab"[i % 2] for i in range(80)]


def test_healthy_traffic_uses_each_row_once() -> None:
    stream = traffic.once(POOL, TRUTH, 1_000, random=np.random.default_rng(1))
    assert stream.rows == 80
    assert len(set(row_keys(stream.table).tolist())) == 80


def test_a_small_pool_is_smoothed_and_says_so() -> None:
    stream = traffic.drawn(POOL, TRUTH, 400, random=np.random.default_rng(1))
    assert stream.rows == 400
    assert "smoothed from a pool of 80" in stream.made
    assert len(np.unique(stream.table.columns["size"])) > 300
    assert abs(stream.table.columns["size"].std() / POOL.columns["size"].std() - 1) < 0.15


def test_drift_moves_a_number_by_one_sigma() -> None:
    stream = traffic.drawn(POOL, TRUTH, 80, random=np.random.default_rng(1))
    moved = traffic.drifted(stream, POOL, TRUTH, random=np.random.default_rng(2))
    step = np.abs(moved.table.columns["size"] - stream.table.columns["size"])
    np.testing.assert_allclose(step, POOL.columns["size"].std())
    assert moved.truth == stream.truth


def test_a_broken_column_arrives_empty_and_the_others_stay() -> None:
    healthy = traffic.once(POOL, TRUTH, 10, random=np.random.default_rng(1))
    stream, name = traffic.broken(healthy)
    assert name == "size"
    assert np.isnan(stream.table.columns["size"]).all()
    assert stream.table.columns["note"].tolist() == healthy.table.columns["note"].tolist()


def test_every_poisoned_label_is_wrong() -> None:
    lies = traffic.poisoned(["a", "b", "c"], ["a", "b", "c"])
    assert lies == ("b", "c", "a")
