"""Why Prometheus has no answer: nothing by that name, nothing since some time, or nothing from that long ago.

Each is a sentence of its own and says what to look at. These queries are asked only where something is missing, but for
``refuse_stale`` and ``refuse_short_retention``, which are one small query each.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from remint.adapters.prometheus import Labels, PrometheusClient, selector, span
from remint.core.document import readable_time
from remint.errors import NoDataError, RetentionError, Silence, did_you_mean

#: The newest sample may be that much older than the window's end: some failed scrapes, and Prometheus's own look-back.
STALE_AFTER: Final = timedelta(minutes=5)

_COARSE: Final = 200  # points of a range query that looks for the first or last sample
_FINE: Final = timedelta(seconds=15)
_HOUR: Final = timedelta(hours=1)
_UNITS: Final[Mapping[str, timedelta]] = {
    "y": timedelta(days=365),
    "w": timedelta(weeks=1),
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}
_DURATION: Final = re.compile(r"(?:\d+(?:ms|[ywdhms]))+")
_PART: Final = re.compile(r"(\d+)(ms|[ywdhms])")
_HINTS: Final[Mapping[str, str]] = {
    "pipeline": "is it the slug of params.yaml that the service runs with?",
    "reference": "does the service run the champion's bundle?",
    "track": "does the champion serve on this track?",
}


def why_no_series(
    client: PrometheusClient, metric: str, matchers: Labels, *, start: datetime, end: datetime
) -> NoDataError:
    """The error for a selector without a sample in the window: it ended before, or which label's value is not there."""
    chosen = selector(metric, matchers)
    back = max(end - start, timedelta(days=1))
    seen = last_seen(client, chosen, at=start, back=back)
    if seen is not None:
        return _stale(client, chosen, seen, end)
    labels = ", ".join(matchers)
    found = client.query(f"count by ({labels}) (last_over_time({metric}[{span(max(end - start, _HOUR))}]))", end)
    if not found:
        return NoDataError(
            f"no series {metric} at all between {readable_time(start)} and {readable_time(end)}",
            silence=Silence.NO_SERIES,
            where=client.url,
            hint="does this Prometheus scrape the service? Its /targets page says",
        )
    left = [series.labels for series in found]
    for name, wanted in matchers.items():
        values = sorted({known.get(name, "") for known in left})
        if wanted not in values:
            shown = ", ".join(repr(v) for v in values[:5]) + (", ..." if len(values) > 5 else "")
            return NoDataError(
                f"no series {chosen} between {readable_time(start)} and {readable_time(end)}: no {name} is {wanted!r},"
                f" there is {shown}",
                silence=Silence.NO_SERIES,
                where=client.url,
                hint=did_you_mean(wanted, values) or _HINTS.get(name, "check the label"),
            )
        left = [known for known in left if known.get(name, "") == wanted]
    return NoDataError(
        f"no series {chosen} between {readable_time(start)} and {readable_time(end)}",
        silence=Silence.NO_SERIES,
        where=client.url,
        hint="it has just appeared, or the scrape fails: try again",
    )


def refuse_stale(client: PrometheusClient, metric: str, matchers: Labels, *, start: datetime, end: datetime) -> None:
    """NoDataError (STALE, and since when) where the newest sample is from more than ``STALE_AFTER`` before ``end``."""
    chosen = selector(metric, matchers)
    if client.query(f"count(last_over_time({chosen}[{span(STALE_AFTER)}]))", end):
        return
    seen = last_seen(client, chosen, at=end, back=end - start)
    if seen is None:
        raise why_no_series(client, metric, matchers, start=start, end=end)
    raise _stale(client, chosen, seen, end)


def last_seen(client: PrometheusClient, chosen: str, *, at: datetime, back: timedelta) -> datetime | None:
    """When the selector had its newest sample in the time ``back`` before ``at``; None where it had none."""
    step = max(back / _COARSE, timedelta(minutes=1))
    asked = f"count(last_over_time({chosen}[{span(step)}]))"
    pieces = list(client.query_range(asked, first=at - (back // step) * step, last=at, step=step))
    times = [float(series.times[-1]) for answer in pieces for series in answer]
    if not times:
        return None
    near = datetime.fromtimestamp(max(times), tz=UTC)
    exact = client.query(f"max(max_over_time(timestamp({chosen})[{span(step)}:{span(_FINE)}]))", near)
    return datetime.fromtimestamp(exact[0].last, tz=UTC) if exact else near


def _stale(client: PrometheusClient, chosen: str, seen: datetime, end: datetime) -> NoDataError:
    return NoDataError(
        f"the newest sample of {chosen} is of {readable_time(seen)}, {_spoken(end - seen)} before the window's end",
        silence=Silence.STALE,
        where=client.url,
        hint="the service or its scrape ended then: look at /targets",
    )


# -- retention -------------------------------------------------------------------------------------------------------


def refuse_short_retention(
    client: PrometheusClient, metric: str, matchers: Labels, *, start: datetime, end: datetime, now: datetime
) -> None:
    """RetentionError where the window begins before what the server keeps.

    Prometheus says how long it keeps samples. Where it also has a limit by size, and of servers that say nothing
    (Thanos, Mimir, VictoriaMetrics), the samples themselves tell: nothing at all at the window's start, of this metric
    or of ``up``, and counters that were not at 0 when the first sample came. A server that is younger than the window,
    beside a service that is as young, is fine.
    """
    said = client.retention_text()
    kept, sized = parse_retention(said) if said is not None else (None, True)
    if kept is not None and start < now - kept:
        raise RetentionError(
            f"keeps samples for {said}, and the window begins {_spoken(now - start)} ago",
            where=client.url,
            hint="a shorter check.window, or a longer --storage.tsdb.retention.time",
        )
    if not sized:
        return
    for name in (metric, "up"):
        if client.query(f"count(last_over_time({name}[{span(_HOUR)}]))", start):
            return
    chosen = selector(metric, matchers)
    step = max((end - start) / _COARSE, timedelta(minutes=1))
    asked = f"count(last_over_time({chosen}[{span(step)}]))"
    for answer in client.query_range(asked, first=start, last=end, step=step):
        if answer:
            first = datetime.fromtimestamp(float(answer[0].times[0]), tz=UTC)
            if client.query(f"count(min_over_time({chosen}[{span(step)}]) > 0)", first):
                raise RetentionError(
                    f"has nothing from before about {readable_time(first)}, and the window begins at"
                    f" {readable_time(start)}; the counters were not at 0 then",
                    where=client.url,
                    hint="it keeps less than check.window, or is younger than the service: a shorter window, --since",
                )
            return


def parse_retention(text: str) -> tuple[timedelta | None, bool]:
    """``15d``, ``512MB`` or ``15d or 512MB``: how long at most, and whether there is a limit by size."""
    parts = [part.strip() for part in text.split(" or ")]
    durations = [part for part in parts if _DURATION.fullmatch(part)]
    kept = sum((int(n) * _UNITS[unit] for n, unit in _PART.findall("".join(durations))), timedelta(0))
    return (kept or None), len(durations) < len(parts) or not kept


def _spoken(duration: timedelta) -> str:
    """For a sentence: the two largest units at most."""
    minutes = round(duration / timedelta(minutes=1))
    days, hours = minutes // 1440, minutes // 60 % 24
    if days:
        return f"{days} d {hours} h" if hours else f"{days} d"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"
