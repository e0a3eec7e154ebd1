"""Claims about how an estimator is named: our protocol, a team's own function, or a class as it is."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from remint.core.recency import ALL
from remint.core.schema import Column, Kind, Schema
from remint.errors import ConfigError
from remint.workflows.fitting import Recipe

SCHEMA = Schema(pipeline="shop", features=(Column(name="x", kind=Kind.NUMERIC),), label="y", classes=("no", "yes"))


def ours(_: Schema, parameters: Any, seed: int) -> LogisticRegression:
    return LogisticRegression(**parameters, random_state=seed)


def theirs(depth: int, seed: int = 0) -> RandomForestClassifier:
    return RandomForestClassifier(max_depth=depth, random_state=seed)


def bare() -> LogisticRegression:
    return LogisticRegression()


def made(make: Any, **parameters: Any) -> Any:
    recipe = Recipe(
        name="one", estimator="m:make", make=make, parameters=parameters, window=ALL, seed=7, where="params.yaml: train"
    )
    return recipe.model(SCHEMA)


def test_a_function_of_the_schema_is_called_as_documented() -> None:
    assert made(ours, C=2.0).get_params()["C"] == 2.0
    assert made(ours).random_state == 7


def test_a_function_or_class_of_ones_own_is_called_by_its_own_names() -> None:
    assert (made(theirs, depth=3).max_depth, made(theirs, depth=3).random_state) == (3, 7)
    assert made(RandomForestClassifier, n_estimators=9).get_params()["n_estimators"] == 9
    assert made(RandomForestClassifier).random_state == 7
    assert made(bare).random_state is None


@pytest.mark.parametrize(
    ("make", "parameters", "message"),
    [
        (theirs, {"dept": 3}, r"train\.parameters: m:make takes no 'dept' \(did you mean 'depth'"),
        (theirs, {"depth": 3, "seed": 1}, r"seed is not a parameter here \(set train\.seed"),
        (theirs, {}, r"m:make raised TypeError: .*missing 1 required positional argument: 'depth'"),
    ],
)
def test_a_wrong_parameter_is_named(make: Any, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        made(make, **parameters)
