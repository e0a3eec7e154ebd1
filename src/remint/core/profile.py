"""The reference profile: bins frozen at training, and counts of any rows over the same bins.

``reference.json`` holds it. Training writes it, the service counts over it (``remint_bin_total``), the drift check
compares counts over it. A bin is an index; its meaning stands here and nowhere else, so no category and no word ever
leaks into a metric label.

Bins of a numeric field with edges ``e_0 < ... < e_k``: 0 is missing, 1 is below ``e_0``, 2 .. k+1 are
``[e_i, e_{i+1})`` (the last one closed), k+2 is above ``e_k``. Bins of a categorical field with values ``v_0 .. v_k``:
0 is missing, 1 is unseen, 2 .. k+2 are the values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from remint.core.document import DocumentKind, seal
from remint.core.reference_windows import Calibration, ReferenceWindows, window_counts
from remint.core.schema import Kind, Schema
from remint.core.table import Table
from remint.core.text import frequent_terms, measure_texts, vocabulary_of
from remint.errors import DataError

Counts = Mapping[str, npt.NDArray[np.int64]]  # field name -> counts by bin index

MISSING: Final = 0
BELOW: Final = 1  # of a numeric field
UNSEEN: Final = 1  # of a categorical field
FIRST: Final = 2  # the first bin that holds reference values

PREDICTION: Final = "@prediction"
CONFIDENCE: Final = "@confidence"

_MAX_CATEGORIES = 50  # the rarer values share the bin "unseen": bounded series, and a tail that no test can judge


class FieldRole(StrEnum):
    """What a field is evidence of; each role has a false-alarm budget of its own."""

    FEATURE = "feature"
    PREDICTION = "prediction"
    CONFIDENCE = "confidence"


class Measure(StrEnum):
    """How a field's values come from a column."""

    VALUE = "value"  # the column itself
    LENGTH = "length"  # number of words of a text
    UNKNOWN = "unknown"  # share of a text's words that the training texts did not have twice
    TERMS = "terms"  # the rarest of the frequent words that a text contains; categorical


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldProfile:
    """One field's frozen bins and the reference's counts over them."""

    name: str
    role: FieldRole
    column: str  # the feature column it is measured on; for predictions and confidence their own name
    measure: Measure
    edges: tuple[float, ...] | None  # numeric fields, ascending
    values: tuple[str, ...] | None  # categorical fields
    counts: tuple[int, ...]

    @property
    def bins(self) -> int:
        return len(self.counts)

    @property
    def is_numeric(self) -> bool:
        return self.edges is not None

    @property
    def above(self) -> int:
        """Index of the bin above the range; only numeric fields have one."""
        if self.edges is None:
            raise ValueError(f"{self.name} is categorical")
        return len(self.edges) + 1

    def bin_label(self, index: int) -> str:
        """A bin's meaning, for people."""
        if index == MISSING:
            return "missing"
        if self.edges is not None:
            if index == BELOW:
                return f"< {self.edges[0]:.4g}"
            if index == self.above:
                return f"> {self.edges[-1]:.4g}"
            return f"{self.edges[index - FIRST]:.4g} to {self.edges[index - FIRST + 1]:.4g}"
        if index == UNSEEN:
            return "no frequent word" if self.measure is Measure.TERMS else "unseen"
        assert self.values is not None
        return self.values[index - FIRST]

    def assign(self, values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """The bin index of each value; shape (rows,)."""
        if self.edges is not None:
            edges = np.asarray(self.edges)
            numbers = values.astype(np.float64)
            index = np.searchsorted(edges, numbers, side="right") + 1
            index[numbers == edges[-1]] = len(edges)  # the last bin is closed
            index[np.isnan(numbers)] = MISSING
            return index.astype(np.int64)
        assert self.values is not None
        position = {v: i + FIRST for i, v in enumerate(self.values)}
        position[None] = MISSING  # type: ignore[index]
        return np.array([position.get(v, UNSEEN) for v in values.tolist()], dtype=np.int64)

    def count(self, values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        return np.bincount(self.assign(values), minlength=self.bins).astype(np.int64)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "role": self.role.value,
            "column": self.column,
            "measure": self.measure.value,
            "edges": None if self.edges is None else list(self.edges),
            "values": None if self.values is None else list(self.values),
            "counts": list(self.counts),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> FieldProfile:
        return cls(
            name=data["name"],
            role=FieldRole(data["role"]),
            column=data["column"],
            measure=Measure(data["measure"]),
            edges=None if data["edges"] is None else tuple(data["edges"]),
            values=None if data["values"] is None else tuple(data["values"]),
            counts=tuple(data["counts"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Everything that later rows are compared with. ``id`` names bins and counts; two references never share series."""

    id: str
    pipeline: str
    training_rows: int
    fields: tuple[FieldProfile, ...]
    vocabularies: Mapping[str, frozenset[int]]  # text column -> hashed words
    windows: ReferenceWindows | None = None  # None where the rows had no times, or too few windows
    calibration: Calibration | None = None  # None where training was not told which held-out rows were right

    @property
    def series(self) -> int:
        """How many ``remint_bin_total`` series one track of one pod exposes for this reference."""
        return sum(f.bins for f in self.fields)

    def field(self, name: str) -> FieldProfile:
        for profile in self.fields:
            if profile.name == name:
                return profile
        raise KeyError(name)

    def assign(
        self, table: Table, predicted: npt.NDArray[Any], confidence: npt.NDArray[np.float64]
    ) -> dict[str, npt.NDArray[np.int64]]:
        """The bin index of each row for each field. ``predicted`` holds class names, ``confidence`` is in [0, 1]."""
        derived: dict[tuple[str, Measure], npt.NDArray[Any]] = {
            (PREDICTION, Measure.VALUE): predicted,
            (CONFIDENCE, Measure.VALUE): confidence,
        }
        terms = {f.column: f.values or () for f in self.fields if f.measure is Measure.TERMS}
        for column, words in self.vocabularies.items():
            text = measure_texts(table.columns[column], words, terms.get(column, ()))
            derived[column, Measure.LENGTH] = text.length
            derived[column, Measure.UNKNOWN] = text.unknown
            derived[column, Measure.TERMS] = text.term
        return {
            f.name: f.assign(
                derived[f.column, f.measure] if (f.column, f.measure) in derived else table.columns[f.column]
            )
            for f in self.fields
        }

    def count(
        self, table: Table, predicted: npt.NDArray[Any], confidence: npt.NDArray[np.float64]
    ) -> dict[str, npt.NDArray[np.int64]]:
        """Counts by bin for each field."""
        assigned = self.assign(table, predicted, confidence)
        return {f.name: np.bincount(assigned[f.name], minlength=f.bins).astype(np.int64) for f in self.fields}

    def to_json(self) -> dict[str, Any]:
        """A sealed ``reference`` document; its id is ``self.id``."""
        return seal(DocumentKind.REFERENCE, self.pipeline, self._body())

    def _body(self) -> dict[str, Any]:
        return {
            "training_rows": self.training_rows,
            "fields": [f.to_json() for f in self.fields],
            "vocabularies": {column: sorted(words) for column, words in sorted(self.vocabularies.items())},
            "windows": None if self.windows is None else self.windows.to_json(),
            "calibration": None if self.calibration is None else self.calibration.to_json(),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Reference:
        """From a ``reference`` document that ``document.unseal`` has checked. Version 1.0 has no windows."""
        windows, calibration = document.get("windows"), document.get("calibration")
        return cls(
            id=document["id"],
            pipeline=document["pipeline"],
            training_rows=document["training_rows"],
            fields=tuple(FieldProfile.from_json(f) for f in document["fields"]),
            vocabularies={column: frozenset(words) for column, words in document["vocabularies"].items()},
            windows=None if windows is None else ReferenceWindows.from_json(windows),
            calibration=None if calibration is None else Calibration.from_json(calibration),
        )


def build_reference(
    schema: Schema,
    training: Table,
    *,
    held_out_predicted: npt.NDArray[Any],
    held_out_confidence: npt.NDArray[np.float64],
    held_out_right: npt.NDArray[np.bool_] | None = None,
    training_at: npt.NDArray[np.datetime64] | None = None,
    held_out_at: npt.NDArray[np.datetime64] | None = None,
    window: timedelta | None = None,
    bins: int = 10,
) -> Reference:
    """Freeze the bins: features on the training rows; predicted class and confidence on rows it was not trained on.

    A model is surer on the rows it has seen, so a confidence profile of training rows would make any live traffic look
    like drift. ``training_at`` and ``held_out_at`` are the rows' event times (datetime64, UTC, NaT where unknown); with
    them and the length of the check's ``window`` the reference says how much ordinary windows differ. Raises DataError
    where there is nothing to count.
    """
    if training.rows == 0 or len(held_out_predicted) == 0:
        raise DataError(
            "no rows to build the reference profile from", hint="training and held-out rows are both needed"
        )
    fields: list[FieldProfile] = []
    binned: dict[str, npt.NDArray[np.int64]] = {}

    def add(blank: FieldProfile, values: npt.NDArray[Any]) -> None:
        index = blank.assign(values)
        fields.append(replace(blank, counts=tuple(np.bincount(index, minlength=blank.bins).tolist())))
        binned[blank.name] = index

    vocabularies: dict[str, frozenset[int]] = {}
    for column in schema.features:
        values = training.columns[column.name]
        match column.kind:
            case Kind.NUMERIC:
                add(_numeric(column.name, FieldRole.FEATURE, column.name, Measure.VALUE, values, bins), values)
            case Kind.CATEGORICAL:
                kept = _frequent_values(values)
                add(_categorical(column.name, FieldRole.FEATURE, column.name, Measure.VALUE, kept), values)
            case Kind.TEXT:
                vocabularies[column.name] = vocabulary_of(values)
                terms = frequent_terms(values)
                # Each text apart from itself: its own words are in the vocabulary more often than a new text's are, and
                # any new text would look strange. A word that is in three texts is in two others.
                text = measure_texts(values, vocabulary_of(values, in_texts=3), terms)
                for measure, measured in ((Measure.LENGTH, text.length), (Measure.UNKNOWN, text.unknown)):
                    name = f"{column.name}.{measure.value}"
                    add(_numeric(name, FieldRole.FEATURE, column.name, measure, measured, bins), measured)
                if terms:
                    name = f"{column.name}.{Measure.TERMS.value}"
                    add(_categorical(name, FieldRole.FEATURE, column.name, Measure.TERMS, terms), text.term)
            case Kind.IGNORED | Kind.SENSITIVE:
                raise DataError(f"column {column.name!r} is {column.kind.value}, not a feature")
    add(
        _categorical(PREDICTION, FieldRole.PREDICTION, PREDICTION, Measure.VALUE, schema.classes),
        held_out_predicted,
    )
    add(
        _numeric(CONFIDENCE, FieldRole.CONFIDENCE, CONFIDENCE, Measure.VALUE, held_out_confidence, bins),
        held_out_confidence,
    )
    draft = Reference(
        id="",
        pipeline=schema.pipeline,
        training_rows=training.rows,
        fields=tuple(fields),
        vocabularies=vocabularies,
        windows=_windows(fields, binned, training_at, held_out_at, window),
        calibration=None if held_out_right is None else _calibration(fields[-1], binned[CONFIDENCE], held_out_right),
    )
    return Reference.from_json(draft.to_json())


def _windows(
    fields: list[FieldProfile],
    binned: Mapping[str, npt.NDArray[np.int64]],
    training_at: npt.NDArray[np.datetime64] | None,
    held_out_at: npt.NDArray[np.datetime64] | None,
    window: timedelta | None,
) -> ReferenceWindows | None:
    if window is None:
        return None
    found = {}
    for at, on_training in ((training_at, True), (held_out_at, False)):
        if at is not None:
            side = [f for f in fields if (f.role is FieldRole.FEATURE) is on_training]
            found.update(window_counts(at, {f.name: (binned[f.name], f.bins) for f in side}, length=window))
    return ReferenceWindows(fields=found) if found else None


def _calibration(confidence: FieldProfile, index: npt.NDArray[np.int64], right: npt.NDArray[np.bool_]) -> Calibration:
    hits = np.bincount(index[right.astype(bool)], minlength=confidence.bins)
    return Calibration(rows=confidence.counts, right=tuple(hits.tolist()))


def quantile_edges(values: npt.NDArray[np.float64], bins: int) -> tuple[float, ...]:
    """At most ``bins`` + 1 ascending edges at the reference's own quantiles, ties removed.

    Quantiles instead of equal widths: one value of 1e6 among 10,000 rows must not blind every other bin. A column with
    few distinct values gets a bin for each; a column with none at all is all "missing".
    """
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return (0.0, 1.0)
    distinct = np.unique(finite)
    if distinct.size <= bins:
        last = float(distinct[-1])
        return (*distinct.tolist(), last + max(1e-9, abs(last) * 1e-9))
    return tuple(np.unique(np.quantile(finite, np.linspace(0, 1, bins + 1), method="inverted_cdf")).tolist())


def _frequent_values(values: npt.NDArray[Any]) -> tuple[str, ...]:
    found, counts = np.unique(np.array([v for v in values.tolist() if v is not None], dtype=str), return_counts=True)
    order = sorted(range(len(found)), key=lambda i: (-int(counts[i]), str(found[i])))
    return tuple(sorted(str(found[i]) for i in order[:_MAX_CATEGORIES]))


def _numeric(
    name: str, role: FieldRole, column: str, measure: Measure, values: npt.NDArray[Any], bins: int
) -> FieldProfile:
    edges = quantile_edges(values.astype(np.float64), bins)
    return FieldProfile(
        name=name, role=role, column=column, measure=measure, edges=edges, values=None, counts=(0,) * (len(edges) + 2)
    )


def _categorical(name: str, role: FieldRole, column: str, measure: Measure, kept: tuple[str, ...]) -> FieldProfile:
    return FieldProfile(
        name=name, role=role, column=column, measure=measure, edges=None, values=kept, counts=(0,) * (len(kept) + 2)
    )
