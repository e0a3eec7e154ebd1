"""Evidence from the store: the prediction log's counts, and the labels. For a pipeline without a Prometheus, and for
labels beside one."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from remint.adapters.feedback_store import FeedbackStore, open_store
from remint.adapters.prediction_log import count_predictions
from remint.core.document import readable_time
from remint.core.feedback import Answer
from remint.core.label_delay import delay_from_seconds
from remint.core.release import Track
from remint.core.signals import FeedbackCounts, WindowCounts
from remint.errors import ConfigError, NoDataError, Silence
from remint.workflows.champion import ChampionFiles
from remint.workflows.evidence import FreshLabels, refuse_empty

_NO_STORE: Final = "or set REMINT_STORE_URL"


class StoreEvidence:
    """What one store knows of the champion. Opened for each question, so that one that comes later is found."""

    def __init__(self, url: str | None, files: ChampionFiles) -> None:
        self._url = url
        self._files = files

    def counts(self, start: datetime, end: datetime) -> WindowCounts:
        refuse_empty(self._files, start, end)
        reference = self._files.reference
        with self._open() as store:
            logged = store.predictions(start, end, reference=reference.id, track=Track.STABLE)
            found = count_predictions(logged, reference)
        if found.rows + found.malformed_rows == 0:
            raise NoDataError(
                f"no predictions of the champion between {readable_time(start)} and {readable_time(end)}",
                silence=Silence.EMPTY,
            )
        return found

    def feedback(self, start: datetime, end: datetime) -> FeedbackCounts:
        refuse_empty(self._files, start, end)
        reference = self._files.reference.id
        with self._open() as store:
            labels = store.labels(start, end, reference=reference, track=Track.STABLE)
            predictions = store.count_predictions(start, end, reference=reference, track=Track.STABLE)
        right = sum(answer is Answer.CORRECT for answer, _ in labels)
        return FeedbackCounts(
            right=right,
            wrong=len(labels) - right,
            predictions=predictions,
            delay=delay_from_seconds([seconds for _, seconds in labels]),
        )

    def fresh(self) -> FreshLabels:
        trained_until = int(self._files.metadata["until"]["sequence"])
        with self._open() as store:
            sequence, arrived_at = store.newest_sequence()
            count = sum(row.label is not None for row in store.feedback_rows(after=trained_until, until=sequence))
        return FreshLabels(count=count, sequence=max(sequence, trained_until), arrived_at=arrived_at)

    def signal(self, promql: str) -> float:
        raise ConfigError(
            f"a store answers no PromQL: {promql}", where="check.source", hint="source: prometheus, or drop the rule"
        )

    def _open(self) -> FeedbackStore:
        if self._url is None:
            raise ConfigError("the prediction log needs a store", where="--store", hint=_NO_STORE)
        return open_store(self._url, pipeline=self._files.reference.pipeline)
