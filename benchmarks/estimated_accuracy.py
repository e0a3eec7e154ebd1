"""How far is the label-free estimate of accuracy from the truth, under drift of each kind?

    .venv/bin/python benchmarks/estimated_accuracy.py [--repeats 200] [--held-out 1500] [--window 2000] [--seed 0]

Two models on rows whose classes follow a known probability: a logistic regression that misses an interaction, and
boosted trees that are far too sure of themselves. In each repeat held-out rows give the calibration, a window of
drifted rows gives the confidences, and the truth is the model's accuracy on 200,000 rows of the drifted kind. Beside
it: the mean confidence, which is what estimators without calibration add up (CBPE on raw scores).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from remint.core.accuracy import estimate_accuracy
from remint.core.profile import build_reference
from remint.core.schema import Column, Kind, Schema
from remint.core.table import Table

Rows = npt.NDArray[np.float64]
World = Callable[[np.random.Generator, int], tuple[Rows, npt.NDArray[np.bool_]]]  # rows and their classes

FEATURES: Final = 5
SCHEMA: Final = Schema(
    pipeline="bench",
    features=(Column(name="x0", kind=Kind.NUMERIC),),
    label="y",
    classes=("0", "1"),
)


def probability(x: Rows, *, turn: float = 0.0) -> npt.NDArray[np.float64]:
    """Of class 1. ``turn``: an angle by which the concept turns in the plane of the first two features."""
    a = np.cos(turn) * x[:, 0] - np.sin(turn) * x[:, 1]
    b = np.sin(turn) * x[:, 0] + np.cos(turn) * x[:, 1]
    return np.asarray(1 / (1 + np.exp(-(2.0 * a + 1.2 * b + 0.6 * x[:, 2] + 0.5 * x[:, 0] * x[:, 2]))))


def covariates(shift: float = 0.0, scale: float = 1.0, turn: float = 0.0) -> World:
    def draw(random: np.random.Generator, rows: int) -> tuple[Rows, npt.NDArray[np.bool_]]:
        x = scale * random.normal(size=(rows, FEATURES)) + shift * np.array([1, 0.5, 0.5, 0, 0])
        return x, random.random(rows) < probability(x, turn=turn)

    return draw


def labels(positives: float) -> World:
    """As without drift within each class, but ``positives`` of the rows are of class 1."""

    def draw(random: np.random.Generator, rows: int) -> tuple[Rows, npt.NDArray[np.bool_]]:
        x, y = covariates()(random, 8 * rows)
        wanted = round(rows * positives)
        kept = np.concatenate([np.flatnonzero(y)[:wanted], np.flatnonzero(~y)[: rows - wanted]])
        return x[kept], y[kept]

    return draw


WORLDS: Final[dict[str, World]] = {
    "no drift": covariates(),
    "covariate drift: mean by 0.5 sigma": covariates(shift=0.5),
    "covariate drift: mean by 1 sigma": covariates(shift=1.0),
    "covariate drift: half the spread": covariates(scale=0.5),
    "covariate drift: 1.5 times the spread": covariates(scale=1.5),
    "label shift: 30 % positives": labels(0.3),
    "label shift: 10 % positives": labels(0.1),
    "concept drift: turned by 15 degrees": covariates(turn=np.pi / 12),
    "concept drift: turned by 45 degrees": covariates(turn=np.pi / 4),
}


def trained(name: str, random: np.random.Generator) -> Any:
    x, y = covariates()(random, 4_000)
    match name:
        case "logistic":
            return LogisticRegression().fit(x, y)
        case "trees":
            sure = {"max_iter": 300, "learning_rate": 0.2, "max_leaf_nodes": 63}
            return HistGradientBoostingClassifier(**sure, random_state=0).fit(x, y)
        case _:
            raise ValueError(name)


def asked(model: Any, x: Rows) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """Predicted class and its confidence."""
    positive = model.predict_proba(x)[:, 1]
    return positive > 0.5, np.maximum(positive, 1 - positive)


def repeat(
    model: Any, world: World, random: np.random.Generator, *, held_out: int, window: int, truth: float
) -> tuple[float, float, bool, float]:
    """Error of the estimate, error of the mean confidence, whether the interval holds the truth, and its width."""
    x, y = covariates()(random, held_out)
    predicted, confidence = asked(model, x)
    reference = build_reference(
        SCHEMA,
        Table(SCHEMA.features, {"x0": x[:, 0]}),
        held_out_predicted=np.where(predicted, "1", "0"),
        held_out_confidence=confidence,
        held_out_right=predicted == y,
    )
    x, _ = world(random, window)
    _, confidence = asked(model, x)
    counts = {"@confidence": reference.field("@confidence").count(confidence)}
    found = estimate_accuracy(reference, counts, alpha=0.05)
    return (
        found.estimate - truth,
        float(confidence.mean()) - truth,
        found.lower <= truth <= found.upper,
        found.upper - found.lower,
    )


def measure(
    *,
    repeats: int,
    held_out: int,
    window: int,
    seed: int,
    worlds: dict[str, World],
    models: Sequence[str] = ("logistic", "trees"),
    truth_rows: int = 200_000,
) -> list[dict[str, Any]]:
    """A row of results for each model and world."""
    random = np.random.default_rng(seed)
    found = []
    for name in models:
        model = trained(name, random)
        usual: float | None = None
        for title, world in worlds.items():
            x, y = world(random, truth_rows)
            truth = float((asked(model, x)[0] == y).mean())
            usual = truth if usual is None else usual
            runs = np.array(
                [repeat(model, world, random, held_out=held_out, window=window, truth=truth) for _ in range(repeats)]
            )
            found.append(
                {
                    "model": name,
                    "drift": title,
                    "truth": truth,
                    "lost": usual - truth,
                    "bias": runs[:, 0].mean(),
                    "error": np.abs(runs[:, 0]).mean(),
                    "confidence_error": np.abs(runs[:, 1]).mean(),
                    "coverage": runs[:, 2].mean(),
                    "width": runs[:, 3].mean(),
                }
            )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--held-out", type=int, default=1_500)
    parser.add_argument("--window", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print("| model | drift | true accuracy | lost | bias | error | error of mean confidence | 95 % holds | width |")
    print("|---|---|--:|--:|--:|--:|--:|--:|--:|")
    for row in measure(repeats=args.repeats, held_out=args.held_out, window=args.window, seed=args.seed, worlds=WORLDS):
        figures = (
            f"{row['truth']:.3f} | {row['lost']:+.3f} | {row['bias']:+.3f} | {row['error']:.3f}",
            f"{row['confidence_error']:.3f} | {100 * row['coverage']:.0f} % | {row['width']:.3f}",
        )
        print(f"| {row['model']} | {row['drift']} | {' | '.join(figures)} |", flush=True)


if __name__ == "__main__":
    main()
