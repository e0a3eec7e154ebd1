"""Counters by the published names (``docs/serving.md``), in a registry of our own.

Bins are counted in one vectorised step a batch into an array and exposed by a collector: 20 features x 12 bins cost one
``bincount``, not 240 locked increments.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from remint.core.feedback import Outcome
from remint.core.label_delay import DELAY_BOUNDS_SECONDS
from remint.core.profile import Reference
from remint.core.release import ReleaseState, Track
from remint.errors import BundleError

#: signal -> its buckets; exposed at 0 for both tracks of each step, so that an absent series is never taken for none.
UNIT_SIGNALS: Final[Mapping[str, tuple[str, str]]] = {
    "error": ("ok", "error"),
    "output": ("valid", "broken"),
    "feedback": ("right", "wrong"),
}
_LATENCY_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

UnitKey = tuple[str, str, str, str, str]  # release, step, track, signal, bucket


class BinCounts:
    """Counts of one reference on one track since this process loaded it."""

    def __init__(self, reference: Reference, track: Track) -> None:
        self.reference = reference.id
        self.track = track
        self.fields = tuple((f.name, f.bins) for f in reference.fields)
        self.counts: npt.NDArray[np.int64] = np.zeros(reference.series, dtype=np.int64)
        self.predictions = 0

    def add(self, assigned: Mapping[str, npt.NDArray[np.int64]], rows: int) -> None:
        """Count the bin indices that ``Reference.assign`` gave, each of shape (rows,)."""
        index, offset = [], 0
        for name, bins in self.fields:
            index.append(assigned[name] + offset)
            offset += bins
        self.counts += np.bincount(np.concatenate(index), minlength=self.counts.size)
        self.predictions += rows


class Delays:
    """Times from a prediction to its label, by bucket, since this process started."""

    def __init__(self) -> None:
        self.counts: npt.NDArray[np.int64] = np.zeros(len(DELAY_BOUNDS_SECONDS) + 1, dtype=np.int64)
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        """A clock that was set back makes no label older than its prediction."""
        self.counts[np.searchsorted(DELAY_BOUNDS_SECONDS, seconds)] += 1
        self.seconds += max(0.0, seconds)

    def cumulative(self) -> list[tuple[str, float]]:
        """As the text format has it: labels up to each bound."""
        bounds = [*(str(bound) for bound in DELAY_BOUNDS_SECONDS), "+Inf"]
        return list(zip(bounds, np.cumsum(self.counts).tolist(), strict=True))


class Metrics(Collector):
    """Everything ``/metrics`` shows. Thread-safe. Counters start at 0 with the process, as Prometheus expects."""

    def __init__(self, pipeline: str, *, max_series: int) -> None:
        self.pipeline = pipeline
        self.max_series = max_series
        self._lock = threading.Lock()
        self._bins: dict[tuple[Track, str], BinCounts] = {}  # in order of activation; replaced ones stay while they fit
        self._feedback: dict[tuple[Track, str], dict[Outcome, int]] = {}
        self._delays: dict[tuple[Track, str], Delays] = {}
        self._units: dict[UnitKey, int] = {}
        self._models: list[tuple[str, ...]] = []
        self._sequence = 0
        self._arrived_at: datetime | None = None
        self._registry = CollectorRegistry()
        self._registry.register(self)
        loads = Counter(
            "remint_bundle_loads", "Attempts to load a bundle.", ["pipeline", "result"], registry=self._registry
        )
        self.loads_ok = loads.labels(pipeline, "ok")
        self.loads_failed = loads.labels(pipeline, "failed")
        failures = Counter(
            "remint_model_failures",
            "Requests that a model failed: an exception (error) or output that is no prediction (broken).",
            ["pipeline", "track", "kind"],
            registry=self._registry,
        )
        self.failures = {
            (track, kind): failures.labels(pipeline, track.value, kind)
            for track in Track
            for kind in ("error", "broken")
        }
        self._requests = Counter(
            "remint_requests", "Requests by route and status.", ["pipeline", "route", "code"], registry=self._registry
        )
        self._seconds = Histogram(
            "remint_request_seconds",
            "Time from the request's first byte to its answer.",
            ["pipeline", "route", "track"],
            buckets=_LATENCY_BUCKETS,
            registry=self._registry,
        )

    def activate(self, references: Mapping[Track, Reference], state: ReleaseState) -> None:
        """Expose all bins of the references at 0. BundleError where they are more series than ``max_series``.

        Series of replaced references stay while they fit, so that what was counted after the last scrape is not lost.
        """
        needed = sum(r.series for r in references.values())
        if needed > self.max_series:
            raise BundleError(
                f"{needed} remint_bin_total series for {len(references)} tracks, more than {self.max_series}",
                where="serve.max_series",
                hint="raise it, or train with fewer bins or columns",
            )
        with self._lock:
            wanted = {(track, reference.id) for track, reference in references.items()}
            for track, reference in references.items():
                key = (track, reference.id)
                known = self._bins.pop(key) if key in self._bins else BinCounts(reference, track)
                self._bins[key] = known
                self._feedback.setdefault(key, dict.fromkeys(Outcome, 0))
                self._delays.setdefault(key, Delays())
            room = self.max_series - needed
            for key in [k for k in reversed(self._bins) if k not in wanted]:  # the newest first
                room -= self._bins[key].counts.size
                if room < 0:
                    del self._bins[key]
            self._models = [
                (bundle, references[track].id, track.value, state.release, state.runs.get(bundle, ""))
                for track, bundle in state.tracks.items()
            ]
            if state.draws:
                for track in Track:
                    for signal, buckets in UNIT_SIGNALS.items():
                        for bucket in buckets:
                            self._units.setdefault((state.release, str(state.step), track.value, signal, bucket), 0)

    def count_rows(
        self, track: Track, reference: str, assigned: Mapping[str, npt.NDArray[np.int64]], rows: int
    ) -> None:
        with self._lock:
            if (bins := self._bins.get((track, reference))) is not None:
                bins.add(assigned, rows)

    def count_feedback(self, track: Track, reference: str, outcome: Outcome) -> None:
        """Also of a reference that no longer serves: labels come late."""
        with self._lock:
            self._feedback.setdefault((track, reference), dict.fromkeys(Outcome, 0))[outcome] += 1

    def observe_delay(self, track: Track, reference: str, seconds: float) -> None:
        """From the prediction to a reporter's first right or wrong about it."""
        with self._lock:
            self._delays.setdefault((track, reference), Delays()).add(seconds)

    def count_unit(self, *, release: str, step: int, track: Track, signal: str, bucket: str) -> None:
        key = (release, str(step), track.value, signal, bucket)
        with self._lock:
            self._units[key] = self._units.get(key, 0) + 1

    def feedback_arrived(self, sequence: int, at: datetime) -> None:
        with self._lock:
            if sequence > self._sequence:
                self._sequence, self._arrived_at = sequence, at

    def observe_request(self, route: str, code: int, seconds: float, track: Track | None) -> None:
        self._requests.labels(self.pipeline, route, str(code)).inc()
        self._seconds.labels(self.pipeline, route, track.value if track else "").observe(seconds)

    def render(self) -> tuple[bytes, str]:
        """The text exposition and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST

    def describe(self) -> list[Metric]:
        """Nothing: registering must not collect."""
        return []

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            bins = [(b, b.counts.tolist(), b.predictions) for b in self._bins.values()]
            feedback = {key: dict(counts) for key, counts in self._feedback.items()}
            delays = [(key, known.cumulative(), known.seconds) for key, known in self._delays.items()]
            units = dict(self._units)
            models = list(self._models)
            sequence, arrived_at = self._sequence, self._arrived_at
        yield self._bin_family(bins)
        yield self._family(
            "remint_predictions",
            "Predictions answered.",
            ["reference", "track"],
            [((b.reference, b.track.value), predictions) for b, _, predictions in bins],
        )
        yield self._family(
            "remint_feedback",
            "First answers of a reporter to a prediction.",
            ["reference", "track", "outcome"],
            [
                ((reference, track.value, outcome.value), count)
                for (track, reference), counts in feedback.items()
                for outcome, count in counts.items()
            ],
        )
        histogram = HistogramMetricFamily(
            "remint_feedback_delay_seconds",
            "Time from a prediction to a reporter's first right or wrong about it.",
            labels=["pipeline", "reference", "track"],
        )
        for (track, reference), buckets, seconds in delays:
            histogram.add_metric([self.pipeline, reference, track.value], buckets, sum_value=seconds)
        yield histogram
        yield self._family(
            "remint_unit_outcomes",
            "Units by the outcome of their first request in the release.",
            ["release", "step", "track", "signal", "bucket"],
            list(units.items()),
        )
        gauge = GaugeMetricFamily("remint_feedback_sequence", "Highest feedback sequence.", labels=["pipeline"])
        gauge.add_metric([self.pipeline], sequence)
        yield gauge
        arrived = GaugeMetricFamily(
            "remint_feedback_arrived_timestamp_seconds", "When the newest feedback arrived.", labels=["pipeline"]
        )
        if arrived_at is not None:
            arrived.add_metric([self.pipeline], arrived_at.timestamp())
        yield arrived
        info = GaugeMetricFamily(
            "remint_model_info", "What serves.", labels=["pipeline", "bundle", "reference", "track", "release", "run"]
        )
        for model in models:
            info.add_metric([self.pipeline, *model], 1)
        yield info

    def _bin_family(self, bins: list[tuple[BinCounts, list[int], int]]) -> CounterMetricFamily:
        family = CounterMetricFamily(
            "remint_bin", "Rows by bin of the reference.", labels=["pipeline", "field", "bin", "reference", "track"]
        )
        for source, counts, _ in bins:
            values = iter(counts)
            for name, size in source.fields:
                for index in range(size):
                    family.add_metric(
                        [self.pipeline, name, str(index), source.reference, source.track.value], next(values)
                    )
        return family

    def _family(
        self, name: str, text: str, labels: list[str], samples: list[tuple[tuple[str, ...], Any]]
    ) -> CounterMetricFamily:
        family = CounterMetricFamily(name, text, labels=["pipeline", *labels])
        for values, count in samples:
            family.add_metric([self.pipeline, *values], count)
        return family
