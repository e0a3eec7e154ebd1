"""What each rule says of its evidence."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from remint.core.profile import FieldProfile, FieldRole, Measure, Reference
from remint.core.rule_accuracy import wrong_rule
from remint.core.rule_drift import drift_rule
from remint.core.rule_integrity import integrity_rule
from remint.core.rule_limits import age_rule, volume_rule
from remint.core.signals import FeedbackCounts, WindowCounts, no_answer
from remint.core.trigger import RuleKind, RuleResult, RuleState
from remint.errors import AmbiguousSeriesError, NoDataError, ServiceError

NOW = datetime(2026, 5, 1, tzinfo=UTC)
ALPHA = 1 / 1460 / 3


def field(name: str, counts: list[int], *, values: tuple[str, ...] | None = None) -> FieldProfile:
    return FieldProfile(
        name=name,
        role=FieldRole.FEATURE,
        column=name,
        measure=Measure.VALUE,
        edges=None if values else tuple(float(i) for i in range(len(counts) - 2)),
        values=values,
        counts=tuple(counts),
    )


AGE = field("age", [10, 0, 500, 490, 0])  # missing, below, two bins, above
CITY = field("city", [0, 0, 600, 400], values=("ams", "rtm"))  # missing, unseen, two values
REFERENCE = Reference(id="sha256:0", pipeline="p", training_rows=1_000, fields=(AGE, CITY), vocabularies={})


def window(age: list[int], city: list[int] | None = None, **more: object) -> WindowCounts:
    rows = sum(age)
    counts = {"age": np.array(age), "city": np.array(city or [0, 0, round(rows * 0.6), rows - round(rows * 0.6)])}
    return WindowCounts(rows=rows, counts=counts, **more)  # type: ignore[arg-type]


def drift(counts: WindowCounts, min_rows: int = 200) -> RuleResult:
    return drift_rule(
        "drift", counts, REFERENCE, role=FieldRole.FEATURE, material_psi=0.02, alpha=ALPHA, min_rows=min_rows
    )[0]


def integrity(counts: WindowCounts) -> RuleResult:
    return integrity_rule(
        "integrity",
        counts,
        REFERENCE,
        missing_share=0.1,
        unseen_share=0.2,
        out_of_range_share=0.2,
        alpha=1 / 1460,
        min_rows=200,
    )


def test_drift_says_which_field_how_much_and_where() -> None:
    found = drift(window([5, 0, 120, 375, 0]))
    assert found.fired
    assert found.reason.startswith("features drifted: age by 0.5")
    assert "'0 to 1' from 50 % to 24 %" in found.reason
    assert [f.field for f in found.findings] == ["age"]


def test_no_drift_says_what_would_have_been_found() -> None:
    found = drift(window([5, 0, 250, 245, 0]))
    assert not found.fired
    assert found.state is RuleState.OK
    assert "sigma would have been found" in found.reason


def test_too_few_rows_are_no_data_however_much_they_differ() -> None:
    found = drift(window([0, 0, 0, 199, 0]))
    assert found.state is RuleState.NO_DATA
    assert "199 predictions in the window, 200 needed" in found.reason


def test_a_column_that_went_missing_is_found_on_twenty_rows() -> None:
    found = integrity(window([20, 0, 0, 0, 0]))
    assert found.fired
    assert "age is missing in 100 % of 20 rows, 11 % allowed" in found.reason


def test_one_broken_row_in_three_is_not_enough_to_say() -> None:
    assert integrity(window([1, 0, 1, 1, 0])).state is RuleState.NO_DATA


def test_values_out_of_range_on_either_side_are_added_up() -> None:
    found = integrity(window([0, 200, 300, 300, 200]))
    assert found.fired
    assert "age is out of range in 40 %" in found.reason


def test_unseen_categories_are_told_apart_from_missing_ones() -> None:
    found = integrity(window([5, 0, 250, 245, 0], city=[0, 250, 150, 100]))
    assert found.fired
    assert found.findings[0].field == "city"
    assert found.findings[0].evidence["what"] == "unseen"


def test_a_share_at_its_limit_is_quiet() -> None:
    found = integrity(window([110, 0, 445, 445, 0]))  # 11 %: 1 % of the reference and 10 % on top
    assert not found.fired
    assert found.state is RuleState.OK


def test_rows_that_cannot_be_read_are_broken_data() -> None:
    found = integrity(window([5, 0, 250, 245, 0], malformed_rows=200, malformed_example="'abc' is not a number"))
    assert found.fired
    assert "row is unreadable in 29 %" in found.reason
    assert "'abc' is not a number" in found.reason


def test_a_column_that_was_always_missing_raises_no_alarm() -> None:
    empty = Reference(
        id="sha256:0", pipeline="p", training_rows=100, fields=(field("x", [100, 0, 0, 0]),), vocabularies={}
    )
    found = integrity_rule(
        "integrity",
        WindowCounts(rows=300, counts={"x": np.array([300, 0, 0, 0])}),
        empty,
        missing_share=0.1,
        unseen_share=0.2,
        out_of_range_share=0.2,
        alpha=0.01,
        min_rows=200,
    )
    assert not found.fired


def test_an_empty_window_is_no_data_for_integrity() -> None:
    assert integrity(WindowCounts(rows=0, counts={})).state is RuleState.NO_DATA


@pytest.mark.parametrize(("wrong", "fired"), [(19, False), (20, True)])
def test_the_number_of_wrong_predictions_fires_at_its_limit(wrong: int, fired: bool) -> None:
    assert wrong_rule("wrong", FeedbackCounts(right=100, wrong=wrong), limit=20).fired is fired


def test_no_feedback_at_all_is_no_data_not_no_complaint() -> None:
    assert wrong_rule("wrong", FeedbackCounts(right=0, wrong=0), limit=20).state is RuleState.NO_DATA


@pytest.mark.parametrize(("labels", "fired"), [(0, False), (499, False), (500, True)])
def test_volume_is_the_share_of_the_training_rows(labels: int, fired: bool) -> None:
    assert volume_rule("volume", labels, 1_000, share=0.5).fired is fired


@pytest.mark.parametrize(("days", "fired"), [(89, False), (90, True)])
def test_age_fires_at_its_limit(days: int, fired: bool) -> None:
    assert age_rule("age", NOW - timedelta(days=days), NOW, max_age=timedelta(days=90)).fired is fired


def test_a_failing_source_is_an_error_and_an_empty_one_is_no_data() -> None:
    assert no_answer("drift", RuleKind.DRIFT, NoDataError("empty")).state is RuleState.NO_DATA
    for error in (ServiceError("down"), AmbiguousSeriesError("two")):
        assert no_answer("drift", RuleKind.DRIFT, error).state is RuleState.ERROR


def test_a_texts_measures_beyond_the_range_of_training_are_drift_and_not_broken_data() -> None:
    profile = dataclasses.replace(AGE, name="note.unknown", column="note", measure=Measure.UNKNOWN)
    reference = Reference(id="r", pipeline="p", training_rows=1000, fields=(profile,), vocabularies={})
    window = WindowCounts(counts={"note.unknown": np.array([0, 0, 0, 0, 500])}, rows=500)
    limits = {"missing_share": 0.1, "unseen_share": 0.2, "out_of_range_share": 0.2}
    assert not integrity_rule("integrity", window, reference, **limits, alpha=ALPHA, min_rows=200).fired
    value = dataclasses.replace(reference, fields=(dataclasses.replace(profile, measure=Measure.VALUE),))
    assert integrity_rule("integrity", window, value, **limits, alpha=ALPHA, min_rows=200).fired
