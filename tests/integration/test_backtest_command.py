"""``remint backtest`` with real git: a labelled log, the ledger, a real Prometheus, and the command."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import yaml

from binaries import ROOT
from check_examples import PIPELINE, PROMOTED, Pipeline, draw, make_pipeline
from gate_examples import make_model, rows_of
from prometheus_server import backfill, prometheus_server
from remint.adapters.git import Git
from remint.adapters.ledger import Ledger
from remint.adapters.registry import assign
from remint.cli import main
from remint.config import load_params
from remint.core.document import DocumentKind, format_time, unseal
from remint.core.trigger import Answer
from remint.errors import ConfigError, NoDataError
from remint.workflows.backtest_run import BacktestQuestion, Past, Policy, run_backtest
from remint.workflows.check import Question, run_check

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    made = make_pipeline(tmp_path / "repository")
    made.set_rules(["features", "integrity", "accuracy"], every="12h", window="2d")
    return made


@pytest.fixture(autouse=True)
def _back_to_where_we_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path.cwd())


def write_log(path: Path, days: int, *, moves_at: int) -> None:
    """Ten rows an hour; from the day ``moves_at`` on the size is another one, and the model is right less often."""
    lines = ["at,size,city,churned,said,surely"]
    for day in range(days):
        rows = draw(240, seed=day, shift=0.8 if day >= moves_at else 0.0)
        right = np.random.default_rng(day).random(240) < (0.6 if day >= moves_at else 0.9)
        for i in range(240):
            at = PROMOTED + day * DAY + i * HOUR / 10
            said = rows.predicted[i]
            label = said if right[i] else ("no" if said == "yes" else "yes")
            lines.append(f"{format_time(at)},{rows.size[i]:.4f},{rows.city[i]},{label},{said},{rows.confidence[i]:.4f}")
    path.write_text("\n".join(lines) + "\n")


LOG = ("--time", "at", "--predicted", "said", "--confidence", "surely")


def run(pipeline: Pipeline, *arguments: str) -> int:
    return main(["-C", str(pipeline.directory), "backtest", *arguments])


# -- a labelled log --------------------------------------------------------------------------------------------------


def test_a_log_says_when_and_why_it_would_have_retrained_and_what_was_lost(
    pipeline: Pipeline, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.csv"
    write_log(log, 24, moves_at=12)
    outputs = {name: tmp_path / f"out.{name}" for name in ("json", "svg", "html")}
    arguments = ["--log", str(log), *LOG, "--error-cost", "0.5", "--retrain-cost", "100", "--json"]
    arguments += ["--output", str(outputs["json"]), "--plot", str(outputs["svg"]), "--html", str(outputs["html"])]
    assert run(pipeline, *arguments) == 0
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert document == json.loads(outputs["json"].read_text())
    assert unseal(document, DocumentKind.BACKTEST, pipeline=PIPELINE)["parents"] == [pipeline.reference.id]
    jsonschema.validate(document, json.loads((ROOT / "schemas/backtest.schema.json").read_text()))
    (policy,) = document["policies"]
    first = policy["retrains"][0]
    assert format_time(PROMOTED + 12 * DAY) < first["asked_at"] < format_time(PROMOTED + 14 * DAY)
    assert first["rules"] == ["accuracy"]
    assert "labelled predictions were right" in first["reason"]
    assert any("size by" in retrain["reason"] for retrain in policy["retrains"])
    assert first["loss"]["lost"] > 0.03
    assert policy["tenures"][0]["predictions"] > 240 * 12
    assert policy["cost"]["retrains"] == 100 * len(policy["retrains"])
    svg = outputs["svg"].read_text()
    assert svg.startswith("<svg")
    assert "accuracy" in svg
    assert "<style>" in svg
    page = outputs["html"].read_text()
    assert "<h2>Back-test" in page
    assert page.count("<svg") == 1
    assert "\x1b" not in printed.out + printed.err


def test_two_policies_are_compared_as_a_table_for_a_pull_request(
    pipeline: Pipeline, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.csv"
    write_log(log, 20, moves_at=12)
    proposed = yaml.safe_load((pipeline.directory / "params.yaml").read_text())
    proposed["check"]["rules"] = {"features": {"kind": "drift", "role": "feature", "material_psi": 2.0}}
    (pipeline.directory / "proposed.yaml").write_text(yaml.safe_dump(proposed))
    assert run(pipeline, "--log", str(log), *LOG, "--compare", "params.yaml", "proposed.yaml") == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0].startswith("## Back-test: ")
    assert "→ 0 retrains" in lines[0]
    assert "|  | `params.yaml` | `proposed.yaml` |" in lines
    assert "taken as promoted at the log's first row" in printed.out
    assert printed.err == ""


def test_limits_are_suggested_for_a_budget(
    pipeline: Pipeline, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.csv"
    write_log(log, 16, moves_at=8)
    pipeline.set_rules(["features"], every="1d", window="2d")
    assert run(pipeline, "--log", str(log), *LOG, "--suggest", "--false-retrains-a-year", "1", "--json") == 0
    suggest = json.loads(capsys.readouterr().out)["suggest"]
    assert suggest["false_retrains_a_year"] == 1
    drift, cooldown = suggest["limits"]
    assert (drift["rule"], drift["key"], drift["declared"]) == ("features", "material_psi", "0.02")
    assert drift["retrains_declared"] > 0
    assert drift["retrains_suggested"] == 0
    assert float(drift["suggested"]) > 0.1
    assert cooldown["key"] == "cooldown"


def test_the_champions_own_bundle_predicts_a_log_that_holds_no_predictions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "shop"
    make_model(directory)
    params = yaml.safe_load((directory / "params.yaml").read_text())
    params["check"].update(every="1d", window="2d", rules={"accuracy": {"kind": "accuracy", "drop": 0.1}})
    (directory / "params.yaml").write_text(yaml.safe_dump(params))
    (directory / ".gitignore").write_text("artifacts/bundle\nartifacts/prepared\n")
    metrics = {"test": {"accuracy": 0.95}, "rows": {"test": 200}}
    (directory / "artifacts/metrics.json").write_text(json.dumps(metrics))
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "First model"]):
        subprocess.run(["git", *command], cwd=directory, check=True)
    assign(Git(directory), "shop", Git(directory).head(), now=PROMOTED)
    (directory / "logs").mkdir()
    for day in range(16):
        rows = rows_of(200, seed=day, new_world=day >= 8)
        lines = [
            f"{format_time(PROMOTED + day * DAY + i * HOUR / 10)},{r['x']!r},{r['z']!r},{label}"
            for i, (r, label) in enumerate(zip(rows.table.to_rows(), rows.labels, strict=True))
        ]
        (directory / f"logs/{day:02}.csv").write_text("\n".join(["at,x,z,bought", *lines]) + "\n")
    command = ["-C", str(directory), "backtest", "--log", "logs", "--time", "at", "--json"]
    assert main(command) == 0
    (policy,) = json.loads(capsys.readouterr().out)["policies"]
    assert [retrain["rules"] for retrain in policy["retrains"]] == [["accuracy"]]
    assert policy["retrains"][0]["loss"]["accuracy"] < 0.8
    assert policy["tenures"][0]["predictions"] > 200 * 8
    assert main([*command, "--bundle", "elsewhere"]) == 2
    assert "remint bundle export --rev 'shop#stable#1', then --bundle" in capsys.readouterr().err


# -- the ledger ------------------------------------------------------------------------------------------------------


def test_the_ledger_replays_to_what_was_decided(pipeline: Pipeline, capsys: pytest.CaptureFixture[str]) -> None:
    for day in range(9):
        pipeline.serve(
            draw(400, seed=day, shift=0.5 if day >= 5 else 0.0), at=PROMOTED + (day + 0.4) * DAY, right=45, wrong=5
        )
    decided = []
    for half_day in range(1, 17):
        now = PROMOTED + half_day * DAY / 2
        asked = Question(now=now, store_url=pipeline.store_url)
        checked = run_check(pipeline.params, asked, directory=pipeline.directory, environ={})
        decided.append((now, checked.answer))
        if checked.answer is Answer.RETRAIN:
            break
    assert decided[-1][1] is Answer.RETRAIN
    report = run_backtest(
        [Policy(name="params.yaml", params=pipeline.params)],
        BacktestQuestion(now=PROMOTED + 20 * DAY),
        directory=pipeline.directory,
        environ={},
    )
    (result,) = report.results
    assert report.source == "the ledger's decisions"
    replayed = {asked.at: asked.answer for asked in result.asked}
    assert {at: replayed[at] for at, _ in decided if at in replayed} == dict(decided[-len(replayed) :])
    assert len(replayed) >= len(decided) - 1
    assert [retrain.rules for retrain in result.retrains] == [("features",)]
    assert result.retrains[0].loss is not None
    assert result.retrains[0].loss.accuracy == pytest.approx(0.9, abs=0.01)


def test_a_ledger_without_decisions_is_no_data(pipeline: Pipeline) -> None:
    assert Ledger(Git(pipeline.directory), PIPELINE).attachments("decision.json") == {}
    with pytest.raises(NoDataError, match="no decision of `remint check`"):
        ask(pipeline, past=Past.LEDGER)


# -- a real Prometheus -----------------------------------------------------------------------------------------------


def samples(pipeline: Pipeline, days: int, *, moves_at: int) -> Iterator[tuple[str, float, float]]:
    """Counters of one pod, every five minutes from the promotion on; no sample for a day before the data moves."""
    mine = f'pipeline="{PIPELINE}",reference="{pipeline.reference.id}",track="stable",pod="a"'
    hourly: dict[str, list[np.ndarray]] = {field.name: [] for field in pipeline.reference.fields}
    for hour in range(24 * days):
        rows = draw(48, seed=hour, shift=0.8 if hour >= 24 * moves_at else 0.0)
        for name, table in pipeline.reference.count(rows.table, rows.predicted, rows.confidence).items():
            hourly[name].append(table)
    shown = [k for k in range(12 * 24 * days) if not 24 * (moves_at - 2) <= k // 12 < 24 * (moves_at - 1)]
    for name, tables in hourly.items():
        totals = np.cumsum([np.zeros_like(tables[0]), *tables], axis=0)
        for index in range(totals.shape[1]):
            series = f'remint_bin_total{{{mine},field="{name}",bin="{index}"}}'
            # All of an hour's rows with its second sample: a check on the hour sees whole hours
            yield from ((series, float(totals[(k + 11) // 12, index]), _sampled(k)) for k in shown)
    for outcome, share in (("right", 9), ("wrong", 1)):
        series = f'remint_feedback_total{{{mine},outcome="{outcome}"}}'
        yield from ((series, float(share * ((k + 11) // 12)), _sampled(k)) for k in shown)


def _sampled(tick: int) -> float:
    return (PROMOTED + tick * timedelta(minutes=5) + timedelta(minutes=1)).timestamp()


def test_a_past_in_prometheus_is_replayed_to_what_the_check_would_have_said(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path / "repository")
    rules = {
        "features": {"kind": "drift", "role": "feature"},
        "integrity": {"kind": "integrity"},
        "accuracy": {"kind": "accuracy"},
        "traffic": {"kind": "promql", "query": "sum(remint_bin_total{bin='0'}) * 0", "above": 1, "then": "retrain"},
    }
    folder = tmp_path / "prometheus"
    folder.mkdir()
    backfill(folder, samples(pipeline, 12, moves_at=9))
    with prometheus_server(folder, "--storage.tsdb.retention.time=90y") as server:
        params = yaml.safe_load((pipeline.directory / "params.yaml").read_text())
        params["check"].update(
            source="prometheus",
            prometheus={"url": server.url},
            every="6h",
            window="2d",
            min_fresh_labels=1,
            rules=rules,
        )
        (pipeline.directory / "params.yaml").write_text(yaml.safe_dump(params))
        until = PROMOTED + 12 * DAY
        report = ask(pipeline, now=until)
        (result,) = report.results
        assert result.start == PROMOTED
        assert result.retrains[0].rules == ("features",)
        assert PROMOTED + 9 * DAY < result.retrains[0].asked_at < PROMOTED + 10 * DAY
        silent = [asked.at for asked in result.asked if asked.answer is Answer.INCONCLUSIVE]
        assert silent
        assert all(PROMOTED + 7 * DAY < at <= PROMOTED + 8.1 * DAY for at in silent)
        before = [asked for asked in result.asked if asked.at <= result.retrains[0].asked_at]
        for asked in [*before[::8], *(a for a in before if a.at in silent[:1]), before[-1]]:
            question = Question(now=asked.at, dry_run=True)
            live = run_check(pipeline.params, question, directory=pipeline.directory, environ={})
            # This Prometheus has no series that says how many labels are fresh, a history counts them
            answer = Answer.RETRAIN if live.answer is Answer.NEED_LABELS else live.answer
            assert answer is asked.answer
            assert asked.summary.removeprefix("Retrain: ") in live.document["summary"]
            assert tuple(rule["name"] for rule in live.document["rules"] if rule["fired"]) == asked.fired


# -- the command's errors --------------------------------------------------------------------------------------------


def ask(pipeline: Pipeline, *, now: datetime = PROMOTED + 30 * DAY, **question: Any) -> Any:
    asked = BacktestQuestion(now=now, **question)
    policies = [Policy(name="params.yaml", params=load_params(pipeline.directory / "params.yaml"))]
    return run_backtest(policies, asked, directory=pipeline.directory, environ={})


def test_without_a_champion_there_is_nothing_to_replay(tmp_path: Path) -> None:
    new = make_pipeline(tmp_path / "new", champion=False)
    write_log(tmp_path / "log.csv", 1, moves_at=5)
    for past in ({"log": tmp_path / "log.csv"}, {"past": Past.LEDGER}, {"past": Past.PROMETHEUS}):
        with pytest.raises(ConfigError, match="has no champion yet"):
            ask(new, **past, log_columns={"time": "at"})


def test_what_cannot_be_answered_ends_in_its_own_exit_code(
    pipeline: Pipeline, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.csv"
    write_log(log, 1, moves_at=5)
    mistaken = (pipeline.directory / "params.yaml").read_text().replace("window:", "windw:")
    (pipeline.directory / "mistaken.yaml").write_text(mistaken)

    def said(code: int, *arguments: str) -> str:
        assert run(pipeline, *arguments) == code
        return capsys.readouterr().err

    assert "mistaken.yaml: check.windw: unknown key" in said(2, "--compare", "params.yaml", "mistaken.yaml")
    assert "no column is declared as the rows' time" in said(2, "--log", str(log))
    assert "go together" in said(2, "--log", str(log), "--time", "at", "--predicted", "said")
    assert "go together" in said(2, "--log", str(log), *LOG, "--error-cost", "1")
    assert "belongs to --suggest" in said(2, "--false-retrains-a-year", "1")
    assert "no such file" in said(2, "--log", "absent.csv", *LOG)
    assert "no row with a time" in said(3, "--log", str(log), *LOG, "--since", "2030-01-01T00:00:00Z")
    pipeline.set_rules(["features"], every="2d", window="2d")
    assert "is shorter than" in said(3, "--log", str(log), *LOG)


def test_declared_log_files_are_the_past_of_those_who_check_from_files(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    (pipeline.directory / "logs").mkdir()
    write_log(pipeline.directory / "logs" / "may.csv", 6, moves_at=9)
    files = {"path": "logs/*.csv", "time": "at", "predicted": "said", "confidence": "surely", "label": None}
    pipeline.set_rules(["features", "accuracy"], every="1d", window="2d", source="files", files=files)
    assert run(pipeline, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["source"] == "check.files"
    (policy,) = document["policies"]
    assert policy["tenures"][0]["predictions"] == 240 * 6
    assert policy["tenures"][0]["loss"] is None  # no column holds labels
