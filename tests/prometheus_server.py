"""A real Prometheus and pods for it to scrape, on this machine. Skips the test where there is no Prometheus."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
    """A running Prometheus that scrapes the pods ``a``, ``b`` and ``c`` every 100 ms."""

    def __init__(self, url: str, pods: Pods) -> None:
        self.url = url
        self.pods = pods

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
def prometheus_server(folder: Path) -> Iterator[PrometheusServer]:
    """Start Prometheus on a free port with its data under ``folder``; end it."""
    program = binary("prometheus")
    pods = Pods()
    targets = [
        {"targets": [pods.address], "labels": {"pod": pod, "__metrics_path__": f"/{pod}"}} for pod in ("a", "b", "c")
    ]
    config = {
        "global": {"scrape_interval": "100ms", "scrape_timeout": "100ms"},
        "scrape_configs": [{"job_name": "service", "static_configs": targets}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    log = folder / "prometheus.log"
    with log.open("w") as sink:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                "--web.listen-address=127.0.0.1:0",
            ],
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
    try:
        yield PrometheusServer(_wait_until_ready(process, log), pods)
    finally:
        process.terminate()
        process.wait(timeout=10)
        pods.close()


def _wait_until_ready(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        match = re.search(r"Listening on.*?address=(127\.0\.0\.1:\d+)", log.read_text())
        if match:
            url = f"http://{match[1]}"
            if requests.get(f"{url}/-/ready", timeout=5).ok:
                return url
        time.sleep(0.03)
    raise RuntimeError(f"Prometheus did not start: {log.read_text()[-2000:]}")
