"""The false-alarm budget holds whatever the schedule does."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remint.core.budget import YEAR, alpha_of_check

DAY = timedelta(days=1)


def spend(gaps: list[timedelta], *, every: timedelta, yearly: float = 1.0) -> list[float]:
    """What checks with these gaps between them take, the first gap from the promotion."""
    age, taken = timedelta(), []
    for gap in gaps:
        age += gap
        taken.append(alpha_of_check(yearly=yearly, every=every, age=age, spent=sum(taken)))
    return taken


@given(
    st.lists(st.timedeltas(min_value=timedelta(), max_value=timedelta(days=40)), min_size=1, max_size=60),
    st.sampled_from([timedelta(minutes=5), timedelta(hours=6), DAY, 7 * DAY]),
    st.floats(0.01, 52),
)
def test_no_schedule_spends_more_than_was_earned(gaps: list[timedelta], every: timedelta, yearly: float) -> None:
    taken = spend(gaps, every=every, yearly=yearly)
    age = sum(gaps, timedelta())
    assert sum(taken) <= yearly * ((age + max(DAY, every)) / YEAR) * (1 + 1e-9)
    assert all(alpha >= 0 for alpha in taken)


@pytest.mark.parametrize("every", [timedelta(hours=1), timedelta(hours=6), DAY, 7 * DAY])
def test_on_the_declared_schedule_each_check_takes_what_an_interval_earns(every: timedelta) -> None:
    assert spend([every] * 50, every=every) == pytest.approx([every / YEAR] * 50)


def test_checks_faster_than_declared_become_stricter_and_never_blind() -> None:
    taken = spend([timedelta(minutes=1)] * 500, every=timedelta(hours=6))
    assert taken[0] == pytest.approx(timedelta(hours=6) / YEAR)
    assert taken[-1] == pytest.approx(timedelta(minutes=1) / YEAR, rel=0.01)
    assert min(taken) > 0


def test_a_check_after_a_long_silence_takes_no_more_than_any_other() -> None:
    assert spend([DAY, 90 * DAY], every=DAY)[-1] == pytest.approx(DAY / YEAR)
