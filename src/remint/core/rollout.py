"""The release as a state machine: start, advance, promote, roll back. Pure; the state file is ``adapters.state``.

Each move names the release (and the step) that it was decided for. Made twice it changes nothing the second time, so a
command that was killed anywhere is simply run again; made for another release or step it is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import assert_never

from remint.core.judge import Answer
from remint.core.release import ReleaseState
from remint.errors import UsageError


def first(pipeline: str, bundle: str, *, steps: Sequence[float]) -> ReleaseState:
    """The first release: stable alone."""
    return ReleaseState(pipeline=pipeline, release="r1", stable=bundle, canary=None, steps=tuple(steps), step=-1)


def start(state: ReleaseState, canary: str, *, steps: Sequence[float]) -> ReleaseState:
    """Send the first share to ``canary``, in a release of its own, so that everybody's cohort is drawn afresh.

    The running canary given again changes nothing. Raises UsageError where another canary runs, and for the stable.
    """
    if state.canary == canary:
        return state if state.step >= 0 else replace(state, step=0)
    if state.canary is not None:
        raise UsageError(
            f"release {state.release} already has the canary {state.canary}",
            hint="`remint canary promote` or `remint canary rollback` ends it",
        )
    if state.stable == canary:
        raise UsageError(f"{canary} is what stable already serves")
    release = f"r{int(state.release[1:]) + 1}"
    return replace(state, release=release, canary=canary, steps=tuple(steps), step=0)


def advance(state: ReleaseState, *, release: str, step: int) -> ReleaseState:
    """From ``step`` to the next, whose share is larger: who is on the canary stays there."""
    _same_release(state, release)
    if state.canary is None:
        raise UsageError(f"release {release} has no canary any more")
    if state.step == step + 1:
        return state
    if state.step != step:
        raise UsageError(f"release {release} is at step {state.step}, not at {step}", hint="judge it again")
    if step + 1 >= len(state.steps):
        raise UsageError(f"release {release} is at its last step", hint="`remint canary promote` ends it")
    return replace(state, step=step + 1)


def promote(state: ReleaseState, *, release: str, canary: str) -> ReleaseState:
    """The canary becomes stable. The release's id stays: it names how these bundles came to serve."""
    _same_release(state, release)
    if state.canary is None and state.stable == canary:
        return state
    if state.canary != canary:
        raise UsageError(f"release {release} does not run {canary} as its canary: it was rolled back")
    return replace(state, stable=canary, canary=None, step=-1)


def roll_back(state: ReleaseState, *, release: str) -> ReleaseState:
    """All traffic back to stable. Possible at any step; without a canary there is nothing left to do."""
    _same_release(state, release)
    return state if state.canary is None else replace(state, canary=None, step=-1)


def apply(state: ReleaseState, answer: Answer, *, release: str, step: int, canary: str) -> ReleaseState:
    """The state after what the judge answered about ``canary`` at this release and step.

    Raises UsageError where the release has moved on since, unless it moved by this very answer.
    """
    match answer:
        case Answer.ADVANCE:
            moved = advance(state, release=release, step=step)
        case Answer.PROMOTE:
            moved = promote(state, release=release, canary=canary)
        case Answer.ROLLBACK:
            moved = roll_back(state, release=release)
            if moved.stable == canary:
                raise UsageError(f"release {release} was promoted since: its canary is stable now")
        case Answer.HOLD:
            _same_release(state, release)
            moved = state
        case _:
            assert_never(answer)
    if state.canary is not None and answer is not Answer.ADVANCE and state.step != step:
        raise UsageError(f"release {release} is at step {state.step}, not at {step}", hint="judge it again")
    return moved


def _same_release(state: ReleaseState, release: str) -> None:
    if state.release != release:
        raise UsageError(f"the running release is {state.release}, not {release}", hint="judge it again")
