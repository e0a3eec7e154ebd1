"""Evidence from Prometheus: the champion's series, on the stable track, and any PromQL."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from remint.adapters.prometheus import PrometheusClient
from remint.adapters.prometheus_counts import BINS, increases, window_counts
from remint.adapters.prometheus_history import FEEDBACK
from remint.adapters.prometheus_silence import refuse_short_retention, refuse_stale
from remint.core.document import readable_time
from remint.core.feedback import Outcome
from remint.core.label_delay import delay_from_buckets
from remint.core.profile import PREDICTION
from remint.core.release import Track
from remint.core.signals import FeedbackCounts, LabelDelay, WindowCounts
from remint.errors import DataError, NoDataError, Silence
from remint.workflows.champion import ChampionFiles
from remint.workflows.evidence import FreshLabels, refuse_empty
from remint.workflows.evidence_store import StoreEvidence

_DELAY: Final = "remint_feedback_delay_seconds_bucket"


class PrometheusEvidence:
    """What Prometheus knows of the champion. ``end`` is the window's, at which signals are asked; labels come from
    ``labels`` where a store is named. ``refuse_resets`` makes a window in which a process began anew NoDataError
    (COUNTER_RESET), though its counts are exact: for those who want a person to look at restarts."""

    def __init__(
        self,
        client: PrometheusClient,
        files: ChampionFiles,
        *,
        end: datetime,
        now: datetime,
        labels: StoreEvidence | None = None,
        refuse_resets: bool = False,
    ) -> None:
        self._client = client
        self._files = files
        self._end = end
        self._now = now
        self._labels = labels
        self._refuse_resets = refuse_resets

    def counts(self, start: datetime, end: datetime) -> WindowCounts:
        refuse_empty(self._files, start, end)
        self._refuse_silence(start, end)
        counts, resets = window_counts(
            self._client, self._files.reference, start=start, end=end, track=Track.STABLE.value
        )
        self._refuse_reset(resets, start, end)
        rows = int(counts[PREDICTION].sum())
        if rows == 0:
            raise NoDataError(
                f"no predictions of the champion between {readable_time(start)} and {readable_time(end)}:"
                " its series are there and did not rise",
                silence=Silence.EMPTY,
                where=self._client.url,
                hint="does anybody ask the service?",
            )
        return WindowCounts(rows=rows, counts=counts)

    def feedback(self, start: datetime, end: datetime) -> FeedbackCounts:
        if self._labels is not None:
            return self._labels.feedback(start, end)
        refuse_empty(self._files, start, end)
        self._refuse_silence(start, end)
        found = increases(self._client, FEEDBACK, self._series, by=("outcome",), start=start, end=end)
        self._refuse_reset(found.resets, start, end)
        right, wrong = (round(found.rises.get((outcome.value,), 0)) for outcome in (Outcome.RIGHT, Outcome.WRONG))
        return FeedbackCounts(
            right=right, wrong=wrong, predictions=self._predictions(start, end), delay=self._delay(start, end)
        )

    def fresh(self) -> FreshLabels:
        """From the counters: those since the promotion, wrong ones without a label included. Of a champion that is
        older than what Prometheus keeps, the labels that are left: rather too few than too many."""
        if self._labels is not None:
            return self._labels.fresh()
        matchers = {"pipeline": self._files.reference.pipeline}
        by = ("outcome", "reference", "track")
        promoted_at = self._files.champion.assigned_at
        rises = increases(self._client, FEEDBACK, matchers, by=by, start=promoted_at, end=self._now).rises
        known = {Outcome.RIGHT.value, Outcome.WRONG.value}
        sequence = round(self._client.newest("remint_feedback_sequence", matchers, at=self._now))
        arrived_at = None
        if sequence > 0:
            seconds = self._client.newest("remint_feedback_arrived_timestamp_seconds", matchers, at=self._now)
            arrived_at = datetime.fromtimestamp(seconds, tz=UTC)
        return FreshLabels(
            count=round(sum(rise for (outcome, _, _), rise in rises.items() if outcome in known)),
            sequence=max(sequence, int(self._files.metadata["until"]["sequence"])),
            arrived_at=arrived_at,
        )

    def signal(self, promql: str) -> float:
        return self._client.signal(promql, at=self._end)

    @property
    def _series(self) -> dict[str, str]:
        reference = self._files.reference
        return {"pipeline": reference.pipeline, "reference": reference.id, "track": Track.STABLE.value}

    def _refuse_silence(self, start: datetime, end: datetime) -> None:
        """The one bin family that every service has, so that counts and labels of one service say the same."""
        matchers = {**self._series, "field": PREDICTION}
        refuse_short_retention(self._client, BINS, matchers, start=start, end=end, now=self._now)
        refuse_stale(self._client, BINS, matchers, start=start, end=end)

    def _refuse_reset(self, resets: int, start: datetime, end: datetime) -> None:
        if resets and self._refuse_resets:
            raise NoDataError(
                f"a process of the service began anew {resets} time{'s' if resets > 1 else ''} between"
                f" {readable_time(start)} and {readable_time(end)}",
                silence=Silence.COUNTER_RESET,
                where=self._client.url,
                hint="check.no_data.counter_reset: count takes the counts as they are: they are exact",
            )

    def _predictions(self, start: datetime, end: datetime) -> int:
        matchers = {**self._series, "field": PREDICTION}
        return round(sum(increases(self._client, BINS, matchers, by=("bin",), start=start, end=end).rises.values()))

    def _delay(self, start: datetime, end: datetime) -> LabelDelay | None:
        """None of a service that does not tell the delay, or did not yet."""
        try:
            found = increases(self._client, _DELAY, self._series, by=("le",), start=start, end=end)
        except NoDataError:
            return None
        try:
            return delay_from_buckets({float(le): rise for (le,), rise in found.rises.items()})
        except ValueError:
            raise DataError(f"{_DELAY} has a bucket without a number", where=self._client.url) from None
