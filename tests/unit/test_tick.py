"""How bad a tick was, and when the next one comes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from remint.core.loop import Line, Outcome, pause, worst
from remint.errors import ExitCode

AT = datetime(2026, 11, 21, tzinfo=UTC)
HOURS = timedelta(hours=6)


def lines(*codes: ExitCode) -> list[Line]:
    return [Line(at=AT, step="check", outcome=Outcome.DONE, text="", exit_code=code) for code in codes]


def test_what_somebody_has_to_repair_outweighs_what_may_go_away() -> None:
    assert worst(lines(ExitCode.SERVICE, ExitCode.NO_DATA, ExitCode.USAGE), answers=False) is ExitCode.USAGE
    assert worst(lines(ExitCode.NO_DATA, ExitCode.SERVICE), answers=False) is ExitCode.SERVICE
    assert worst(lines(ExitCode.SERVICE, ExitCode.BUG), answers=True) is ExitCode.BUG


def test_answers_about_the_world_count_where_they_are_asked_for() -> None:
    seen = lines(ExitCode.INVESTIGATE, ExitCode.CANARY_FAILED, ExitCode.ANSWERED)
    assert worst(seen, answers=False) is ExitCode.ANSWERED
    assert worst(seen, answers=True) is ExitCode.CANARY_FAILED
    assert worst([], answers=True) is ExitCode.ANSWERED


@pytest.mark.parametrize("code", [code for code in ExitCode if code not in {0, 10, 130}])
def test_every_exit_code_that_a_step_can_end_in_is_seen(code: ExitCode) -> None:
    assert worst(lines(ExitCode.ANSWERED, code), answers=True) is code


def test_the_next_tick_comes_sooner_after_a_service_failed_and_backs_off() -> None:
    assert pause(HOURS, failures=0) == HOURS
    waits = [pause(HOURS, failures=count) for count in range(1, 5)]
    assert waits == [timedelta(minutes=m) for m in (1, 2, 4, 8)]
    assert pause(HOURS, failures=1_000_000) == HOURS
    assert pause(timedelta(seconds=10), failures=3) == timedelta(seconds=10)
