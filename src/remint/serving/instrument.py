"""The same metrics, feedback and prediction log from an ASGI app that is not ours."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from starlette.applications import Starlette

from remint.adapters.bundle import Bundle, Prediction
from remint.adapters.feedback_store import open_store
from remint.config import Serve
from remint.core.release import ReleaseState, Track
from remint.core.table import Table
from remint.serving.app import side_routes
from remint.serving.loader import Release
from remint.serving.metrics import Metrics
from remint.serving.recorder import Origin, Predicted, PredictJob
from remint.serving.service import TOKEN_VARIABLE, Service

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class Monitor:
    """An ASGI app: the wrapped one, with Remint's endpoints beside it, and ``observe`` for what it predicts."""

    def __init__(self, app: ASGIApp, service: Service, bundle: Bundle) -> None:
        self._app = app
        self._service = service
        self._bundle = bundle
        routes = side_routes(service)
        self._paths = frozenset(route.path for route in routes)
        self._side = Starlette(routes=routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        ours = scope["type"] == "http" and scope["path"] in self._paths
        await (self._side if ours else self._app)(scope, receive, send)

    def observe(self, table: Table, prediction: Prediction, *, subject: str | None = None) -> Sequence[str]:
        """Log and count a prediction of ``bundle``; one prediction id a row, on disk when it returns.

        Blocks for one commit: in an async handler, ``await asyncio.to_thread(monitor.observe, table, prediction)``.
        Raises ModelError (counted) for output that is no prediction, StorageFullError on a full disk.
        """
        state = self._service.release.state
        origin = Origin(
            release=state.release, step=state.step, track=Track.STABLE, bundle=self._bundle, unit=None, subject=subject
        )
        result = self._service.recorder.handle([PredictJob(origin=origin, table=table, prediction=prediction)])[0]
        if isinstance(result, Exception):
            raise result
        assert isinstance(result, Predicted)
        return result.prediction_ids

    async def close(self) -> None:
        """For the end of the app's lifespan. Nothing is lost without it: answers are on disk before they are given."""
        await self._service.close()


def instrument(
    app: ASGIApp, bundle: Bundle, *, store: str, release: str = "r1", limits: Serve | None = None
) -> Monitor:
    """Put ``/metrics``, ``/feedback``, ``/model/info`` and the service's other endpoints beside ``app``.

    ``store`` is the store's URL. The app predicts with ``bundle`` and tells ``Monitor.observe``; a swap is the app's
    own business, so all it does is track stable of ``release`` and no unit outcomes are counted. The app's own routes
    of these paths are hidden.
    """
    limits = limits or Serve()
    pipeline = bundle.schema.pipeline
    metrics = Metrics(pipeline, max_series=limits.max_series)
    state = ReleaseState(pipeline=pipeline, release=release, stable=bundle.id, canary=None, steps=(1.0,), step=-1)
    metrics.activate({Track.STABLE: bundle.reference}, state)
    service = Service(
        Release(state=state, models={Track.STABLE: bundle}),
        store=open_store(store, pipeline=pipeline, create=True),
        metrics=metrics,
        limits=limits,
        export_token=os.environ.get(TOKEN_VARIABLE) or None,
    )
    return Monitor(app, service, bundle)
