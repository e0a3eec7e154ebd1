"""A run's numbers to a Pushgateway and to an OpenTelemetry collector: in bounded time, and never more than a warning.

``REMINT_PUSHGATEWAY_URL`` with ``REMINT_PUSHGATEWAY_TOKEN``, or ``_USERNAME`` and ``_PASSWORD`` (and what else
``prometheus_access`` knows); ``OTEL_EXPORTER_OTLP_ENDPOINT`` and the other variables of OpenTelemetry. Credentials come
from the environment alone, and no message holds one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from remint.core.command_run import CommandRun
from remint.core.markdown import clean
from remint.errors import ConfigError, MissingExtraError, RemintError, ServiceError

if TYPE_CHECKING:
    import requests

PUSHGATEWAY: Final = "REMINT_PUSHGATEWAY_URL"
_PREFIX: Final = "REMINT_PUSHGATEWAY_"
_OTLP: Final = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")  # the first that is set
_OTLP_PROTOCOL: Final = ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_SECONDS: Final = 3.0  # for all pushes together, whatever a name server, a proxy or a slow reader does
_UNITS: Final = {"seconds": "s", "bytes": "By", "grams": "g", "": "1"}  # UCUM, as OpenTelemetry asks for it
_LOGGER: Final = "opentelemetry"


def push(run: CommandRun, environ: Mapping[str, str], *, seconds: float = _SECONDS) -> list[str]:
    """Send to what the environment names; a warning for each that did not take it, after ``seconds`` at most."""
    wanted: list[tuple[str, Callable[[], None]]] = []
    if url := environ.get(PUSHGATEWAY, "").strip():
        wanted.append((f"the Pushgateway {_bare(url)}", lambda: _to_gateway(run, url, environ, seconds)))
    if (collector := _first(environ, _OTLP)) and environ.get("OTEL_SDK_DISABLED", "").strip().lower() != "true":
        wanted.append((f"the collector {_bare(collector)}", lambda: _to_collector(run, environ, seconds)))
    return _bounded(wanted, seconds)


def _bounded(wanted: Sequence[tuple[str, Callable[[], None]]], seconds: float) -> list[str]:
    """Each in a thread that nobody waits for at the end: a socket's timeout bounds one read, not the whole."""
    failed: dict[str, str] = {}
    done: dict[str, threading.Event] = {where: threading.Event() for where, _ in wanted}

    def work(where: str, send: Callable[[], None]) -> None:
        try:
            send()
        except RemintError as error:
            failed[where] = str(error)
        except Exception as error:  # noqa: BLE001 - whatever a library raises, the run's answer stands
            failed[where] = type(error).__name__  # its text may quote an address with a token in it
        done[where].set()

    threads = [threading.Thread(target=work, args=pair, name="remint-push", daemon=True) for pair in wanted]
    for thread in threads:
        thread.start()
    left = seconds
    for where, event in done.items():
        if not event.wait(left):
            failed.setdefault(where, f"no answer within {seconds:g} s")
            left = 0.0  # the time is up for all of them
    return [clean(f"the run was not pushed to {where}: {failed[where]}") for where in done if where in failed]


def _to_gateway(run: CommandRun, url: str, environ: Mapping[str, str], seconds: float) -> None:
    """``POST`` to the group of this pipeline and command: what this run has no number for keeps its last one."""
    import requests
    from prometheus_client import CollectorRegistry, Gauge, pushadd_to_gateway

    from remint.adapters.prometheus_access import access_from_environment

    access = access_from_environment(url, environ, prefix=_PREFIX, what=PUSHGATEWAY)
    registry = CollectorRegistry()
    for sample in run.samples():
        name = f"{sample.name}_{sample.unit}" if sample.unit else sample.name
        gauge = Gauge(name, sample.text, list(sample.labels), registry=registry)
        (gauge.labels(**sample.labels) if sample.labels else gauge).set(sample.value)

    def handler(
        *, url: str, method: str, timeout: float | None, headers: Sequence[tuple[str, str]], data: bytes
    ) -> Callable[[], None]:
        def send() -> None:
            sent = {**dict(headers), **access.headers}
            try:
                with access.session() as session:
                    answer = session.request(
                        method, url, data=data, headers=sent, auth=access.auth, timeout=timeout, allow_redirects=False
                    )
            except requests.Timeout:
                raise ServiceError(f"no answer within {seconds:g} s") from None
            except requests.RequestException as error:
                raise ServiceError(_reason(error)) from None
            if answer.status_code in {401, 403}:
                raise ConfigError(f"refused ({answer.status_code})", hint=access.advice)
            if not answer.ok or answer.is_redirect:
                raise ServiceError(f"answered {answer.status_code}")

        return send

    group = {"command": run.name} | ({"pipeline": run.pipeline} if run.pipeline else {})
    pushadd_to_gateway(access.url, "remint", registry, grouping_key=group, timeout=seconds, handler=handler)


def _to_collector(run: CommandRun, environ: Mapping[str, str], seconds: float) -> None:
    """OTLP over HTTP with protobuf. The exporter reads its own variables: headers, certificates, compression."""
    protocol = _first(environ, _OTLP_PROTOCOL)
    if protocol not in {None, "http/protobuf"}:
        raise ConfigError(f"{protocol} is not spoken here", where=_OTLP_PROTOCOL[-1], hint="http/protobuf is")
    try:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricExportResult
        from opentelemetry.sdk.resources import Resource
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"{error.name} is not installed", hint="pip install 'remint[otlp]'") from None
    import requests

    reader = InMemoryMetricReader()
    service = Resource.create({"service.name": environ.get("OTEL_SERVICE_NAME") or "remint"})
    provider = MeterProvider([reader], resource=service, shutdown_on_exit=False)
    meter = provider.get_meter("remint")
    who = {"command": run.name} | ({"pipeline": run.pipeline} if run.pipeline else {})
    for sample in run.samples():
        name = sample.name.replace("remint_run_", "remint.run.")
        meter.create_gauge(name, _UNITS[sample.unit], sample.text).set(sample.value, {**who, **sample.labels})
    seen: list[int] = []
    session = requests.Session()
    session.hooks["response"].append(lambda answer, **_: seen.append(answer.status_code))
    with _hushed(), session:
        data = reader.get_metrics_data()
        if data is None:
            raise ServiceError("OpenTelemetry had nothing to send", hint="is its SDK switched off?")
        exporter = OTLPMetricExporter(session=session, timeout=seconds)
        if exporter.export(data) is not MetricExportResult.SUCCESS:
            raise ServiceError(f"answered {seen[-1]}" if seen else "cannot be reached")
    provider.shutdown()


@contextmanager
def _hushed() -> Iterator[None]:
    """Without the many lines that OpenTelemetry's exporter would log about the one failure that is told here."""
    logger = logging.getLogger(_LOGGER)
    before = logger.propagate
    logger.propagate = False
    logger.addHandler(nothing := logging.NullHandler())
    try:
        yield
    finally:
        logger.removeHandler(nothing)
        logger.propagate = before


def _first(environ: Mapping[str, str], names: Sequence[str]) -> str | None:
    return next((value for name in names if (value := environ.get(name, "").strip())), None)


def _bare(url: str) -> str:
    """Scheme, host and port: what else stands in the address may be a secret."""
    parts = urlsplit(url)
    try:
        host, port = parts.hostname or "?", parts.port
    except ValueError:
        return "?"
    return f"{parts.scheme}://{host}:{port}" if port else f"{parts.scheme}://{host}"


def _reason(error: requests.RequestException) -> str:
    """The innermost cause's own word (``Connection refused``), without the address that the outer ones quote."""
    inner: BaseException = error
    while (cause := inner.__cause__ or inner.__context__) is not None:
        inner = cause
    return (inner.strerror if isinstance(inner, OSError) else None) or type(inner).__name__
