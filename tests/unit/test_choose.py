"""Claims about the choice between models: noise never chooses, and nobody is judged on what it has learned."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from recency_examples import data_of, feedback_of, xs
from remint.core.choose import ALPHA, Choice, Contender, choose, selection_rows
from remint.core.paired import Scored
from remint.core.recency import age_in_rows
from remint.core.rows import join_rows

ROWS = 400
LABELS = np.random.default_rng(0).integers(0, 2, ROWS)
KEYS = np.array([f"{i:032d}" for i in range(ROWS)])


def contender(name: str, accuracy: float, *, seed: int = 1, unseen: int = ROWS) -> Contender:
    """Right on ``accuracy`` of the rows, drawn; the first ``unseen`` rows are unseen."""
    right = np.random.default_rng([seed, int(accuracy * 1000)]).random(ROWS) < accuracy
    sure = np.where(right == (LABELS == 1), 0.8, 0.2)
    return Contender(
        name=name,
        scored=Scored(LABELS.astype(np.int64), np.column_stack([1 - sure, sure])),
        unseen=np.arange(ROWS) < unseen,
    )


def chosen(*contenders: Contender, metric: str = "accuracy", keys: npt.NDArray[np.str_] = KEYS) -> Choice:
    return choose(contenders, keys, metric=metric, min_rows=30, seed=0)


@pytest.mark.parametrize("metric", ["accuracy", "log_loss", "balanced_accuracy"])
def test_clearly_better_wins_and_within_noise_the_first_declared(metric: str) -> None:
    plain, equal, better = contender("plain", 0.7), contender("equal", 0.705), contender("better", 0.9)
    assert chosen(plain, equal, metric=metric).chosen == "plain"
    assert chosen(plain, equal, better, metric=metric).chosen == "better"
    assert chosen(better, equal, plain, metric=metric).chosen == "better"


def test_the_choice_says_what_it_rests_on() -> None:
    found = chosen(contender("plain", 0.7), contender("better", 0.9), contender("equal", 0.895))
    assert found.reason.startswith("'better' is better than 'plain' beyond noise: accuracy 0.")
    first, second, third = found.standings
    assert (first.rival, second.rival, third.rival) == (None, "plain", "better")
    assert second.difference == pytest.approx((second.score or 0) - (first.score or 0))
    assert second.low is not None
    assert second.high is not None
    assert second.low < (second.difference or 0) < second.high
    assert second.confidence == 1 - ALPHA / 2
    assert second.to_json()["rows"] == ROWS


def test_of_equal_models_a_later_one_wins_at_most_at_the_declared_rate() -> None:
    rows, wins = 60, 0
    labels = LABELS[:rows].astype(np.int64)
    for draw in np.random.default_rng(5).random((60, 4, rows)) < 0.75:
        sure = np.where(draw == (labels == 1), 0.8, 0.2)
        models = [
            Contender(
                name=f"m{i}", scored=Scored(labels, np.column_stack([1 - p, p])), unseen=np.ones(rows, dtype=bool)
            )
            for i, p in enumerate(sure)
        ]
        wins += choose(models, KEYS[:rows], metric="accuracy", min_rows=30, seed=0).chosen != "m0"
    assert wins <= 4  # at most 3 expected


def test_copies_of_a_row_are_one_observation() -> None:
    few = np.array([f"{i % 30:032d}" for i in range(ROWS)])
    labels = (np.arange(ROWS) % 30 < 15).astype(np.int64)

    def of(name: str, wrong: int) -> Contender:
        right = np.arange(ROWS) % 30 >= wrong
        sure = np.where(right == (labels == 1), 0.8, 0.2)
        scored = Scored(labels, np.column_stack([1 - sure, sure]))
        return Contender(name=name, scored=scored, unseen=np.ones(ROWS, dtype=bool))

    assert chosen(of("plain", 4), of("other", 0), keys=few).chosen == "plain"  # four people, not fifty rows


def test_a_contender_is_compared_only_on_rows_that_it_has_not_seen() -> None:
    found = chosen(contender("plain", 0.7), contender("old", 0.95, unseen=100))
    assert found.chosen == "old"
    assert found.standings[1].rows == 100
    few = chosen(contender("plain", 0.7), contender("old", 0.95, unseen=20))
    assert few.chosen == "plain"
    assert few.standings[1].note == "20 distinct rows to compare on, 30 needed"
    assert few.reason.endswith("no other was compared")


def test_one_that_could_not_be_asked_says_why() -> None:
    absent = Contender(name="old", scored=None, unseen=np.zeros(ROWS, dtype=bool), note="trained on other columns")
    standing = chosen(contender("plain", 0.7), absent).standings[1]
    assert (standing.score, standing.rows, standing.note) == (None, 0, "trained on other columns")


def test_a_metric_without_a_value_chooses_nobody() -> None:
    one = Scored(np.zeros(ROWS, dtype=np.int64), np.tile([0.3, 0.7], (ROWS, 1)))
    other = Scored(one.labels, np.tile([0.7, 0.3], (ROWS, 1)))
    everything = np.ones(ROWS, dtype=bool)
    pair = [Contender(name=n, scored=s, unseen=everything) for n, s in (("plain", one), ("right", other))]
    assert chosen(*pair, metric="balanced_accuracy").standings[1].note == "balanced_accuracy has no value on these rows"
    assert chosen(*pair).chosen == "right"


def test_the_newest_rows_are_chosen_on_where_times_are_known() -> None:
    rows = join_rows([data_of(list(range(80))[::-1]), feedback_of(list(range(80, 100)))])
    mask = selection_rows(rows, share=0.3, min_rows=30, salt="p:0")
    assert mask.sum() == 30
    assert (age_in_rows(rows)[mask] < 30).all()


def test_without_times_the_newest_feedback_or_rows_drawn_by_their_features() -> None:
    data, feedback = data_of(None, rows=2000), feedback_of([1] * 200, first=5000.0)
    mask = selection_rows(join_rows([data, feedback]), share=0.2, min_rows=30, salt="p:0")
    assert xs(join_rows([data, feedback]).take(mask)) == [5160.0 + i for i in range(40)]
    few = join_rows([data, feedback.take(np.arange(70))])
    assert selection_rows(few, share=0.2, min_rows=30, salt="p:0").sum() == 30  # filled up, as half would be 35
    drawn = selection_rows(data, share=0.2, min_rows=30, salt="p:0")
    assert drawn.mean() == pytest.approx(0.2, abs=0.03)
    again = selection_rows(data.take(np.arange(2000)[::-1]), share=0.2, min_rows=30, salt="p:0")
    assert (again[::-1] == drawn).all()
