"""Labels that come late and as files: joined to the predictions that they are about, appended as feedback."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from remint.adapters.datafile import read_raw
from remint.adapters.feedback_store import FeedbackStore, StoredPrediction, open_store
from remint.config import Params
from remint.core.curate import IMPORT_PREFIX
from remint.core.feedback import Answer
from remint.core.schema import Column, Kind, canonical_label
from remint.core.table import as_number
from remint.errors import ConfigError, DataError, UsageError, did_you_mean

PREDICTION_ID: Final = "prediction_id"
SUBJECT: Final = "subject"
_KEY_HINT: Final = "REMINT_PREDICTION_KEY has to be the one of the service"
_BATCH: Final = 1000  # answers that become durable together


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What became of the file's rows; each is counted once."""

    reporter: str
    stored: int  # appended (with ``dry_run``: would be)
    present: int  # the same answer of the same file was there already
    incomplete: int  # without a key, or without a label yet
    unknown: int  # no prediction has that id or key
    ambiguous: int  # several predictions have that key, and a label is of one
    new_labels: tuple[str, ...]  # not predicted by any bundle so far; worth a look
    unknown_examples: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "reporter": self.reporter,
            "stored": self.stored,
            "present": self.present,
            "incomplete": self.incomplete,
            "unknown": self.unknown,
            "ambiguous": self.ambiguous,
            "new_labels": list(self.new_labels),
            "unknown_examples": list(self.unknown_examples),
        }


def import_labels(
    params: Params,
    path: Path,
    *,
    store_url: str,
    on: str,
    label: str | None,
    now: datetime,
    dry_run: bool = False,
) -> ImportReport:
    """Append the labels in ``path`` (CSV, TSV, Parquet) to the store, as answers of ``import:<file hash>``.

    ``on`` is the file's column to join by: ``prediction_id``, ``subject`` (as it was sent with the request), or a
    feature of the task, whose value must then be that of one prediction alone. ``label`` defaults to the task's.
    Importing a file again adds nothing. Raises DataError where not one row belongs to a prediction.
    """
    raw = read_raw(path)
    feature = next((c for c in params.task.features if c.name == on), None)
    if on not in {PREDICTION_ID, SUBJECT} and feature is None:
        known = [PREDICTION_ID, SUBJECT, *(c.name for c in params.task.features)]
        raise UsageError(f"--on {on!r} is not in the prediction log", hint=did_you_mean(on, known) or ", ".join(known))
    kind = feature.kind if feature is not None else Kind.CATEGORICAL
    keys = raw.numbers(on).tolist() if kind is Kind.NUMERIC else raw.texts(on, kind).tolist()
    labels = [canonical_label(value) for value in raw.texts(label or params.task.label, Kind.CATEGORICAL).tolist()]
    reporter = IMPORT_PREFIX + hashlib.sha256(path.read_bytes()).hexdigest()[:32]
    given = zip(keys, labels, strict=True)
    pairs = [(key, value) for key, value in given if value is not None and key is not None and key == key]  # NaN
    wanted = _one_label_each(pairs, where=str(path))
    with open_store(store_url) as store:
        if store.pipeline != params.pipeline:
            raise ConfigError(f"belongs to pipeline {store.pipeline!r}, not {params.pipeline!r}", where=store_url)
        matches = _match(store, on, feature, wanted)
        found = {key: matched[0] for key, matched in matches.items() if len(matched) == 1}
        unknown = [key for key in wanted if key not in matches]
        if wanted and len(unknown) == len(wanted):
            raise DataError(
                f"none of its {len(wanted)} keys is of a prediction in the store",
                where=f"{path}: {on}",
                hint=f"such as {unknown[0]!r}: another store or column? {_KEY_HINT if on == SUBJECT else ''}",
            )
        answers = [(prediction, wanted[key]) for key, prediction in found.items()]
        stored = len(answers) if dry_run else _append(store, answers, reporter=reporter, now=now)
        classes = {name for bundle in {p.bundle for p, _ in answers} for name in store.classes(bundle)}
    return ImportReport(
        reporter=reporter,
        stored=stored,
        present=len(answers) - stored,
        incomplete=len(keys) - len(pairs),
        unknown=len(unknown),
        ambiguous=sum(len(matched) > 1 for matched in matches.values()),
        new_labels=tuple(sorted({value for _, value in answers} - classes)),
        unknown_examples=tuple(str(key) for key in unknown[:5]),
    )


def _one_label_each(pairs: Iterable[tuple[Any, str]], *, where: str) -> dict[Any, str]:
    """Each key's label. One key with two labels in one file raises: which is meant is not ours to guess."""
    given: dict[Any, set[str]] = {}
    for key, value in pairs:
        given.setdefault(key, set()).add(value)
    torn = [key for key, values in given.items() if len(values) > 1]
    if torn:
        raise DataError(
            f"{len(torn)} keys have several labels, the first is {torn[0]!r}",
            where=where,
            hint="join on prediction_id, or keep one row for each key",
        )
    return {key: next(iter(values)) for key, values in given.items()}


def _match(
    store: FeedbackStore, on: str, feature: Column | None, wanted: Mapping[Any, str]
) -> dict[Any, list[StoredPrediction]]:
    """For each key that is in the log, the predictions that have it."""
    matches: dict[Any, list[StoredPrediction]] = {}
    if on == PREDICTION_ID:
        for key in wanted:
            prediction = store.prediction(key)
            if prediction is not None:
                matches[key] = [prediction]
        return matches
    if on == SUBJECT:
        for key in wanted:
            predictions = list(store.predictions_of_subject(key))
            if predictions:
                matches[key] = predictions
        return matches
    assert feature is not None
    for prediction in store.all_predictions():
        value = prediction.row.get(feature.name)
        key = as_number(value, where=feature.name) if feature.kind is Kind.NUMERIC else canonical_label(value)
        if key in wanted:
            matches.setdefault(key, []).append(prediction)
    return matches


def _append(store: FeedbackStore, answers: list[tuple[StoredPrediction, str]], *, reporter: str, now: datetime) -> int:
    stored = 0
    for batch in _batches(answers):
        with store.transaction() as transaction:
            for prediction, label in batch:
                receipt = transaction.add_feedback(
                    prediction_id=prediction.prediction_id,
                    answer=Answer.CORRECT if label == prediction.predicted else Answer.WRONG,
                    label=label,
                    reporter=reporter,
                    at=now,
                )
                stored += receipt.stored
    return stored


def _batches(answers: list[tuple[StoredPrediction, str]]) -> Iterator[list[tuple[StoredPrediction, str]]]:
    for start in range(0, len(answers), _BATCH):
        yield answers[start : start + _BATCH]
