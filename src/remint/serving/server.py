"""uvicorn around the app: a bound socket, one line when ready, draining on SIGTERM, a look at the state on SIGHUP."""

from __future__ import annotations

import signal
import socket
import sys
from pathlib import Path
from types import FrameType

import uvicorn

from remint.adapters.feedback_store import open_store
from remint.adapters.state import parse_state, state_bytes
from remint.config import Params
from remint.errors import UsageError
from remint.serving.app import create_app
from remint.serving.loader import Loader
from remint.serving.metrics import Metrics
from remint.serving.service import Service, Watcher

_GRACE_SECONDS = 20  # below Kubernetes' default of 30


class _Server(uvicorn.Server):
    """Says that it is ready once it is, and turns new predictions away while it stops."""

    def __init__(self, config: uvicorn.Config, service: Service, address: str) -> None:
        super().__init__(config)
        self._service = service
        self._address = address

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(f"remint: serving {self._service.pipeline} on {self._address}", file=sys.stderr, flush=True)

    def handle_exit(self, sig: int, _frame: FrameType | None) -> None:
        # uvicorn's own would raise the signal again at the end: a stop that was asked for is not a failure.
        self._service.draining = True
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


def serve(
    params: Params, *, state: Path, bundles: Path, store_url: str, host: str, port: int, export_token: str | None
) -> None:
    """Serve until SIGTERM or SIGINT. RemintError where the first release cannot be loaded or the port is taken."""
    data = state_bytes(state)
    metrics = Metrics(params.pipeline, max_series=params.serve.max_series)
    loader = Loader(bundles, pipeline=params.pipeline, trusted_types=params.train.trusted_types, metrics=metrics)
    listener = _bind(host, port)
    with listener, open_store(store_url, pipeline=params.pipeline, create=True) as store:
        release = loader.load(parse_state(data, where=str(state)), loaded={})
        service = Service(release, store=store, metrics=metrics, limits=params.serve, export_token=export_token)
        watcher = Watcher(state, data, service, loader)
        config = uvicorn.Config(
            create_app(service),
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        server = _Server(config, service, _address(listener))
        signal.signal(signal.SIGHUP, lambda *_: watcher.look_now())
        watcher.start()
        try:
            server.run(sockets=[listener])
        finally:
            watcher.stop()


def _bind(host: str, port: int) -> socket.socket:
    """Bound before anything is loaded: a taken port is one line, at once."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UsageError(f"cannot listen: {error.strerror}", where=f"{host}:{port}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise UsageError(
            f"cannot listen: {error.strerror}", where=f"{host}:{port}", hint="--port 0 takes a free one"
        ) from None
    return listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
