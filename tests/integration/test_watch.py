"""``remint watch``: what it publishes, that it decides nothing, and that it outlives a Prometheus."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from check_examples import NOW, PIPELINE, RULES, Pipeline, draw, exposition, make_pipeline
from github_server import TOKEN, Answer, GitHub, serve
from prometheus_server import prometheus_server
from remint.adapters.exporter import Exporter
from remint.adapters.forge.github import GitHubForge
from remint.adapters.forge.rest import Access
from remint.adapters.git import Git
from remint.adapters.ledger import Ledger
from remint.config import Source
from remint.workflows.check import Question, run_check
from remint.workflows.watch import listen, look, watch


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return make_pipeline(tmp_path / "repository")


def seen(exporter: Exporter) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample by its name and labels, the pipeline's left out."""
    return {
        (sample.name, frozenset((k, v) for k, v in sample.labels.items() if k != "pipeline")): sample.value
        for family in text_string_to_metric_families(exporter.render().decode())
        for sample in family.samples
    }


def value(exporter: Exporter, name: str, **labels: str) -> float | None:
    return seen(exporter).get((name, frozenset(labels.items())))


def look_at(pipeline: Pipeline, exporter: Exporter, *, now: datetime = NOW, **asked: object) -> object:
    def question(at: datetime) -> Question:
        return Question(now=at, dry_run=True, **{"store_url": pipeline.store_url, **asked})  # type: ignore[arg-type]

    return look(exporter, PIPELINE, directory=pipeline.directory, environ={}, clock=lambda: now, question=question)


def test_a_look_publishes_what_a_check_would_say_and_writes_nothing_down(pipeline: Pipeline) -> None:
    pipeline.serve(draw(1_000, seed=1, shift=0.6), right=180, wrong=20)
    exporter = Exporter(PIPELINE)
    assert look_at(pipeline, exporter) is None
    drift = value(exporter, "remint_drift_score", role="feature", field="size")
    assert drift is not None
    assert drift > 0.2
    assert value(exporter, "remint_drift_detected", role="feature", field="size") == 1
    assert value(exporter, "remint_drift_detected", role="feature", field="city") == 0
    assert value(exporter, "remint_decision", answer="RETRAIN") == 1
    assert value(exporter, "remint_decision", answer="HOLD") == 0
    assert value(exporter, "remint_rule_fired", rule="features", kind="drift") == 1
    assert value(exporter, "remint_rule_observed", rule="accuracy", kind="accuracy") == pytest.approx(0.9)
    assert value(exporter, "remint_watch_timestamp_seconds") == NOW.timestamp()
    assert value(exporter, "remint_check_timestamp_seconds") is None
    assert Ledger(Git(pipeline.directory), PIPELINE).entries() == ()


def test_the_heartbeat_of_the_scheduled_check_comes_from_the_ledger(pipeline: Pipeline) -> None:
    pipeline.serve(draw(1_000, seed=1), right=180, wrong=20)
    asked = Question(now=NOW - timedelta(minutes=30), store_url=pipeline.store_url)
    run_check(pipeline.params, asked, directory=pipeline.directory, environ={})
    exporter = Exporter(PIPELINE)
    look_at(pipeline, exporter)
    assert value(exporter, "remint_check_timestamp_seconds") == (NOW - timedelta(minutes=30)).timestamp()


def test_a_look_that_fails_takes_the_old_scores_away_and_the_heart_beats_on(pipeline: Pipeline) -> None:
    pipeline.serve(draw(1_000, seed=1), right=180, wrong=20)
    exporter = Exporter(PIPELINE)
    look_at(pipeline, exporter)
    params = pipeline.directory / "params.yaml"
    good = params.read_text()
    params.write_text(good.replace("window", "windw").replace("pipeline:", "pipelin:"))
    error = look_at(pipeline, exporter, now=NOW + timedelta(minutes=5))
    assert "did you mean" in str(error)
    assert value(exporter, "remint_drift_score", role="feature", field="size") is None
    assert value(exporter, "remint_decision", answer="HOLD") is None
    assert value(exporter, "remint_watch_failures_total", error="config") == 1
    assert value(exporter, "remint_watch_timestamp_seconds") == (NOW + timedelta(minutes=5)).timestamp()
    assert value(exporter, "remint_watch_answered_timestamp_seconds") == NOW.timestamp()
    params.write_text(good)
    assert look_at(pipeline, exporter, now=NOW + timedelta(minutes=10)) is None
    assert value(exporter, "remint_decision", answer="HOLD") == 1


def test_it_outlives_a_prometheus_that_goes_away_and_comes_back(tmp_path: Path) -> None:
    with prometheus_server(tmp_path) as server:
        promoted_at = server.show({"a": "up_first 1"})
        pipeline = make_pipeline(tmp_path / "live", promoted_at=promoted_at.replace(microsecond=0))
        pipeline.set_rules(["features", "age"], source="prometheus")
        server.show({"a": said(pipeline, 0)})
        now = server.show({"a": said(pipeline, 600)})
        asked = {"source": Source.PROMETHEUS, "prometheus_url": server.url, "store_url": None}
        exporter = Exporter(PIPELINE)
        rounds: list[Mapping[str, float | None]] = []

        def wait() -> bool:
            rounds.append(
                {
                    "hold": value(exporter, "remint_decision", answer="HOLD"),
                    "inconclusive": value(exporter, "remint_decision", answer="INCONCLUSIVE"),
                    "score": value(exporter, "remint_drift_score", role="feature", field="size"),
                    "away": value(exporter, "remint_rule_silent", rule="features", kind="drift", reason="server_error"),
                }
            )
            if len(rounds) == 1:
                server.stop()
            elif len(rounds) == 2:
                server.start()
            return len(rounds) == 3

        watch(
            exporter,
            PIPELINE,
            directory=pipeline.directory,
            environ={},
            clock=lambda: now,
            wait=wait,
            question=lambda at: Question(now=at, dry_run=True, **asked),  # type: ignore[arg-type]
        )
    assert [r["hold"] for r in rounds] == [1, 0, 1]
    assert [r["inconclusive"] for r in rounds] == [0, 1, 0]
    assert [r["away"] for r in rounds] == [None, 1, None]
    assert rounds[0]["score"] == rounds[2]["score"] is not None
    assert rounds[1]["score"] is None


def said(pipeline: Pipeline, rows: int) -> str:
    served = draw(max(1, rows), seed=6)
    counts = pipeline.reference.count(served.table, served.predicted, served.confidence)
    if rows == 0:
        counts = {name: 0 * bins for name, bins in counts.items()}
    return exposition(pipeline.reference, counts, right=0, wrong=0, sequence=0, at=datetime.now(UTC))


def test_the_command_answers_scrapes_until_it_is_told_to_stop(pipeline: Pipeline) -> None:
    write_age_rule(pipeline)
    command = [sys.executable, "-m", "remint", "watch", "--port", "0", "--interval", "1h"]
    process = subprocess.Popen(command, cwd=pipeline.directory, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        address = re.search(r"http://\S+", process.stderr.readline())
        assert address is not None
        text = httpx.get(address[0], timeout=10, trust_env=False).text
        assert "remint_watch_timestamp_seconds" in text
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    finally:
        process.kill()
        process.communicate()


def test_once_prints_the_metrics_for_a_textfile_collector(pipeline: Pipeline) -> None:
    write_age_rule(pipeline)
    command = [sys.executable, "-m", "remint", "watch", "--once"]
    done = subprocess.run(command, cwd=pipeline.directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert 'remint_rule_fired{kind="age",pipeline="churn",rule="age"}' in done.stdout


RUN = {"display_title": "watch", "status": "completed", "conclusion": "success", "html_url": "https://x"}
NEWEST = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)  # the server's


def client(server: GitHub) -> GitHubForge:
    return GitHubForge(Access(url=server.url, token=TOKEN, variable="GITHUB_TOKEN"), server.name)


def test_the_forge_says_when_the_scheduled_workflow_last_ran_and_how_it_ended(pipeline: Pipeline) -> None:
    exporter = Exporter(PIPELINE)
    green, red = {**RUN, "id": 1, "workflow": "watch.yml"}, {**RUN, "id": 2, "workflow": "watch.yml"}
    with serve(GitHub(runs=[green, {**red, "conclusion": "failure"}])) as server:
        listen(exporter, client(server), directory=pipeline.directory)
    assert value(exporter, "remint_forge_up") == 1
    assert value(exporter, "remint_workflow_last_run_timestamp_seconds", workflow="watch") == NEWEST.timestamp()
    assert value(exporter, "remint_workflow_last_success_timestamp_seconds", workflow="watch") == NEWEST.timestamp()
    assert value(exporter, "remint_workflow_failed", workflow="watch") == 1
    assert value(exporter, "remint_workflow_failed", workflow="canary") is None, "it never ran"
    assert value(exporter, "remint_check_interval_seconds") == pipeline.params.check.every.total_seconds()


def test_a_forge_that_is_away_is_its_own_metric_and_stops_no_other(pipeline: Pipeline) -> None:
    pipeline.serve(draw(1_000, seed=1), right=180, wrong=20)
    exporter = Exporter(PIPELINE)
    with serve(GitHub(runs=[{**RUN, "id": 1, "workflow": "watch.yml"}])) as server:
        listen(exporter, client(server), directory=pipeline.directory)
        server.refuse = lambda method, path: Answer(503, {"message": "down for maintenance"})
        watch(
            exporter,
            PIPELINE,
            directory=pipeline.directory,
            environ={},
            clock=lambda: NOW,
            wait=lambda: True,
            question=lambda at: Question(now=at, dry_run=True, store_url=pipeline.store_url),
            forge=client(server),
        )
    assert value(exporter, "remint_forge_up") == 0
    assert value(exporter, "remint_workflow_last_run_timestamp_seconds", workflow="watch") is None, "nobody knows now"
    assert value(exporter, "remint_decision", answer="HOLD") == 1


def write_age_rule(pipeline: Pipeline) -> None:
    assert "age" in RULES
    pipeline.set_rules(["age"])
