"""A long past of counts: windows of it, and gaps that stay gaps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from remint.core.history import CountsHistory
from remint.core.profile import PREDICTION
from remint.errors import NoDataError, Silence

START = datetime(2026, 1, 1, tzinfo=UTC)


def history() -> CountsHistory:
    """Six hours: two with traffic, a gap of two, one without traffic, and one that brings what the gap counted."""
    predictions = np.array([[1, 2], [3, 0], [0, 0], [0, 0], [0, 0], [4, 5]])
    return CountsHistory(
        start=START,
        step=timedelta(hours=1),
        counts={PREDICTION: predictions, "x": predictions[:, ::-1]},
        covered=np.array([True, True, False, False, True, True]),
        right=np.array([1, 0, 0, 0, 0, 2]),
        wrong=np.array([0, 1, 0, 0, 0, 0]),
    )


def test_a_window_sums_its_steps_and_leaves_the_last_one_out() -> None:
    found = history().window(0, 2)
    assert found.rows == 6
    assert {field: counts.tolist() for field, counts in found.counts.items()} == {PREDICTION: [4, 2], "x": [2, 4]}


def test_a_window_beyond_the_history_is_cut_to_it() -> None:
    assert history().window(-5, 99).rows == 15
    assert history().feedback(-5, 99).labels == 4


@pytest.mark.parametrize(
    ("first", "last", "silence"), [(2, 4, Silence.NO_SERIES), (9, 12, Silence.NO_SERIES), (4, 5, Silence.EMPTY)]
)
def test_a_gap_and_a_quiet_step_are_different_silences(first: int, last: int, silence: Silence) -> None:
    with pytest.raises(NoDataError) as caught:
        history().window(first, last)
    assert caught.value.silence is silence


def test_feedback_has_the_predictions_of_its_steps() -> None:
    found = history().feedback(0, 2)
    assert (found.right, found.wrong, found.predictions) == (1, 1, 6)


def test_times_and_steps_are_each_others_inverse() -> None:
    past = history()
    assert [past.step_at(past.time(i)) for i in range(-1, 7)] == list(range(-1, 7))
    assert past.step_at(START + timedelta(minutes=119)) == 1
    assert past.end == START + timedelta(hours=6)
    assert past.covered_share(1, 5) == 0.5
    assert past.covered_share(7, 9) == 0


def test_arrays_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="not 6 steps"):
        CountsHistory(
            start=START,
            step=timedelta(hours=1),
            counts={},
            covered=np.ones(6, dtype=bool),
            right=np.zeros(5, dtype=np.int64),
            wrong=np.zeros(6, dtype=np.int64),
        )
