from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remint.adapters.state import read_state, write_state
from remint.core.release import ReleaseState, Track, canary_share, track_of, with_runs
from remint.errors import ConfigError

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
RUN, OTHER_RUN = "churn-20261121T115900Z-1a2b3c", "churn-20261122T115900Z-4d5e6f"
STATE = ReleaseState(pipeline="churn", release="r7", stable=A, canary=B, steps=(0.1, 0.25, 0.5, 1.0), step=1)


def at_step(step: int) -> ReleaseState:
    return dataclasses.replace(STATE, step=step)


def test_the_share_of_units_on_the_canary_is_the_steps() -> None:
    units = [f"unit-{i}" for i in range(20_000)]
    for step, share in enumerate(STATE.steps):
        seen = sum(track_of(at_step(step), unit) is Track.CANARY for unit in units) / len(units)
        assert seen == pytest.approx(share, abs=0.01)  # 0.01 is above 2.8 standard errors


@given(st.text(max_size=50), st.integers(-1, 2))
def test_rising_steps_never_move_a_unit_back_to_stable(unit: str, step: int) -> None:
    if track_of(at_step(step), unit) is Track.CANARY:
        assert track_of(at_step(step + 1), unit) is Track.CANARY


@given(st.text(max_size=50))
def test_the_rollback_step_sends_everybody_to_stable_and_the_last_to_the_canary(unit: str) -> None:
    assert track_of(at_step(-1), unit) is Track.STABLE
    assert track_of(at_step(3), unit) is Track.CANARY


def test_a_new_release_draws_afresh() -> None:
    units = [f"unit-{i}" for i in range(5_000)]
    other = dataclasses.replace(at_step(2), release="r8")
    moved = sum(track_of(at_step(2), u) is not track_of(other, u) for u in units) / len(units)
    assert moved == pytest.approx(0.5, abs=0.03)


def test_without_a_canary_the_share_is_zero() -> None:
    state = dataclasses.replace(STATE, canary=None, step=-1)
    assert canary_share(state) == 0
    assert not state.draws


def test_a_state_survives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "deploy" / "state.yaml"
    write_state(path, STATE)
    first = path.read_bytes()
    assert read_state(path) == STATE
    write_state(path, STATE)
    assert path.read_bytes() == first


def test_a_state_names_the_runs_of_the_bundles_that_it_serves_and_of_no_others(tmp_path: Path) -> None:
    gone = "sha256:" + "c" * 64
    state = dataclasses.replace(STATE, runs={A: RUN, gone: RUN})
    told = with_runs(state, {B: OTHER_RUN, A: OTHER_RUN})
    assert told.runs == {A: RUN, B: OTHER_RUN}, "what is known already stays"
    write_state(tmp_path / "state.yaml", told)
    assert read_state(tmp_path / "state.yaml") == told
    assert with_runs(dataclasses.replace(told, canary=None, step=-1), {}).runs == {A: RUN}


def test_a_state_of_version_1_0_is_read(tmp_path: Path) -> None:
    path = tmp_path / "state.yaml"
    write_state(path, STATE)
    path.write_text(path.read_text().replace("state/1.1", "state/1.0"))
    assert read_state(path) == STATE


@pytest.mark.parametrize("runs", ["runs: 7", f"runs: {{'sha256:short': {RUN}}}", f"runs: {{'{A}': yesterday}}"])
def test_runs_that_are_none_are_refused(tmp_path: Path, runs: str) -> None:
    path = tmp_path / "state.yaml"
    write_state(path, STATE)
    path.write_text(path.read_text() + runs + "\n")
    with pytest.raises(ConfigError, match=r"state.yaml: runs: "):
        read_state(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("step: 1", "step: 4"), "state.yaml: step: 4 is not -1 or an index"),
        (("step: 1", "step: '1'"), "not a whole number"),
        (("release: r7", "relase: r7"), "unknown key.*did you mean 'release'"),
        (("state/1.1", "state/2.0"), "expected remint/state/1.1"),
        ((A, "sha256:short"), "not a bundle id"),
        ((B, "null"), "there is no canary"),
        (("0.25", "0.05"), "rise"),
        (("release: r7", "release: ["), "not YAML"),
        (("pipeline: churn\n", ""), "pipeline: is missing"),
    ],
)
def test_a_wrong_state_is_one_clear_line(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    path = tmp_path / "state.yaml"
    write_state(path, STATE)
    path.write_text(path.read_text().replace(*change, 1))
    with pytest.raises(ConfigError, match=message):
        read_state(path)


def test_an_absent_state_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not found"):
        read_state(tmp_path / "state.yaml")
