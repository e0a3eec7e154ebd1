"""The demo's throw-away world: a git remote, a DVC remote, a repository, a service, a Prometheus, and its users."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from remint.adapters.state import read_state
from remint.core.release import ReleaseState

_CLIENTS = 6


class DemoError(Exception):
    """A command of the product did not do what the act needs; carries what it printed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One prediction as a user got it."""

    prediction_id: str
    label: str
    track: str


@dataclass(slots=True)
class World:
    """Paths and processes. ``close`` ends every process that it started."""

    root: Path
    prometheus_binary: Path | None
    commands: list[str] = field(default_factory=list)
    address: tuple[str, int] = ("127.0.0.1", 0)
    prometheus_url: str | None = None
    sent: int = 0
    _processes: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def repo(self) -> Path:
        return self.root / "repo"

    @property
    def bundles(self) -> Path:
        return self.root / "bundles"

    @property
    def store_url(self) -> str:
        return f"sqlite:///{self.root / 'store' / 'remint.db'}"

    def environment(self) -> dict[str, str]:
        """No colour, no user configuration, the same git identity everywhere; secrets of the caller stay outside."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "DVC_", "REMINT_"))}
        extra = {
            "GIT_CONFIG_GLOBAL": str(self.root / "gitconfig"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "DVC_NO_ANALYTICS": "1",
            "DVC_GLOBAL_CONFIG_DIR": str(self.root / "dvc-config"),
            "DVC_SYSTEM_CONFIG_DIR": str(self.root / "dvc-config"),
            "DVC_SITE_CACHE_DIR": str(self.root / "dvc-site"),
            "NO_COLOR": "1",
            "OMP_NUM_THREADS": "2",
            "REMINT_STORE_URL": self.store_url,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        if self.prometheus_url is not None:
            extra["REMINT_PROMETHEUS_URL"] = self.prometheus_url
        return {**kept, **extra}

    def prepare(self) -> None:
        """The git remote, the DVC remote and an empty clone."""
        for folder in (self.bundles, self.root / "store", self.root / "dvc-remote", self.root / "data"):
            folder.mkdir(parents=True)
        (self.root / "gitconfig").write_text(
            "[user]\n\tname = Demo\n\temail = demo@example.invalid\n[init]\n\tdefaultBranch = main\n"
            "[advice]\n\tdetachedHead = false\n"
        )
        self.run("git", "init", "--quiet", "--bare", str(self.root / "origin.git"), at=self.root)
        self.run("git", "clone", "--quiet", str(self.root / "origin.git"), str(self.repo), at=self.root)

    def run(self, *command: str, at: Path | None = None, accept: Iterable[int] = (0,)) -> str:
        """Run a command in the repository and return its stdout; an exit code that is not accepted is a DemoError."""
        if at is None:
            self.commands.append(" ".join(c if " " not in c else f"'{c}'" for c in command))
        done = subprocess.run(
            command, cwd=at or self.repo, env=self.environment(), capture_output=True, text=True, check=False
        )
        if done.returncode not in set(accept):
            tail = "\n".join((done.stdout[-1500:] + done.stderr[-3000:]).strip().splitlines()[-25:])
            raise DemoError(f"{' '.join(command)} ended with {done.returncode}:\n{tail}")
        return done.stdout

    def remint(self, *arguments: str, accept: Iterable[int] = (0,)) -> str:
        return self.run("remint", *arguments, accept=accept)

    def remint_json(self, *arguments: str, accept: Iterable[int] = (0,)) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.remint(*arguments, "--json", accept=accept))
        return answer

    def commit(self, message: str, *paths: str) -> None:
        self.run("git", "add", *(paths or ("--all",)))
        self.run("git", "commit", "--quiet", "--message", message)
        self.run("git", "push", "--quiet", "origin", "HEAD")

    # --- processes

    def _start(self, command: Sequence[str], name: str) -> subprocess.Popen[str]:
        log = (self.root / f"{name}.log").open("w")
        process = subprocess.Popen(
            command, cwd=self.repo, env=self.environment(), stdout=log, stderr=subprocess.STDOUT, text=True
        )
        log.close()
        self._processes.append(process)
        return process

    def serve(self) -> None:
        """Start ``remint serve`` on a port that the system chooses and wait for the address that it prints."""
        self.commands.append("remint serve --state deploy/state.yaml --bundles ../bundles --port 0")
        process = self._start(
            [
                *("remint", "serve", "--state", "deploy/state.yaml", "--port", "0"),
                *("--bundles", str(self.bundles), "--store", self.store_url),
            ],
            "service",
        )
        match = self._wait_for_line("service", process, r"http://([\d.]+):(\d+)")
        self.address = (match[1], int(match[2]))

    def start_prometheus(self) -> bool:
        """A real Prometheus that scrapes the service each second; False where there is none on this machine."""
        if self.prometheus_binary is None or not self.prometheus_binary.exists():
            return False
        folder = self.root / "prometheus"
        folder.mkdir()
        (folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s}\nscrape_configs:\n- job_name: remint\n  static_configs:\n"
            f"  - targets: ['{self.address[0]}:{self.address[1]}']\n"
        )
        process = self._start(
            [
                str(self.prometheus_binary),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                "--web.listen-address=127.0.0.1:0",
                "--log.level=info",
            ],
            "prometheus",
        )
        match = self._wait_for_line("prometheus", process, r"Listening on.*?address=127\.0\.0\.1:(\d+)")
        self.prometheus_url = f"http://127.0.0.1:{match[1]}"
        return True

    def _wait_for_line(self, name: str, process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            text = (self.root / f"{name}.log").read_text()
            if match := re.search(pattern, text):
                return match
            if process.poll() is not None:
                raise DemoError(f"{name} ended with {process.returncode}:\n{text[-2000:]}")
            time.sleep(0.05)
        raise DemoError(f"{name} did not become ready within 60 s")

    def wait_until_scraped(self) -> None:
        """Until Prometheus has seen every prediction that was sent: an act's window then holds all of its rows."""
        if self.prometheus_url is None:
            return
        deadline = time.monotonic() + 30
        query = {"query": "sum(remint_predictions_total)"}
        while time.monotonic() < deadline:
            answer = requests.get(f"{self.prometheus_url}/api/v1/query", params=query, timeout=5).json()
            result = answer["data"]["result"]
            if result and float(result[0]["value"][1]) >= self.sent:
                return
            time.sleep(0.1)
        raise DemoError("Prometheus has not seen the traffic after 30 s")

    def wait_until_serving(self, *, stable: str, canary: str | None) -> None:
        """Until ``/model/info`` shows the bundles that the state file names."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            info = requests.get(f"http://{self.address[0]}:{self.address[1]}/model/info", timeout=5).json()
            served = tuple(info[track] and info[track]["bundle"] for track in ("stable", "canary"))
            if served == (stable, canary) and info["step"] == self.state().step:
                return
            time.sleep(0.1)
        raise DemoError(f"the service has not taken up the state file after 30 s; it says {info}")

    def state(self) -> ReleaseState:
        return read_state(self.repo / "deploy" / "state.yaml")

    def close(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
        for process in reversed(self._processes):
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()

    # --- users

    def predict(self, rows: Sequence[Mapping[str, Any]], *, units: Sequence[str]) -> list[Answer | None]:
        """One request a row, each from its own unit; None where the service answered with an error."""

        def ask(client: _Client, i: int) -> Answer | None:
            status, body = client.post("/predict", {"rows": [rows[i]]}, {"X-Remint-Unit": units[i]})
            if status != 200:
                return None
            found = body["predictions"][0]
            return Answer(prediction_id=found["prediction_id"], label=found["label"], track=body["track"])

        answers = self._spread(len(rows), ask)
        self.sent += sum(a is not None for a in answers)
        return answers

    def feedback(self, answers: Sequence[Answer | None], truth: Sequence[str]) -> int:
        """Users say what was true; returns how many were heard."""

        def tell(client: _Client, i: int) -> bool:
            answer = answers[i]
            if answer is None:
                return False
            right = answer.label == truth[i]
            body: dict[str, Any] = {
                "prediction_id": answer.prediction_id,
                "answer": "correct" if right else "wrong",
                "reporter": f"user-{i}",
            }
            if not right:
                body["label"] = truth[i]
            return client.post("/feedback", body, {})[0] == 200

        return sum(self._spread(len(answers), tell))

    def _spread(self, count: int, work: Any) -> list[Any]:
        local = threading.local()

        def one(i: int) -> Any:
            if not hasattr(local, "client"):
                local.client = _Client(*self.address)
            return work(local.client, i)

        with ThreadPoolExecutor(_CLIENTS) as pool:
            return list(pool.map(one, range(count)))


class _Client:
    """One kept-alive connection. The demo's load must not cost more than the service that it loads."""

    def __init__(self, host: str, port: int) -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=30)

    def post(self, path: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> tuple[int, Any]:
        self._connection.request(
            "POST", path, json.dumps(body).encode(), {"Content-Type": "application/json", **headers}
        )
        response = self._connection.getresponse()
        data = response.read()
        return response.status, json.loads(data) if data.startswith(b"{") else None


def new_world(prometheus_binary: Path | None) -> World:
    world = World(root=Path(tempfile.mkdtemp(prefix="remint-demo-")), prometheus_binary=prometheus_binary)
    world.prepare()
    return world
