"""What the first line of a comment asks for: a closed set, and nothing else."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remint.core.comment_command import (
    LONGEST_REASON,
    LONGEST_SNOOZE,
    CommentCommand,
    Misunderstood,
    Verb,
    parse_comment,
)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("/retrain", CommentCommand(verb=Verb.RETRAIN)),
        ("/Retrain  new   price list \nand so on", CommentCommand(verb=Verb.RETRAIN, reason="new price list")),
        ("\ufeff\r\n/help", CommentCommand(verb=Verb.HELP)),
        (
            "/snooze 14d the call centre moves",
            CommentCommand(verb=Verb.SNOOZE, reason="the call centre moves", duration=timedelta(days=14)),
        ),
        ("/snooze 36h holidays", CommentCommand(verb=Verb.SNOOZE, reason="holidays", duration=timedelta(hours=36))),
        ("/snooze 2w holidays", CommentCommand(verb=Verb.SNOOZE, reason="holidays", duration=timedelta(weeks=2))),
        ("/accept-regression old golden set", CommentCommand(verb=Verb.ACCEPT, reason="old golden set")),
        (
            "/accept-regression guard:accuracy, guard:log_loss guard:accuracy old set",
            CommentCommand(verb=Verb.ACCEPT, reason="old set", rules=("guard:accuracy", "guard:log_loss")),
        ),
    ],
)
def test_a_command_is_read(body: str, expected: CommentCommand) -> None:
    assert parse_comment(body) == expected


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ("/snooze", "takes how long"),
        ("/snooze 14d", "and why"),
        ("/snooze soon please", "takes how long"),
        ("/snooze 0d never", "more than nothing"),
        ("/snooze 91d long", "at most 90d"),
        ("/snooze 9999w long", "at most 90d"),
        ("/snooze 99999d long", "takes how long"),
        ("/snooze -3d back", "takes how long"),
        ("/accept-regression", "takes a reason"),
        ("/accept-regression guard:accuracy", "takes a reason"),
        ("/accept-regression " + "guard:a " * 21, "takes a reason"),
        ("/accept-regression " + " ".join(f"guard:m{n}" for n in range(21)) + " why", "at most 20 rules"),
        ("/retrian", "did you mean /retrain [REASON]?"),
        ("/accept-regresion old", "did you mean /accept-regression"),
    ],
)
def test_what_was_meant_for_us_and_is_wrong_is_told_how_it_is_right(body: str, answer: str) -> None:
    found = parse_comment(body)
    assert isinstance(found, Misunderstood)
    assert answer in found.answer


@pytest.mark.parametrize(
    "body",
    [
        "",
        "\n",
        "/",
        "//",
        "looks good to me",
        "please /retrain",
        "> /retrain",
        "`/retrain`",
        "```\n/retrain\n```",
        "text\n/retrain",
        "/usr/bin/env is full",
        "/assign @ann",
        "/lgtm",
        "/retrain; rm -rf /",
        "/retrain\u202e now",
        "/retrain\x00",
        "/ retrain",
        "-- /snooze 14d no",
        "\uff0fretrain",
    ],
)
def test_every_other_comment_is_none_of_our_business(body: str) -> None:
    assert parse_comment(body) is None


@given(
    st.text(), st.sampled_from(["/retrain ", "/snooze 2d ", "/accept-regression ", "/accept-regression guard:x ", ""])
)
def test_no_text_breaks_it_and_a_reason_is_one_bounded_clean_line(text: str, start: str) -> None:
    found = parse_comment(start + text)
    if isinstance(found, CommentCommand):
        assert len(found.reason) <= LONGEST_REASON
        assert found.reason.isprintable()
        assert found.duration is None or timedelta(0) < found.duration <= LONGEST_SNOOZE
