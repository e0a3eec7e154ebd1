"""`remint serve` as a real process: swaps, signals, a full disk, kill -9."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from remint.adapters.feedback_store import open_store
from serving_examples import PIPELINE, ROW, TRUSTED, make_bundle, state_of, write_params, write_state

BLOCKED = ("dvc", "pandas", "pyarrow", "requests", "prometheus_api_client")

#: What a serving image does not have cannot be imported: scikit-learn takes pandas where it finds it.
SERVE = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {BLOCKED!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
from remint.cli.main import main
sys.exit(main(["serve", *sys.argv[1:]]))
"""


@dataclass
class Server:
    process: subprocess.Popen[str]
    url: str
    directory: Path

    @property
    def store(self) -> str:
        return f"sqlite:///{self.directory}/x.db"


def command(directory: Path, *more: str) -> list[str]:
    options = {
        "--state": directory / "state.yaml",
        "--bundles": directory / "bundles",
        "--store": f"sqlite:///{directory}/x.db",
        "--params": directory / "params.yaml",
        "--port": 0,
    }
    return [sys.executable, "-c", SERVE, *(str(w) for pair in options.items() for w in pair), *more]


@contextlib.contextmanager
def serving(directory: Path, trusted: tuple[str, ...] = TRUSTED) -> Iterator[Server]:
    write_params(directory / "params.yaml", trusted=trusted)
    with subprocess.Popen(command(directory), stderr=subprocess.PIPE, text=True, cwd=directory) as process:
        assert process.stderr is not None
        try:
            line = process.stderr.readline()
            ready = re.fullmatch(rf"remint: serving {PIPELINE} on (http://127\.0\.0\.1:\d+)\n", line)
            assert ready, line + process.stderr.read()
            drain = threading.Thread(target=process.stderr.read)  # a full pipe would stop the service
            drain.start()
            yield Server(process, ready[1], directory)
        finally:
            process.kill()
            drain.join()


def wait_for(condition: Callable[[], bool], *, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def test_a_swap_loses_no_request_and_a_bad_one_changes_nothing(tmp_path: Path) -> None:
    bundles = tmp_path / "bundles"
    old, new = make_bundle(bundles), make_bundle(bundles, seed=1)
    write_state(tmp_path / "state.yaml", state_of(old))
    with serving(tmp_path) as server:
        answers: list[tuple[int, str]] = []
        stop = threading.Event()

        def ask() -> None:
            with httpx.Client(base_url=server.url, timeout=10) as client:
                while not stop.is_set():
                    answer = client.post("/predict", json={"row": ROW})
                    answers.append((answer.status_code, answer.json().get("bundle", "")))

        with httpx.Client(base_url=server.url) as client:

            def info() -> Any:
                return client.get("/model/info").json()

            threads = [threading.Thread(target=ask) for _ in range(3)]
            for thread in threads:
                thread.start()
            wait_for(lambda: len(answers) > 20)
            write_state(tmp_path / "state.yaml", state_of(new, release="r2"))
            wait_for(lambda: bool(answers) and answers[-1][1] == new.id)

            # A bundle that was tampered with: the old one serves on, ready, and says why.
            draft = make_bundle(bundles, seed=2)
            place = bundles / draft.id.removeprefix("sha256:")
            whole = (place / "schema.json").read_bytes()
            (place / "schema.json").write_bytes(whole.replace(b"label", b"lapel"))
            write_state(tmp_path / "state.yaml", state_of(new, draft, step=2, release="r3"))
            wait_for(lambda: info()["error"] is not None)
            assert "sha256" in info()["error"]["message"]
            assert (info()["release"], info()["stable"]["bundle"]) == ("r2", new.id)
            assert client.get("/readyz").status_code == 200
            text = client.get("/metrics").text
            assert f'remint_bundle_loads_total{{pipeline="{PIPELINE}",result="failed"}} 0.0' not in text

            # Once it is whole, SIGHUP or the next retry loads it.
            (place / "schema.json").write_bytes(whole)
            server.process.send_signal(signal.SIGHUP)
            wait_for(lambda: bool(info()["release"] == "r3"))
            assert info()["error"] is None
            wait_for(lambda: answers[-1][1] == draft.id)

            # Rollback: a pointer swap, everybody is back on stable.
            write_state(tmp_path / "state.yaml", replace(state_of(new, draft, step=2, release="r3"), step=-1))
            wait_for(lambda: info()["step"] == -1)
            first_after = len(answers) + len(threads)
            wait_for(lambda: len(answers) > first_after + 5)
            stop.set()
            for thread in threads:
                thread.join()
            assert {bundle for _, bundle in answers[first_after:]} == {new.id}
        assert {status for status, _ in answers} == {200}
        assert {bundle for _, bundle in answers} == {old.id, new.id, draft.id}
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=10) == 0


def test_what_was_acknowledged_survives_a_full_disk_and_kill_9(tmp_path: Path) -> None:
    write_state(tmp_path / "state.yaml", state_of(make_bundle(tmp_path / "bundles")))
    made: list[str] = []
    acknowledged: list[tuple[str, int]] = []
    refused: list[int] = []
    with serving(tmp_path) as server:

        def tell() -> None:
            with contextlib.suppress(httpx.TransportError), httpx.Client(base_url=server.url, timeout=10) as client:
                while True:
                    answer = client.post("/predict", json={"rows": [ROW] * 3})
                    if answer.status_code == 507:
                        refused.append(507)
                        continue
                    ids = [p["prediction_id"] for p in answer.json()["predictions"]]
                    made.extend(ids)
                    for prediction_id in ids:
                        body = {"prediction_id": prediction_id, "answer": "correct"}
                        answer = client.post("/feedback", json=body)
                        if answer.status_code == 200:
                            acknowledged.append((prediction_id, answer.json()["sequence"]))
                        else:
                            refused.append(answer.status_code)

        threads = [threading.Thread(target=tell) for _ in range(4)]
        for thread in threads:
            thread.start()
        wait_for(lambda: len(acknowledged) > 30)

        # No file may grow any more: every write fails as on a full disk, and works again when there is space.
        pid, (soft, hard) = server.process.pid, resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, hard))
        wait_for(lambda: len(refused) > 5)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))
        before = len(acknowledged)
        wait_for(lambda: len(acknowledged) > before + 100)
        os.kill(pid, signal.SIGKILL)
        for thread in threads:
            thread.join()
        server.process.wait()
    assert set(refused) == {507}
    with open_store(server.store) as store:
        rows = {row.prediction_id: row.sequence for row in store.feedback_rows()}
        assert all(rows.get(prediction_id) == sequence for prediction_id, sequence in acknowledged)
        assert all(store.prediction(prediction_id) is not None for prediction_id in made)


def test_a_teams_own_transformer_is_served_when_params_trust_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from remint.cli.main import main

    (tmp_path / "own_features.py").write_text(
        "from sklearn.base import BaseEstimator, TransformerMixin\n\n"
        "class Double(TransformerMixin, BaseEstimator):\n"
        "    def fit(self, X, y=None):\n        self.fitted_ = True\n        return self\n\n"
        "    def transform(self, X):\n        return 2 * X\n"
    )
    trusted = (*TRUSTED, "own_features.Double")
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        double = importlib.import_module("own_features").Double()
        bundle = make_bundle(tmp_path / "bundles", transformer=double, trusted=trusted)
    write_state(tmp_path / "state.yaml", state_of(bundle))
    with serving(tmp_path, trusted) as server:
        answer = httpx.post(f"{server.url}/predict", json={"row": ROW})
        assert answer.json()["bundle"] == bundle.id

    write_params(tmp_path / "params.yaml")
    assert main(["serve", *command(tmp_path)[3:]]) == 2
    assert "types that nobody trusts: own_features.Double" in capfd.readouterr().err


def test_importing_the_service_needs_neither_dvc_nor_pandas() -> None:
    code = (
        "import sys, remint.cli.serve, remint.serving.server, remint.serving.instrument;"
        f"print(sorted({{m.split('.')[0] for m in sys.modules}} & {{'sklearn', *{BLOCKED!r}}}))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


@pytest.mark.parametrize("case", ["state", "bundle", "port", "store"])
def test_what_cannot_start_is_one_line_and_exit_code_2(
    tmp_path: Path, case: str, capfd: pytest.CaptureFixture[str]
) -> None:
    from remint.cli.main import main

    bundle = make_bundle(tmp_path / "bundles")
    write_params(tmp_path / "params.yaml")
    write_state(tmp_path / "state.yaml", state_of(bundle))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        arguments = command(tmp_path)[3:]
        expected = {
            "state": "not found",
            "bundle": "schema.json",
            "port": "cannot listen",
            "store": "not a store's URL",
        }
        match case:
            case "state":
                (tmp_path / "state.yaml").unlink()
            case "bundle":
                (tmp_path / "bundles" / bundle.id.removeprefix("sha256:") / "schema.json").write_text("{}")
            case "port":
                arguments += ["--port", str(taken.getsockname()[1])]
            case "store":
                arguments += ["--store", "postgresql:///x"]
        assert main(["serve", *arguments]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert expected[case] in err
    assert err.count("\n") == 1
