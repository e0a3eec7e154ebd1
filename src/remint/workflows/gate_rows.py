"""The gate's rows: fresh, golden and test rows as both models see them, compared, and cut into slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from remint.adapters.bundle import Bundle
from remint.adapters.frames import read_rows
from remint.config import Params
from remint.config.gate import Slice
from remint.core.gate import Comparison, Pair
from remint.core.paired import Scored, disagreement, distinct, intervals
from remint.core.performance import measure
from remint.core.rows import LabelledRows
from remint.core.schema import Kind
from remint.core.slices import Cut, Part, by_edges, by_value, quantile_edges
from remint.core.table import as_number
from remint.errors import BundleError, DataError
from remint.workflows.prepare import PREPARED


@dataclass(frozen=True, slots=True)
class Side:
    """The same labelled rows, as each of the two models sees them."""

    challenger: LabelledRows
    champion: LabelledRows | None

    @property
    def rows(self) -> int:
        return self.challenger.rows

    def after(self, sequence: int) -> Side:
        """The rows of feedback that arrived later than ``sequence``."""
        late = self.challenger.sequence > sequence
        return Side(self.challenger.take(late), None if self.champion is None else self.champion.take(late))


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A comparison, with the rows and answers that it was made of. Both models' answers are over the same classes."""

    comparison: Comparison
    rows: LabelledRows
    champion: Scored | None
    challenger: Scored

    @property
    def keys(self) -> npt.NDArray[np.str_]:
        return self.rows.keys


@dataclass(frozen=True, slots=True, kw_only=True)
class AllCompared:
    """The rows that decide, the golden set and the test rows, and what a reader has to know about them."""

    judged: Compared
    golden: Compared
    test: Compared
    notes: list[str]


def compare_all(params: Params, directory: Path, challenger: Bundle, champion: Bundle | None) -> AllCompared:
    """Fresh rows decide where there are any; else the test rows do, and a note says so. Raises DataError, BundleError.

    Feedback that had arrived when the champion was trained may be among its training rows and is left out.
    """
    sides = {name: _side(directory, name, challenger, champion) for name in ("fresh", "golden", "test")}
    notes: list[str] = []
    fresh = sides["fresh"]
    if champion is not None:
        until = _until(champion)
        fresh = fresh.after(until)
        if dropped := sides["fresh"].rows - fresh.rows:
            notes.append(
                f"{dropped} fresh rows had arrived when the champion was trained (number {until} and before): left out"
            )
    golden, test = (_compare(name, sides[name], params, challenger, champion) for name in ("golden", "test"))
    if fresh.rows:
        judged = _compare("fresh", fresh, params, challenger, champion)
        return AllCompared(judged=judged, golden=golden, test=test, notes=notes)
    since = "yet" if champion is None else "since the champion was trained"
    notes.append(f"no labelled feedback has arrived {since}: judged on the test rows instead of fresh ones")
    return AllCompared(judged=test, golden=golden, test=test, notes=notes)


def _side(directory: Path, name: str, challenger: Bundle, champion: Bundle | None) -> Side:
    path = directory / PREPARED / f"{name}.parquet"
    rows = read_rows(path, challenger.schema.features)
    if champion is None or champion.schema.features == challenger.schema.features:
        return Side(rows, None if champion is None else rows)
    try:
        return Side(rows, read_rows(path, champion.schema.features))
    except DataError as error:
        raise DataError(
            f"the champion needs other columns than these rows have: {error.message}",
            where=error.where,
            hint="models of different columns cannot be compared: gate by floors with --no-champion",
        ) from error


def _until(champion: Bundle) -> int:
    """Feedback up to this number may be among the champion's training rows."""
    try:
        return int(champion.metadata["until"]["sequence"])
    except (KeyError, TypeError, ValueError):
        raise BundleError("its metadata does not say up to where feedback trained it", where="champion") from None


def _compare(name: str, side: Side, params: Params, challenger: Bundle, champion: Bundle | None) -> Compared:
    metrics = [metric.value for metric in params.evaluate.metrics]
    bundles = [challenger] if champion is None else [challenger, champion]
    classes = sorted({label for bundle in bundles for label in bundle.schema.classes})
    after, after_metrics = _scored(params, metrics, challenger, side.challenger, classes)
    keys = side.challenger.keys
    before, before_metrics = None, dict.fromkeys(metrics)
    if champion is not None and side.champion is not None:
        before, before_metrics = _scored(params, metrics, champion, side.champion, classes)
    comparable = [m for m in metrics if before_metrics[m] is not None and after_metrics[m] is not None]
    comparison = Comparison(
        rows_name=name,
        rows=side.rows,
        keys=distinct(keys)[1],
        has_champion=before is not None,
        metrics={m: Pair(champion=before_metrics[m], challenger=after_metrics[m]) for m in metrics},
        noise={} if before is None else intervals(comparable, before, after, keys, seed=params.prepare.seed),
        disagreement=disagreement(before, after, keys) if before is not None and comparable else None,
    )
    return Compared(comparison=comparison, rows=side.challenger, champion=before, challenger=after)


def _scored(
    params: Params, metrics: Sequence[str], bundle: Bundle, rows: LabelledRows, classes: Sequence[str]
) -> tuple[Scored, dict[str, float | None]]:
    """A model's answers over ``classes``, those of both models: what it does not know has probability 0."""
    own, positive = bundle.schema.classes, params.task.positive
    probabilities = bundle.predict(rows.table).probabilities
    code = {label: i for i, label in enumerate(classes)}
    wide = np.zeros((rows.rows, len(classes)))
    wide[:, [code[label] for label in own]] = probabilities
    labels = np.array([code.get(label, -1) for label in rows.labels.tolist()], dtype=np.int64)
    scored = Scored(labels, wide, None if positive is None else code.get(positive))
    return scored, measure(metrics, rows.labels, probabilities, own, positive)


# -- slices ----------------------------------------------------------------------------------------------------------


def cuts(params: Params, compared: AllCompared, challenger: Bundle, *, guards: bool) -> tuple[Cut, ...]:
    """Each declared column cut into slices: of the golden set for ``guards``, else of the judged rows.

    Feedback holds features only, so fresh rows are not known by a sensitive column: there the test rows stand in.
    """
    found = []
    for declared in params.gate.slices:
        is_feature = params.task.columns[declared.column].is_feature
        chosen = compared.golden if guards else compared.judged if is_feature else compared.test
        found.append(
            Cut(
                rule=declared.as_core,
                rows_name=chosen.comparison.rows_name,
                parts=_parts(params, declared, chosen.rows, challenger),
                champion=chosen.champion,
                challenger=chosen.challenger,
                keys=chosen.keys,
            )
        )
    return tuple(found)


def _parts(params: Params, declared: Slice, rows: LabelledRows, challenger: Bundle) -> tuple[Part, ...]:
    """No parts where no row has a value: nothing is known then, and a slice "missing" of all rows would hide it."""
    name, kind = declared.column, params.task.columns[declared.column]
    columns: Mapping[str, npt.NDArray[np.object_]] = rows.sensitive if kind is Kind.SENSITIVE else rows.table.columns
    if name not in columns:
        return ()
    values = columns[name]
    if kind is not Kind.NUMERIC and declared.edges is None:
        return by_value(name, values) if any(value is not None for value in values.tolist()) else ()
    numbers = np.array([as_number(value, where=f"gate.slices: {name}") for value in values.tolist()], dtype=np.float64)
    edges = declared.edges
    if edges is None:
        profile = next(field for field in challenger.reference.fields if field.name == name)
        edges = quantile_edges(profile, declared.parts)
    return by_edges(name, numbers, edges) if np.isfinite(numbers).any() else ()
