"""Claims about the golden set: drawn the same every time, each class in it, read back as it was written."""

from __future__ import annotations

import json
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remint.core.golden import draw_golden, format_golden, golden_hash, golden_size, parse_golden
from remint.core.rows import LabelledRows, data_rows, objects
from remint.core.schema import Column, Kind
from remint.core.table import Table
from remint.errors import DataError

FEATURES = (Column(name="n", kind=Kind.NUMERIC), Column(name="t", kind=Kind.TEXT))


def rows_of(numbers: list[float], texts: list[str | None], labels: list[str]) -> LabelledRows:
    table = Table(FEATURES, {"n": np.array(numbers, dtype=np.float64), "t": objects(texts)})
    return data_rows(table, objects(labels))


def many(rows: int, labels: list[str]) -> LabelledRows:
    return rows_of([float(i) for i in range(rows)], [None] * rows, labels)


@pytest.mark.parametrize(
    ("distinct", "size"), [(3, 0), (200, 50), (400, 100), (572, 100), (5_000, 500), (45_312, 1000)]
)
def test_the_size_is_a_tenth_within_bounds(distinct: int, size: int) -> None:
    assert golden_size(distinct) == size


def test_each_class_with_four_rows_is_in_it() -> None:
    labels = ["common"] * 990 + ["rare"] * 10
    drawn = many(1000, labels).take(draw_golden(many(1000, labels), size=100, salt="p:0"))
    assert Counter(drawn.labels.tolist()) == {"common": 99, "rare": 1}


def test_the_same_rows_give_the_same_set_in_any_order() -> None:
    rows = many(300, ["0", "1"] * 150)
    shuffled = rows.take(np.random.default_rng(0).permutation(300))
    first = set(rows.keys[draw_golden(rows, size=40, salt="p:0")].tolist())
    assert first == set(shuffled.keys[draw_golden(shuffled, size=40, salt="p:0")].tolist())


def test_copies_are_drawn_once_with_their_most_frequent_label() -> None:
    rows = rows_of([1.0] * 5, [None] * 5, ["0", "0", "0", "1", "1"])
    assert rows.labels[draw_golden(rows, size=5, salt="p:0")].tolist() == ["0"]


def test_a_row_with_infinity_is_not_drawn() -> None:
    rows = rows_of([math.inf, 1.0, 2.0, 3.0, 4.0], [None] * 5, ["0"] * 5)
    drawn = rows.take(draw_golden(rows, size=5, salt="p:0"))
    assert math.inf not in drawn.table.columns["n"].tolist()


texts = st.none() | st.text(min_size=1).filter(lambda t: t.strip())
numbers = st.floats(allow_infinity=False)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(numbers, texts, st.sampled_from(["0", "ja", "né"])), min_size=1, max_size=20))
def test_what_is_written_reads_back_with_the_same_keys(values: list[tuple[float, str | None, str]]) -> None:
    rows = rows_of([v[0] for v in values], [v[1] for v in values], [v[2] for v in values])
    content = format_golden(rows)
    back = parse_golden(content, sha256=golden_hash(content), features=FEATURES, where="golden.jsonl")
    assert back.keys.tolist() == rows.keys.tolist()
    assert back.labels.tolist() == rows.labels.tolist()


def parse(content: bytes, *, sha256: str | None = None) -> LabelledRows:
    return parse_golden(
        content, sha256=golden_hash(content) if sha256 is None else sha256, features=FEATURES, where="golden.jsonl"
    )


def line(**features: object) -> bytes:
    return json.dumps({"features": features, "label": "1"}).encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no rows"),
        (b"not json\n", "line 1: is not"),
        (b'{"features": [], "label": "1"}\n', "line 1: is not"),
        (b'{"features": {"n": 1, "t": null}, "label": null}\n', "line 1: is not"),
        (line(n=1) + b"\n", "'t' is absent.*--redraw-golden"),
        (line(n="many", t=None) + b"\n", "'many' is not a number"),
    ],
)
def test_a_malformed_golden_file_is_one_clear_line(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse(content)


def test_a_changed_golden_set_is_refused() -> None:
    with pytest.raises(DataError, match=r"golden\.jsonl: has changed.*reviewed change"):
        parse(line(n=1, t=None) + b"\n", sha256="0" * 64)
