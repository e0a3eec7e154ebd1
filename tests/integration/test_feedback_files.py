"""Feedback out of a real store, a served export and segments; labels into the store from files."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from params_examples import only_age
from remint.adapters.feedback_export import read_index
from remint.adapters.feedback_store import FeedbackStore, StoredPrediction, open_store
from remint.adapters.frames import read_metadata, read_rows
from remint.cli import main
from remint.config import Params, load_params
from remint.core.feedback import Answer
from remint.core.golden import golden_hash
from remint.core.release import Track
from remint.errors import ConfigError, DataError, ServiceError, UsageError
from remint.workflows.feedback import FeedbackSource, SourceKind, choose_source, export_feedback, write_next_segment
from remint.workflows.labels import ImportReport, import_labels

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
GOLDEN = json.dumps({"features": {"age": 3.0, "plan": "d"}, "label": "no"}) + "\n"
PARAMS = {
    "pipeline": "churn",
    "task": {"data": "data/d.csv", "label": "churned", "columns": {"age": "numeric", "plan": "categorical"}},
    "prepare": {"golden": {"path": "golden.jsonl", "sha256": golden_hash(GOLDEN.encode())}},
    "train": {"estimator": "remint.estimators:linear"},
    "gate": {"rules": [{"metric": "accuracy", "role": "gate"}]},
    "check": only_age(),
}


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """A pipeline's directory, which is also the current one."""
    monkeypatch.chdir(tmp_path)
    Path("golden.jsonl").write_text(GOLDEN)
    Path("params.yaml").write_text(yaml.safe_dump(PARAMS))
    return load_params()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FeedbackStore]:
    """Twelve predictions: ages 0 to 11, plans a to d; the subject of each is ``s<age>``."""
    with open_store(f"sqlite:///{tmp_path}/store.db", pipeline="churn", create=True) as store:
        store.register_bundle("sha256:b", reference="sha256:r", classes=["no", "yes"], at=NOW)
        with store.transaction() as transaction:
            transaction.add_predictions([prediction(store, number) for number in range(12)])
        yield store


def prediction(store: FeedbackStore, number: int) -> StoredPrediction:
    return StoredPrediction(
        prediction_id=f"p_{number}",
        made_at=NOW,
        bundle="sha256:b",
        reference="sha256:r",
        release="r1",
        track=Track.STABLE,
        unit=None,
        counts=False,
        subject=store.pseudonym(f"s{number}"),
        row={"age": float(number), "plan": "abcd"[number % 4]},
        predicted="yes",
        confidence=0.8,
    )


def say(store: FeedbackStore, number: int, answer: Answer = Answer.CORRECT, *, minutes: int = 0) -> None:
    label = {Answer.CORRECT: "yes", Answer.WRONG: "no", Answer.UNKNOWN: None}[answer]
    at = NOW + timedelta(minutes=minutes or number)
    with store.transaction() as transaction:
        transaction.add_feedback(prediction_id=f"p_{number}", answer=answer, label=label, reporter="kim", at=at)


def url(store: FeedbackStore) -> str:
    return f"sqlite:///{store.path}"


def source(store: FeedbackStore) -> FeedbackSource:
    return FeedbackSource(kind=SourceKind.STORE, place=url(store))


@contextmanager
def served(handler: Any) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


# -- export ----------------------------------------------------------------------------------------------------------


def test_the_same_feedback_gives_the_same_bytes(pipeline: Params, store: FeedbackStore, tmp_path: Path) -> None:
    for number in range(6):
        say(store, number, Answer.WRONG if number == 1 else Answer.CORRECT)
    first, second = tmp_path / "1.parquet", tmp_path / "2.parquet"
    export_feedback(pipeline, tmp_path, source(store), until=5, output=first)
    say(store, 7)  # later than until
    export_feedback(pipeline, tmp_path, source(store), until=5, output=second)
    assert first.read_bytes() == second.read_bytes()
    rows = read_rows(first, pipeline.task.features)
    assert rows.table.columns["age"].tolist() == [0, 1, 2, 4]  # 3 is golden
    assert rows.labels.tolist() == ["yes", "no", "yes", "yes"]
    assert rows.sequence.tolist() == [1, 2, 3, 5]
    assert json.loads(read_metadata(first)["remint.quarantine"]) == {"golden": 1}


def test_a_store_that_ends_before_until_is_not_the_right_one(
    pipeline: Params, store: FeedbackStore, tmp_path: Path
) -> None:
    say(store, 1)
    with pytest.raises(DataError, match="feedback ends at sequence 1, before 9"):
        export_feedback(pipeline, tmp_path, source(store), until=9, output=None)


def test_another_pipelines_store_is_refused(pipeline: Params, tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path}/other.db", pipeline="other", create=True) as other:
        with pytest.raises(ConfigError, match="belongs to pipeline 'other'"):
            export_feedback(pipeline, tmp_path, source(other), until=1, output=None)
        with pytest.raises(ConfigError, match="belongs to pipeline 'other'"):
            write_next_segment(pipeline, url(other), tmp_path / "segments")


@pytest.mark.parametrize(
    ("options", "environment", "expected"),
    [
        ({"store": "a"}, {"REMINT_FEEDBACK_URL": "b"}, SourceKind.STORE),
        ({}, {"REMINT_FEEDBACK_URL": "b"}, SourceKind.SERVICE),
        ({}, {"REMINT_SEGMENTS_URL": "b"}, SourceKind.SEGMENTS),
        ({}, {"REMINT_STORE_URL": "a", "REMINT_FEEDBACK_URL": "b"}, ConfigError),
        ({"store": "a", "segments": "b"}, {}, UsageError),
        ({}, {"REMINT_STORE_URL": ""}, UsageError),
    ],
)
def test_there_is_one_source_and_it_is_never_guessed(
    options: dict[str, str], environment: dict[str, str], expected: Any
) -> None:
    given = {"store": None, "service": None, "segments": None, **options}
    if isinstance(expected, SourceKind):
        assert choose_source(**given, environment=environment).kind is expected
    else:
        with pytest.raises(expected):
            choose_source(**given, environment=environment)


# -- segments --------------------------------------------------------------------------------------------------------


def test_segments_give_the_same_file_as_the_store(pipeline: Params, store: FeedbackStore, tmp_path: Path) -> None:
    segments = tmp_path / "segments"
    for number in range(4):
        say(store, number)
    assert write_next_segment(pipeline, url(store), segments).last == 4
    say(store, 0, Answer.WRONG, minutes=30)  # changed its mind after the first segment was written
    say(store, 5)
    assert write_next_segment(pipeline, url(store), segments).first == 5
    assert write_next_segment(pipeline, url(store), segments).name is None
    assert len(read_index(segments)) == 2
    direct, through = tmp_path / "1.parquet", tmp_path / "2.parquet"
    export_feedback(pipeline, tmp_path, source(store), until=6, output=direct)
    with served(partial(SimpleHTTPRequestHandler, directory=segments)) as address:
        mirrored = FeedbackSource(kind=SourceKind.SEGMENTS, place=address)
        export_feedback(pipeline, tmp_path, mirrored, until=6, output=through)
    assert direct.read_bytes() == through.read_bytes()
    local = FeedbackSource(kind=SourceKind.SEGMENTS, place=str(segments))
    assert export_feedback(pipeline, tmp_path, local, until=4, output=None).kept.labels.tolist() == ["yes"] * 3


def test_a_changed_segment_is_found_by_its_name(pipeline: Params, store: FeedbackStore, tmp_path: Path) -> None:
    say(store, 1)
    name = write_next_segment(pipeline, url(store), tmp_path / "segments").name
    assert name is not None
    path = tmp_path / "segments" / name
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    local = FeedbackSource(kind=SourceKind.SEGMENTS, place=str(tmp_path / "segments"))
    with pytest.raises(DataError, match="SHA-256 is not the one in its name"):
        local.read(until=1, pipeline="churn")


def test_a_missing_segment_is_a_gap(pipeline: Params, store: FeedbackStore, tmp_path: Path) -> None:
    segments = tmp_path / "segments"
    for number in range(2):
        say(store, number)
        write_next_segment(pipeline, url(store), segments)
    index = json.loads((segments / "index.json").read_text())
    (segments / "index.json").write_text(json.dumps({**index, "segments": index["segments"][1:]}))
    with pytest.raises(DataError, match="a gap or an overlap"):
        read_index(segments)
    with pytest.raises(DataError, match="no such file"):
        read_index(tmp_path / "absent")


# -- the service -----------------------------------------------------------------------------------------------------


class Exporting(BaseHTTPRequestHandler):
    """What the service's export answers; the service's own tests hold it to the same form."""

    store: FeedbackStore
    status = 200

    def do_GET(self) -> None:
        good = self.headers["Authorization"] == "Bearer secret"
        self.send_response(self.status if good else 401)
        until = int(self.path.rpartition("until=")[2])
        rows = list(self.store.feedback_rows(0, until))
        self.send_header("x-remint-until", str(min(until, self.store.newest_sequence()[0])))
        self.end_headers()
        if good:
            self.wfile.writelines(json.dumps(row.to_json()).encode() + b"\n" for row in rows)

    def log_message(self, *_: Any) -> None:
        pass


def test_the_service_gives_the_same_file_as_the_store(pipeline: Params, store: FeedbackStore, tmp_path: Path) -> None:
    for number in range(6):
        say(store, number)
    direct, through = tmp_path / "1.parquet", tmp_path / "2.parquet"
    export_feedback(pipeline, tmp_path, source(store), until=5, output=direct)
    with served(type("Handler", (Exporting,), {"store": store})) as address:
        service = FeedbackSource(kind=SourceKind.SERVICE, place=address, token="secret")
        export_feedback(pipeline, tmp_path, service, until=5, output=through)
        with pytest.raises(ConfigError, match="REMINT_SERVICE_TOKEN"):
            FeedbackSource(kind=SourceKind.SERVICE, place=address).read(until=5, pipeline="churn")
        with pytest.raises(DataError, match="feedback ends at sequence 6, before 9"):
            service.read(until=9, pipeline="churn")
    assert direct.read_bytes() == through.read_bytes()
    with pytest.raises(ServiceError, match="no connection"):
        service.read(until=5, pipeline="churn")
    with (
        served(type("Handler", (Exporting,), {"store": store, "status": 503})) as address,
        pytest.raises(ServiceError, match="answered 503"),
    ):
        FeedbackSource(kind=SourceKind.SERVICE, place=address, token="secret").read(until=5, pipeline="churn")


# -- labels ----------------------------------------------------------------------------------------------------------


def imported(pipeline: Params, store: FeedbackStore, text: str, *, on: str, **more: Any) -> ImportReport:
    path = Path("labels.csv")
    path.write_text(text)
    return import_labels(pipeline, path, store_url=url(store), on=on, **{"label": None, "now": NOW, **more})


def test_labels_join_on_the_prediction_id(pipeline: Params, store: FeedbackStore) -> None:
    text = "prediction_id,churned\np_1,yes\np_2,no\np_3,\np_99,no\n,no\n"
    report = imported(pipeline, store, text, on="prediction_id")
    assert (report.stored, report.present, report.incomplete, report.unknown) == (2, 0, 2, 1)
    assert [(r.prediction_id, r.answer.value, r.label) for r in store.feedback_rows()] == [
        ("p_1", "correct", "yes"),
        ("p_2", "wrong", "no"),
    ]
    assert {r.reporter for r in store.feedback_rows()} == {report.reporter}


def test_importing_a_file_again_adds_nothing(pipeline: Params, store: FeedbackStore) -> None:
    text = "prediction_id,churned\np_1,yes\np_2,no\n"
    imported(pipeline, store, text, on="prediction_id")
    again = imported(pipeline, store, text, on="prediction_id", now=NOW + timedelta(days=1))
    assert (again.stored, again.present) == (0, 2)
    assert store.newest_sequence()[0] == 2


def test_labels_join_on_the_subject_as_it_was_sent(pipeline: Params, store: FeedbackStore) -> None:
    report = imported(pipeline, store, "subject;truth\ns4;0\ns5;no\n", on="subject", label="truth")
    assert (report.stored, report.new_labels) == (2, ("0",))
    assert [r.prediction_id for r in store.feedback_rows()] == ["p_4", "p_5"]


def test_a_key_of_several_predictions_is_left_out(pipeline: Params, store: FeedbackStore) -> None:
    assert imported(pipeline, store, "age,churned\n4,no\n", on="age").stored == 1
    assert imported(pipeline, store, "plan,churned\na,no\n", on="plan").ambiguous == 1


def test_a_dry_run_appends_nothing(pipeline: Params, store: FeedbackStore) -> None:
    assert imported(pipeline, store, "prediction_id,churned\np_1,yes\n", on="prediction_id", dry_run=True).stored == 1
    assert store.newest_sequence()[0] == 0


def test_a_file_of_somebody_else_is_an_error(pipeline: Params, store: FeedbackStore) -> None:
    with pytest.raises(DataError, match="none of its 2 keys is of a prediction"):
        imported(pipeline, store, "prediction_id,churned\nq_1,yes\nq_2,yes\n", on="prediction_id")
    with pytest.raises(DataError, match="1 keys have several labels, the first is 'p_1'"):
        imported(pipeline, store, "prediction_id,churned\np_1,yes\np_1,no\n", on="prediction_id")
    with pytest.raises(UsageError, match="did you mean 'prediction_id'"):
        imported(pipeline, store, "predictionid,churned\np_1,yes\n", on="predictionid")


# -- commands --------------------------------------------------------------------------------------------------------


def test_the_commands_answer_in_json(
    pipeline: Params, store: FeedbackStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REMINT_STORE_URL", url(store))
    Path("labels.csv").write_text("prediction_id,churned\np_1,yes\np_2,no\n")
    assert main(["labels", "import", "labels.csv", "--on", "prediction_id", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["stored"] == 2
    assert main(["feedback", "export", "--json", "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "output": "data/feedback.parquet",
        "until": 2,
        "rows": 2,
        "quarantine": {},
        "tags": {"disagreement": 1},
    }
    assert not Path("data").exists()
    assert main(["feedback", "export"]) == 0
    assert read_rows(Path("data/feedback.parquet"), pipeline.task.features).rows == 2
    assert main(["feedback", "segment", "--output", "segments", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["last"] == 2
    assert main(["labels", "import", "labels.csv", "--on", "age"]) == 2
