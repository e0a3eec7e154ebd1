"""What the reference remembers: windows of time, calibration, frequent words; and what it keeps to itself."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from remint.core.document import DocumentKind, content_id, unseal
from remint.core.profile import CONFIDENCE, PREDICTION, FieldRole, Measure, Reference, build_reference
from remint.core.reference_windows import FieldWindows
from remint.core.schema import Column, Kind, Schema
from remint.core.table import Table
from remint.core.text import frequent_terms, measure_texts

DAY = timedelta(days=1)
MONDAY = datetime(2026, 11, 16, tzinfo=UTC)
FEATURES = (Column(name="x", kind=Kind.NUMERIC), Column(name="note", kind=Kind.TEXT))
SCHEMA = Schema(pipeline="hotel", features=FEATURES, label="y", classes=("no", "yes"))
SCHEMAS = Path(__file__).parents[2] / "schemas"


def times(rows: int, days: float, *, start: str = "2026-06-01") -> np.ndarray:
    """Evenly over ``days`` from a Monday, 00:00 UTC."""
    offsets = (np.arange(rows) * days * 86_400e6 / rows).astype(np.int64)
    return np.datetime64(start, "us") + offsets.astype("timedelta64[us]")


def reference(
    *, rows: int = 6_000, days: float = 60, window: timedelta | None = DAY, held_out_days: float = 5
) -> Reference:
    rng = np.random.default_rng(0)
    words = np.array(["good", "bad", "room", "staff", "view"])
    pairs = rng.choice(words, (rows, 2)).tolist()
    notes = np.array([f"{one} {other} w{i}" for i, (one, other) in enumerate(pairs)], dtype=object)
    notes[:30] = None
    held_out = rows // 4
    return build_reference(
        SCHEMA,
        Table(FEATURES, {"x": rng.normal(size=rows), "note": notes}),
        held_out_predicted=rng.choice(["no", "yes"], held_out).astype(object),
        held_out_confidence=rng.uniform(0.5, 1, held_out),
        held_out_right=rng.random(held_out) < 0.8,
        training_at=times(rows, days),
        held_out_at=times(held_out, held_out_days, start="2026-09-01"),
        window=window,
    )


def windows_of(found: Reference, field: str) -> FieldWindows:
    assert found.windows is not None
    return found.windows.fields[field]


def test_complete_days_are_counted_with_their_weekday() -> None:
    windows = windows_of(reference(), "x")
    assert windows.length_seconds == 86_400
    assert windows.phases[:8] == (1, 2, 3, 4, 5, 6, 0, 1)  # the first day may be incomplete
    assert windows.counts.sum(axis=1).tolist() == [100] * 58
    assert windows.counts.shape == (58, 13)


def test_the_newest_windows_are_kept_so_that_the_file_stays_small() -> None:
    windows = windows_of(reference(rows=4_500, days=90), "x")
    assert len(windows.phases) == 63


def test_days_stand_in_where_there_are_too_few_weeks() -> None:
    assert windows_of(reference(window=7 * DAY), "x").length_seconds == 86_400
    assert windows_of(reference(rows=6_000, days=182, window=7 * DAY), "x").length_seconds == 7 * 86_400


def test_thin_or_few_windows_are_none() -> None:
    assert reference(rows=1_200).windows is None  # 20 rows a day
    assert reference(days=15).windows is None
    assert reference(window=None).windows is None


def test_predictions_have_windows_where_the_held_out_rows_last_long_enough() -> None:
    short, long = reference(), reference(rows=12_000, days=60, held_out_days=40)
    assert short.windows is not None
    assert PREDICTION not in short.windows.fields
    assert long.windows is not None
    assert {PREDICTION, CONFIDENCE} <= set(long.windows.fields)


def test_rows_without_a_time_are_in_no_window() -> None:
    rng = np.random.default_rng(1)
    at = times(6_000, 60)
    at[::2] = np.datetime64("NaT")
    features = FEATURES[:1]
    found = build_reference(
        Schema(pipeline="hotel", features=features, label="y", classes=("no", "yes")),
        Table(features, {"x": rng.normal(size=6_000)}),
        held_out_predicted=np.array(["no", "yes"], dtype=object),
        held_out_confidence=np.array([0.6, 0.9]),
        training_at=at,
        window=DAY,
    )
    assert windows_of(found, "x").counts.sum(axis=1).tolist() == [50] * 58


@pytest.mark.parametrize(
    ("length_seconds", "start", "hours", "phase"),
    [
        (86_400, MONDAY, 24, 0),
        (86_400, MONDAY + timedelta(days=6), 24, 6),
        (86_400, MONDAY + timedelta(hours=10), 24, 0),
        (86_400, MONDAY + timedelta(hours=14), 24, 1),  # nearer to Tuesday
        (86_400, MONDAY, 12, None),
        (6 * 3_600, MONDAY + timedelta(days=3, hours=12), 6, 2),
        (7 * 86_400, MONDAY + timedelta(days=3), 168, 0),
    ],
)
def test_a_live_window_has_the_phase_of_the_nearest(
    length_seconds: int, start: datetime, hours: int, phase: int | None
) -> None:
    windows = FieldWindows(length_seconds=length_seconds, phases=(), counts=np.zeros((0, 3), dtype=np.int64))
    assert windows.phase_of(start, start + timedelta(hours=hours)) == phase


def test_calibration_counts_the_right_held_out_rows_by_confidence() -> None:
    found = reference()
    assert found.calibration is not None
    assert found.calibration.rows == found.field(CONFIDENCE).counts
    assert sum(found.calibration.right) == pytest.approx(0.8 * sum(found.calibration.rows), rel=0.05)
    assert all(right <= rows for right, rows in zip(found.calibration.right, found.calibration.rows, strict=True))


def test_the_document_comes_back_as_it_was_and_follows_its_schema() -> None:
    found = reference()
    document = json.loads(json.dumps(found.to_json()))
    assert document["schema"] == "remint/reference/1.1"
    jsonschema.validate(document, json.loads((SCHEMAS / "reference.schema.json").read_text(encoding="utf-8")))
    again = Reference.from_json(unseal(document, DocumentKind.REFERENCE))
    assert again.to_json() == document
    assert again.id == found.id


def test_a_document_of_version_1_0_is_read() -> None:
    document = {k: v for k, v in reference().to_json().items() if k not in {"id", "windows", "calibration"}}
    document["schema"] = "remint/reference/1.0"
    old = Reference.from_json(unseal({**document, "id": content_id(document)}, DocumentKind.REFERENCE))
    assert old.windows is None
    assert old.calibration is None


def test_a_text_counts_once_for_its_rarest_frequent_word() -> None:
    texts = np.array(["The good room", "good, GOOD!", "nothing", "", None], dtype=object)
    assert measure_texts(texts, frozenset(), ("room", "good")).term.tolist() == ["room", "good", "", "", None]
    terms = reference().field("note.terms")
    assert terms.measure is Measure.TERMS
    assert terms.role is FieldRole.FEATURE
    assert sum(terms.counts) == 6_000
    assert terms.counts[0] == 30
    assert terms.bin_label(1) == "no frequent word"


def test_only_words_of_many_texts_are_stored() -> None:
    texts = ["visit number 4711 of Mrs Smith"] * 9 + ["visit me"] * 2_000 + ["visit us"] * 500 + ["A 4711"] * 400
    assert set(frequent_terms(np.array(texts, dtype=object))) == {"visit", "me", "us"}
    assert frequent_terms(np.array(["the same"] * 100, dtype=object)) == ()
