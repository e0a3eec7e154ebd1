"""Boots ``remint serve`` on one bundle, as production would, and asks it over HTTP, for the gate."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import requests

from remint.adapters.bundle import GOLDEN_TOLERANCE, Bundle
from remint.adapters.state import write_state
from remint.core.gate_service import ServiceProbe
from remint.core.release import ReleaseState
from remint.errors import UsageError

REQUESTS: Final = 100
_ADDRESS: Final = re.compile(r"http://\S+")
_POLL_SECONDS: Final = 0.02
_STOP_SECONDS: Final = 15.0
_NEEDED: Final = ("orjson", "prometheus_client", "starlette", "uvicorn")  # the extra `serve`


def probe_service(
    bundle: Bundle, directory: Path, *, params: Path, boot_seconds: float, python_path: Sequence[Path] = ()
) -> ServiceProbe:
    """Serve ``bundle`` (read from ``directory``) on a free port, replay its golden predictions, measure, stop.

    One row a request, one request at a time: the latency of the model and the service, not of a queue. The memory is
    the peak where the system tells (Linux), else that after the requests. A service that does not start within
    ``boot_seconds`` or stops answering is an answer, told in ``problem``; raises UsageError where it is not installed.
    """
    for name in _NEEDED:
        if find_spec(name) is None:
            raise UsageError(f"{name} is not installed", hint="pip install 'remint[serve]', or gate with --no-service")
    blank = ServiceProbe(
        boot_seconds=None,
        p95_latency_seconds=None,
        memory_bytes=None,
        golden_rows=len(bundle.golden),
        golden_mismatches=None,
        requests=0,
    )
    with tempfile.TemporaryDirectory(prefix="remint-gate-") as scratch:
        command = _prepare(Path(scratch), bundle, directory, params)
        paths = [*(str(p.resolve()) for p in python_path), os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in paths if p)}
        log = Path(scratch) / "stderr"
        started = time.perf_counter()
        with _process(command, environment, log, Path(scratch)) as process:
            address = _wait_for_address(process, log, deadline=started + boot_seconds)
            if address is None:
                return replace(blank, problem=_last_word(log) or f"no answer within {boot_seconds:g} s")
            booted = replace(blank, boot_seconds=time.perf_counter() - started)
            with requests.Session() as session:
                session.trust_env = False  # no proxy between us and this machine
                probe = _ask(session, address, bundle, booted)
            return replace(probe, memory_bytes=_memory_bytes(process.pid))


def _prepare(scratch: Path, bundle: Bundle, directory: Path, params: Path) -> list[str]:
    bundles = scratch / "bundles"
    bundles.mkdir()
    (bundles / bundle.id.removeprefix("sha256:")).symlink_to(directory.resolve(), target_is_directory=True)
    state = ReleaseState(pipeline=bundle.pipeline, release="r1", stable=bundle.id, canary=None, steps=(1.0,), step=-1)
    write_state(scratch / "state.yaml", state)
    options = {
        "--state": scratch / "state.yaml",
        "--bundles": bundles,
        "--store": f"sqlite:///{scratch / 'store.db'}",
        "--params": params.resolve(),
        "--port": 0,
    }
    # -P: a file of the user's that is called like a module of the library's must not stand in for it
    return [sys.executable, "-P", "-m", "remint", "serve", *(f"{k}={v}" for k, v in options.items())]


@contextmanager
def _process(
    command: Sequence[str], environment: Mapping[str, str], log: Path, cwd: Path
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for_address(process: subprocess.Popen[bytes], log: Path, *, deadline: float) -> str | None:
    """The address that the service prints once it answers; None where it ended or the time is up."""
    while time.perf_counter() < deadline:
        for line in log.read_text(errors="replace").splitlines():
            if line.startswith("remint: serving") and (match := _ADDRESS.search(line)):
                return match[0]
        if process.poll() is not None:
            return None
        time.sleep(_POLL_SECONDS)
    return None


def _ask(session: requests.Session, address: str, bundle: Bundle, probe: ServiceProbe) -> ServiceProbe:
    """Every golden row at least once, and as often in turn as it takes for ``REQUESTS`` requests."""
    seconds: list[float] = []
    mismatches = 0
    total = max(REQUESTS, len(bundle.golden)) if bundle.golden else 0
    for i, row in enumerate(islice(cycle(bundle.golden), total)):
        started = time.perf_counter()
        try:
            answer = session.post(f"{address}/predict", json={"rows": [row["features"]]}, timeout=30)
        except requests.RequestException as error:
            return replace(probe, requests=i, problem=f"request {i} failed: {type(error).__name__}")
        seconds.append(time.perf_counter() - started)
        if i < len(bundle.golden) and not _agrees(answer, row, bundle.schema.classes):
            mismatches += 1
    if not seconds:
        return replace(probe, problem="the bundle has no golden prediction")
    p95 = float(np.quantile(seconds, 0.95))
    return replace(probe, requests=len(seconds), golden_mismatches=mismatches, p95_latency_seconds=p95)


def _agrees(answer: requests.Response, row: Mapping[str, Any], classes: Sequence[str]) -> bool:
    """The same probabilities within the bundle's tolerance, and the same label unless two are as good as equal."""
    if answer.status_code != requests.codes.ok:
        return False
    try:
        found = answer.json()["predictions"][0]
        probabilities = np.array([found["probabilities"][name] for name in classes], dtype=np.float64)
        label = float(found["probabilities"][row["label"]])
    except (ValueError, LookupError, TypeError):
        return False
    near = np.abs(probabilities - np.asarray(row["probabilities"], dtype=np.float64)) <= GOLDEN_TOLERANCE
    return bool(near.all() and label >= probabilities.max() - GOLDEN_TOLERANCE)  # NaN is never near


def _memory_bytes(pid: int) -> int | None:
    """The most that the process has held in memory; without /proc what it holds now; None where nothing tells."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        match = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
        return int(match[1]) * 1024 if match else None
    except OSError:
        pass
    try:
        listed = subprocess.run(
            ["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False, timeout=10
        )
        return int(listed.stdout) * 1024
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


def _last_word(log: Path) -> str | None:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].removeprefix("remint: error: ")[:300] if lines else None
