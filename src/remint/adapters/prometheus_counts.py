"""Counts of a window from Prometheus: exact, reset-safe, never extrapolated.

``increase()`` extrapolates to the window's ends and gives fractions, so it is not used. A series' rise is the
difference between its last samples at the window's two ends, plus what each reset in between took away; only around
resets are raw samples read. Two windows that share an end share that sample too: nothing is counted twice or lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

import numpy as np

from remint.adapters.prometheus import (
    SUMMED,
    Key,
    Labels,
    PrometheusClient,
    Series,
    refuse_ambiguous,
    selector,
    span,
    to_milliseconds,
)
from remint.adapters.prometheus_silence import why_no_series
from remint.core.document import readable_time
from remint.core.profile import Counts, Reference
from remint.errors import ConfigError, DataError, NoDataError, Silence

#: How long before the window a series' last sample still is its start: scrapes fail and Prometheus restarts, and a pod
#: that was out of sight comes back with its old total, which must not be counted as new.
LOOK_BACK: Final = timedelta(days=1)
BINS: Final = "remint_bin_total"

_PIECE: Final = timedelta(hours=1)  # resets are looked for in pieces of the window
_RAW_PIECE: Final = timedelta(hours=6)  # of raw samples in one answer, so that memory stays small
_FEW: Final = 20  # processes that are asked for one by one


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusCounts:
    """How much a counter rose, by the values of the labels asked for, and how many times a process began anew."""

    rises: Mapping[tuple[str, ...], float]
    resets: int


@dataclass(frozen=True, slots=True)
class Drop:
    """A counter went from ``before`` down to a smaller value, first seen at the Unix time ``at``."""

    at: float
    before: float


def increases(
    client: PrometheusClient, metric: str, matchers: Labels, *, by: Sequence[str], start: datetime, end: datetime
) -> PrometheusCounts:
    """How much the counter rose in [start, end), for each value of the labels ``by`` (in that order).

    Sums over instance, pod and job. Any other label, neither in ``by`` nor in ``matchers``, that differs between series
    raises AmbiguousSeriesError. A series born inside the window starts at 0, as the service exposes every counter from
    0. Raises NoDataError for no series (NO_SERIES, or STALE where there were some before the window), NaN, and resets
    that cannot be read (COUNTER_RESET).

    Three queries whose answers have one sample a series, whatever the traffic; more only around resets and for
    processes that ended in the window.
    """
    start, end = to_milliseconds(start), to_milliseconds(end)
    if start >= end:
        raise ConfigError(f"the window [{start.isoformat()}, {end.isoformat()}) is empty", where=client.url)
    chosen = selector(metric, matchers)
    known = count_server_resets(client, metric, matchers, start=start, end=end)
    last = _last_samples(client, metric, matchers, known, end - start, end)
    if not last:
        raise why_no_series(client, metric, matchers, start=start, end=end)
    refuse_ambiguous(metric, (s.labels for s in last), known={*by, *matchers})
    first = client.query(f"last_over_time({chosen}[{span(LOOK_BACK)}])", start)
    before = {series.key: series.last for series in first}
    drops = find_drops(client, metric, matchers, known, start=start, end=end)
    rises: dict[tuple[str, ...], float] = {}
    for series in last:
        taken = sum(drop.before for drop in drops.get(series.key, ()))
        group = tuple(series.labels.get(label, "") for label in by)
        rises[group] = rises.get(group, 0.0) + series.last - before.get(series.key, 0.0) + taken
    if min(rises.values()) < 0:
        raise DataError(f"{metric} went down without a reset", where=client.url, hint="is it a counter?")
    return PrometheusCounts(rises=rises, resets=count_resets(drops))


def window_counts(
    client: PrometheusClient, reference: Reference, *, start: datetime, end: datetime, track: str = "stable"
) -> tuple[Counts, int]:
    """Counts of [start, end) over the reference's bins, from the series of this very reference and track; and resets.

    Raises NoDataError where a field has no series, DataError where there are bins that the reference has not.
    """
    matchers = {"pipeline": reference.pipeline, "reference": reference.id, "track": track}
    found = increases(client, BINS, matchers, by=("field", "bin"), start=start, end=end)
    counts = {f.name: np.zeros(f.bins, dtype=np.int64) for f in reference.fields}
    seen = set()
    for (field, index), rise in found.rises.items():
        counts[field][bin_of(reference, field, index, where=client.url)] += round(rise)
        seen.add(field)
    absent = [name for name in counts if name not in seen]
    if absent:
        raise NoDataError(f"no {BINS} series of field {absent[0]!r}", silence=Silence.NO_SERIES, where=client.url)
    return counts, found.resets


def bin_of(reference: Reference, field: str, index: str, *, where: str) -> int:
    """The bin that the labels name; DataError where the reference has no such bin."""
    bins = {f.name: f.bins for f in reference.fields}
    if field not in bins or not index.isascii() or not index.isdigit() or int(index) >= bins[field]:
        raise DataError(f"series of field {field!r}, bin {index!r}, which the reference has not", where=where)
    return int(index)


def count_resets(drops: Mapping[Key, Sequence[Drop]]) -> int:
    """How many times a process began anew: all its series drop in the same scrape."""
    return len({(_process(dict(key)), drop.at) for key, found in drops.items() for drop in found})


def count_server_resets(
    client: PrometheusClient, metric: str, matchers: Labels, *, start: datetime, end: datetime
) -> list[Series]:
    """Every series that was sampled from ``LOOK_BACK`` before the start on, and its number of resets since then.

    The one query that makes the server look at each raw sample.
    """
    return client.query(f"resets({selector(metric, matchers)}[{span(end - start + LOOK_BACK)}])", end)


def _last_samples(
    client: PrometheusClient,
    metric: str,
    matchers: Labels,
    known: Sequence[Series],
    window: timedelta,
    end: datetime,
) -> list[Series]:
    """Each series' last sample in the window. Those that live need no look at the whole of it."""
    recent = min(window, _PIECE)
    chosen = selector(metric, matchers)
    last = client.query(f"last_over_time({chosen}[{span(recent)}])", end)
    alive = {series.key for series in last}
    ended = {_process(series.labels) for series in known if series.key not in alive}
    if recent == window or not ended:
        return last
    if len(ended) > _FEW:
        return client.query(f"last_over_time({chosen}[{span(window)}])", end)
    for process in sorted(ended):
        mine = selector(metric, {**dict(process), **matchers})
        found = client.query(f"last_over_time({mine}[{span(window)}])", end)
        last.extend(series for series in found if series.key not in alive)
    return last


def find_drops(
    client: PrometheusClient,
    metric: str,
    matchers: Labels,
    known: Sequence[Series],
    *,
    start: datetime,
    end: datetime,
) -> dict[Key, list[Drop]]:
    """Each series' resets in (start, end], read from raw samples around those that ``count_server_resets`` knows.

    NoDataError (COUNTER_RESET) where the server counts resets that its raw samples do not show.
    """
    reset = [series for series in known if series.last > 0]
    drops: dict[Key, list[Drop]] = {}
    for process in sorted({_process(series.labels) for series in reset}):
        wanted = {series.key: series.last for series in reset if _process(series.labels) == process}
        found = _read_drops(client, selector(metric, {**dict(process), **matchers}), wanted, start, end)
        unread = [key for key in wanted if not found.get(key)]
        if unread:
            raise NoDataError(
                f"{selector(metric, dict(unread[0]))} was reset between {readable_time(start)} and"
                f" {readable_time(end)}, but no raw sample shows it",
                silence=Silence.COUNTER_RESET,
                where=client.url,
                hint="downsampled, or raw samples are gone: a shorter window, or `check.no_data.counter_reset`",
            )
        inside = {key: [drop for drop in found[key] if drop.at > start.timestamp()] for key in wanted}
        drops.update((key, kept) for key, kept in inside.items() if kept)
    return drops


def _read_drops(
    client: PrometheusClient, chosen: str, wanted: Mapping[Key, float], start: datetime, end: datetime
) -> dict[Key, list[Drop]]:
    """The drops of one process's series, from as few raw samples as show all the resets that ``wanted`` counts.

    A drop is between two samples that follow each other, so it is looked for in spans that are wider than the gap
    between those: two hours show it but for a process that was out of sight, then a day, then all there is.
    """
    everything = end - start + LOOK_BACK + _PIECE
    found: dict[Key, list[Drop]] = {}
    for width in (2 * _PIECE, LOOK_BACK, everything):
        ranges = _reset_ranges(client, chosen, width, start, end) if width < everything else [(end - width, end)]
        samples: dict[Key, dict[float, float]] = {}
        for begin, finish in _raw_pieces(ranges):
            for series in client.samples(chosen, start=begin, end=finish):
                if series.key in wanted:
                    pairs = zip(series.times.tolist(), series.values.tolist(), strict=True)
                    samples.setdefault(series.key, {}).update(pairs)
        found = {key: _drops(values) for key, values in samples.items()}
        if all(len(found.get(key, ())) >= count for key, count in wanted.items()):
            break
    return found


def _reset_ranges(
    client: PrometheusClient, chosen: str, width: timedelta, start: datetime, end: datetime
) -> list[tuple[datetime, datetime]]:
    """Merged ranges, oldest first, that hold every reset whose two samples are less than ``width`` apart."""
    pieces = -(-(end - start + LOOK_BACK) // _PIECE)
    found: list[tuple[datetime, datetime]] = []
    asked = f"max(resets({chosen}[{span(width)}])) > 0"
    for answer in client.query_range(asked, first=end - pieces * _PIECE, last=end, step=_PIECE):
        for at in (datetime.fromtimestamp(time, tz=UTC) for series in answer for time in series.times.tolist()):
            begin = at - width
            if found and begin <= found[-1][1]:
                begin = found.pop()[0]
            found.append((begin, at))
    return found


def _raw_pieces(ranges: Sequence[tuple[datetime, datetime]]) -> Iterator[tuple[datetime, datetime]]:
    for begin, finish in ranges:
        at = begin
        while at < finish:
            yield at, min(at + _RAW_PIECE, finish)
            at += _RAW_PIECE


def _drops(samples: Mapping[float, float]) -> list[Drop]:
    return [Drop(at, samples[earlier]) for earlier, at in pairwise(sorted(samples)) if samples[at] < samples[earlier]]


def _process(labels: Labels) -> tuple[tuple[str, str], ...]:
    return tuple((name, labels.get(name, "")) for name in SUMMED)
