"""Claims about the estimators that come along: what live rows may hold never makes them fail."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from remint.adapters.bundle import predict
from remint.core.rows import objects
from remint.core.schema import Column, Kind, Schema
from remint.core.table import Table, table_from_rows
from remint.errors import ConfigError
from remint.estimators import boosting, clean_text, linear
from training_examples import features, make_rows


def make_schema(name: str, classes: int = 2) -> Schema:
    return Schema(
        pipeline="shop", features=features(name), label="y", classes=tuple(f"class-{i}" for i in range(classes))
    )


def fitted(make: Any, name: str, classes: int = 2, **parameters: Any) -> tuple[Any, Schema]:
    schema = make_schema(name, classes)
    rows = make_rows(name, 400, classes=classes)
    codes = np.array([schema.classes.index(label) for label in rows.labels])
    if make is boosting:
        parameters = {"max_iter": 20, **parameters}
    return make(schema, parameters, 0).fit(rows.table.matrix(), codes), schema


@pytest.mark.parametrize(
    ("make", "name"),
    [(linear, "linear"), (linear, "text"), (linear, "numbers"), (boosting, "boosting"), (boosting, "numbers")],
)
@pytest.mark.parametrize("classes", [2, 4])
def test_rows_with_missing_values_are_learned_from(make: Any, name: str, classes: int) -> None:
    model, schema = fitted(make, name, classes)
    rows = make_rows(name, 300, seed=9, classes=classes)
    found = predict(model, schema, rows.table)
    majority = max(np.mean(rows.labels == c) for c in schema.classes)
    assert (found.labels == rows.labels).mean() > majority + 0.15
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)


@pytest.mark.parametrize(("make", "name"), [(linear, "linear"), (linear, "text"), (boosting, "boosting")])
def test_a_row_of_nothing_but_surprises_is_answered(make: Any, name: str) -> None:
    model, schema = fitted(make, name)
    surprises: dict[Kind, list[Any]] = {
        Kind.NUMERIC: [None, "1e999", -1e300, 0],
        Kind.CATEGORICAL: [None, "never seen", "\x00", "ſ"],
        Kind.TEXT: [None, "", "\ud800 🙂 日本語 \x00\u202e", "a" * 10_000],
    }
    rows = [{c.name: surprises[c.kind][i] for c in schema.features} for i in range(4)]
    found = predict(model, schema, table_from_rows(schema, rows))
    assert np.isfinite(found.probabilities).all()


def test_no_rows_give_no_answers() -> None:
    model, schema = fitted(linear, "numbers")
    assert predict(model, schema, table_from_rows(schema, [])).probabilities.shape == (0, 2)


@pytest.mark.parametrize("make", [linear, boosting])
def test_a_column_of_a_thousand_categories_and_an_empty_one_are_taken(make: Any) -> None:
    columns = (
        Column(name="id", kind=Kind.CATEGORICAL),
        Column(name="empty", kind=Kind.NUMERIC),
        Column(name="none", kind=Kind.CATEGORICAL),
    )
    schema = Schema(pipeline="shop", features=columns, label="y", classes=("a", "b"))
    rows = 2_000
    table = Table(
        columns,
        {
            "id": objects([f"id-{i % 1000}" for i in range(rows)]),
            "empty": np.full(rows, np.nan),
            "none": objects([None] * rows),
        },
    )
    model = make(schema, {}, 0).fit(table.matrix(), np.arange(rows) % 2)
    assert np.isfinite(predict(model, schema, table).probabilities).all()


def test_a_class_that_the_model_never_saw_has_probability_zero() -> None:
    schema = make_schema("numbers", 4)
    rows = make_rows("numbers", 200)
    model = linear(schema, {}, 0).fit(rows.table.matrix(), np.arange(200) % 2 * 2)
    found = predict(model, schema, rows.table)
    assert found.probabilities.shape == (200, 4)
    assert not found.probabilities[:, [1, 3]].any()
    assert set(found.labels) <= {"class-0", "class-2"}


def test_class_weights_are_declared_by_class_name() -> None:
    rows = make_rows("numbers", 300, seed=3)
    shares = []
    for weight in (None, {"class-1": 20.0}, "balanced"):
        model, schema = fitted(linear, "numbers", class_weight=weight)
        shares.append((predict(model, schema, rows.table).labels == "class-1").mean())
    assert shares[1] > shares[0] + 0.1


def test_boosting_refuses_text_and_says_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"text column 'review'.*remint.estimators:linear"):
        boosting(make_schema("text"), {}, 0)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"max_itr": 5}, "did you mean 'max_iter'"),
        ({"random_state": 5}, "set train.seed"),
        ({"class_weight": {"classy": 2.0}}, "'classy' is not a class of 'y'"),
        ({"class_weight": {"class-1": 0}}, "not above 0"),
    ],
)
@pytest.mark.parametrize("make", [linear, boosting])
def test_parameters_that_cannot_be_are_named(make: Any, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(make_schema("numbers"), parameters, 0)


def test_a_text_is_the_same_however_it_is_typed() -> None:
    assert clean_text("Ｇｏｏｄ ﬁsh") == clean_text("GOOD fish") == "good fish"
