"""The paired bootstrap and McNemar's test, against scikit-learn, the normal approximation and the binomial table."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from sklearn import metrics as reference

from remint.core.paired import Scored, disagreement, distinct, exchanged, intervals, weighted
from remint.core.performance import measure

METRICS = ["accuracy", "balanced_accuracy", "f1_macro", "log_loss", "precision", "recall", "roc_auc"]


def scored(seed: int = 0, *, rows: int = 200, classes: int = 2) -> tuple[Scored, npt.NDArray[np.str_]]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, rows)
    probabilities = generator.dirichlet(np.ones(classes), rows)
    keys = np.array([f"k{i}" for i in generator.integers(0, rows // 3, rows)])
    return Scored(labels.astype(np.int64), probabilities, 1), keys


def from_scikit_learn(name: str, model: Scored, weights: npt.NDArray[np.float64]) -> float:
    said, true, p = model.predicted, model.labels, model.probabilities
    match name:
        case "accuracy":
            return reference.accuracy_score(true, said, sample_weight=weights)
        case "balanced_accuracy":
            return reference.balanced_accuracy_score(true, said, sample_weight=weights)
        case "f1_macro":
            return reference.f1_score(true, said, average="macro", sample_weight=weights)
        case "log_loss":
            return reference.log_loss(true, p, sample_weight=weights, labels=range(p.shape[1]))
        case "precision":
            return reference.precision_score(true, said, pos_label=1, sample_weight=weights)
        case "recall":
            return reference.recall_score(true, said, pos_label=1, sample_weight=weights)
        case _:
            return reference.roc_auc_score(true, p[:, 1], sample_weight=weights)


@pytest.mark.parametrize("name", METRICS)
def test_weighted_metrics_are_those_of_scikit_learn(name: str) -> None:
    model, keys = scored()
    group, count = distinct(keys)
    draws = np.random.default_rng(1).multinomial(count, np.full(count, 1 / count), size=3).astype(float)
    ours = weighted(name, model, keys, draws)
    theirs = [from_scikit_learn(name, model, weights[group]) for weights in draws]
    assert ours == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("classes", [2, 4])
def test_with_equal_weights_the_metrics_are_those_of_the_evaluation(classes: int) -> None:
    model, keys = scored(2, classes=classes)
    model.labels[:5] = -1  # labels that the model does not know
    names = [str(code) for code in range(classes)]
    labels = np.array([names[c] if c >= 0 else "new" for c in model.labels.tolist()], dtype=object)
    measured = measure(METRICS, labels, model.probabilities, names, "1")
    ones = np.ones((1, distinct(keys)[1]))
    known = {name: value for name, value in measured.items() if value is not None}
    assert {name: weighted(name, model, keys, ones)[0] for name in known} == pytest.approx(known)
    assert len(known) == (7 if classes == 2 else 6)  # roc_auc needs two classes


def test_tied_scores_count_half_in_roc_auc() -> None:
    model = Scored(np.array([0, 1, 0, 1]), np.full((4, 2), 0.5), 1)
    keys = np.array(["a", "b", "c", "d"])
    assert weighted("roc_auc", model, keys, np.ones((1, 4))) == pytest.approx([0.5])


def test_a_label_outside_the_classes_is_wrong_and_costs_the_log_loss_its_most() -> None:
    model = Scored(np.array([-1]), np.array([[1.0, 0.0]]))
    keys, ones = np.array(["a"]), np.ones((1, 1))
    assert weighted("accuracy", model, keys, ones) == pytest.approx([0.0])
    assert weighted("log_loss", model, keys, ones) == pytest.approx([34.54], abs=0.01)


def two_models(rows: int, seed: int = 3) -> tuple[Scored, Scored]:
    """A champion right on 70 % of the rows and a challenger right on 80 %, independently."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, rows)
    models = []
    for accuracy in (0.7, 0.8):
        said = np.where(generator.random(rows) < accuracy, labels, 1 - labels)
        models.append(Scored(labels, np.eye(2)[said] * 0.8 + 0.1, 1))
    return models[0], models[1]


def test_the_interval_is_as_wide_as_theory_says() -> None:
    rows = 2_000
    champion, challenger = two_models(rows)
    keys = np.array([f"k{i}" for i in range(rows)])
    noise = intervals(["accuracy"], champion, challenger, keys, seed=0)["accuracy"]
    assert noise is not None
    gain = (challenger.predicted == challenger.labels).astype(float) - (champion.predicted == champion.labels)
    error = gain.std() / np.sqrt(rows)
    assert noise.low == pytest.approx(gain.mean() - 1.96 * error, abs=0.1 * error)
    assert noise.high == pytest.approx(gain.mean() + 1.96 * error, abs=0.1 * error)


def test_rows_repeated_seventeen_times_are_not_seventeen_times_as_sure() -> None:
    champion, challenger = two_models(100)
    keys = np.array([f"k{i}" for i in range(100)])
    once = intervals(["accuracy"], champion, challenger, keys, seed=0)["accuracy"]
    again = np.tile(np.arange(100), 17)
    repeated = [Scored(m.labels[again], m.probabilities[again]) for m in (champion, challenger)]
    many = intervals(["accuracy"], *repeated, keys[again], seed=0)["accuracy"]
    assert once is not None
    assert many is not None
    assert (many.low, many.high) == pytest.approx((once.low, once.high))
    assert disagreement(*repeated, keys[again]) == disagreement(champion, challenger, keys)


def test_the_same_seed_gives_the_same_interval() -> None:
    champion, challenger = two_models(60)
    keys = np.array([f"k{i}" for i in range(60)])
    first, second, other = (intervals(METRICS, champion, challenger, keys, seed=seed, draws=200) for seed in (5, 5, 6))
    assert first == second
    assert first != other


def test_no_interval_where_no_draw_has_the_metric() -> None:
    one_class = Scored(np.zeros(5, dtype=np.int64), np.tile([0.9, 0.1], (5, 1)), 1)
    keys = np.array(list("abcde"))
    assert intervals(["roc_auc"], one_class, one_class, keys, seed=0) == {"roc_auc": None}
    nothing = Scored(np.zeros(0, dtype=np.int64), np.zeros((0, 2)))
    assert intervals(["accuracy"], nothing, nothing, keys[:0], seed=0) == {"accuracy": None}


def test_mcnemar_is_the_exact_binomial_over_disagreements() -> None:
    labels = np.ones(30, dtype=np.int64)
    right, wrong = np.array([0.1, 0.9]), np.array([0.9, 0.1])
    champion = Scored(labels, np.array([right] * 1 + [wrong] * 9 + [right] * 20))
    challenger = Scored(labels, np.array([wrong] * 1 + [right] * 9 + [right] * 20))
    found = disagreement(champion, challenger, np.array([f"k{i}" for i in range(30)]))
    assert (found.champion_right, found.challenger_right) == (1, 9)
    assert found.p_value == pytest.approx(2 * (1 + 10) / 2**10)  # P(at most 1 of 10), twice


def test_models_that_never_disagree_have_a_p_value_of_one() -> None:
    champion, _ = two_models(20)
    assert disagreement(champion, champion, np.array([f"k{i}" for i in range(20)])).p_value == 1.0


@pytest.mark.parametrize("name", METRICS)
def test_swapping_the_models_mirrors_the_interval_and_a_model_against_itself_has_none(name: str) -> None:
    champion, challenger = two_models(80)
    keys = np.array([f"k{i}" for i in range(80)])
    there = intervals([name], champion, challenger, keys, seed=4, draws=200)[name]
    back = intervals([name], challenger, champion, keys, seed=4, draws=200)[name]
    same = intervals([name], champion, champion, keys, seed=4, draws=200)[name]
    assert there is not None
    assert back is not None
    assert same is not None
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert (same.low, same.high) == (0, 0)


@pytest.mark.parametrize("name", METRICS)
def test_exchanging_answers_is_even_about_zero(name: str) -> None:
    champion, challenger = two_models(60)
    keys = np.array([f"k{i}" for i in range(60)])
    found = exchanged(name, champion, challenger, keys, seed=1, draws=4_000)
    assert np.mean(found) == pytest.approx(0, abs=4 * found.std() / np.sqrt(4_000))
    assert np.abs(exchanged(name, champion, champion, keys, seed=1, draws=50)).max() < 1e-12


def test_two_keys_have_four_exchanges() -> None:
    labels = np.array([1, 1])
    champion, challenger = (
        Scored(labels, np.array([[0.1, 0.9]] * 2), 1),
        Scored(labels, np.array([[0.9, 0.1]] * 2), 1),
    )
    found = exchanged("accuracy", champion, challenger, np.array(["a", "b"]), seed=2, draws=8_000)
    assert {v: (found == v).mean() for v in np.unique(found).tolist()} == pytest.approx(
        {-1: 0.25, 0: 0.5, 1: 0.25}, abs=0.02
    )
