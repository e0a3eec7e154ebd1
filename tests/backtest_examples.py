"""A recorded past, made of a seed: counts by the hour over a reference's bins, with drift where it is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from scipy.stats import norm

from params_examples import NO_DATA
from remint.config import Check
from remint.core.history import CountsHistory
from remint.core.profile import CONFIDENCE, PREDICTION, FieldProfile, FieldRole, Measure, Reference
from remint.workflows.backtest_recording import Chapter, StepRecording
from remint.workflows.judging import Watched

START = datetime(2026, 1, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
EDGES = tuple(float(x) for x in norm.ppf(np.linspace(0.001, 0.999, 11)))  # 13 bins
TRAINING_ROWS = 20_000


def make_reference(features: int = 2) -> Reference:
    """Standard normal features in ten bins and two outer ones, two classes, ten bins of confidence."""
    names = [(f"f{i}", FieldRole.FEATURE, EDGES) for i in range(features)]
    confidence = (CONFIDENCE, FieldRole.CONFIDENCE, tuple(np.linspace(0.5, 1.0, 11).tolist()))
    fields = [
        FieldProfile(
            name=name, role=role, column=name, measure=Measure.VALUE, edges=edges, values=None, counts=(0,) * 13
        )
        for name, role, edges in (*names, confidence)
    ]
    fields = [replace(f, counts=tuple(np.rint(TRAINING_ROWS * shares(f, 0.0)).astype(int).tolist())) for f in fields]
    predicted = FieldProfile(
        name=PREDICTION,
        role=FieldRole.PREDICTION,
        column=PREDICTION,
        measure=Measure.VALUE,
        edges=None,
        values=("no", "yes"),
        counts=(0, 0, 12_000, 8_000),
    )
    return Reference(
        id="sha256:r",
        pipeline="churn",
        training_rows=TRAINING_ROWS,
        fields=(*fields[:-1], predicted, fields[-1]),
        vocabularies={},
    )


def shares(field: FieldProfile, shift: float) -> np.ndarray:
    """The share of each bin where a feature's mean has moved by ``shift`` standard deviations."""
    if field.role is FieldRole.FEATURE:
        return np.array([0.0, *np.diff(norm.cdf([-np.inf, *EDGES, np.inf], loc=shift))])
    if field.role is FieldRole.CONFIDENCE:
        return np.array([0.0, 0.0, *[0.1] * 10, 0.0])
    return np.array([0.0, 0.0, 0.6, 0.4])


def make_history(
    reference: Reference,
    days: int,
    *,
    rows: int = 60,
    labels: int = 6,
    shifts: Sequence[tuple[int, float]] = (),
    accuracies: Sequence[tuple[int, float]] = ((0, 0.9),),
    gaps: Sequence[tuple[int, int]] = (),
    seed: int = 0,
) -> CountsHistory:
    """``shifts`` and ``accuracies`` hold (from this day on, value); ``gaps`` (first, last hour) without samples."""
    random = np.random.default_rng(seed)
    steps = 24 * days
    counts = {}
    for field in reference.fields:
        table = random.multinomial(rows, shares(field, 0.0), size=steps)
        if field.name == "f0":
            for day, shift in shifts:
                table[24 * day :] = random.multinomial(rows, shares(field, shift), size=steps - 24 * day)
        counts[field.name] = table.astype(np.int64)
    right = np.zeros(steps, dtype=np.int64)
    for day, accuracy in accuracies:
        right[24 * day :] = random.binomial(labels, accuracy, size=steps - 24 * day)
    covered = np.ones(steps, dtype=bool)
    for first, last in gaps:
        covered[first:last] = False
    for table in (*counts.values(), right):
        table[~covered] = 0
    wrong = np.where(covered, labels - right, 0)
    return CountsHistory(start=START, step=HOUR, counts=counts, covered=covered, right=right, wrong=wrong)


def chapter(reference: Reference, history: CountsHistory, *, promoted_at: datetime = START) -> Chapter:
    metrics = {"test": {"accuracy": 0.9}, "rows": {"test": 2_000}}
    watched = Watched(
        reference=reference,
        promoted_at=promoted_at,
        training_rows=TRAINING_ROWS,
        metrics=metrics,
        where="churn#stable#1",
    )
    return Chapter(watched=watched, recording=StepRecording(history))


DRIFT: Mapping[str, Any] = {"kind": "drift", "role": "feature"}
ACCURACY: Mapping[str, Any] = {"kind": "accuracy", "drop": 0.05}


def check_of(rules: Mapping[str, Mapping[str, Any]], **changes: Any) -> Check:
    return Check.model_validate({"no_data": NO_DATA, **changes, "rules": {k: dict(v) for k, v in rules.items()}})
