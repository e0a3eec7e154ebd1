"""Several candidates and earlier champions tried on the newest training rows; the one that goes to the gate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from remint.adapters.bundle import Prediction, predict
from remint.config import Params
from remint.core.choose import Choice, Contender, choose, selection_rows
from remint.core.paired import Scored
from remint.core.rows import LabelledRows
from remint.core.schema import Schema
from remint.errors import DataError
from remint.workflows.earlier import Fetched, unseen
from remint.workflows.fitting import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """What goes to the gate: a recipe to train on all rows, or an earlier champion as it is."""

    winner: Recipe | Fetched
    record: dict[str, Any] | None  # for metadata.json; None where there was nothing to choose from


def select(
    params: Params,
    schema: Schema,
    training: LabelledRows,
    recipes: Sequence[Recipe],
    earlier: Sequence[Fetched],
) -> Selected:
    """Try each recipe without the newest training rows, and judge all on those; see ``core.choose``.

    Raises DataError where what is left cannot be learned from.
    """
    if len(recipes) == 1 and not earlier:
        return Selected(winner=recipes[0], record=None)
    rules = params.train.selection
    chosen_on = selection_rows(
        training, share=rules.share, min_rows=rules.min_rows, salt=f"{params.pipeline}:{params.prepare.seed}"
    )
    newest = training.take(chosen_on)
    keys = set(newest.keys.tolist())
    older = training.take(~chosen_on & np.array([key not in keys for key in training.keys.tolist()], dtype=bool))
    contenders = [_candidate(params, schema, recipe, older, newest) for recipe in recipes]
    contenders += [_champion(params, known, newest) for known in earlier]
    choice = choose(contenders, newest.keys, metric=rules.metric.value, min_rows=rules.min_rows, seed=params.train.seed)
    by_name: dict[str, Recipe | Fetched] = {recipe.name: recipe for recipe in recipes}
    by_name |= {known.champion.tag: known for known in earlier}
    return Selected(winner=by_name[choice.chosen], record=_record(choice, by_name, newest.rows))


def _candidate(params: Params, schema: Schema, recipe: Recipe, older: LabelledRows, newest: LabelledRows) -> Contender:
    rows = recipe.rows(older)
    if len(set(rows.labels.tolist())) < 2:
        raise DataError(
            f"candidate {recipe.name!r} cannot be tried: without the newest rows one class is left in {recipe.window}",
            where="params.yaml: train.candidates",
            hint="a wider window, or a smaller train.selection.share",
        )
    found = predict(recipe.fit(schema, rows), schema, newest.table)
    return Contender(
        name=recipe.name,
        scored=_scored(params, schema, found, newest, recipe.name),
        unseen=np.ones(newest.rows, dtype=bool),
    )


def _champion(params: Params, known: Fetched, newest: LabelledRows) -> Contender:
    tag = known.champion.tag
    if known.bundle is None:
        return Contender(name=tag, scored=None, unseen=np.zeros(newest.rows, dtype=bool), note=known.note)
    found = known.bundle.predict(newest.table)
    return Contender(
        name=tag,
        scored=_scored(params, known.bundle.schema, found, newest, tag),
        unseen=unseen(known.bundle.metadata, newest),
    )


def _scored(params: Params, schema: Schema, found: Prediction, rows: LabelledRows, name: str) -> Scored:
    """In the class codes of the model's own schema: a class that it does not know it cannot get right."""
    if not np.isfinite(found.probabilities).all():
        raise DataError(f"the probabilities of {name!r} are not finite", where="params.yaml: train.candidates")
    code = {label: i for i, label in enumerate(schema.classes)}
    labels = np.array([code.get(label, -1) for label in rows.labels.tolist()], dtype=np.int64)
    positive = params.task.positive
    return Scored(labels, found.probabilities, None if positive is None else code.get(positive))


def _record(choice: Choice, by_name: dict[str, Recipe | Fetched], rows: int) -> dict[str, Any]:
    found = []
    for standing in choice.standings:
        of = by_name[standing.name]
        kind, source = ("candidate", of.estimator) if isinstance(of, Recipe) else ("earlier", of.champion.bundle)
        found.append({**standing.to_json(), "kind": kind, "source": source})
    return {
        "chosen": choice.chosen,
        "reason": choice.reason,
        "metric": choice.metric,
        "rows": rows,
        "candidates": found,
    }
