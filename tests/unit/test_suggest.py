"""Claims about what init takes an unknown column for."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from remint.core.rows import objects
from remint.core.schema import Kind
from remint.core.suggest import LEAKS, SUSPICIOUS, Suggestion, lone_accuracy, suggest


def suggestion(values: Sequence[object], name: str = "column") -> Suggestion:
    texts = objects([None if v is None else str(v) for v in values])
    numeric = all(v is None or isinstance(v, int | float) for v in values)
    numbers = np.array([math.nan if v is None else v for v in values], dtype=np.float64) if numeric else None
    return suggest(name, texts, numbers)


PROSE = [f"The soup number {i} was cold, and the waiter did not care" for i in range(100)]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1.5, 2.5, None] * 40, Kind.NUMERIC),
        ([0, 1] * 50, Kind.NUMERIC),
        (["red", "blue", None] * 40, Kind.CATEGORICAL),
        (PROSE, Kind.TEXT),
        (["今日は天気がとても良いので散歩に行きました" + str(i) for i in range(100)], Kind.TEXT),
        ([f"user-{i:05d}" for i in range(100)], Kind.IGNORED),
        (list(range(1000, 1100)), Kind.IGNORED),
        ([None] * 10, Kind.IGNORED),
        (["same"] * 10, Kind.IGNORED),
        ([f"2026-01-{1 + i % 28:02d} 10:00" for i in range(60)], Kind.IGNORED),
        ([f"{1 + i % 28}/1/2026" for i in range(60)], Kind.IGNORED),
        ([str(i) for i in range(99)] + ["unknown"], Kind.IGNORED),
    ],
)
def test_a_column_is_what_its_values_look_like(values: Sequence[object], kind: Kind) -> None:
    assert suggestion(values).kind is kind


def test_times_are_suggested_as_the_time_column_without_an_alarm() -> None:
    found = suggestion(["2026-01-31T10:00:00Z"] * 3 + ["2026-02-01T10:00:00Z"])
    assert found.looks_like_time
    assert found.warning is None


def test_unix_times_are_times_by_their_name_alone() -> None:
    values = [1_767_225_600 + 60 * i for i in range(100)]
    assert suggestion(values, "created_at").looks_like_time
    assert not suggestion(values, "income").looks_like_time


def test_identifiers_are_ignored_with_a_warning() -> None:
    found = suggestion([10_000_000 + i * 7919 for i in range(100)], "customer_id")
    assert found.kind is Kind.IGNORED
    assert found.warning is not None
    assert "identifier" in found.warning


def test_whole_numbers_that_may_be_an_amount_stay_with_a_warning() -> None:
    found = suggestion([100_000 + i * 7919 for i in range(100)], "income")
    assert found.kind is Kind.NUMERIC
    assert found.warning is not None


def test_a_word_that_ends_in_id_is_no_identifier() -> None:
    assert suggestion([100_000 + i * 7919 for i in range(100)], "paid").kind is Kind.NUMERIC


LABELS = objects(["yes", "no", "no", "yes", "no"] * 40)


def test_a_column_that_is_the_label_by_another_name_leaks() -> None:
    other_name = objects([{"yes": "churned", "no": None}[label] for label in LABELS.tolist()])
    assert lone_accuracy(other_name, LABELS) >= LEAKS
    scores = np.array([0.9 if label == "yes" else 0.1 for label in LABELS.tolist()]) + np.linspace(0, 0.05, 200)
    assert lone_accuracy(scores, LABELS) >= LEAKS


def test_a_column_without_anything_to_say_does_not_leak() -> None:
    noise = np.random.default_rng(0).normal(size=200)
    assert lone_accuracy(noise, LABELS) < 0.7
    assert lone_accuracy(np.full(200, np.nan), LABELS) < SUSPICIOUS


def test_a_rare_class_does_not_make_a_useless_column_look_good() -> None:
    labels = objects(["yes"] * 4 + ["no"] * 196)
    assert lone_accuracy(np.arange(200.0) % 7, labels) <= 0.5


def test_too_few_rows_prove_no_leak() -> None:
    assert math.isnan(lone_accuracy(np.arange(10.0), objects(["a", "b"] * 5)))
