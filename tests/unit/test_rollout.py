"""The release as a state machine: random transitions, and what each refuses."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remint.core import rollout
from remint.core.judge import Answer
from remint.core.release import ReleaseState, Track, track_of
from remint.errors import ConfigError, UsageError

A, B, C = (f"sha256:{digit * 64}" for digit in "abc")
STEPS = (0.1, 0.25, 0.5, 1.0)
FIRST = rollout.first("churn", A, steps=STEPS)
UNITS = [f"user-{i}" for i in range(300)]


def on_canary(state: ReleaseState) -> set[str]:
    return {unit for unit in UNITS if track_of(state, unit) is Track.CANARY}


def test_the_first_release_has_no_canary() -> None:
    assert (FIRST.release, FIRST.stable, FIRST.canary, FIRST.step) == ("r1", A, None, -1)


def test_each_canary_is_a_release_of_its_own() -> None:
    state = rollout.start(FIRST, B, steps=STEPS)
    assert (state.release, state.stable, state.canary, state.step) == ("r2", A, B, 0)
    back = rollout.roll_back(state, release="r2")
    assert rollout.start(back, B, steps=STEPS).release == "r3"


def test_promotion_makes_the_canary_stable_and_keeps_the_release() -> None:
    state = rollout.promote(rollout.start(FIRST, B, steps=STEPS), release="r2", canary=B)
    assert (state.release, state.stable, state.canary, state.step) == ("r2", B, None, -1)


def test_what_is_refused() -> None:
    running = rollout.start(FIRST, B, steps=STEPS)
    last = rollout.advance(rollout.advance(rollout.advance(running, release="r2", step=0), release="r2", step=1), release="r2", step=2)  # fmt: skip  # noqa: E501
    rolled_back = rollout.roll_back(running, release="r2")
    for refused in (
        lambda: rollout.start(running, C, steps=STEPS),
        lambda: rollout.start(FIRST, A, steps=STEPS),
        lambda: rollout.advance(running, release="r3", step=0),
        lambda: rollout.advance(running, release="r2", step=1),
        lambda: rollout.advance(last, release="r2", step=3),
        lambda: rollout.advance(rolled_back, release="r2", step=0),
        lambda: rollout.promote(running, release="r2", canary=C),
        lambda: rollout.promote(rolled_back, release="r2", canary=B),
        lambda: rollout.roll_back(running, release="r1"),
        lambda: rollout.apply(last, Answer.ROLLBACK, release="r2", step=1, canary=B),
        lambda: rollout.apply(last, Answer.PROMOTE, release="r2", step=1, canary=B),
    ):
        with pytest.raises(UsageError):
            refused()


def test_a_rollback_after_the_promotion_is_refused_as_its_bundle_is_stable_now() -> None:
    promoted = rollout.promote(rollout.start(FIRST, B, steps=STEPS), release="r2", canary=B)
    with pytest.raises(UsageError, match="promoted since"):
        rollout.apply(promoted, Answer.ROLLBACK, release="r2", step=2, canary=B)


def test_an_id_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="not a bundle id"):
        rollout.start(FIRST, "model.pkl", steps=STEPS)


answers = st.lists(st.sampled_from(list(Answer)), max_size=12)


@settings(max_examples=60, deadline=None)
@given(answers)
def test_in_any_run_steps_nest_and_every_move_repeats(moves: list[Answer]) -> None:
    state = rollout.start(FIRST, B, steps=STEPS)
    assert rollout.start(state, B, steps=STEPS) == state
    for answer in moves:
        before = state
        if before.canary is None or (answer is Answer.ADVANCE and before.step == len(STEPS) - 1):
            break
        state = rollout.apply(before, answer, release=before.release, step=before.step, canary=B)
        again = rollout.apply(state, answer, release=before.release, step=before.step, canary=B)
        assert again == state, "killed and run again, it ends in the same state"
        assert state.release == before.release
        match answer:
            case Answer.ADVANCE:
                assert on_canary(before) <= on_canary(state), "who is on the canary stays there"
            case Answer.HOLD:
                assert state == before
            case Answer.PROMOTE:
                assert state.stable == B
            case Answer.ROLLBACK:
                assert state.stable == A
        if answer in {Answer.PROMOTE, Answer.ROLLBACK}:
            assert (state.canary, state.step, on_canary(state)) == (None, -1, set())
        elif state.canary:
            assert rollout.roll_back(state, release=state.release).stable == A, "a rollback is always possible"
