"""What the check's rules look at, asked of the sources. A source that fails is an answer too, for those who need it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar, cast

from remint.core.document import readable_time
from remint.core.signals import FeedbackCounts, WindowCounts
from remint.errors import NoDataError, RemintError
from remint.workflows.champion import ChampionFiles

T = TypeVar("T")


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


class CachedEvidence:
    """Each question is asked once, and its answer or its error given to every rule that asks again."""

    def __init__(self, source: Evidence) -> None:
        self._source = source
        self._answers: dict[Hashable, object] = {}

    def counts(self, start: datetime, end: datetime) -> WindowCounts:
        return self._once(("counts", start, end), lambda: self._source.counts(start, end))

    def feedback(self, start: datetime, end: datetime) -> FeedbackCounts:
        return self._once(("feedback", start, end), lambda: self._source.feedback(start, end))

    def fresh(self) -> FreshLabels:
        return self._once("fresh", self._source.fresh)

    def signal(self, promql: str) -> float:
        return self._once(("signal", promql), lambda: self._source.signal(promql))

    def known_counts(self, start: datetime, end: datetime) -> WindowCounts | None:
        """Of [start, end) as far as a rule has asked for them; None where none did or there was no answer."""
        known = self._answers.get(("counts", start, end))
        return known if isinstance(known, WindowCounts) else None

    def _once(self, question: Hashable, ask: Callable[[], T]) -> T:
        if question not in self._answers:
            self._answers[question] = answer_or_error(ask)
        answer = self._answers[question]
        if isinstance(answer, RemintError):
            raise answer
        return cast(T, answer)


def refuse_empty(files: ChampionFiles, start: datetime, end: datetime) -> None:
    """NoDataError for a window that ends before it begins."""
    if start >= end:
        raise NoDataError(
            f"the window ends at {readable_time(end)}, before it begins at {readable_time(start)}",
            where=files.champion.tag,
            hint="it begins with the champion's promotion at the earliest",
        )


def answer_or_error(question: Callable[[], T]) -> T | RemintError:
    try:
        return question()
    except RemintError as error:
        return error
