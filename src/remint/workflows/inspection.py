"""Look at an unknown data file and suggest the task: kinds of columns, splits, thresholds, and what to beware of."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from zoneinfo import available_timezones

import numpy as np

from remint.adapters.datafile import RawFile
from remint.adapters.frames import DataFile, label_rows
from remint.config import Prepare, TimeColumn
from remint.core.golden import draw_golden, golden_size
from remint.core.rows import LabelledRows
from remint.core.schema import Kind
from remint.core.split import SplitPolicy, Splits, split
from remint.core.suggest import LEAKS, SUSPICIOUS, Suggestion, lone_accuracy, suggest
from remint.errors import ConfigError, DataError, UsageError, did_you_mean
from remint.workflows.prepare import check_splits

_BOOSTING_FROM_ROWS = 2000
_UNBALANCED_FROM = 0.65  # share of the largest class
_RARE = 10  # a class with fewer rows can hardly be learned or judged
_POSITIVE = ({"0", "1"}, {"false", "true"}, {"no", "yes"}, {"n", "y"}, {"negative", "positive"}, {"-1", "1"})
_POSITIVE_LABELS = {"1", "true", "yes", "y", "positive"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What ``remint init`` concluded from a data file."""

    columns: tuple[Suggestion, ...]
    label: str
    time: TimeColumn | None
    zone_declared: bool
    positive: str | None
    rows: int  # with a label (and a time)
    distinct_rows: int
    classes: tuple[str, ...]
    majority_share: float
    estimator: str
    drop_duplicates: bool
    golden: LabelledRows
    splits: Splits
    warnings: tuple[str, ...]

    @property
    def balanced(self) -> bool:
        return self.majority_share < _UNBALANCED_FROM

    @property
    def gate_metric(self) -> str:
        return "accuracy" if self.balanced else "balanced_accuracy"

    @property
    def floor(self) -> float:
        """A little above what a model reaches that has learned nothing."""
        chance = self.majority_share if self.balanced else 1 / len(self.classes)
        return round(min(chance + 0.02, (1 + chance) / 2), 2)


def inspect(
    raw: RawFile,
    *,
    label: str,
    pipeline: str,
    kinds: Mapping[str, Kind] | None = None,
    time_column: str | None = None,
    zone: str | None = None,
) -> Inspection:
    """Suggest the task. ``kinds`` overrules the suggested kind of single columns.

    Raises DataError where the file cannot be learned from (one class, a continuous label, too few distinct rows),
    UsageError for names that it does not hold.
    """
    where = str(raw.path)
    for name in (*(kinds or {}), *([time_column] if time_column else [])):
        if name not in raw.names:
            raise UsageError(f"no column {name!r}", where=where, hint=did_you_mean(name, raw.names))
    if zone is not None and zone not in available_timezones():
        raise UsageError(f"{zone!r} is not a time zone", hint=did_you_mean(zone, available_timezones()))
    if time_column == label:
        raise UsageError(f"{label!r} cannot be both the label and the time")
    labels = raw.texts(label, Kind.CATEGORICAL)
    warnings = _check_labels(labels, label, where)
    declared = {**(kinds or {}), **({time_column: Kind.IGNORED} if time_column is not None else {})}
    columns = _suggest_columns(raw, label, declared)
    data = _labelled(raw, columns, label, time_column, zone)
    leakless = _mark_leaks(columns, data.rows, declared)
    if [c.kind for c in leakless] != [c.kind for c in columns]:
        data = _labelled(raw, leakless, label, time_column, zone)  # the keys are of the features that are left
    columns = leakless
    if time_column is None:
        warnings += [
            f"column {c.name!r} holds times: with --time {c.name!r} the split is by time"
            for c in columns
            if c.looks_like_time
        ]
    warnings += [f"column {c.name!r} {c.warning}" for c in columns if c.warning is not None]
    if data.missing_times:
        warnings.append(f"{data.missing_times} rows have no time in {time_column!r} and are left out")
    rows = data.rows
    distinct = len(set(rows.keys.tolist()))
    drop = distinct < rows.rows / 2
    if drop:
        warnings.append(f"only {distinct} of {rows.rows} rows are distinct: copies are dropped (prepare.duplicates)")
    size = golden_size(distinct)
    golden = rows.take(draw_golden(rows, size=size, salt=f"{pipeline}:0"))
    splits = split(
        rows,
        rows.take(np.zeros(0, dtype=np.int64)),
        set(golden.keys.tolist()),
        _policy(pipeline, drop),
        by_time=time_column is not None,
    )
    if golden.rows == 0:
        raise DataError(f"only {distinct} distinct rows: too few to learn from and to judge by", where=where)
    classes = check_splits(splits, label=label, where=where)
    lost = sorted(set(rows.labels.tolist()) - set(classes))
    if lost:
        warnings.append(f"the classes {', '.join(map(repr, lost[:5]))} are too rare to appear among the training rows")
    counts = Counter(rows.labels.tolist())
    has_text = any(c.kind is Kind.TEXT for c in columns)
    boosting = (distinct if drop else rows.rows) >= _BOOSTING_FROM_ROWS and not has_text
    return Inspection(
        columns=columns,
        label=label,
        time=None if time_column is None else TimeColumn(column=time_column, zone=zone or "UTC"),
        zone_declared=zone is not None,
        positive=_positive(classes),
        rows=rows.rows,
        distinct_rows=distinct,
        classes=classes,
        majority_share=max(counts.values()) / rows.rows,
        estimator=f"remint.estimators:{'boosting' if boosting else 'linear'}",
        drop_duplicates=drop,
        golden=golden,
        splits=splits,
        warnings=tuple(warnings),
    )


def _check_labels(labels: Any, label: str, where: str) -> list[str]:
    """Refuse what cannot be a class label; warn of what is doubtful."""
    place = f"{where}: {label}"
    counts = Counter(value for value in labels.tolist() if value is not None)
    rows = sum(counts.values())
    if not counts:
        raise DataError("no row has a label", where=place)
    if len(counts) == 1:
        raise DataError(f"all rows have the label {next(iter(counts))!r}", where=place, hint="two classes are needed")
    fractions = sum("." in value and value.replace(".", "", 1).lstrip("-").isdigit() for value in counts)
    if len(counts) > max(10, rows / 4) or (fractions > 50 and fractions > len(counts) / 2):
        raise DataError(
            f"{len(counts)} different labels in {rows} rows: a number or an identifier, not a class",
            where=place,
            hint="Remint trains classifiers: name the column that holds the classes, or cut the number into ranges",
        )
    warnings = []
    if rows < len(labels):
        warnings.append(f"{len(labels) - rows} of {len(labels)} rows have no label and are left out")
    rare = sorted(value for value, count in counts.items() if count < _RARE)
    if rare:
        shown = ", ".join(map(repr, rare[:5])) + (", ..." if len(rare) > 5 else "")
        warnings.append(f"{len(rare)} of {len(counts)} classes have fewer than {_RARE} rows: {shown}")
    return warnings


def _suggest_columns(raw: RawFile, label: str, declared: Mapping[str, Kind]) -> tuple[Suggestion, ...]:
    found = []
    for name in raw.names:
        if name == label:
            continue
        if name in declared:
            found.append(Suggestion(name=name, kind=declared[name], reason="as declared"))
            continue
        try:
            found.append(suggest(name, raw.texts(name, Kind.CATEGORICAL), _numbers(raw, name)))
        except DataError:
            reason = "neither number nor text"
            found.append(Suggestion(name=name, kind=Kind.IGNORED, reason=reason, warning=f"holds {reason}"))
    if not any(s.kind.is_feature for s in found):
        raise DataError(
            "no column to learn from: all look like identifiers, times or constants",
            where=str(raw.path),
            hint="overrule it with --kind COLUMN=numeric",
        )
    return tuple(found)


def _mark_leaks(
    columns: tuple[Suggestion, ...], rows: LabelledRows, declared: Mapping[str, Kind]
) -> tuple[Suggestion, ...]:
    """Warn of columns that predict the label alone; ignore those that are the label, unless nothing else is left."""
    distinct = rows.take(np.unique(rows.keys, return_index=True)[1])
    accuracy = {
        c.name: lone_accuracy(distinct.table.columns[c.name], distinct.labels)
        for c in columns
        if c.kind in {Kind.NUMERIC, Kind.CATEGORICAL}
    }
    others = any(c.kind.is_feature and not accuracy.get(c.name, 0) >= LEAKS for c in columns)
    marked = []
    for column in columns:
        alone = accuracy.get(column.name, 0)
        if not alone >= SUSPICIOUS:
            marked.append(column)
            continue
        warning = f"alone predicts the label ({alone:.1%} balanced accuracy): is it known before the label is?"
        if alone >= LEAKS and others and column.name not in declared:
            warning += " Made 'ignored'; keep it with --kind"
            marked.append(replace(column, kind=Kind.IGNORED, reason="gives the label away", warning=warning))
        else:
            marked.append(replace(column, warning=warning))
    return tuple(marked)


def _numbers(raw: RawFile, name: str) -> Any:
    try:
        numbers = raw.numbers(name)
    except DataError:
        return None
    texts = {value.lower() for value in raw.texts(name, Kind.CATEGORICAL).tolist() if value is not None}
    return None if texts <= {"true", "false"} else numbers  # a boolean is two categories, not two numbers


def _labelled(
    raw: RawFile, columns: tuple[Suggestion, ...], label: str, time_column: str | None, zone: str | None
) -> DataFile:
    kinds = {c.name: c.kind for c in columns}
    try:
        return label_rows(raw, columns=kinds, label=label, time_column=time_column, zone=zone)
    except ConfigError as error:
        raise UsageError(error.message, where=error.where, hint="add --zone, such as Europe/Amsterdam or UTC") from None


def _policy(pipeline: str, drop_duplicates: bool) -> SplitPolicy:
    defaults = Prepare.model_fields
    return SplitPolicy(
        salt=f"{pipeline}:0",
        test_share=defaults["test_share"].default,
        held_out_share=defaults["held_out_share"].default,
        fresh_share=defaults["fresh_share"].default,
        until=0,
        drop_duplicates=drop_duplicates,
    )


def _positive(classes: tuple[str, ...]) -> str | None:
    """The class that precision and recall are about, where there can be no doubt."""
    if {c.lower() for c in classes} not in _POSITIVE:
        return None
    return next(c for c in classes if c.lower() in _POSITIVE_LABELS)


def series_estimate(inspection: Inspection) -> int:
    """An upper bound of the ``remint_bin_total`` series of two tracks, rounded up to thousands."""
    bins = {Kind.NUMERIC: 14, Kind.CATEGORICAL: 52, Kind.TEXT: 28}
    fields = sum(bins.get(c.kind, 0) for c in inspection.columns) + len(inspection.classes) + 2 + 14
    return max(20_000, math.ceil(2 * fields / 1000) * 1000)
