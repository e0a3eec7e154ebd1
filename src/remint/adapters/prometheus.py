"""Questions to Prometheus or what speaks its query API (Thanos, Mimir, VictoriaMetrics): a whole answer or an error.

Counters are read in ``prometheus_counts``, a long past in ``prometheus_history``, and why nothing came in
``prometheus_silence``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from prometheus_api_client import PrometheusConnect
from requests import exceptions as network
from urllib3 import exceptions as transport
from urllib3.util.retry import Retry

from remint.adapters.prometheus_access import Access, access_from_environment
from remint.core.document import readable_time
from remint.errors import AmbiguousSeriesError, ConfigError, NoDataError, RemintError, ServiceError, Silence

#: Labels that tell apart the processes of one service; everything else that differs is a question to the user.
SUMMED: Final = ("instance", "pod", "job")

_CONNECT_SECONDS: Final = 1.0
#: What makes each server answer exactly or not at all; a server ignores what it does not know.
_EXACTLY: Final = {
    "partial_response": "false",  # Thanos: all stores or an error
    "max_source_resolution": "0s",  # Thanos: raw samples; of downsampled ones last_over_time would be an average
    "deny_partial_response": "1",  # VictoriaMetrics: all nodes or an error
    "nocache": "1",  # VictoriaMetrics: else it shifts the times to fit its cache, and leaves the last 30 s out
    "latency_offset": "1ms",  # VictoriaMetrics: what is there is there, range queries included
}
_MAX_POINTS: Final = 11_000  # a series, in one answer: more is refused by Prometheus
_MAX_SAMPLES: Final = 500_000  # in one answer, about 20 MB, so that memory stays small
_FIRST_POINTS: Final = 100  # of a range query, before the number of its series is known
_LONGEST: Final = timedelta(days=30)  # of one range query: what Mimir and Cortex let through
_COMPARISON: Final = re.compile(r"([=!]=|[<>]=?)(?!\s*bool\b)|\b(and|unless)\b")
_LITERALS: Final = re.compile(r"\"(\\.|[^\"\\])*\"|'(\\.|[^'\\])*'|`[^`]*`|\{[^}]*\}")

Labels = Mapping[str, str]
Floats = npt.NDArray[np.float64]
Key = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One series of an answer: its labels (without the name), Unix times and values, each (samples,), oldest first."""

    labels: Labels
    times: Floats
    values: Floats

    @property
    def key(self) -> Key:
        return tuple(sorted(self.labels.items()))

    @property
    def last(self) -> float:
        return float(self.values[-1])


class PrometheusClient:
    """One Prometheus, and who we are to it (``REMINT_PROMETHEUS_*`` of ``environ``).

    Raises ConfigError (wrong query, address or credentials), ServiceError (down, overloaded, a partial answer, not a
    Prometheus), NoDataError (no series, NaN) and AmbiguousSeriesError; never a library's error, never a secret.
    """

    def __init__(self, url: str, *, timeout_seconds: float, environ: Mapping[str, str]) -> None:
        self._access: Access = access_from_environment(url, environ)
        self._timeout_seconds = timeout_seconds
        self.url = self._access.url
        self._session = self._access.session()
        self._session.hooks["response"].append(self._read)
        # Compressing an answer costs the server more than finding it, and us more than reading what it saved
        self._session.headers["Accept-Encoding"] = "identity"
        self._connection = PrometheusConnect(
            url=self.url,
            auth=self._access.auth,
            headers=dict(self._access.headers),
            retry=Retry(total=0),  # a dead server answers at once; whoever calls may try again
            session=self._session,
            timeout=(_CONNECT_SECONDS, timeout_seconds),
            method="POST",  # never answered from a proxy's cache
        )

    def query(self, promql: str, at: datetime) -> list[Series]:
        """The series that the query answers with at ``at``."""
        with self._translated():
            return [self._series(item) for item in self._ask(promql, at)]

    def samples(self, chosen: str, *, start: datetime, end: datetime) -> list[Series]:
        """The raw samples of a selector in (start, end], NaN left out: VictoriaMetrics shows a series' end as one."""
        with self._translated():
            answer = self._ask(f"{chosen}[{span(end - start)}]", end)
            kept = [{**item, "values": [pair for pair in item["values"] if pair[1] != "NaN"]} for item in answer]
            return [self._series(item) for item in kept]

    def query_range(self, promql: str, *, first: datetime, last: datetime, step: timedelta) -> Iterator[list[Series]]:
        """The query at ``first``, ``first + step``, ... up to ``last``: in pieces that no server refuses, oldest first.

        A time at which a series has no value is left out of its samples.
        """
        seconds, left = step.total_seconds(), (last - first) // step + 1
        longest = max(1, min(_MAX_POINTS, _LONGEST // step))
        points, begin = min(_FIRST_POINTS, longest), first
        while left > 0:
            points = min(points, left)
            # The library rounds times to seconds; its params go last
            params = {
                **_EXACTLY,
                "start": _unix(begin),
                "end": _unix(begin + (points - 1) * step),
                "step": f"{seconds:.3f}",
            }
            with self._translated():
                answer = self._connection.custom_query_range(promql, begin, begin, "", params=params)
                found = [self._series(item) for item in answer]
            yield found
            begin, left = begin + points * step, left - points
            samples = sum(series.values.size for series in found)
            points = max(1, min(longest, _MAX_SAMPLES * points // samples)) if samples else longest

    def signal(self, promql: str, *, at: datetime) -> float:
        """The one finite number that a query of the user's answers with at ``at``.

        AmbiguousSeriesError for several series, NoDataError for none or NaN, ConfigError for what is no query or
        answers with something else than a number.
        """
        try:
            with self._translated():
                answer = self._ask(promql, at)
                if len(answer) == 2 and not isinstance(answer[0], Mapping):
                    return self._number(answer, promql)
                found = [self._series(item, promql) for item in answer]
        except ConfigError as error:
            raise type(error)(error.message, where=error.where, hint=error.hint or f"the query is {promql}") from None
        if not found:
            raise self._no_signal(promql, at)
        if len(found) > 1:
            refuse_ambiguous(promql, (s.labels for s in found), known=set(), summed=(), hint="sum() or max() over it?")
            raise AmbiguousSeriesError(f"{promql} answers with {len(found)} series, a signal is one number")
        if found[0].values.size != 1:
            raise ConfigError(f"{promql} answers with a range of samples, a signal is one number", where=self.url)
        return found[0].last

    def newest(self, metric: str, matchers: Labels, *, at: datetime) -> float:
        """The largest value of a gauge over instance, pod and job at ``at``. NoDataError where there is none."""
        found = self.query(selector(metric, matchers), at)
        if not found:
            message = f"no series {selector(metric, matchers)} at {readable_time(at)}"
            raise NoDataError(message, silence=Silence.NO_SERIES, where=self.url)
        refuse_ambiguous(metric, (s.labels for s in found), known=set(matchers))
        return max(s.last for s in found)

    def retention_text(self) -> str | None:
        """What the server says it keeps (``15d``, ``15d or 512MB``); None for one that does not say."""
        try:
            with self._translated():
                answer = self._session.get(
                    f"{self.url}/api/v1/status/runtimeinfo",
                    auth=self._access.auth,
                    headers=dict(self._access.headers),
                    timeout=(_CONNECT_SECONDS, self._timeout_seconds),
                ).json()
                return str(answer["data"]["storageRetention"])
        except (ConfigError, ServiceError):
            return None  # only Prometheus has it; a server that is down says so when it is asked for counts

    # -- transport ---------------------------------------------------------------------------------------------------

    def _ask(self, promql: str, at: datetime) -> Any:
        return self._connection.custom_query(promql, params={**_EXACTLY, "time": _unix(at)})

    def _series(self, item: Mapping[str, Any], asked: str | None = None) -> Series:
        pairs = item["values"] if "values" in item else [item["value"]]
        times = np.array([float(at) for at, _ in pairs])
        values = np.array([float(value) for _, value in pairs])
        if not np.isfinite(values).all():
            raise self._not_a_number(asked or item["metric"].get("__name__", "the query"))
        labels = {name: value for name, value in item["metric"].items() if name != "__name__"}
        return Series(labels, times, values)

    def _number(self, scalar: Any, promql: str) -> float:
        try:
            value = float(scalar[1])
        except ValueError:
            raise ConfigError(f"{promql} answers with a text, a signal is one number", where=self.url) from None
        if not math.isfinite(value):
            raise self._not_a_number(promql)
        return value

    def _not_a_number(self, what: str) -> NoDataError:
        return NoDataError(
            f"a sample of {what} is not a number",
            silence=Silence.NAN,
            where=self.url,
            hint="NaN or infinite: a division by zero, or a gauge that was never set?",
        )

    def _no_signal(self, promql: str, at: datetime) -> NoDataError:
        """Nothing came: a filter that holds nothing back is not an absent series, and that not one that ended."""
        if _COMPARISON.search(_LITERALS.sub(" ", promql)):
            return NoDataError(
                f"{promql} answers with nothing at {readable_time(at)}: what it compares does not hold, or is absent",
                silence=Silence.EMPTY,
                where=self.url,
                hint="`> bool 5` instead of `> 5` answers with 0 or 1",
            )
        quarter = timedelta(minutes=15)
        pieces = self.query_range(promql, first=at - timedelta(days=1), last=at, step=quarter)
        seen = max((float(s.times[-1]) for piece in pieces for s in piece), default=None)
        if seen is not None:
            last = datetime.fromtimestamp(seen, tz=at.tzinfo)
            return NoDataError(
                f"{promql} answers with nothing at {readable_time(at)}, and last did about {readable_time(last)}",
                silence=Silence.STALE,
                where=self.url,
                hint="did its scrape or its service end then?",
            )
        return NoDataError(
            f"{promql} answers with nothing at {readable_time(at)}",
            silence=Silence.NO_SERIES,
            where=self.url,
            hint="check its names and labels",
        )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Network and parsing errors in our words; the library's own may hold the whole URL and header values."""
        try:
            yield
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
            raise ServiceError(
                f"cannot be reached: {_broken_link(error)}", where=self.url, hint="is Prometheus running there?"
            ) from None

    def _read(self, response: Any, *_: Any, **__: Any) -> None:
        """Turn what is not a whole answer into our errors before the library sees it."""
        if response.status_code == 200:
            answer = response.json()
            self._refuse_partial(answer)
            response.json = lambda **_: answer  # parsed once: an answer may hold half a million samples
        else:
            raise self._failure(response)

    def _refuse_partial(self, answer: Mapping[str, Any]) -> None:
        """Thanos, Mimir and Prometheus's remote read name missing parts in ``warnings``, VictoriaMetrics has a flag."""
        warnings = [str(text) for text in answer.get("warnings") or () if not str(text).startswith("PromQL info")]
        if answer.get("isPartial"):
            warnings.append("some storage nodes did not answer")
        if not warnings:
            return
        said = "; ".join(warnings)[:300]
        if all(text.startswith("PromQL warning") for text in warnings):
            raise ConfigError(f"doubts the query: {said}", where=self.url)
        raise ServiceError(f"answered in part only: {said}", where=self.url, hint="what is missing may come back")

    def _failure(self, response: Any) -> RemintError:
        status, said = response.status_code, _said(response)
        if response.is_redirect:
            return ConfigError(
                "redirects to another address", where=self.url, hint="use that one, or is a login in front?"
            )
        if status in {401, 403}:
            # Mimir and Cortex: the tenant is missing, not the password
            tenant = "no org id" in response.text[:200]
            advice = "set REMINT_PROMETHEUS_TENANT" if tenant else self._access.advice
            return ConfigError(f"refused our credentials ({status})", where=self.url, hint=advice)
        if status == 404 or "unsupported path" in response.text[:1000]:
            return ConfigError(
                f"has no Prometheus query API ({status})",
                where=self.url,
                hint="check the path of the URL: Mimir's ends in /prometheus, a VictoriaMetrics cluster's in"
                " /select/0/prometheus",
            )
        if status == 422:
            large = any(word in said for word in ("too many", "exceed", "limit"))
            return ConfigError(
                f"cannot run the query: {said}", where=self.url, hint="a shorter check.window?" if large else None
            )
        if status == 429:
            return ServiceError(f"takes no more queries now (429): {said}", where=self.url, hint="try again later")
        if status in {503, 504} and "timed out" in said:
            return ServiceError(f"gave up on the query ({status}): {said}", where=self.url, hint="its --query.timeout")
        if status >= 500:
            return ServiceError(f"failed with {status}: {said}", where=self.url)
        return ConfigError(f"refused the query with {status}: {said}", where=self.url)


# -- PromQL ----------------------------------------------------------------------------------------------------------


def selector(metric: str, matchers: Labels) -> str:
    """``metric{name="value",...}``; JSON's string escapes are a subset of PromQL's."""
    return metric + "{" + ",".join(f"{name}={json.dumps(value)}" for name, value in matchers.items()) + "}"


def span(duration: timedelta) -> str:
    """A PromQL duration, at least a millisecond."""
    return f"{max(1, round(duration / timedelta(milliseconds=1)))}ms"


def refuse_ambiguous(
    what: str,
    found: Iterable[Labels],
    *,
    known: set[str],
    summed: Iterable[str] = SUMMED,
    hint: str = "one pipeline slug must mean one service: drop the label when scraping, or ask one environment",
) -> None:
    """AmbiguousSeriesError where the series differ in a label that is neither ``known`` nor ``summed`` over."""
    all_labels = list(found)
    for name in sorted({name for labels in all_labels for name in labels} - known - set(summed)):
        values = sorted({labels.get(name, "") for labels in all_labels})
        if len(values) > 1:
            shown = ", ".join(repr(v) for v in values[:4]) + (", ..." if len(values) > 4 else "")
            raise AmbiguousSeriesError(f"{what} has series that differ in label {name!r}: {shown}", hint=hint)


def to_milliseconds(at: datetime) -> datetime:
    """As Prometheus keeps time."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def _unix(at: datetime) -> str:
    return f"{at.timestamp():.3f}"


def _said(response: Any) -> str:
    """What the server says is wrong, in short; nothing of an HTML page."""
    try:
        return str(response.json()["error"])[:300]
    except (ValueError, KeyError, TypeError):
        return "no reason given"


def _broken_link(error: network.RequestException) -> str:
    """Why there is no connection. The texts of the library hold addresses, so only its classes are looked at."""
    reason = getattr(error.args[0], "reason", error.args[0]) if error.args else None
    if isinstance(reason, transport.NameResolutionError):
        return "its name is not known"
    if isinstance(reason, transport.NewConnectionError):
        return "connection refused" if "refused" in str(reason) else "no route to it"
    if isinstance(reason, transport.ProtocolError):
        return "the connection broke"
    return type(error).__name__
