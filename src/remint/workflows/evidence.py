"""What the check's rules look at, asked of the sources. A source that fails is an answer too, for those who need it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, TypeVar, assert_never

from remint.adapters.feedback_store import FeedbackStore, open_store
from remint.adapters.prediction_log import count_predictions
from remint.adapters.prometheus import PrometheusClient, window_counts
from remint.config import Source
from remint.core.document import format_time
from remint.core.feedback import Outcome
from remint.core.profile import PREDICTION
from remint.core.release import Track
from remint.core.signals import FeedbackCounts, WindowCounts
from remint.errors import ConfigError, NoDataError, RemintError
from remint.workflows.champion import ChampionFiles

T = TypeVar("T")

_FEEDBACK = "remint_feedback_total"


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshLabels:
    """Labelled rows that are new since the champion was trained, and the newest feedback there is."""

    count: int
    sequence: int
    arrived_at: datetime | None


class Evidence(Protocol):
    """What the rules may ask. Each answer is about the champion on the stable track; each raises the RemintError that
    says why there is none (NoDataError with its silence, ServiceError, ConfigError, DataError)."""

    def counts(self, start: datetime, end: datetime) -> WindowCounts:
        """Predictions of [start, end) over the bins of the champion's reference."""
        ...

    def feedback(self, start: datetime, end: datetime) -> FeedbackCounts:
        """Labels that arrived in [start, end), of the champion's predictions only."""
        ...

    def fresh(self) -> FreshLabels:
        """Labelled rows that are new since the champion was trained, on any model."""
        ...

    def signal(self, promql: str) -> float:
        """The one finite number that the query answers at the window's end."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """Each part is an answer, or the error that came instead of it."""

    window: WindowCounts | RemintError
    feedback: FeedbackCounts | RemintError
    fresh: FreshLabels | RemintError


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where to ask. Labels come from the feedback store where one is named, else from the service's counters."""

    source: Source
    prometheus_url: str
    timeout_seconds: float
    store_url: str | None
    environ: Mapping[str, str]  # credentials

    def prometheus(self) -> PrometheusClient:
        return PrometheusClient(self.prometheus_url, timeout_seconds=self.timeout_seconds, environ=self.environ)

    def store(self, pipeline: str) -> FeedbackStore:
        if self.store_url is None:
            raise ConfigError("the prediction log needs a store", where="--store", hint="or set REMINT_STORE_URL")
        return open_store(self.store_url, pipeline=pipeline)

    @property
    def labels_from_store(self) -> bool:
        return self.store_url is not None or self.source is Source.LOG


def gather(sources: Sources, files: ChampionFiles, *, start: datetime, end: datetime, now: datetime) -> Gathered:
    """Ask each source once. ``[start, end)`` is the window; fresh labels are counted up to ``now``."""
    return Gathered(
        window=_ask(lambda: _window(sources, files, start, end)),
        feedback=_ask(lambda: _feedback(sources, files, start, end)),
        fresh=_ask(lambda: _fresh(sources, files, now)),
    )


def _ask(question: Callable[[], T]) -> T | RemintError:
    try:
        return question()
    except RemintError as error:
        return error


def _window(sources: Sources, files: ChampionFiles, start: datetime, end: datetime) -> WindowCounts:
    _refuse_empty(files, start, end)
    reference = files.reference
    match sources.source:
        case Source.LOG:
            with sources.store(reference.pipeline) as store:
                logged = store.predictions(start, end, reference=reference.id, track=Track.STABLE)
                found = count_predictions(logged, reference)
        case Source.PROMETHEUS:
            counts = window_counts(sources.prometheus(), reference, start=start, end=end, track=Track.STABLE.value)
            found = WindowCounts(rows=int(counts[PREDICTION].sum()), counts=counts)
        case _:
            assert_never(sources.source)
    if found.rows + found.malformed_rows == 0:
        raise NoDataError(f"no predictions of the champion between {format_time(start)} and {format_time(end)}")
    return found


def _feedback(sources: Sources, files: ChampionFiles, start: datetime, end: datetime) -> FeedbackCounts:
    """Answers of the window about the champion, on the stable track."""
    _refuse_empty(files, start, end)
    reference = files.reference
    if not sources.labels_from_store:
        matchers = {"pipeline": reference.pipeline, "reference": reference.id, "track": Track.STABLE.value}
        rises = sources.prometheus().increases(_FEEDBACK, matchers, by=("outcome",), start=start, end=end)
        right, wrong = (round(rises.get((outcome.value,), 0)) for outcome in (Outcome.RIGHT, Outcome.WRONG))
        return FeedbackCounts(right=right, wrong=wrong)
    outcomes = dict.fromkeys(Outcome, 0)
    with sources.store(reference.pipeline) as store:
        for row in store.feedback_rows():
            if row.reference == reference.id and row.track is Track.STABLE and start <= row.arrived_at < end:
                outcomes[row.answer.outcome] += 1
    return FeedbackCounts(right=outcomes[Outcome.RIGHT], wrong=outcomes[Outcome.WRONG])


def _fresh(sources: Sources, files: ChampionFiles, now: datetime) -> FreshLabels:
    """Labelled rows on any model. From the counters: those since the promotion, wrong ones without a label included."""
    reference = files.reference
    trained_until = int(files.metadata["until"]["sequence"])
    if sources.labels_from_store:
        with sources.store(reference.pipeline) as store:
            sequence, arrived_at = store.newest_sequence()
            fresh = sum(row.label is not None for row in store.feedback_rows(after=trained_until, until=sequence))
        return FreshLabels(count=fresh, sequence=max(sequence, trained_until), arrived_at=arrived_at)
    client = sources.prometheus()
    matchers = {"pipeline": reference.pipeline}
    by = ("outcome", "reference", "track")
    rises = client.increases(_FEEDBACK, matchers, by=by, start=files.champion.assigned_at, end=now)
    known = {Outcome.RIGHT.value, Outcome.WRONG.value}
    sequence = round(client.newest("remint_feedback_sequence", matchers, at=now))
    arrived_at = None
    if sequence > 0:
        seconds = client.newest("remint_feedback_arrived_timestamp_seconds", matchers, at=now)
        arrived_at = datetime.fromtimestamp(seconds, tz=UTC)
    return FreshLabels(
        count=round(sum(rise for (outcome, _, _), rise in rises.items() if outcome in known)),
        sequence=max(sequence, trained_until),
        arrived_at=arrived_at,
    )


def _refuse_empty(files: ChampionFiles, start: datetime, end: datetime) -> None:
    if start >= end:
        raise NoDataError(
            f"the window ends at {format_time(end)}, before it begins at {format_time(start)}",
            where=files.champion.tag,
            hint="it begins with the champion's promotion at the earliest",
        )
