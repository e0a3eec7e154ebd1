from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from remint.adapters.feedback_store import FeedbackStore, StorageFullError, StoredPrediction, open_store
from remint.core.feedback import Answer
from remint.core.release import Track
from remint.errors import ConfigError, DataError

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FeedbackStore]:
    with open_store(f"sqlite:///{tmp_path}/x.db", pipeline="churn", create=True) as opened:
        yield opened


def add_prediction(
    store: FeedbackStore, *, at: datetime = NOW, reference: str = "sha256:r", subject: str | None = None
) -> str:
    prediction = StoredPrediction(
        prediction_id=store.new_prediction_id(),
        made_at=at,
        bundle="sha256:b",
        reference=reference,
        release="r1",
        track=Track.STABLE,
        unit=None,
        counts=False,
        subject=store.pseudonym(subject),
        row={"x": 1.0},
        predicted="yes",
        confidence=0.9,
    )
    with store.transaction() as transaction:
        transaction.add_predictions([prediction])
    assert store.prediction(prediction.prediction_id) == prediction
    return prediction.prediction_id


def say(store: FeedbackStore, prediction_id: str, answer: Answer, reporter: str | None = None) -> tuple[int, bool]:
    with store.transaction() as transaction:
        receipt = transaction.add_feedback(
            prediction_id=prediction_id, answer=answer, label=None, reporter=store.pseudonym(reporter), at=NOW
        )
    return receipt.sequence, receipt.stored


def test_redelivered_feedback_adds_no_row(store: FeedbackStore) -> None:
    prediction = add_prediction(store)
    assert say(store, prediction, Answer.CORRECT) == (1, True)
    assert say(store, prediction, Answer.CORRECT) == (1, False)
    assert store.newest_sequence() == (1, NOW)


def test_the_newest_answer_of_a_reporter_counts_and_the_older_stays(store: FeedbackStore) -> None:
    prediction = add_prediction(store)
    say(store, prediction, Answer.CORRECT, "ann")
    say(store, prediction, Answer.WRONG, "bob")
    say(store, prediction, Answer.UNKNOWN, "ann")
    assert [(r.sequence, r.answer) for r in store.feedback_rows()] == [(2, Answer.WRONG), (3, Answer.UNKNOWN)]
    # What was true up to a committed `until` stays true: a later change of mind does not alter an old export.
    assert [r.sequence for r in store.feedback_rows(after=0, until=2)] == [1, 2]


def test_an_answer_that_is_changed_back_counts_again(store: FeedbackStore) -> None:
    prediction = add_prediction(store)
    for answer in (Answer.CORRECT, Answer.WRONG, Answer.CORRECT):
        say(store, prediction, answer, "ann")
    assert [r.answer for r in store.feedback_rows()] == [Answer.CORRECT]


def test_pages_fit_together(store: FeedbackStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remint.adapters.feedback_store._PAGE", 3)
    for _ in range(8):
        say(store, add_prediction(store), Answer.CORRECT)
    assert [r.sequence for r in store.feedback_rows(after=1, until=7)] == [2, 3, 4, 5, 6, 7]
    window = store.predictions(NOW, NOW + timedelta(seconds=1), reference="sha256:r", track=Track.STABLE)
    assert len(list(window)) == 8


def test_a_window_is_half_open_and_of_one_reference(store: FeedbackStore) -> None:
    later = NOW + timedelta(hours=1)
    add_prediction(store)
    add_prediction(store, at=later)
    add_prediction(store, reference="sha256:other")
    assert list(store.predictions(NOW, later, reference="sha256:r", track=Track.STABLE)) == [({"x": 1.0}, "yes", 0.9)]


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("predictions", "predicted"),
        ("feedback", "label"),
        ("units", "track"),
        ("outcomes", "bucket"),
        ("bundles", "classes"),
        ("meta", "value"),
    ],
)
def test_no_row_is_ever_changed_or_deleted(store: FeedbackStore, table: str, column: str) -> None:
    say(store, add_prediction(store), Answer.CORRECT)
    store.register_bundle("sha256:b", reference="sha256:r", classes=("no",), at=NOW)
    with store.transaction() as transaction:
        transaction.add_unit(release="r1", unit="u", step=0, track=Track.STABLE, at=NOW)
        transaction.add_outcome(release="r1", unit="u", signal="error", bucket="ok")
    with closing(sqlite3.connect(store.path)) as raw:
        for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET {column} = 'x'"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                raw.execute(statement)


def test_replace_does_not_get_round_the_triggers(store: FeedbackStore) -> None:
    store.register_bundle("sha256:b", reference="sha256:r", classes=("no",), at=NOW)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"), store.transaction():
        store._connection.execute("INSERT OR REPLACE INTO bundles VALUES ('sha256:b', 'x', '[]', 'x')")


def test_a_unit_counts_once_a_release(store: FeedbackStore) -> None:
    with store.transaction() as transaction:
        assert transaction.add_unit(release="r1", unit="u", step=0, track=Track.STABLE, at=NOW)
        assert not transaction.add_unit(release="r1", unit="u", step=1, track=Track.CANARY, at=NOW)
        assert transaction.add_unit(release="r2", unit="u", step=0, track=Track.CANARY, at=NOW)
        assert transaction.add_outcome(release="r1", unit="u", signal="error", bucket="ok")
        assert not transaction.add_outcome(release="r1", unit="u", signal="error", bucket="error")
    assert store.unit_outcomes("r1") == [(0, Track.STABLE, "error", "ok", 1)]


def add_units(store: FeedbackStore, count: int, error: Exception | None = None) -> None:
    with store.transaction() as transaction:
        for i in range(count):
            transaction.add_unit(release="r1", unit=f"unit-{i}", step=0, track=Track.STABLE, at=NOW)
        if error is not None:
            raise error


def units(store: FeedbackStore) -> int:
    return int(store._connection.execute("SELECT count(*) FROM units").fetchone()[0])


def test_what_raises_leaves_nothing(store: FeedbackStore) -> None:
    with pytest.raises(RuntimeError):
        add_units(store, 1, RuntimeError())
    assert units(store) == 0


def test_a_full_disk_keeps_nothing_and_recovers(store: FeedbackStore) -> None:
    prediction = add_prediction(store)
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(StorageFullError):
        add_units(store, 2_000)
    store._connection.execute("PRAGMA max_page_count=1000000")
    assert say(store, prediction, Answer.CORRECT) == (1, True)
    assert units(store) == 0


def test_ids_are_recognised_and_forged_ones_are_not(store: FeedbackStore) -> None:
    mine = store.new_prediction_id()
    assert store.is_ours(mine)
    assert not any(store.is_ours(x) for x in ("", "p_", mine[:-1] + "g", "p_" + "0" * 40, mine[2:], "p_é" * 9))


def test_the_key_stays_in_the_store_unless_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    with open_store(url, pipeline="churn", create=True) as first:
        issued = first.new_prediction_id()
    with open_store(url) as again:
        assert again.is_ours(issued)
    monkeypatch.setenv("REMINT_PREDICTION_KEY", "secret")
    with open_store(url) as other:
        assert not other.is_ours(issued)


def test_subjects_are_found_but_never_stored(store: FeedbackStore) -> None:
    prediction = add_prediction(store, subject="jane@example.org")
    assert [p.prediction_id for p in store.predictions_of_subject("jane@example.org")] == [prediction]
    store.close()
    assert b"jane" not in store.path.read_bytes()


def test_a_wrong_store_is_one_clear_line(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    with pytest.raises(ConfigError, match="no such store"):
        open_store(url)
    with pytest.raises(ConfigError, match="not a store's URL"):
        open_store("postgresql://db/x")
    open_store(url, pipeline="churn", create=True).close()
    with pytest.raises(ConfigError, match="belongs to pipeline 'churn'"):
        open_store(url, pipeline="fraud", create=True)
    sqlite3.connect(tmp_path / "empty.db").close()
    (tmp_path / "empty.db").touch()
    with pytest.raises(ConfigError, match="not a store of Remint"):
        open_store(f"sqlite:///{tmp_path}/empty.db")
    (tmp_path / "text.db").write_text("hello world, this is no database" * 50)
    with pytest.raises(DataError, match="damaged"):
        open_store(f"sqlite:///{tmp_path}/text.db")


def test_labels_of_a_window_have_the_delay_of_the_first_answer(store: FeedbackStore) -> None:
    hour = timedelta(hours=1)
    late, other = add_prediction(store, at=NOW - 30 * hour), add_prediction(store, at=NOW, reference="sha256:other")
    quick, unsure = add_prediction(store, at=NOW - hour), add_prediction(store, at=NOW - hour)
    for prediction, answer, at in (
        (late, Answer.WRONG, NOW - 10 * hour),
        (late, Answer.CORRECT, NOW),  # changed: counts now, was first told twenty hours after the prediction
        (quick, Answer.WRONG, NOW),
        (unsure, Answer.UNKNOWN, NOW),
        (other, Answer.WRONG, NOW),
    ):
        with store.transaction() as transaction:
            transaction.add_feedback(prediction_id=prediction, answer=answer, label=None, reporter=None, at=at)
    window: dict[str, Any] = {"reference": "sha256:r", "track": Track.STABLE}
    found = store.labels(NOW, NOW + hour, **window)
    assert sorted(found) == [(Answer.CORRECT, 72_000.0), (Answer.WRONG, 3_600.0)]
    assert store.labels(NOW - 11 * hour, NOW, **window) == []
    assert store.count_predictions(NOW - 2 * hour, NOW, **window) == 2
