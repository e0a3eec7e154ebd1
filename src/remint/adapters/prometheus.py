"""Counts from Prometheus, or anything that speaks its query API (Thanos, Mimir): exact, reset-safe, never extrapolated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from remint.core.profile import Counts, Reference


class PrometheusClient:
    """One Prometheus. Raises ConfigError, ServiceError, NoDataError and AmbiguousSeriesError, never a library's error."""

    def __init__(self, url: str, *, timeout_seconds: float, environ: Mapping[str, str]) -> None:
        raise NotImplementedError

    def increases(
        self, metric: str, matchers: Mapping[str, str], *, by: Sequence[str], start: datetime, end: datetime
    ) -> dict[tuple[str, ...], float]:
        """How much the counter rose in [start, end), for each value of the labels ``by`` (in that order).

        Sums over instance, pod and job. Any other label that is neither in ``by`` nor in ``matchers`` and differs between
        series raises AmbiguousSeriesError; no series at all raises NoDataError.
        """
        raise NotImplementedError

    def newest(self, metric: str, matchers: Mapping[str, str], *, at: datetime) -> float:
        """The largest value of a gauge over instance, pod and job at ``at``. NoDataError where there is none."""
        raise NotImplementedError


def window_counts(
    client: PrometheusClient, reference: Reference, *, start: datetime, end: datetime, track: str = "stable"
) -> Counts:
    """Counts of [start, end) over the reference's bins, from the series of this very reference and track."""
    raise NotImplementedError
