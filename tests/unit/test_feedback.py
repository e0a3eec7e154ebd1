from __future__ import annotations

from datetime import UTC, datetime

import pytest

from remint.core.feedback import Answer, FeedbackRow, implied_label, parse_answer
from remint.core.release import Track
from remint.errors import DataError

TWO = ("no", "yes")
MANY = ("a", "b", "c")


@pytest.mark.parametrize(
    ("answer", "label", "predicted", "classes", "expected"),
    [
        (Answer.CORRECT, None, "yes", TWO, "yes"),
        (Answer.CORRECT, "yes", "yes", TWO, "yes"),
        (Answer.WRONG, None, "yes", TWO, "no"),  # two classes: flipped
        (Answer.WRONG, None, "a", MANY, None),  # many classes: wrong, but what is right is not known
        (Answer.WRONG, "b", "a", MANY, "b"),
        (Answer.WRONG, 1.0, "0", ("0", "1"), "1"),  # a label is canonical, whatever JSON made of it
        (Answer.UNKNOWN, None, "yes", TWO, None),
    ],
)
def test_an_answer_implies_a_label(
    answer: Answer, label: object, predicted: str, classes: tuple[str, ...], expected: str | None
) -> None:
    assert implied_label(answer, label, predicted=predicted, classes=classes) == expected


@pytest.mark.parametrize(
    ("answer", "label", "message"),
    [
        (Answer.CORRECT, "no", "not what was predicted"),
        (Answer.WRONG, "yes", "is what was predicted"),
        (Answer.UNKNOWN, "no", "has no label"),
        (Answer.WRONG, "nope", "did you mean 'no'"),
    ],
)
def test_an_answer_that_contradicts_its_label_is_refused(answer: Answer, label: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        implied_label(answer, label, predicted="yes", classes=TWO)


def test_a_class_that_only_the_newer_model_knows_is_accepted() -> None:
    assert implied_label(Answer.WRONG, "d", predicted="a", classes=MANY, further=("d",)) == "d"


def test_a_mistyped_answer_names_the_one_that_was_meant() -> None:
    with pytest.raises(DataError, match="did you mean 'correct'"):
        parse_answer("corect")


def test_a_row_survives_the_export() -> None:
    row = FeedbackRow(
        sequence=7,
        arrived_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        prediction_id="p_1",
        answer=Answer.WRONG,
        label="no",
        predicted="yes",
        confidence=0.75,
        bundle="sha256:b",
        reference="sha256:r",
        track=Track.CANARY,
        release="r2",
        reporter=None,
        row={"x": 1.5, "y": None},
    )
    assert FeedbackRow.from_json(row.to_json()) == row


def test_a_line_that_is_no_feedback_row_is_refused() -> None:
    with pytest.raises(DataError, match="line 3"):
        FeedbackRow.from_json({"sequence": 1}, where="line 3")
