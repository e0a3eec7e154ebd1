"""Counts from Prometheus or whatever speaks its query API (Thanos, Mimir): exact, reset-safe, never extrapolated.

``increase()`` extrapolates to the window's ends and gives fractions, so it is not used. A series' increase is the
difference between its last samples at the window's two ends; only series that were reset in between are read sample by
sample. Two windows that share an end share that sample too: nothing is counted twice, nothing is lost.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final

import numpy as np
from prometheus_api_client import PrometheusConnect
from requests import exceptions as network
from urllib3.util.retry import Retry

from remint.adapters.prometheus_access import Access, access_from_environment
from remint.core.profile import Counts, Reference
from remint.errors import AmbiguousSeriesError, ConfigError, DataError, NoDataError, ServiceError

#: Labels that tell apart the processes of one service; everything else that differs is a question to the user.
SUMMED: Final = ("instance", "pod", "job")

_CONNECT_SECONDS: Final = 1.0
#: How long before the window a series' last sample still is its start: scrapes fail, and a pod out of sight for some
#: minutes comes back with its old total, which must not be counted as new.
_LOOK_BACK: Final = timedelta(hours=1)
_RAW_PIECE: Final = timedelta(hours=6)  # of raw samples in one answer, so that memory stays small

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an answer: its labels (without the name) and its (Unix time, value) samples, oldest first."""

    labels: Labels
    samples: tuple[tuple[float, float], ...]


class PrometheusClient:
    """One Prometheus, and who we are to it (``REMINT_PROMETHEUS_*`` of ``environ``).

    Raises ConfigError (wrong query, address or credentials), ServiceError (down, overloaded, not a Prometheus),
    NoDataError (no series, NaN) and AmbiguousSeriesError; never a library's error, never a secret.
    """

    def __init__(self, url: str, *, timeout_seconds: float, environ: Mapping[str, str]) -> None:
        self._access: Access = access_from_environment(url, environ)
        self._timeout_seconds = timeout_seconds
        self.url = self._access.url
        session = self._access.session()
        session.hooks["response"].append(self._refuse)
        self._connection = PrometheusConnect(
            url=self.url,
            auth=self._access.auth,
            headers=dict(self._access.headers),
            retry=Retry(total=0),  # a dead server answers at once; whoever calls may try again
            session=session,
            timeout=(_CONNECT_SECONDS, timeout_seconds),
            method="POST",  # a selector over many values is longer than a URL may be
        )

    def increases(
        self, metric: str, matchers: Labels, *, by: Sequence[str], start: datetime, end: datetime
    ) -> dict[tuple[str, ...], float]:
        """How much the counter rose in [start, end), for each value of the labels ``by`` (in that order).

        Sums over instance, pod and job. Any other label, neither in ``by`` nor in ``matchers``, that differs between
        series raises AmbiguousSeriesError; no series at all raises NoDataError. A series born inside the window starts
        at 0, as the service exposes every counter from 0.
        """
        start, end = _to_milliseconds(start), _to_milliseconds(end)  # as Prometheus keeps time
        if start >= end:
            raise ConfigError(f"the window [{start.isoformat()}, {end.isoformat()}) is empty", where=self.url)
        selector = _selector(metric, matchers)
        window = end - start
        last = self._ask(f"last_over_time({selector}[{_span(window)}])", end)
        if not last:
            raise NoDataError(f"no series {selector} between {start.isoformat()} and {end.isoformat()}", where=self.url)
        _refuse_ambiguous(metric, (s.labels for s in last), known={*by, *matchers})
        first = self._ask(f"last_over_time({selector}[{_span(_LOOK_BACK)}])", start)
        before = {_key(s.labels): s.samples[-1][1] for s in first}
        reset = self._ask(f"resets({selector}[{_span(window + _LOOK_BACK)}]) > 0", end)
        walked = self._walk(metric, matchers, [s.labels for s in reset], before, start, end)
        rises: dict[tuple[str, ...], float] = {}
        for series in last:
            key = _key(series.labels)
            rise = walked[key] if key in walked else series.samples[-1][1] - before.get(key, 0.0)
            group = tuple(series.labels.get(label, "") for label in by)
            rises[group] = rises.get(group, 0.0) + rise
        if min(rises.values()) < 0:
            raise DataError(f"{metric} went down without a reset", where=self.url, hint="is it a counter?")
        return rises

    def newest(self, metric: str, matchers: Labels, *, at: datetime) -> float:
        """The largest value of a gauge over instance, pod and job at ``at``. NoDataError where there is none."""
        found = self._ask(_selector(metric, matchers), at)
        if not found:
            raise NoDataError(f"no series {_selector(metric, matchers)} at {at.isoformat()}", where=self.url)
        _refuse_ambiguous(metric, (s.labels for s in found), known=set(matchers))
        return max(s.samples[-1][1] for s in found)

    def _walk(
        self,
        metric: str,
        matchers: Labels,
        reset: Sequence[Labels],
        before: Mapping[Any, float],
        start: datetime,
        end: datetime,
    ) -> dict[Any, float]:
        """The rise of each series that was reset, sample by sample: after a reset a counter starts again at 0."""
        wanted = {_key(labels) for labels in reset}
        samples: dict[Any, dict[float, float]] = {}
        processes = {tuple((name, labels.get(name, "")) for name in SUMMED) for labels in reset}
        for process in sorted(processes):
            selector = _selector(metric, {**dict(process), **matchers})
            piece_end = end
            while piece_end > start:
                piece = min(_RAW_PIECE, piece_end - start)
                for series in self._ask(f"{selector}[{_span(piece)}]", piece_end):
                    if (key := _key(series.labels)) in wanted:
                        samples.setdefault(key, {}).update(series.samples)
                piece_end -= piece
        rises = {}
        for key, found in samples.items():
            inside = [found[at] for at in sorted(found) if at > start.timestamp()]
            values = [before.get(key, 0.0), *inside]
            rises[key] = sum(b - a if b >= a else b for a, b in pairwise(values))
        return rises

    def _ask(self, query: str, at: datetime) -> list[Series]:
        try:
            answer = self._connection.custom_query(
                query,
                params={"time": f"{at.timestamp():.3f}", "partial_response": "false"},  # Thanos: all of it or an error
            )
            return [_series(item) for item in answer]
        except network.ConnectTimeout:
            raise ServiceError(f"no connection within {_CONNECT_SECONDS:g} s", where=self.url) from None
        except network.Timeout:
            raise ServiceError(f"no answer within {self._timeout_seconds:g} s", where=self.url) from None
        except network.SSLError:
            raise ConfigError(
                "the TLS handshake failed",
                where=self.url,
                hint="REMINT_PROMETHEUS_CA_FILE, REMINT_PROMETHEUS_CLIENT_CERT and _KEY name certificates",
            ) from None
        except network.ProxyError:
            raise ServiceError("the proxy does not answer", where=self.url, hint="HTTPS_PROXY, NO_PROXY") from None
        except (network.JSONDecodeError, KeyError, TypeError, ValueError, IndexError):
            raise ServiceError(
                "did not answer as Prometheus does", where=self.url, hint="a login page, or another server's address?"
            ) from None
        except network.RequestException as error:
            # The library's own text may hold the whole URL and header values
            raise ServiceError(
                f"cannot be reached ({type(error).__name__})", where=self.url, hint="is Prometheus running there?"
            ) from None

    def _refuse(self, response: Any, *_: Any, **__: Any) -> None:
        """Turn what is not an answer into our errors before the library wraps it in a sentence."""
        status = response.status_code
        if status == 200:
            return
        said = _said(response)
        if response.is_redirect:
            raise ConfigError(
                "redirects to another address", where=self.url, hint="use that one, or is a login in front?"
            )
        if status in {401, 403}:
            raise ConfigError(f"refused our credentials ({status})", where=self.url, hint=self._access.advice)
        if status == 404:
            raise ConfigError("has no Prometheus query API (404)", where=self.url, hint="check the path of the URL")
        if status == 422:
            raise ConfigError(f"cannot run the query: {said}", where=self.url, hint="a shorter check.window?")
        if status == 429 or status >= 500:
            raise ServiceError(f"failed with {status}: {said}", where=self.url)
        raise ConfigError(f"refused the query with {status}: {said}", where=self.url)


def window_counts(
    client: PrometheusClient, reference: Reference, *, start: datetime, end: datetime, track: str = "stable"
) -> Counts:
    """Counts of [start, end) over the reference's bins, from the series of this very reference and track.

    Raises NoDataError where a field has no series, DataError where there are bins that the reference has not.
    """
    matchers = {"pipeline": reference.pipeline, "reference": reference.id, "track": track}
    rises = client.increases("remint_bin_total", matchers, by=("field", "bin"), start=start, end=end)
    counts = {f.name: np.zeros(f.bins, dtype=np.int64) for f in reference.fields}
    seen = set()
    for (field, index), rise in rises.items():
        if field not in counts or not index.isascii() or not index.isdigit() or int(index) >= len(counts[field]):
            raise DataError(f"series of field {field!r}, bin {index!r}, which the reference has not", where=client.url)
        counts[field][int(index)] += round(rise)
        seen.add(field)
    absent = [name for name in counts if name not in seen]
    if absent:
        raise NoDataError(f"no remint_bin_total series of field {absent[0]!r}", where=client.url)
    return counts


def _refuse_ambiguous(metric: str, found: Iterable[Labels], *, known: set[str]) -> None:
    all_labels = list(found)
    for name in sorted({name for labels in all_labels for name in labels} - known - set(SUMMED)):
        values = sorted({labels.get(name, "") for labels in all_labels})
        if len(values) > 1:
            shown = ", ".join(repr(v) for v in values[:4]) + (", ..." if len(values) > 4 else "")
            raise AmbiguousSeriesError(
                f"{metric} has series that differ in label {name!r}: {shown}",
                hint="one pipeline slug must mean one service: drop the label when scraping, or ask one environment",
            )


def _series(item: Mapping[str, Any]) -> Series:
    raw = item["values"] if "values" in item else [item["value"]]
    samples = tuple((float(at), float(value)) for at, value in raw)
    labels = {name: value for name, value in item["metric"].items() if name != "__name__"}
    if not all(math.isfinite(value) for _, value in samples):
        raise NoDataError(f"a sample of {item['metric'].get('__name__', 'the query')} is not a number")
    return Series(labels, samples)


def _key(labels: Labels) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(labels.items()))


def _selector(metric: str, matchers: Labels) -> str:
    # JSON's string escapes are a subset of PromQL's
    return metric + "{" + ",".join(f"{name}={json.dumps(value)}" for name, value in matchers.items()) + "}"


def _to_milliseconds(at: datetime) -> datetime:
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def _span(duration: timedelta) -> str:
    return f"{max(1, round(duration / timedelta(milliseconds=1)))}ms"


def _said(response: Any) -> str:
    """What Prometheus says is wrong, in short; nothing of an HTML page."""
    try:
        return str(response.json()["error"])[:300]
    except (ValueError, KeyError, TypeError):
        return "no reason given"
