"""The service's parts put together: what the endpoints, the watcher and the server share."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from remint.adapters.feedback_store import FeedbackStore
from remint.adapters.state import parse_state, state_bytes
from remint.config import Serve
from remint.core.document import format_time
from remint.core.release import Track, canary_share
from remint.errors import ConfigError, RemintError
from remint.serving.batcher import Batcher
from remint.serving.loader import Loader, Release
from remint.serving.metrics import Metrics
from remint.serving.recorder import Job, PredictJob, Recorder, Result

_log = logging.getLogger(__name__)

TOKEN_VARIABLE: Final = "REMINT_SERVICE_TOKEN"  # noqa: S105 - the variable's name

_POLL_SECONDS: Final = 0.5
_FIRST_RETRY_SECONDS: Final = 2.0
_LAST_RETRY_SECONDS: Final = 60.0


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadFailure:
    """Why the newest state does not serve."""

    message: str
    at: datetime

    def to_json(self) -> dict[str, Any]:
        return {"message": self.message, "at": format_time(self.at)}


class Service:
    """One pipeline's release, its store, its metrics and the worker. The release is replaced whole."""

    def __init__(
        self, release: Release, *, store: FeedbackStore, metrics: Metrics, limits: Serve, export_token: str | None
    ) -> None:
        self.pipeline = release.state.pipeline
        self.release = release
        self.failure: LoadFailure | None = None
        self.draining = False
        self.store = store
        self.metrics = metrics
        self.limits = limits
        self.export_token = export_token
        self.recorder = Recorder(
            store,
            metrics,
            min_free_bytes=limits.min_free_bytes,
            served_classes=lambda: self.release.classes,
            now=utc_now,
        )
        self.batcher: Batcher[Job, Result] = Batcher(self.recorder.handle, weight=_rows)
        self._register(release)

    def swap(self, release: Release) -> None:
        """Requests that are under way keep the release that they took."""
        self._register(release)
        self.release = release
        self.failure = None

    async def close(self) -> None:
        await self.batcher.close()
        self.store.close()

    def info(self) -> dict[str, Any]:
        """The answer of ``/model/info``."""
        state = self.release.state
        return {
            "pipeline": self.pipeline,
            "release": state.release,
            "step": state.step,
            "canary_share": canary_share(state),
            "ready": not self.draining,
            Track.STABLE.value: self._model_info(Track.STABLE),
            Track.CANARY.value: self._model_info(Track.CANARY),
            "error": self.failure.to_json() if self.failure else None,
        }

    def _model_info(self, track: Track) -> dict[str, Any] | None:
        bundle = self.release.models.get(track)
        if bundle is None:
            return None
        return {
            "bundle": bundle.id,
            "run": self.release.state.runs.get(bundle.id),
            "reference": bundle.reference.id,
            "training_rows": bundle.reference.training_rows,
            **{k: v for k, v in bundle.schema.to_json().items() if k != "pipeline"},
        }

    def _register(self, release: Release) -> None:
        for bundle in release.models.values():
            self.store.register_bundle(
                bundle.id, reference=bundle.reference.id, classes=bundle.schema.classes, at=utc_now()
            )


class Watcher:
    """Follows the state file by its content, in a thread: a ConfigMap's symlinks and coarse mtimes cannot fool it."""

    def __init__(self, path: Path, data: bytes, service: Service, loader: Loader) -> None:
        self._path = path
        self._seen = _digest(data)
        self._service = service
        self._loader = loader
        self._wake = threading.Event()
        self._stopped = False
        self._retry_at: float | None = None
        self._retry_seconds = _FIRST_RETRY_SECONDS
        self._thread = threading.Thread(target=self._run, name="remint-watcher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def look_now(self) -> None:
        """For SIGHUP; also tries a failed load again."""
        self._retry_at = 0.0 if self._retry_at is not None else None
        self._wake.set()

    def stop(self) -> None:
        self._stopped = True
        self._wake.set()
        self._thread.join()

    def poll(self, monotonic_seconds: float) -> None:
        """One look at the file: load what is new, and again, ever less often, what failed."""
        try:
            data = state_bytes(self._path)
        except ConfigError as error:
            if self._service.failure is None:
                self._fail(error)
            return
        is_new = (digest := _digest(data)) != self._seen
        if is_new:
            self._retry_seconds = _FIRST_RETRY_SECONDS
        elif self._retry_at is None:
            if self._service.failure is not None:  # the file was away and came back as it was
                self._service.failure = None
            return
        elif monotonic_seconds < self._retry_at:
            return
        self._seen = digest
        try:
            state = parse_state(data, where=str(self._path))
            loaded = {bundle.id: bundle for bundle in self._service.release.models.values()}
            self._service.swap(self._loader.load(state, loaded=loaded))
            self._retry_at = None
            _log.info("serving release %s, step %d", state.release, state.step)
        except Exception as error:  # noqa: BLE001 - whatever a new bundle does, the old one keeps serving
            self._fail(error)
            self._retry_at = monotonic_seconds + self._retry_seconds
            self._retry_seconds = min(2 * self._retry_seconds, _LAST_RETRY_SECONDS)

    def _fail(self, error: Exception) -> None:
        message = str(error) if isinstance(error, RemintError) else f"{type(error).__name__}: {error}"
        self._service.failure = LoadFailure(message=message, at=utc_now())
        _log.error("keeping the old release: %s", message)

    def _run(self) -> None:
        while not self._stopped:
            self._wake.wait(_POLL_SECONDS)
            self._wake.clear()
            if not self._stopped:
                self.poll(time.monotonic())


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _rows(job: Job) -> int:
    return job.table.rows if isinstance(job, PredictJob) else 1
