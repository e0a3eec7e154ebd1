"""run.json around every command, and its numbers on a real Pushgateway and in OTLP's own protobuf."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from jsonschema import Draft202012Validator

from binaries import ROOT, binary
from remint.adapters import run_push
from remint.cli.main import main
from remint.core.document import DocumentKind, unseal

FACTORS = {
    "currency: EUR": "currency: CHF",
    "cpu_hour_cost: null": "cpu_hour_cost: 36",
    "watts_per_cpu: null": "watts_per_cpu: 10",
}
HERE = "breast-cancer"


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a params.yaml and what `remint init` ignores."""
    place = tmp_path / "pipeline"
    place.mkdir()
    params = (ROOT / "params.yaml").read_text()
    for before, after in FACTORS.items():
        assert before in params
        params = params.replace(before, after)
    (place / "params.yaml").write_text(params)
    (place / ".gitignore").write_text("/.remint/*\n!/.remint/manifest.json\n")
    subprocess.run(["git", "init", "-q"], cwd=place, check=True)
    monkeypatch.chdir(place)
    return place


def last(place: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place / ".remint" / "runs" / "last" / f"{name}.json").read_text())
    schema = json.loads((ROOT / "schemas" / "usage.schema.json").read_text())
    Draft202012Validator(schema).validate(found)
    return unseal(found, DocumentKind.USAGE)


def test_an_answer_is_recorded_with_what_it_took(pipeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ledger", "--json"]) == 0
    run = last(pipeline, "ledger")
    assert (run["outcome"], run["exit_code"], run["pipeline"]) == ("answered", 0, HERE)
    assert run["wall_seconds"] > 0
    assert run["peak_memory_bytes"] > 1_000_000
    assert run["cost"]["currency"] == "CHF"
    assert run["cost"]["amount"] == pytest.approx(run["cpu_seconds"] / 100, abs=1e-5)
    assert run["co2e_grams"] is None  # the grid is not declared
    assert run["energy_kwh"] is not None
    assert "warning" not in capsys.readouterr().err


def test_a_failure_is_recorded_by_its_code(pipeline: Path) -> None:
    assert main(["registry", "promote", "--reason", "x"]) == 2
    run = last(pipeline, "registry-promote")
    assert (run["command"], run["subcommand"], run["outcome"]) == ("registry", "promote", "config")
    with pytest.raises(SystemExit):
        main(["trace", "--jsn"])
    assert last(pipeline, "trace")["outcome"] == "usage"


def test_help_is_no_run(pipeline: Path) -> None:
    for words in (["--help"], ["trace", "--help"], ["--version"]):
        with pytest.raises(SystemExit):
            main(words)
    assert not (pipeline / ".remint").exists()


def test_a_bug_and_an_interruption_are_recorded_too(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr("remint.cli.explain.run", broken)
    with pytest.raises(ZeroDivisionError):
        main(["explain"])
    assert (last(pipeline, "explain")["outcome"], last(pipeline, "explain")["exit_code"]) == ("internal", 1)

    def stopped(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("remint.cli.explain.run", stopped)
    assert main(["explain"]) == 130
    assert last(pipeline, "explain")["outcome"] == "interrupted"


def test_it_goes_where_it_is_asked_to_and_nowhere_unasked(
    pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (pipeline / ".gitignore").write_text("*.csv\n")
    assert main(["explain", "config"]) == 0
    assert not (pipeline / ".remint").exists()
    monkeypatch.chdir(tmp_path)
    assert main(["-C", "pipeline", "--run-json=run.json", "explain", "config"]) == 0
    assert json.loads((pipeline / "run.json").read_text())["command"] == "explain"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REMINT_RUN_JSON", f"{tmp_path}/runs/")
    assert main(["explain", "config"]) == 0
    with pytest.raises(SystemExit):
        main(["bundle", "verfy"])
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["bundle.json", "explain.json"]
    assert capsys.readouterr().out.count("config:") == 3


def test_a_place_that_takes_no_file_is_one_warning_and_no_failure(
    pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--run-json", "params.yaml/run.json", "explain", "config"]) == 0
    assert re.fullmatch(r"remint: warning: .*cannot be written: .*\n", capsys.readouterr().err)
    (pipeline / ".remint").write_text("no directory")  # the usual place was asked for by nobody
    assert main(["explain", "config"]) == 0
    assert capsys.readouterr().err == ""


def test_a_server_that_is_stopped_writes_its_run_at_the_end(pipeline: Path) -> None:
    """`remint watch` stands for those that run until they are told to stop."""
    command = [sys.executable, "-m", "remint", "watch", "--port", "0", "--interval", "1h"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    while "Watching" not in (line := process.stderr.readline()):
        assert line or process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 0
    run = last(pipeline, "watch")
    assert (run["outcome"], run["pipeline"]) == ("answered", HERE)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Pushgateway."""
    log = tmp_path_factory.mktemp("pushgateway") / "log"
    with log.open("w") as sink:
        process = subprocess.Popen(
            [binary("prometheus-pushgateway"), "--web.listen-address=127.0.0.1:0"], stdout=sink, stderr=sink
        )
    try:
        deadline = time.monotonic() + 10
        while (found := re.search(r"address=\S*:([1-9]\d*)", log.read_text())) is None:
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError(log.read_text())
            time.sleep(0.02)
        yield f"http://127.0.0.1:{found[1]}"
    finally:
        process.terminate()
        process.wait(timeout=10)


def pushed(url: str) -> dict[str, float]:
    lines = [line for line in requests.get(f"{url}/metrics", timeout=5).text.splitlines() if "remint_run" in line]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def test_a_real_pushgateway_shows_the_run_by_pipeline_and_command(
    pipeline: Path, gateway: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REMINT_PUSHGATEWAY_URL", gateway + "/")
    assert main(["ledger", "--json"]) == 0
    assert main(["registry", "promote", "--reason", "x"]) == 2
    seen = pushed(gateway)
    group = 'command="ledger",instance="",job="remint"'
    assert seen[f'remint_run_outcome{{{group},outcome="answered",pipeline="breast-cancer"}}'] == 1
    assert (
        seen['remint_run_cost{command="ledger",currency="CHF",instance="",job="remint",pipeline="breast-cancer"}'] > 0
    )
    answered = f'remint_run_answered_timestamp_seconds{{{group},pipeline="breast-cancer"}}'
    assert seen[answered] == pytest.approx(time.time(), abs=60)
    assert seen[f'remint_run_duration_seconds{{{group},pipeline="breast-cancer"}}'] > 0
    assert not any("co2e" in name for name in seen), "no factor, no figure"
    promote = 'command="registry-promote",instance="",job="remint"'
    assert seen[f'remint_run_exit_code{{{promote},pipeline="breast-cancer"}}'] == 2
    assert f'remint_run_answered_timestamp_seconds{{{promote},pipeline="breast-cancer"}}' not in seen
    assert "warning" not in capsys.readouterr().err

    # A run that fails keeps the time of the last answer, and its outcome replaces the one before
    assert main(["ledger", "--run", "nobody-20261121T115900Z-1a2b3c", "--file", "gate.json"]) != 0
    later = pushed(gateway)
    assert later[answered] == seen[answered]
    assert [name for name in later if "outcome" in name and 'command="ledger"' in name] != [
        f'remint_run_outcome{{{group},outcome="answered",pipeline="breast-cancer"}}'
    ]


class Receiver:
    """Takes what comes by HTTP; ``status`` is its answer, and None is none at all."""

    def __init__(self, status: int | None) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.release = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.headers.append({key.lower(): value for key, value in self.headers.items()})
                if status is None:
                    receiver.release.wait(30)
                with suppress(OSError):
                    self.send_response(status or 200)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def receiver(status: int | None = 200) -> Iterator[Receiver]:
    server = Receiver(status)
    try:
        yield server
    finally:
        server.close()


def test_a_collector_gets_the_same_numbers_by_otlp(
    pipeline: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics_pb2 = pytest.importorskip("opentelemetry.proto.collector.metrics.v1.metrics_service_pb2")
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http.metric_exporter")
    with receiver() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20s3cret")
        assert main(["ledger", "--json"]) == 0
    assert "warning" not in capsys.readouterr().err
    assert collector.headers[0]["authorization"] == "Bearer s3cret"
    (resource,) = metrics_pb2.ExportMetricsServiceRequest.FromString(collector.bodies[0]).resource_metrics
    assert {a.key: a.value.string_value for a in resource.resource.attributes}["service.name"] == "remint"
    metrics = {m.name: m for scope in resource.scope_metrics for m in scope.metrics}
    assert {(m.name, m.unit) for m in metrics.values()} >= {
        ("remint.run.duration", "s"),
        ("remint.run.peak_memory", "By"),
        ("remint.run.cost", "1"),
    }
    assert "remint.run.co2e" not in metrics
    (point,) = metrics["remint.run.outcome"].gauge.data_points
    assert {a.key: a.value.string_value for a in point.attributes} == {
        "command": "ledger",
        "pipeline": HERE,
        "outcome": "answered",
    }
    run = last(pipeline, "ledger")
    (point,) = metrics["remint.run.exit_code"].gauge.data_points
    assert (point.as_double, run["exit_code"]) == (0, 0)


VARIABLES = ("REMINT_PUSHGATEWAY_URL", "OTEL_EXPORTER_OTLP_ENDPOINT")


def dead_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def the_one_warning(capsys: pytest.CaptureFixture[str]) -> str:
    said = capsys.readouterr()
    assert json.loads(said.out)
    (line,) = said.err.splitlines()
    assert line.startswith("remint: warning: the run was not pushed to ")
    return line


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_dead_one_is_one_warning(
    pipeline: Path, variable: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, f"http://somebody:s3cret@127.0.0.1:{dead_port()}/token-in-path")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20s3cret")
    assert main(["explain", "--json"]) == 0
    line = the_one_warning(capsys)
    assert not re.search("s3cret|token-in-path|somebody", line)
    assert last(pipeline, "explain")["outcome"] == "answered"


@pytest.mark.parametrize("variable", VARIABLES)
def test_one_that_fails_is_one_warning_and_the_exit_code_stays(
    pipeline: Path, variable: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with receiver(500) as server:
        monkeypatch.setenv(variable, server.url)
        assert main(["explain", "--json"]) == 0
        assert "answered 500" in the_one_warning(capsys)
        assert main(["explain", "nothing-near"]) == 2
    assert "[usage]" in capsys.readouterr().err


def test_those_that_hang_are_given_up_together(
    pipeline: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_push, "push", partial(run_push.push, seconds=0.6))  # of three, to save time
    with receiver(None) as first, receiver(None) as second:
        monkeypatch.setenv("REMINT_PUSHGATEWAY_URL", first.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", second.url)
        begun = time.monotonic()
        assert main(["explain", "--json"]) == 0
        took = time.monotonic() - begun
    said = capsys.readouterr()
    assert json.loads(said.out)
    assert 0.5 < took < 2.5
    assert said.err.count("remint: warning: the run was not pushed to ") == len(said.err.splitlines()) == 2


def test_refused_credentials_name_the_variable_and_never_the_value(
    pipeline: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with receiver(401) as server:
        monkeypatch.setenv("REMINT_PUSHGATEWAY_URL", server.url)
        monkeypatch.setenv("REMINT_PUSHGATEWAY_TOKEN", "s3cret")
        assert main(["explain", "--json"]) == 0
    line = the_one_warning(capsys)
    assert "check REMINT_PUSHGATEWAY_TOKEN" in line
    assert "s3cret" not in line
    assert server.headers[0]["authorization"] == "Bearer s3cret"


def test_without_the_extra_there_is_one_warning(
    pipeline: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith("opentelemetry")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter", None)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    assert main(["explain", "--json"]) == 0
    assert "pip install 'remint[otlp]'" in the_one_warning(capsys)


def test_the_record_needs_neither_pydantic_nor_pandas(pipeline: Path) -> None:
    code = (
        "import sys\nfrom remint.cli.main import main\nmain(['explain', 'config'])\n"
        "heavy = {'pydantic', 'pandas', 'numpy', 'requests', 'prometheus_client', 'opentelemetry', 'dvc'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert last(pipeline, "explain")["pipeline"] is None
