"""What the worker does with a batch: predict, write everything in one transaction, count, answer.

Nothing is answered and nothing is counted before it is on disk.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from remint.adapters.bundle import Bundle, Prediction
from remint.adapters.feedback_store import FeedbackStore, Receipt, StorageFullError, StoredPrediction, Transaction
from remint.core.feedback import Answer, Outcome, implied_label
from remint.core.release import Track
from remint.core.table import Table, concatenate
from remint.errors import BundleError, DataError, RemintError
from remint.serving.metrics import Metrics

_log = logging.getLogger(__name__)

_SUM_TOLERANCE = 1e-3  # of a row's probabilities from 1: float32 models are not exact


class FailureKind(StrEnum):
    ERROR = "error"  # the model raised
    BROKEN = "broken"  # it answered with something that is no prediction


class ModelError(RemintError):
    """The model failed on a request; the client's rows were well-formed."""

    code = "model"

    def __init__(self, message: str, *, kind: FailureKind) -> None:
        super().__init__(message)
        self.kind = kind


class UnknownPredictionError(DataError):
    """Feedback for a prediction that was never made."""

    code = "unknown-prediction"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a prediction comes from. ``unit`` is raw, and None where no coin was flipped for the request."""

    release: str
    step: int
    track: Track
    bundle: Bundle
    unit: str | None
    subject: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictJob:
    """Rows to be predicted, or, with ``prediction``, only to be recorded."""

    origin: Origin
    table: Table
    prediction: Prediction | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackJob:
    prediction_id: str
    answer: Answer
    label: object
    reporter: str | None  # raw


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """Durable: one id a row."""

    prediction_ids: Sequence[str]
    prediction: Prediction


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """Durable."""

    receipt: Receipt
    label: str | None


Job = PredictJob | FeedbackJob
Result = Predicted | Answered
Count = Callable[[], None]


class Recorder:
    """Handles batches, one at a time. ``served_classes`` tells the classes that the served models know now."""

    def __init__(
        self,
        store: FeedbackStore,
        metrics: Metrics,
        *,
        min_free_bytes: int,
        served_classes: Callable[[], Sequence[str]],
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._min_free_bytes = min_free_bytes
        self._served_classes = served_classes
        self._now = now
        self._classes: dict[str, tuple[str, ...]] = {}
        sequence, arrived_at = store.newest_sequence()
        if arrived_at is not None:
            metrics.feedback_arrived(sequence, arrived_at)

    def handle(self, jobs: Sequence[Job]) -> list[Result | Exception]:
        """A result or an error for each job; StorageFullError for all of them where nothing can be written."""
        try:
            if self._store.free_bytes() < self._min_free_bytes:
                raise StorageFullError(
                    f"less than {self._min_free_bytes} bytes are free", where=str(self._store.path.parent)
                )
            outputs = self._predict_all(jobs)
            counts: list[Count] = []
            results: list[Result | Exception] = []
            at = self._now()
            with self._store.transaction() as transaction:
                for i, job in enumerate(jobs):
                    match job:
                        case PredictJob():
                            results.append(self._record(transaction, job, outputs[i], at, counts))
                        case FeedbackJob():
                            results.append(self._answer(transaction, job, at, counts))
        except RemintError as error:
            return [error] * len(jobs)
        self._count_rows(jobs, results)
        for count in counts:
            count()
        return results

    # --- predictions

    def _predict_all(self, jobs: Sequence[Job]) -> dict[int, Prediction | ModelError]:
        """One call of each model for all its jobs; by position of the job."""
        groups: dict[tuple[Track, str], list[int]] = defaultdict(list)
        outputs: dict[int, Prediction | ModelError] = {}
        for i, job in enumerate(jobs):
            if isinstance(job, PredictJob):
                if job.prediction is not None:
                    outputs[i] = _checked(job.prediction, job.table.rows, job.origin.bundle)
                else:
                    groups[job.origin.track, job.origin.bundle.id].append(i)
        for positions in groups.values():
            members = [job for i in positions if isinstance(job := jobs[i], PredictJob)]
            answers = _predict(members[0].origin.bundle, [job.table for job in members])
            outputs.update(zip(positions, answers, strict=True))
        return outputs

    def _record(
        self,
        transaction: Transaction,
        job: PredictJob,
        output: Prediction | ModelError,
        at: datetime,
        counts: list[Count],
    ) -> Predicted | ModelError:
        origin = job.origin
        unit = self._store.pseudonym(origin.unit)
        first = unit is not None and transaction.add_unit(
            release=origin.release, unit=unit, step=origin.step, track=origin.track, at=at
        )
        if unit is not None and first:
            for signal, bucket in _signals(output):
                transaction.add_outcome(release=origin.release, unit=unit, signal=signal, bucket=bucket)
                counts.append(self._unit_count(origin.release, origin.step, origin.track, signal, bucket))
        if isinstance(output, ModelError):
            counts.append(self._metrics.failures[origin.track, output.kind.value].inc)
            return output
        ids = [self._store.new_prediction_id() for _ in range(job.table.rows)]
        subject = self._store.pseudonym(origin.subject)
        transaction.add_predictions(
            [
                StoredPrediction(
                    prediction_id=prediction_id,
                    made_at=at,
                    bundle=origin.bundle.id,
                    reference=origin.bundle.reference.id,
                    release=origin.release,
                    track=origin.track,
                    unit=unit,
                    counts=first,
                    subject=subject,
                    row=row,
                    predicted=predicted,
                    confidence=confidence,
                )
                for prediction_id, row, predicted, confidence in zip(
                    ids, _loggable(job.table), output.labels.tolist(), output.confidence.tolist(), strict=True
                )
            ]
        )
        return Predicted(prediction_ids=ids, prediction=output)

    def _count_rows(self, jobs: Sequence[Job], results: Sequence[Result | Exception]) -> None:
        """One vectorised count for each reference of the batch."""
        groups: dict[tuple[Track, str], list[tuple[PredictJob, Predicted]]] = defaultdict(list)
        for job, result in zip(jobs, results, strict=True):
            if isinstance(job, PredictJob) and isinstance(result, Predicted):
                groups[job.origin.track, job.origin.bundle.reference.id].append((job, result))
        for (track, reference), members in groups.items():
            table = concatenate([job.table for job, _ in members])
            assigned = members[0][0].origin.bundle.reference.assign(
                table,
                np.concatenate([result.prediction.labels for _, result in members]),
                np.concatenate([result.prediction.confidence for _, result in members]),
            )
            self._metrics.count_rows(track, reference, assigned, table.rows)

    # --- feedback

    def _answer(
        self, transaction: Transaction, job: FeedbackJob, at: datetime, counts: list[Count]
    ) -> Answered | RemintError:
        try:
            about = self._store.prediction(job.prediction_id) if self._store.is_ours(job.prediction_id) else None
            if about is None:
                raise UnknownPredictionError("no such prediction", where=f"{job.prediction_id:.80}")
            served = self._served_classes()
            label = implied_label(
                job.answer,
                job.label,
                predicted=about.predicted,
                classes=self._classes_of(about.bundle) or served,
                further=served,
            )
        except DataError as error:
            return error
        receipt = transaction.add_feedback(
            prediction_id=job.prediction_id,
            answer=job.answer,
            label=label,
            reporter=self._store.pseudonym(job.reporter),
            at=at,
        )
        outcome = job.answer.outcome
        if receipt.stored:
            counts.append(lambda: self._metrics.feedback_arrived(receipt.sequence, receipt.arrived_at))
        if receipt.first:
            counts.append(lambda: self._metrics.count_feedback(about.track, about.reference, outcome))
            if outcome is not Outcome.UNKNOWN:
                delay_seconds = (receipt.arrived_at - about.made_at).total_seconds()
                counts.append(lambda: self._metrics.observe_delay(about.track, about.reference, delay_seconds))
            if about.counts and about.unit is not None and outcome is not Outcome.UNKNOWN:
                self._count_unit_feedback(transaction, about, outcome, counts)
        return Answered(receipt=receipt, label=label)

    def _count_unit_feedback(
        self, transaction: Transaction, about: StoredPrediction, outcome: Outcome, counts: list[Count]
    ) -> None:
        """The first right or wrong about any row of the unit's first request counts; its other rows do not."""
        assert about.unit is not None
        bucket = outcome.value
        if transaction.add_outcome(release=about.release, unit=about.unit, signal="feedback", bucket=bucket):
            seen = transaction.unit(about.release, about.unit)
            assert seen is not None
            counts.append(self._unit_count(about.release, seen[0], seen[1], "feedback", bucket))

    def _classes_of(self, bundle: str) -> tuple[str, ...]:
        if bundle not in self._classes:
            self._classes[bundle] = self._store.classes(bundle)
        return self._classes[bundle]

    def _unit_count(self, release: str, step: int, track: Track, signal: str, bucket: str) -> Count:
        return lambda: self._metrics.count_unit(release=release, step=step, track=track, signal=signal, bucket=bucket)


def _signals(output: Prediction | ModelError) -> list[tuple[str, str]]:
    if not isinstance(output, ModelError):
        return [("error", "ok"), ("output", "valid")]
    match output.kind:
        case FailureKind.ERROR:
            return [("error", "error")]  # there was no output to be valid or broken
        case FailureKind.BROKEN:
            return [("error", "error"), ("output", "broken")]


def _predict(bundle: Bundle, tables: Sequence[Table]) -> list[Prediction | ModelError]:
    """All tables in one call; where that fails, each by itself, so that one request's rows fail no other's."""
    whole = _call(bundle, concatenate(tables) if len(tables) > 1 else tables[0])
    if len(tables) == 1:
        return [whole]
    if isinstance(whole, ModelError):
        return [_call(bundle, table) for table in tables]
    ends = np.cumsum([table.rows for table in tables]).tolist()
    return [
        Prediction(whole.labels[a:b], whole.confidence[a:b], whole.probabilities[a:b])
        for a, b in zip([0, *ends], ends, strict=False)
    ]


def _call(bundle: Bundle, table: Table) -> Prediction | ModelError:
    try:
        prediction = bundle.predict(table)
    except BundleError as error:
        _log.warning("bundle %s: broken output: %s", bundle.id, error)
        return ModelError("the model's output is broken", kind=FailureKind.BROKEN)
    except Exception as error:  # noqa: BLE001 - a model is somebody's code: whatever it raises is its failure, not ours
        _log.warning("bundle %s failed on %d rows", bundle.id, table.rows, exc_info=True)
        return ModelError(f"the model raised {type(error).__name__}", kind=FailureKind.ERROR)
    return _checked(prediction, table.rows, bundle)


def _checked(prediction: Prediction, rows: int, bundle: Bundle) -> Prediction | ModelError:
    shape = (rows, len(bundle.schema.classes))
    problem = None
    if prediction.probabilities.shape != shape:
        problem = f"shape {prediction.probabilities.shape}, expected {shape}"
    elif prediction.labels.shape != (rows,) or prediction.confidence.shape != (rows,):
        problem = f"labels or confidence of another length than {rows}"
    elif not _are_probabilities(prediction.probabilities) or not _are_shares(prediction.confidence):
        problem = "NaN or numbers that are no probabilities"
    if problem is None:
        return prediction
    _log.warning("bundle %s: broken output: %s", bundle.id, problem)
    return ModelError("the model's output is broken", kind=FailureKind.BROKEN)


def _are_shares(values: npt.NDArray[np.float64]) -> bool:
    return bool(np.all((values >= -_SUM_TOLERANCE) & (values <= 1 + _SUM_TOLERANCE)))  # False for NaN


def _are_probabilities(values: npt.NDArray[np.float64]) -> bool:
    return _are_shares(values) and bool(np.all(np.abs(values.sum(axis=1) - 1) <= _SUM_TOLERANCE))


def _loggable(table: Table) -> list[Mapping[str, Any]]:
    """Rows as JSON. Infinity is not JSON: its text is, and reads back as the number."""
    rows = table.to_rows()
    if any(values.dtype == np.float64 and np.isinf(values).any() for values in table.columns.values()):
        return [{k: repr(v) if v in {np.inf, -np.inf} else v for k, v in row.items()} for row in rows]
    return list(rows)
