"""What of the feedback trains, what is put aside, and why."""

from __future__ import annotations

import dataclasses
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remint.core.curate import Curated, FeedbackTag, Reason, curate, current_answers
from remint.core.feedback import Answer, FeedbackRow
from remint.core.release import Track
from remint.core.schema import Column, Kind, Schema
from remint.core.table import row_keys, table_from_rows

SCHEMA = Schema(
    pipeline="churn", features=(Column(name="x", kind=Kind.NUMERIC),), label="churned", classes=("no", "yes")
)
START = datetime(2026, 11, 1, tzinfo=UTC)


def answer(
    sequence: int,
    label: str | None = "yes",
    *,
    x: Any = None,
    reporter: str | None = None,
    said: Answer | None = None,
    predicted: str = "yes",
    confidence: float = 0.9,
    prediction_id: str | None = None,
) -> FeedbackRow:
    return FeedbackRow(
        sequence=sequence,
        arrived_at=START + timedelta(minutes=sequence),
        prediction_id=prediction_id or f"p_{sequence}",
        answer=said or (Answer.CORRECT if label == predicted else Answer.WRONG),
        label=label,
        predicted=predicted,
        confidence=confidence,
        bundle="sha256:b",
        reference="sha256:r",
        track=Track.STABLE,
        release="r1",
        reporter=reporter,
        row={"x": float(sequence) if x is None else x},
    )


def curated(*rows: FeedbackRow, schema: Schema = SCHEMA, golden: float | None = None, share: float = 0.2) -> Curated:
    keys = set() if golden is None else set(row_keys(table_from_rows(schema, [{"x": golden}])).tolist())
    return curate(rows, schema, golden_keys=keys, reporter_share=share)


def kept(result: Curated) -> list[int]:
    return [row.sequence for row in result.origin]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (answer(1, x="ten"), Reason.INVALID_ROW),
        (answer(1, x=7.0), Reason.GOLDEN),
        (answer(1, None, x=7.0, said=Answer.UNKNOWN), Reason.GOLDEN),
        (answer(1, None, said=Answer.UNKNOWN), Reason.UNKNOWN_ANSWER),
    ],
)
def test_each_reason_is_named(row: FeedbackRow, reason: Reason) -> None:
    result = curated(row, answer(2), golden=7.0)
    assert result.quarantine_counts == {reason.value: 1}
    assert kept(result) == [2]


def test_wrong_is_the_other_of_two_classes_and_nothing_where_there_are_three() -> None:
    wrong = answer(1, None, said=Answer.WRONG, predicted="yes")
    assert curated(wrong).kept.labels.tolist() == ["no"]
    three = Schema(pipeline="churn", features=SCHEMA.features, label="churned", classes=("maybe", "no", "yes"))
    assert curated(wrong, schema=three).quarantine_counts == {"no_label": 1}


def test_redelivered_and_repeated_labels_are_one_row() -> None:
    result = curated(answer(1, x=5.0), answer(2, x=5.0), answer(3, x=5.0, reporter="kim"))
    assert kept(result) == [1]
    assert result.quarantine_counts == {"duplicate": 2}


def test_more_than_half_of_the_reporters_decide_a_contradiction() -> None:
    rows = [answer(1, "no", x=5.0, reporter="a"), answer(2, x=5.0, reporter="b"), answer(3, x=5.0, reporter="c")]
    result = curated(*rows)
    assert (kept(result), result.kept.labels.tolist()) == ([2], ["yes"])
    assert result.quarantine_counts == {"contradiction": 1, "duplicate": 1}


def test_a_tie_puts_all_of_them_aside() -> None:
    result = curated(answer(1, "no", x=5.0, reporter="a"), answer(2, x=5.0, reporter="b"))
    assert kept(result) == []
    assert result.quarantine_counts == {"contradiction": 2}
    assert "no majority: 'no' 1, 'yes' 1" in result.quarantined[0].detail


def test_one_reporter_has_one_vote_however_often_it_speaks() -> None:
    loud = [answer(i, "no", x=5.0, reporter="loud") for i in range(1, 9)]
    result = curated(*loud, answer(9, x=5.0, reporter="b"), answer(10, x=5.0, reporter="c"))
    assert kept(result) == [9]


def test_a_reporter_who_corrects_itself_is_believed_the_second_time() -> None:
    result = curated(answer(1, "no", x=5.0, reporter="kim"), answer(2, "yes", x=5.0, reporter="kim"))
    assert (kept(result), result.kept.labels.tolist()) == ([2], ["yes"])


def test_a_flood_of_one_reporter_is_cut_to_its_share() -> None:
    others = [answer(i, reporter=f"r{i % 8}") for i in range(1, 41)]
    flood = [answer(i, "no", reporter="flood") for i in range(100, 1100)]
    result = curated(*others, *flood)
    counts = Counter(row.reporter for row in result.origin)
    assert counts["flood"] == 10  # a fifth of 50
    assert result.quarantine_counts == {"reporter_cap": 990}
    assert "its reporter has 1000 of 1040 rows, 10 is the most" in result.quarantined[0].detail


@pytest.mark.parametrize("names", [["kim"], ["kim", "lee"], ["kim", None, None]])
def test_a_small_team_keeps_its_feedback(names: list[str | None]) -> None:
    rows = [answer(i, reporter=names[0]) for i in range(1, 101)]
    rows += [answer(200 + i, reporter=name) for i, name in enumerate(names[1:])]
    assert curated(*rows).quarantine_counts == {}


def test_anonymous_and_imported_labels_are_not_capped() -> None:
    rows = [answer(i) for i in range(1, 50)] + [answer(i, reporter="import:ab") for i in range(100, 500)]
    assert curated(*rows).quarantine_counts == {}


def test_what_is_worth_a_look_is_tagged_and_kept() -> None:
    result = curated(answer(1, "perhaps"), answer(2, confidence=0.55), answer(3, "no"), answer(4))
    assert result.tags == (
        (FeedbackTag.NEW_LABEL, FeedbackTag.DISAGREEMENT),
        (FeedbackTag.LOW_CONFIDENCE,),
        (FeedbackTag.DISAGREEMENT,),
        (),
    )
    assert result.tag_counts == {"disagreement": 2, "low_confidence": 1, "new_label": 1}


def test_no_feedback_gives_no_rows() -> None:
    result = curated()
    assert (result.kept.rows, result.quarantine_counts) == (0, {})


def test_a_changed_answer_counts_from_when_it_was_changed() -> None:
    first, second = answer(1, "no", prediction_id="p", reporter="kim"), answer(5, prediction_id="p", reporter="kim")
    assert current_answers([first, second], until=4) == (first,)
    assert current_answers([second, first, first], until=5) == (second,)


FACTS = st.tuples(
    st.one_of(st.integers(0, 12).map(float), st.sampled_from([None, "broken"])),
    st.sampled_from(["yes", "no", "perhaps"]),
    st.sampled_from([None, None, *"abcdef", "import:1"]),
    st.booleans(),
)


def rows_of(facts: list[tuple[Any, str, str | None, bool]]) -> list[FeedbackRow]:
    made = []
    for sequence, (x, label, reporter, unknown) in enumerate(facts, start=1):
        said = Answer.UNKNOWN if unknown else None
        row = answer(sequence, None if unknown else label, reporter=reporter, said=said)
        made.append(dataclasses.replace(row, row={"x": x}))
    return made


@settings(max_examples=150, deadline=None)
@given(st.lists(FACTS, max_size=60).map(rows_of), st.randoms(use_true_random=False), st.floats(0.05, 0.9))
def test_every_row_ends_in_one_place_whatever_the_order(rows: list[FeedbackRow], random: Any, share: float) -> None:
    result = curated(*rows, golden=3.0, share=share)
    ends = [row.sequence for row in result.origin] + [q.row.sequence for q in result.quarantined]
    assert sorted(ends) == [row.sequence for row in rows]
    shuffled = list(rows)
    random.shuffle(shuffled)
    again = curated(*shuffled, golden=3.0, share=share)
    assert (again.origin, again.tags, again.quarantined) == (result.origin, result.tags, result.quarantined)
    keys = result.kept.keys.tolist()
    assert len(set(keys)) == len(keys)  # no two training rows contradict or repeat each other


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from("abcdefghij"), st.integers(1, 60), min_size=5))
def test_the_loudest_reporter_alone_never_holds_more_than_its_share(sizes: dict[str, int]) -> None:
    loudest = max(sizes, key=lambda name: (sizes[name], name))
    limit = sum(sizes.values()) / 5
    rows, sequence = [], 0
    for name, size in sizes.items():
        for _ in range(size if name == loudest else min(size, max(1, int(limit / len(sizes))))):
            sequence += 1
            rows.append(answer(sequence, reporter=name))
    counts = Counter(row.reporter for row in curated(*rows).origin)
    assert counts[loudest] <= max(1, sum(counts.values()) / 5)
