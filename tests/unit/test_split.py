"""Claims about the splits: nothing straddles, nothing moves, golden rows never train."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remint.core.recency import ALL, Window
from remint.core.rows import LabelledRows, RowSource, data_rows, join_rows, no_times, objects
from remint.core.schema import Column, Kind
from remint.core.split import SplitPolicy, Splits, split
from remint.core.table import Table

FEATURES = (Column(name="a", kind=Kind.NUMERIC), Column(name="b", kind=Kind.CATEGORICAL))
Cell = tuple[float, str | None, str]  # a, b, label

cells = st.tuples(
    st.integers(0, 30).map(float) | st.just(float("nan")),
    st.sampled_from([None, "x", "y", "é\x00"]),
    st.sampled_from("01"),
)
tables = st.lists(cells, min_size=1, max_size=120)


def rows_of(values: list[Cell]) -> LabelledRows:
    table = Table(
        FEATURES,
        {"a": np.array([v[0] for v in values], dtype=np.float64), "b": objects([v[1] for v in values])},
    )
    return data_rows(table, objects([v[2] for v in values]))


def feedback_of(values: list[Cell]) -> LabelledRows:
    rows = rows_of(values)
    return LabelledRows(
        table=rows.table,
        labels=rows.labels,
        source=objects([RowSource.FEEDBACK.value] * rows.rows),
        sequence=np.arange(1, rows.rows + 1, dtype=np.int64),
        arrived_at=objects([datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=i) for i in range(rows.rows)]),
        event_at=no_times(rows.rows),
        keys=rows.keys,
    )


def policy(*, drop_duplicates: bool = False, until: int = 10**6, window: Window = ALL) -> SplitPolicy:
    return SplitPolicy(
        salt="pipeline:0",
        test_share=0.2,
        held_out_share=0.15,
        fresh_share=0.3,
        until=until,
        drop_duplicates=drop_duplicates,
        window=window,
    )


def keys(rows: LabelledRows) -> set[str]:
    return set(rows.keys.tolist())


def share_out(
    data: list[Cell], feedback: list[Cell], golden: set[str] | None = None, *, drop_duplicates: bool = False
) -> Splits:
    return split(rows_of(data), feedback_of(feedback), golden or set(), policy(drop_duplicates=drop_duplicates))


@settings(deadline=None, max_examples=60)
@given(tables, st.lists(cells, max_size=40), st.data(), st.booleans())
def test_no_row_straddles_two_sides_and_no_golden_row_is_on_any(
    data: list[Cell], feedback: list[Cell], draw: st.DataObject, drop: bool
) -> None:
    golden = set(draw.draw(st.lists(st.sampled_from(rows_of(data).keys.tolist()), max_size=5)))
    sides = share_out(data, feedback, golden, drop_duplicates=drop)
    train, held_out, test, fresh = map(keys, (sides.train, sides.held_out, sides.test, sides.fresh))
    assert not train & held_out
    assert not train & test
    assert not held_out & test
    assert not train & fresh
    assert not (train | held_out | test | fresh) & golden


@settings(deadline=None, max_examples=60)
@given(tables, tables, st.booleans())
def test_appended_rows_move_no_other_row(before: list[Cell], appended: list[Cell], drop: bool) -> None:
    first = share_out(before, [], drop_duplicates=drop)
    later = share_out(before + appended, [], drop_duplicates=drop)
    for name in ("train", "held_out", "test"):
        old, new = getattr(first, name), getattr(later, name)
        assert new.keys[: old.rows].tolist() == old.keys.tolist()
        assert new.labels[: old.rows].tolist() == old.labels.tolist()


@settings(deadline=None, max_examples=60)
@given(tables, st.lists(cells, max_size=40), st.booleans())
def test_every_row_is_on_a_side_or_counted_as_dropped(data: list[Cell], feedback: list[Cell], drop: bool) -> None:
    sides = share_out(data, feedback, drop_duplicates=drop)
    dropped = sides.dropped
    placed = sides.train.rows + sides.held_out.rows + sides.test.rows + sides.fresh.rows
    lost = dropped.golden + dropped.fresh + dropped.other_side + dropped.duplicates + dropped.after_until
    assert placed + lost == len(data) + len(feedback)


@settings(deadline=None, max_examples=60)
@given(tables, st.lists(st.integers(0, 20), min_size=120, max_size=120))
def test_a_temporal_split_looks_into_no_future_and_straddles_nothing(data: list[Cell], days: list[int]) -> None:
    event_at = np.datetime64("2026-01-01", "us") + np.array(days[: len(data)]) * np.timedelta64(1, "D")
    timed = dataclasses.replace(rows_of(data), event_at=event_at)
    sides = split(timed, feedback_of([]), set(), policy(), by_time=True)
    newest = np.datetime64("2025-12-31", "us")
    for side in (sides.train, sides.held_out, sides.test):
        assert (side.event_at > newest).all()
        newest = max([newest, *side.event_at])
    assert not keys(sides.train) & (keys(sides.held_out) | keys(sides.test))
    assert not keys(sides.held_out) & keys(sides.test)


def test_two_pipelines_over_one_file_share_no_split() -> None:
    data = rows_of([(float(i), None, "0") for i in range(400)])
    one = split(data, feedback_of([]), set(), policy())
    other = split(
        data,
        feedback_of([]),
        set(),
        SplitPolicy(
            salt="other:0", test_share=0.2, held_out_share=0.15, fresh_share=0.3, until=0, drop_duplicates=False
        ),
    )
    assert keys(one.test) != keys(other.test)


def test_the_shares_come_out_as_declared() -> None:
    sides = share_out([(float(i), None, "0") for i in range(20_000)], [])
    assert sides.test.rows == pytest.approx(4000, rel=0.05)
    assert sides.held_out.rows == pytest.approx(3000, rel=0.05)


def test_the_newest_feedback_is_fresh_and_the_older_trains() -> None:
    feedback: list[Cell] = [(1000.0 + i, "x", "1") for i in range(10)]
    sides = share_out([(float(i), None, "0") for i in range(50)], feedback)
    assert sides.fresh.sequence.tolist() == [8, 9, 10]
    assert [s for s in sides.train.sequence.tolist() if s] == [1, 2, 3, 4, 5, 6, 7]


@settings(deadline=None, max_examples=60)
@given(tables, st.lists(cells, max_size=40), st.integers(1, 50))
def test_a_window_cuts_the_training_side_alone(data: list[Cell], feedback: list[Cell], count: int) -> None:
    given_rows = rows_of(data), feedback_of(feedback), set[str]()
    every, cut = split(*given_rows, policy()), split(*given_rows, policy(window=Window(rows=count)))
    for name in ("held_out", "test", "fresh"):
        assert getattr(cut, name).keys.tolist() == getattr(every, name).keys.tolist()
    assert cut.train.rows == min(count, every.train.rows)
    assert cut.dropped.window == every.train.rows - cut.train.rows
    assert cut.train.keys.tolist() == every.train.keys[every.train.rows - cut.train.rows :].tolist()


def test_feedback_after_until_is_not_used() -> None:
    feedback = feedback_of([(1000.0 + i, "x", "1") for i in range(10)])
    sides = split(rows_of([(1.0, None, "0")]), feedback, set(), policy(until=4))
    used = join_rows([sides.train, sides.fresh]).sequence.tolist()
    assert sorted(s for s in used if s) == [1, 2, 3, 4]
    assert sides.dropped.after_until == 6


def test_without_until_no_feedback_trains() -> None:
    sides = split(rows_of([(1.0, None, "0")]), feedback_of([(2.0, "x", "1")]), set(), policy(until=0))
    assert sides.fresh.rows == 0
    assert "feedback" not in sides.train.source.tolist()


def test_feedback_equal_to_a_test_row_does_not_train() -> None:
    data: list[Cell] = [(float(i), None, "0") for i in range(200)]
    tested = share_out(data, []).test.table.columns["a"].tolist()
    feedback: list[Cell] = [(tested[0], None, "1"), (5000.0, None, "1"), (5001.0, None, "1")]
    sides = share_out(data, feedback)
    assert tested[0] not in sides.train.table.columns["a"].tolist()
    assert sides.dropped.other_side == 1


def test_dropping_duplicates_keeps_equal_rows_that_disagree_about_the_label() -> None:
    sides = share_out([(1.0, "x", "0"), (1.0, "x", "0"), (1.0, "x", "1")], [], drop_duplicates=True)
    placed = join_rows([sides.train, sides.held_out, sides.test])
    assert placed.labels.tolist() == ["0", "1"]
    assert sides.dropped.duplicates == 1


def test_columns_of_different_lengths_are_a_bug() -> None:
    rows = rows_of([(1.0, "x", "0")])
    with pytest.raises(ValueError, match="different lengths"):
        LabelledRows(
            table=rows.table,
            labels=objects(["0", "1"]),
            source=rows.source,
            sequence=rows.sequence,
            arrived_at=rows.arrived_at,
            event_at=rows.event_at,
            keys=rows.keys,
        )
