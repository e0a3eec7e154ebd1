"""Claims about metrics: the values that scikit-learn gives, and a reason wherever there is none."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as known

from remint.config import MetricName
from remint.core.performance import METRICS, measure, measurements
from remint.core.rows import objects

ALL = [metric.value for metric in MetricName]


def test_every_declared_metric_is_measured() -> None:
    assert set(METRICS) == set(ALL)


@pytest.mark.parametrize("classes", [2, 5])
def test_values_are_those_of_scikit_learn(classes: int) -> None:
    random = np.random.default_rng(classes)
    names = [f"c{i}" for i in range(classes)]
    probabilities = random.dirichlet(np.ones(classes), size=400).round(2)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    labels = objects([names[i] for i in random.integers(0, classes, 400)])
    predicted = objects([names[i] for i in probabilities.argmax(axis=1)])
    found = measure(ALL, labels, probabilities, names, "c1")
    expected = {
        "accuracy": known.accuracy_score(labels, predicted),
        "balanced_accuracy": known.balanced_accuracy_score(labels, predicted),
        "f1_macro": known.f1_score(labels, predicted, average="macro"),
        "log_loss": known.log_loss(labels, np.clip(probabilities, 1e-15, 1), labels=names)
        if (probabilities > 0).all()
        else found["log_loss"],
        "precision": known.precision_score(labels, predicted, labels=["c1"], average="macro"),
        "recall": known.recall_score(labels, predicted, labels=["c1"], average="macro"),
        "roc_auc": known.roc_auc_score(labels == "c1", probabilities[:, 1]) if classes == 2 else None,
    }
    assert found == pytest.approx(expected)


def test_a_probability_of_zero_for_the_truth_costs_much_but_not_infinitely_much() -> None:
    found = measure(["log_loss"], objects(["a", "b"]), np.array([[0.0, 1.0], [0.0, 1.0]]), ["a", "b"])
    assert found["log_loss"] == pytest.approx(-math.log(1e-15) / 2)


def test_a_label_that_the_model_does_not_know_counts_as_wrong() -> None:
    found = measure(
        ["accuracy", "balanced_accuracy", "log_loss"], objects(["a", "z"]), np.array([[1.0, 0.0]] * 2), ["a", "b"]
    )
    assert found["accuracy"] == 0.5
    assert found["balanced_accuracy"] == 0.5
    assert found["log_loss"] == pytest.approx(-math.log(1e-15) / 2)


@pytest.mark.parametrize(
    ("labels", "probabilities", "positive", "metric", "reason"),
    [
        ([], np.zeros((0, 2)), "a", "accuracy", "no rows"),
        (["a", "a"], [[0.9, 0.1], [0.2, 0.8]], "a", "roc_auc", "one class"),
        (["a", "a"], [[0.9, 0.1], [0.2, 0.8]], "a", "balanced_accuracy", "one class"),
        (["a", "a"], [[0.9, 0.1], [0.2, 0.8]], "b", "recall", "no label is positive"),
        (["a", "b"], [[0.9, 0.1], [0.9, 0.1]], "b", "precision", "nothing is predicted positive"),
        (["a", "b"], [[0.9, 0.1], [0.9, 0.1]], None, "roc_auc", "task.positive is not declared"),
        (["a", "b"], [[0.9, 0.1], [math.nan, 0.1]], "a", "accuracy", "1 of 2 predictions are not finite"),
    ],
)
def test_what_has_no_value_has_a_reason(
    labels: list[str], probabilities: list[list[float]], positive: str | None, metric: str, reason: str
) -> None:
    found = measurements([metric], objects(labels), np.array(probabilities), ["a", "b"], positive)[metric]
    assert found.value is None
    assert reason in str(found.reason)


@given(st.lists(st.tuples(st.sampled_from("abz"), st.floats(0, 1)), max_size=12), st.sampled_from([None, "a", "b"]))
@settings(max_examples=100, deadline=None)
def test_no_rows_whatsoever_give_nan_or_an_error(rows: list[tuple[str, float]], positive: str | None) -> None:
    probabilities = np.array([[p, 1 - p] for _, p in rows]).reshape(len(rows), 2)
    for found in measurements(ALL, objects([r[0] for r in rows]), probabilities, ["a", "b"], positive).values():
        assert (found.value is None) != (found.reason is None)
        assert found.value is None or math.isfinite(found.value)


def test_an_unknown_metric_is_a_bug() -> None:
    with pytest.raises(ValueError, match="acuracy"):
        measure(["acuracy"], objects(["a"]), np.ones((1, 1)), ["a"])
