"""What `remint watch` found, as Prometheus metrics. Needs prometheus-client, the extra ``serve``."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Info, generate_latest, start_http_server

from remint.core.trigger import Answer

Json = Mapping[str, Any]

_BOUNDS: Final = ("estimate", "lower", "upper")


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """What is known of a workflow by its runs; ``failed`` is of the newest that ended, None where none has."""

    ran_at: datetime
    succeeded_at: datetime | None
    failed: bool | None


class Exporter:
    """The last look at one pipeline. What a look did not see again is gone from the next scrape, never left standing.

    The heartbeat is ``remint_watch_timestamp_seconds``, of the last look whatever it ended in; the newest look with an
    answer is ``remint_watch_answered_timestamp_seconds``. Of the workflows the forge tells, where one is asked.
    """

    def __init__(self, pipeline: str) -> None:
        self.registry = CollectorRegistry()
        self._pipeline = pipeline
        self._lock = threading.Lock()

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, ["pipeline", *labels], registry=self.registry)

        self._drift = gauge("remint_drift_score", "PSI of a field, in nats.", "role", "field")
        self._drifted = gauge("remint_drift_detected", "1 where a field drifted beyond chance.", "role", "field")
        self._detectable = gauge(
            "remint_drift_detectable_sigmas", "Smallest shift that would have been found.", "role", "field"
        )
        self._rows = gauge("remint_window_predictions", "Predictions in the window.")
        self._observed = gauge("remint_rule_observed", "What a rule looks at.", "rule", "kind")
        self._limit = gauge("remint_rule_limit", "Where a rule fires.", "rule", "kind")
        self._fired = gauge("remint_rule_fired", "1 where a rule fired.", "rule", "kind")
        self._silent = gauge("remint_rule_silent", "1 where a rule has no answer.", "rule", "kind", "reason")
        self._accuracy = gauge("remint_estimated_accuracy", "Without labels; blind to concept drift.", "bound")
        self._answer = gauge("remint_decision", "1 for what a check would answer now.", "answer")
        self._looked = gauge("remint_watch_timestamp_seconds", "Heartbeat: when the last look ended.")
        self._answered = gauge("remint_watch_answered_timestamp_seconds", "When a look last had an answer.")
        self._seconds = gauge("remint_watch_duration_seconds", "How long the last look took.")
        self._recorded = gauge("remint_check_timestamp_seconds", "When the scheduled check last wrote a decision down.")
        self._every = gauge("remint_check_interval_seconds", "check.every: how often a check is to come.")
        self._ran = gauge("remint_workflow_last_run_timestamp_seconds", "When its newest run was made.", "workflow")
        self._succeeded = gauge(
            "remint_workflow_last_success_timestamp_seconds", "When its newest green run was made.", "workflow"
        )
        self._red = gauge("remint_workflow_failed", "1 where the newest run that ended failed.", "workflow")
        self._forge = gauge("remint_forge_up", "1 where the forge told of the workflows' runs.")
        self._failures = Counter(
            "remint_watch_failures", "Looks that ended in an error.", ["pipeline", "error"], registry=self.registry
        )
        self._champion = Info("remint_champion", "The model that is watched.", ["pipeline"], registry=self.registry)
        self._of_a_look = (
            self._drift,
            self._drifted,
            self._detectable,
            self._observed,
            self._limit,
            self._fired,
            self._silent,
            self._accuracy,
            self._answer,
        )

    def show(self, decision: Json, *, now: datetime, seconds: float, recorded_at: datetime | None) -> None:
        """One look's decision document; ``recorded_at`` is the time of the ledger's newest decision."""
        name = self._pipeline
        with self._lock:
            for metric in self._of_a_look:
                metric.clear()
            for field in decision["drift"]:
                at = (name, field["role"], field["field"])
                self._drift.labels(*at).set(field["psi"])
                self._drifted.labels(*at).set(field["drifted"])
                if field["smallest_detectable_sigmas"] is not None:
                    self._detectable.labels(*at).set(field["smallest_detectable_sigmas"])
            for rule in decision["rules"]:
                self._show_rule(rule)
            for bound in _BOUNDS if decision["estimated_accuracy"] is not None else ():
                self._accuracy.labels(name, bound).set(decision["estimated_accuracy"][bound])
            for answer in Answer:
                self._answer.labels(name, answer.value).set(answer.value == decision["answer"])
            self._rows.labels(name).set(decision["rows"])
            champion = decision["champion"]
            self._champion.labels(name).info({key: str(champion[key] or "") for key in ("tag", "version", "bundle")})
            if decision["answer"] != Answer.INCONCLUSIVE.value:
                self._answered.labels(name).set(now.timestamp())
            if recorded_at is not None:
                self._recorded.labels(name).set(recorded_at.timestamp())
            self._beat(now, seconds)

    def failed(self, error: str, *, now: datetime, seconds: float) -> None:
        """A look without a decision: what the last one said is not true any more, only the heartbeat goes on."""
        with self._lock:
            for metric in self._of_a_look:
                metric.clear()
            self._failures.labels(self._pipeline, error).inc()
            self._beat(now, seconds)

    def beat(self, beats: Mapping[str, Beat] | None, *, every: timedelta | None) -> None:
        """The workflows by their names; None where the forge did not tell. A workflow that never ran has no series."""
        with self._lock:
            for metric in (self._ran, self._succeeded, self._red, self._every):
                metric.clear()
            if every is not None:
                self._every.labels(self._pipeline).set(every.total_seconds())
            self._forge.labels(self._pipeline).set(beats is not None)
            for workflow, beat in (beats or {}).items():
                at = (self._pipeline, workflow)
                self._ran.labels(*at).set(beat.ran_at.timestamp())
                if beat.succeeded_at is not None:
                    self._succeeded.labels(*at).set(beat.succeeded_at.timestamp())
                if beat.failed is not None:
                    self._red.labels(*at).set(beat.failed)

    def render(self) -> bytes:
        """The text exposition."""
        with self._lock:
            return generate_latest(self.registry)

    def serve(self, host: str, port: int) -> tuple[WSGIServer, int]:
        """Answer scrapes in a thread of its own, on a free port where ``port`` is 0; OSError where it is taken."""
        server, _ = start_http_server(port, addr=host, registry=_Locked(self))
        return server, server.server_port

    def _show_rule(self, rule: Json) -> None:
        at = (self._pipeline, rule["name"], rule["kind"])
        if rule["state"] != "ok":
            self._silent.labels(*at, rule["silence"] or rule["state"]).set(1)
            return
        self._fired.labels(*at).set(rule["fired"])
        for finding in rule["findings"][:1]:
            if finding["observed"] is not None:
                self._observed.labels(*at).set(finding["observed"])
            if finding["limit"] is not None:
                self._limit.labels(*at).set(finding["limit"])

    def _beat(self, now: datetime, seconds: float) -> None:
        self._looked.labels(self._pipeline).set(now.timestamp())
        self._seconds.labels(self._pipeline).set(seconds)


class _Locked(CollectorRegistry):
    """A scrape sees a whole look, never half of one."""

    def __init__(self, exporter: Exporter) -> None:
        super().__init__()
        self._exporter = exporter

    def collect(self) -> Any:
        with self._exporter._lock:
            return iter(list(self._exporter.registry.collect()))
