"""``remint check`` with real git, a real store and a real Prometheus: each answer, and each way not to have one."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from binaries import ROOT
from check_examples import NOW, PIPELINE, PROMOTED, RULES, Pipeline, draw, exposition, make_pipeline
from prometheus_server import PrometheusServer, prometheus_server
from remint.adapters.git import Git
from remint.adapters.ledger import Ledger
from remint.adapters.registry import assign
from remint.cli import main
from remint.config import Source
from remint.core.document import DocumentKind, parse_time, unseal
from remint.core.ledger import LedgerEntry, LedgerEvent
from remint.core.release import Track
from remint.core.trigger import Answer
from remint.errors import AmbiguousSeriesError, ConfigError, DocumentError, NoDataError, ServiceError
from remint.workflows.check import Checked, Question, run_check


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return make_pipeline(tmp_path / "repository")


@pytest.fixture
def dead_url() -> Iterator[str]:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{reserved.getsockname()[1]}"


def check(pipeline: Pipeline, *, now: datetime = NOW, **question: Any) -> Checked:
    asked = Question(now=now, **{"store_url": pipeline.store_url, **question})
    return run_check(pipeline.params, asked, directory=pipeline.directory, environ={})


def states(checked: Checked) -> dict[str, str]:
    return {rule["name"]: "fired" if rule["fired"] else rule["state"] for rule in checked.document["rules"]}


# -- answers from the prediction log ---------------------------------------------------------------------------------


def test_healthy_traffic_holds_and_every_rule_answers(pipeline: Pipeline) -> None:
    pipeline.serve(draw(1_000, seed=1), right=180, wrong=20)
    checked = check(pipeline)
    assert checked.answer is Answer.HOLD
    assert states(checked) == dict.fromkeys(RULES, "ok")
    assert checked.document["rows"] == 1_000
    assert checked.document["fresh_labels"] == 200


def test_drift_with_labels_retrains_and_says_which_feature_and_how_much(pipeline: Pipeline) -> None:
    pipeline.serve(draw(1_000, seed=1, shift=0.6), right=180, wrong=20)
    checked = check(pipeline)
    document = unseal(checked.document, DocumentKind.DECISION, pipeline=PIPELINE)
    assert checked.answer is Answer.RETRAIN
    assert document["summary"].startswith("Retrain: features drifted: size by 0.")
    assert [f["field"] for f in document["drift"] if f["drifted"]] == ["size"]
    assert document["parents"] == [pipeline.reference.id]
    assert document["champion"]["tag"] == "churn#stable#1"
    assert document["champion"]["reference"] == pipeline.reference.id
    assert document["until"]["sequence"] == 200
    assert parse_time(document["until"]["arrived_at"]) == NOW - timedelta(hours=1)


def test_drift_without_labels_asks_for_labels(pipeline: Pipeline) -> None:
    pipeline.serve(draw(1_000, seed=1, shift=0.6))
    checked = check(pipeline)
    assert checked.answer is Answer.NEED_LABELS
    assert "only 0 of 100 fresh labels" in checked.document["summary"]


def test_a_column_that_breaks_is_investigated_and_not_learned_from(pipeline: Pipeline) -> None:
    pipeline.serve(draw(1_000, seed=1, missing=0.5), right=200)
    checked = check(pipeline)
    assert checked.answer is Answer.INVESTIGATE
    assert "size is missing in 5" in checked.document["summary"]


def test_logged_rows_that_are_no_rows_are_investigated(pipeline: Pipeline) -> None:
    pipeline.serve(draw(1_000, seed=1), malformed=300)
    checked = check(pipeline)
    assert checked.answer is Answer.INVESTIGATE
    assert checked.document["rows"] == 700
    assert "row is unreadable in 30 % of 1000 rows" in checked.document["summary"]


@pytest.mark.parametrize(
    ("rule", "right", "wrong"), [("accuracy", 100, 100), ("wrong", 800, 150), ("volume", 1_000, 0)]
)
def test_each_label_rule_alone_fires_a_retrain(pipeline: Pipeline, rule: str, right: int, wrong: int) -> None:
    pipeline.serve(draw(2_000, seed=1), right=right, wrong=wrong)
    checked = check(pipeline)
    assert checked.answer is Answer.RETRAIN
    assert [name for name, said in states(checked).items() if said == "fired"] == [rule]


def test_an_old_champion_alone_fires_a_retrain(pipeline: Pipeline) -> None:
    pipeline.serve(draw(1_000, seed=1), at=PROMOTED + timedelta(days=89))
    checked = check(pipeline, now=PROMOTED + timedelta(days=90))
    assert checked.answer is Answer.RETRAIN
    assert "90.0 days old" in checked.document["summary"]


def test_only_rows_of_the_champions_reference_track_and_time_are_counted(pipeline: Pipeline) -> None:
    pipeline.serve(draw(300, seed=1))
    pipeline.serve(draw(300, seed=2, shift=3), track=Track.CANARY)
    pipeline.serve(draw(300, seed=3, shift=3), reference="sha256:other")
    pipeline.serve(draw(300, seed=4, shift=3), at=PROMOTED - timedelta(seconds=1))
    pipeline.serve(draw(300, seed=5, shift=3), at=NOW)  # the window is half-open
    checked = check(pipeline)
    assert checked.document["rows"] == 300
    assert checked.answer is Answer.HOLD
    assert checked.document["window"] == {"start": "2026-05-01T00:00:00.000000Z", "end": "2026-05-03T00:00:00.000000Z"}


def test_an_asked_window_is_kept_but_never_from_before_the_promotion(pipeline: Pipeline) -> None:
    pipeline.serve(draw(250, seed=1), at=PROMOTED + timedelta(hours=1))
    pipeline.serve(draw(300, seed=2), at=PROMOTED + timedelta(hours=3))
    since, until = PROMOTED - timedelta(days=1), PROMOTED + timedelta(hours=2)
    checked = check(pipeline, since=since, until=until)
    assert checked.document["rows"] == 250
    assert checked.document["window"]["start"] == "2026-05-01T00:00:00.000000Z"


def test_every_decision_keeps_its_published_schema(pipeline: Pipeline, dead_url: str) -> None:
    schema = json.loads((ROOT / "schemas" / "decision.schema.json").read_text())
    pipeline.serve(draw(1_000, seed=1, shift=0.6), right=200)
    questions: list[dict[str, Any]] = [
        {},
        {"source": Source.PROMETHEUS, "prometheus_url": dead_url, "store_url": None},
        {"manual_reason": "because"},
        {"until": PROMOTED},  # an empty window
    ]
    for question in questions:
        document = check(pipeline, dry_run=True, **question).document
        jsonschema.validate(document, schema)
        assert unseal(document, DocumentKind.DECISION, pipeline=PIPELINE) == document


# -- no answer -------------------------------------------------------------------------------------------------------


def test_an_empty_window_is_no_data(pipeline: Pipeline) -> None:
    pipeline.store().close()
    checked = check(pipeline)
    assert checked.answer is Answer.INCONCLUSIVE
    assert isinstance(checked.failure, NoDataError)
    assert states(checked)["age"] == "ok"


def test_too_few_rows_are_inconclusive_without_a_failure(pipeline: Pipeline) -> None:
    pipeline.serve(draw(199, seed=1))
    checked = check(pipeline)
    assert checked.answer is Answer.INCONCLUSIVE
    assert checked.failure is None


def test_a_dead_prometheus_silences_no_rule_that_does_without(pipeline: Pipeline, dead_url: str) -> None:
    pipeline.serve(draw(1_200, seed=1), right=1_000)
    checked = check(pipeline, source=Source.PROMETHEUS, prometheus_url=dead_url)
    assert checked.answer is Answer.RETRAIN
    assert states(checked) == {
        "features": "error",
        "predictions": "error",
        "confidence": "error",
        "integrity": "error",
        "accuracy": "ok",
        "wrong": "ok",
        "volume": "fired",
        "age": "ok",
    }


def test_a_dead_prometheus_is_never_a_hold(pipeline: Pipeline, dead_url: str) -> None:
    pipeline.serve(draw(300, seed=1), right=200)
    checked = check(pipeline, source=Source.PROMETHEUS, prometheus_url=dead_url)
    assert checked.answer is Answer.INCONCLUSIVE
    assert isinstance(checked.failure, ServiceError)


def test_without_a_champion_the_check_says_how_to_get_one(tmp_path: Path) -> None:
    pipeline = make_pipeline(tmp_path / "new", champion=False)
    with pytest.raises(ConfigError, match=r"has no champion yet.*remint registry"):
        check(pipeline)


def test_a_champion_without_its_files_or_with_changed_ones_is_refused(pipeline: Pipeline) -> None:
    git = Git(pipeline.directory)
    path = pipeline.directory / "artifacts" / "reference.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "training_rows": 1}))
    git.run("commit", "-qam", "changed by hand")
    assign(git, PIPELINE, git.head(), now=PROMOTED)
    with pytest.raises(DocumentError, match="changed after it was written"):
        check(pipeline)
    git.run("rm", "-q", "artifacts/reference.json")
    git.run("commit", "-qm", "gone")
    assign(git, PIPELINE, git.head(), now=PROMOTED)
    with pytest.raises(ConfigError, match=r"churn#stable#3:artifacts/reference\.json: not in git"):
        check(pipeline)


# -- the ledger ------------------------------------------------------------------------------------------------------


def test_a_decision_is_recorded_once_and_starts_the_cooldown(pipeline: Pipeline) -> None:
    pipeline.serve(draw(1_000, seed=1, shift=0.6), right=200)
    first = check(pipeline)
    ledger = Ledger(Git(pipeline.directory), PIPELINE)
    assert [(e.event, e.data["answer"]) for e in ledger.entries()] == [(LedgerEvent.DECISION, "RETRAIN")]
    attached = ledger.attachment(first.document["run_id"], "decision.json")
    assert attached is not None
    assert json.loads(attached) == first.document
    second = check(pipeline, now=NOW + timedelta(hours=6))
    assert second.answer is Answer.HOLD
    assert "cooling down" in second.document["summary"]
    assert check(pipeline, now=NOW + timedelta(hours=24)).answer is Answer.RETRAIN


def test_the_same_question_gives_the_same_decision(pipeline: Pipeline) -> None:
    pipeline.serve(draw(400, seed=1), right=50)
    assert check(pipeline, dry_run=True).document == check(pipeline, dry_run=True).document


def test_a_dry_run_records_nothing(pipeline: Pipeline) -> None:
    pipeline.serve(draw(1_000, seed=1, shift=0.6), right=200)
    assert check(pipeline, dry_run=True).answer is Answer.RETRAIN
    assert Ledger(Git(pipeline.directory), PIPELINE).entries() == ()


@pytest.mark.parametrize(("hours_ago", "expected"), [(5, Answer.HOLD), (7, Answer.RETRAIN)])
def test_a_running_retrain_holds_the_next_one_off_until_it_is_taken_for_dead(
    pipeline: Pipeline, hours_ago: int, expected: Answer
) -> None:
    pipeline.serve(draw(1_000, seed=1, shift=0.6), right=200)
    run_id = "churn-20260502T180000Z-abcdef"
    started = LedgerEntry(at=NOW - timedelta(hours=hours_ago), event=LedgerEvent.RETRAIN_STARTED, run_id=run_id)
    Ledger(Git(pipeline.directory), PIPELINE).append(started)
    checked = check(pipeline)
    assert checked.answer is expected
    assert (run_id in checked.document["summary"]) is (expected is Answer.HOLD)


def test_a_person_can_ask_for_a_retrain_with_nothing_else_known(pipeline: Pipeline, dead_url: str) -> None:
    checked = check(
        pipeline, source=Source.PROMETHEUS, prometheus_url=dead_url, store_url=None, manual_reason="a new product"
    )
    assert checked.answer is Answer.RETRAIN
    assert checked.document["summary"] == "Retrain by hand: a new product"
    assert checked.document["until"] == {"sequence": 0, "arrived_at": None}


# -- a real Prometheus -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    with prometheus_server(tmp_path_factory.mktemp("prometheus")) as running:
        yield running


def said(pipeline: Pipeline, rows: int, *, shift: float = 0.0, right: int = 0, wrong: int = 0) -> str:
    served = draw(max(1, rows), seed=6, shift=shift)
    counts = pipeline.reference.count(served.table, served.predicted, served.confidence)
    if rows == 0:
        counts = {name: 0 * bins for name, bins in counts.items()}
    at = datetime.now(UTC)
    return exposition(pipeline.reference, counts, right=right, wrong=wrong, sequence=right + wrong, at=at)


def test_prometheus_alone_is_enough_counts_labels_and_until(tmp_path: Path, server: PrometheusServer) -> None:
    promoted_at = server.show({"a": "up_first 1"})
    pipeline = make_pipeline(tmp_path / "live", promoted_at=promoted_at.replace(microsecond=0))
    server.show({"a": said(pipeline, 0), "b": said(pipeline, 0)})
    now = server.show({"a": said(pipeline, 600, right=150, wrong=10), "b": said(pipeline, 400, right=40)})
    asked: dict[str, Any] = {"source": Source.PROMETHEUS, "prometheus_url": server.url, "store_url": None}
    quiet = check(pipeline, now=now, **asked)
    assert quiet.answer is Answer.HOLD
    assert states(quiet) == dict.fromkeys(RULES, "ok")
    assert quiet.document["rows"] == 1_000
    assert quiet.document["fresh_labels"] == 200
    assert quiet.document["until"]["sequence"] == 160

    later = server.show(
        {"a": said(pipeline, 1_600, shift=0.8, right=150, wrong=10), "b": said(pipeline, 400, right=40)}
    )
    drifted = check(pipeline, now=later, **asked)
    assert drifted.answer is Answer.RETRAIN
    assert "size" in drifted.document["summary"]

    two = said(pipeline, 1_700).replace('track="stable"', 'track="stable",environment="test"')
    now = server.show({"a": said(pipeline, 1_600), "b": two})
    ambiguous = check(pipeline, now=now, dry_run=True, **asked)
    assert ambiguous.answer is Answer.INCONCLUSIVE
    assert isinstance(ambiguous.failure, AmbiguousSeriesError)
    assert "'environment'" in str(ambiguous.failure)


# -- the command -----------------------------------------------------------------------------------------------------


def run(pipeline: Pipeline, *arguments: str) -> int:
    command = ["-C", str(pipeline.directory), "check", "--store", pipeline.store_url, "--now", "2026-05-03T00:00:00Z"]
    return main([*command, *arguments])


@pytest.fixture(autouse=True)
def _back_to_where_we_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path.cwd())


@pytest.mark.parametrize(
    ("shift", "missing", "right", "code"),
    [(0.0, 0.0, 200, 0), (0.6, 0.0, 200, 10), (0.6, 0.0, 0, 13), (0.0, 0.6, 200, 14)],
)
def test_the_exit_code_says_the_answer_only_when_asked(
    pipeline: Pipeline, shift: float, missing: float, right: int, code: int
) -> None:
    pipeline.serve(draw(1_000, seed=1, shift=shift, missing=missing), right=right)
    assert run(pipeline, "--dry-run", "--exit-code") == code
    assert run(pipeline, "--dry-run") == 0


def test_json_goes_to_stdout_and_to_the_file_and_prose_to_stderr(
    pipeline: Pipeline, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline.serve(draw(1_000, seed=1, shift=0.6), right=200)
    output = tmp_path / "out" / "decision.json"
    assert run(pipeline, "--json", "--output", str(output)) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == json.loads(output.read_text())
    unseal(json.loads(printed.out), DocumentKind.DECISION, pipeline=PIPELINE)
    assert printed.err.startswith("RETRAIN  features drifted: size by 0.")
    assert "█" in printed.err
    assert max(len(line) for line in printed.err.splitlines()[5:]) <= 100


def test_an_empty_window_ends_in_3_and_a_dead_prometheus_in_4(
    pipeline: Pipeline, dead_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline.store().close()
    assert run(pipeline, "--json") == 3
    printed = capsys.readouterr()
    assert json.loads(printed.out)["answer"] == "INCONCLUSIVE"
    assert "remint: error: no predictions of the champion" in printed.err
    assert run(pipeline, "--source", "prometheus", "--prometheus-url", dead_url) == 4
    assert "cannot be reached" in capsys.readouterr().err


def test_a_retrain_by_hand_needs_a_reason(pipeline: Pipeline, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(pipeline, "--retrain") == 2
    assert "--retrain and --reason go together" in capsys.readouterr().err
    assert run(pipeline, "--reason", "because") == 2
    pipeline.store().close()
    assert run(pipeline, "--retrain", "--reason", "because", "--exit-code") == 10


def test_a_missing_store_ends_in_2(pipeline: Pipeline, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(pipeline, "--dry-run") == 2
    assert "no such store" in capsys.readouterr().err
