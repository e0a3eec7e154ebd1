"""Claims about windows and weights of training rows."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recency_examples import data_of, feedback_of, xs
from remint.core.recency import ALL, Window, age_in_rows, newest, weights
from remint.core.rows import join_rows
from remint.errors import ConfigError


def test_the_last_days_count_back_from_the_newest_row_by_event_or_arrival() -> None:
    rows = join_rows([data_of([3, 0, 8, 9]), feedback_of([10, 2])])
    assert xs(newest(rows, Window(last=timedelta(days=2)))) == [3.0, 100.0]  # day 8 is two days old: out
    assert xs(newest(rows, Window(last=timedelta(days=2, seconds=1)))) == [2.0, 3.0, 100.0]


def test_the_newest_rows_keep_the_order_of_the_file() -> None:
    assert xs(newest(data_of([5, 1, 9, 7, 0]), Window(rows=3))) == [0.0, 2.0, 3.0]


def test_without_times_feedback_is_newer_than_the_file_and_the_file_rises() -> None:
    rows = join_rows([feedback_of([4, 2]), data_of(None, rows=3)])
    assert xs(newest(rows, Window(rows=3))) == [100.0, 101.0, 2.0]
    assert age_in_rows(rows).tolist() == [1, 0, 4, 3, 2]


@pytest.mark.parametrize("window", [ALL, Window(rows=4), Window(rows=100), Window(last=timedelta(days=400))])
def test_a_window_that_holds_all_rows_changes_nothing(window: Window) -> None:
    rows = data_of([5, 1, 9, 7])
    assert xs(newest(rows, window)) == xs(rows)
    assert newest(rows.take(np.zeros(0, dtype=np.int64)), window).rows == 0


def test_a_time_window_of_rows_without_times_is_refused() -> None:
    rows = join_rows([data_of(None, rows=3), feedback_of([1])])
    with pytest.raises(ConfigError, match=r"time of 3 of 4 training rows .*task.time"):
        newest(rows, Window(last=timedelta(days=1)))
    with pytest.raises(ConfigError, match="time of 3 of 4"):
        weights(rows, timedelta(days=1))


def test_a_row_one_half_life_older_weighs_half() -> None:
    assert weights(data_of([20, 10, 0]), timedelta(days=10)).tolist() == [1.0, 0.5, 0.25]
    assert weights(data_of(None, rows=3), 1).tolist() == [0.25, 0.5, 1.0]
    assert weights(data_of([]), 1).shape == (0,)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=40), st.integers(1, 40), st.integers(1, 300))
def test_windows_and_weights_depend_on_ages_and_never_on_the_calendar(days: list[int], count: int, life: int) -> None:
    here, later = data_of(days), data_of([day + 5000 for day in days])
    for window in (Window(rows=count), Window(last=timedelta(days=life))):
        assert xs(newest(here, window)) == xs(newest(later, window))
    of_rows = weights(here, timedelta(days=life))
    assert of_rows.tolist() == weights(later, timedelta(days=life)).tolist()
    assert of_rows.max() == 1.0
    assert (of_rows > 0).all()
    assert sorted(age_in_rows(here).tolist()) == list(range(len(days)))
