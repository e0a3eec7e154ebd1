"""A real Prometheus and pods for it to scrape, on this machine. Skips the test where there is no Prometheus."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import requests
import yaml

from binaries import binary

_DEADLINE_SECONDS = 20.0


class Pods:
    """What each pod's ``/metrics`` says. A pod without a text is down."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.generation = 0
        pods = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                text = pods.texts.get(self.path.rsplit("/", 1)[-1])
                body = "" if text is None else f"{text}\ntest_generation {pods.generation}\n"
                with suppress(ConnectionError):  # a scrape that took too long was given up
                    self.send_response(503 if text is None else 200)
                    self.send_header("Content-Type", "text/plain; version=0.0.4")
                    self.send_header("Content-Length", str(len(body.encode())))
                    self.end_headers()
                    self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class PrometheusServer:
    """A Prometheus with its data under ``folder`` that scrapes the pods ``a``, ``b`` and ``c`` every 100 ms.

    ``stop`` and ``start`` let it be away and come back to the same address.
    """

    def __init__(self, folder: Path, pods: Pods, *flags: str) -> None:
        self.url = ""
        self.pods = pods
        self._log = folder / "prometheus.log"
        self._listen = "127.0.0.1:0"
        self._command = [
            binary("prometheus"),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            *flags,
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when it is ready to answer."""
        with self._log.open("w") as sink:
            self._process = subprocess.Popen(
                [*self._command, f"--web.listen-address={self._listen}"], stdout=sink, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            match = re.search(r"Listening on.*?address=(127\.0\.0\.1:\d+)", self._log.read_text())
            if match:
                self._listen, self.url = match[1], f"http://{match[1]}"
                if requests.get(f"{self.url}/-/ready", timeout=5).ok:
                    return
            time.sleep(0.03)
        raise RuntimeError(f"Prometheus did not start: {self._log.read_text()[-2000:]}")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=10)
            self._process = None

    def show(self, texts: Mapping[str, str]) -> datetime:
        """Let the pods say this, wait until each was scraped, and return a moment after that.

        What the next call shows is scraped after that moment, so windows that begin or end there are exact.
        """
        self.pods.texts = {}
        self.pods.generation += 1
        self.pods.texts = dict(texts)
        wanted = {pod: float(self.pods.generation) for pod in texts}
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while self._scraped() != wanted:
            if time.monotonic() > deadline:
                raise TimeoutError(f"not scraped: {wanted}, but {self._scraped()}")
            time.sleep(0.03)
        return datetime.now(UTC)

    def _scraped(self) -> dict[str, float]:
        answer = requests.get(f"{self.url}/api/v1/query", params={"query": "test_generation"}, timeout=5).json()
        return {s["metric"]["pod"]: float(s["value"][1]) for s in answer["data"]["result"]}


@contextmanager
def prometheus_server(folder: Path, *flags: str) -> Iterator[PrometheusServer]:
    """Start Prometheus on a free port with its data under ``folder``; end it."""
    pods = Pods()
    targets = [
        {"targets": [pods.address], "labels": {"pod": pod, "__metrics_path__": f"/{pod}"}} for pod in ("a", "b", "c")
    ]
    config = {
        "global": {"scrape_interval": "100ms", "scrape_timeout": "100ms"},
        "scrape_configs": [{"job_name": "service", "static_configs": targets}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    server = PrometheusServer(folder, pods, *flags)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        pods.close()


def backfill(folder: Path, samples: Iterable[tuple[str, float, float]]) -> None:
    """Write (series, value, Unix time) samples of counters as blocks, for a Prometheus that starts there afterwards.

    The samples of a metric stand together; those of a series go up in time.
    """
    text = folder / "history.om"
    metric = ""
    with text.open("w") as file:
        for series, value, at in samples:
            name = series.partition("{")[0]
            if name != metric:
                metric = name
                file.write(f"# TYPE {name.removesuffix('_total')} counter\n")
            file.write(f"{series} {value:g} {at:.3f}\n")
        file.write("# EOF\n")
    command = [binary("promtool"), "tsdb", "create-blocks-from", "--max-block-duration=768h", "openmetrics", str(text)]
    done = subprocess.run([*command, str(folder / "data")], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"promtool: {done.stderr[-2000:]}")
    text.unlink()
