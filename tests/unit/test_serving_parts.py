"""The service's parts by themselves: batches, series, the watcher."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from remint.adapters.state import write_state
from remint.core.profile import FieldProfile, FieldRole, Measure, Reference
from remint.core.release import ReleaseState, Track
from remint.errors import BundleError
from remint.serving.batcher import Batcher, OverloadedError
from remint.serving.loader import Release
from remint.serving.metrics import Metrics
from remint.serving.routing import caller_of
from remint.serving.service import Watcher
from serving_examples import state_of


def reference(name: str, bins: int = 5) -> Reference:
    field = FieldProfile(
        name="x",
        role=FieldRole.FEATURE,
        column="x",
        measure=Measure.VALUE,
        edges=tuple(float(i) for i in range(bins - 2)),
        values=None,
        counts=(0,) * bins,
    )
    return Reference(id=name, pipeline="iris-demo", training_rows=1, fields=(field,), vocabularies={})


def bundle(digit: str) -> Any:
    return SimpleNamespace(id="sha256:" + digit * 64)


def exposed(metrics: Metrics) -> dict[str, float]:
    """Rows counted by reference."""
    found: dict[str, float] = {}
    for sample in next(iter(metrics.collect())).samples:
        found[sample.labels["reference"]] = found.get(sample.labels["reference"], 0) + sample.value
    return found


def test_what_waits_while_the_worker_is_busy_is_its_next_batch() -> None:
    batches: list[list[int]] = []

    def handle(jobs: Sequence[int]) -> list[int | Exception]:
        batches.append(list(jobs))
        return [ValueError("odd") if job % 2 else job * 10 for job in jobs]

    async def story() -> None:
        batcher: Batcher[int, int] = Batcher(handle, weight=lambda job: 2_000)
        results = await asyncio.gather(*(batcher.submit(i) for i in range(5)), return_exceptions=True)
        assert [r if isinstance(r, int) else str(r) for r in results] == [0, "odd", 20, "odd", 40]
        await batcher.close()
        with pytest.raises(OverloadedError):
            await batcher.submit(9)

    asyncio.run(story())
    assert batches == [[0, 1], [2, 3], [4]]  # 4,096 rows are the most


def test_a_bug_in_the_worker_fails_the_batch_and_not_the_service() -> None:
    def handle(jobs: Sequence[int]) -> list[int | Exception]:
        if 1 in jobs:
            raise KeyError("bug")
        return list(jobs)

    async def story() -> None:
        batcher: Batcher[int, int] = Batcher(handle, weight=lambda job: 1)
        with pytest.raises(KeyError):
            await batcher.submit(1)
        assert await batcher.submit(2) == 2
        await batcher.close()

    asyncio.run(story())


def test_replaced_references_are_exposed_while_they_fit_the_newest_first() -> None:
    metrics = Metrics("iris-demo", max_series=10)
    for name in ("a", "b", "c"):
        metrics.activate({Track.STABLE: reference(name)}, state_of(bundle("a")))
        metrics.count_rows(Track.STABLE, name, {"x": np.array([0, 4])}, 2)
    assert exposed(metrics) == {"b": 2, "c": 2}
    metrics.activate({Track.STABLE: reference("b")}, state_of(bundle("a")))  # back: counts go on, they do not restart
    assert exposed(metrics) == {"b": 2, "c": 2}
    with pytest.raises(BundleError, match="12 remint_bin_total series for 1 tracks, more than 10"):
        metrics.activate({Track.STABLE: reference("d", bins=12)}, state_of(bundle("a")))
    assert exposed(metrics) == {"b": 2, "c": 2}
    metrics.count_rows(Track.STABLE, "a", {"x": np.array([0])}, 1)  # a request that outlived its series


def test_every_bucket_of_a_step_starts_at_zero() -> None:
    metrics = Metrics("iris-demo", max_series=10)
    both = {Track.STABLE: reference("a"), Track.CANARY: reference("b")}
    metrics.activate(both, state_of(bundle("a"), bundle("b"), step=0))
    text = metrics.render()[0].decode()
    lines = [line for line in text.splitlines() if line.startswith("remint_unit_outcomes_total{")]
    assert len(lines) == 12
    assert all(line.endswith(" 0.0") for line in lines)


def test_label_delays_start_at_zero_and_are_counted_up_to_each_bound() -> None:
    metrics = Metrics("iris-demo", max_series=10)
    metrics.activate({Track.STABLE: reference("a")}, state_of(bundle("a")))

    def shown() -> dict[str, float]:
        lines = [line for line in metrics.render()[0].decode().splitlines() if line.startswith("remint_feedback_delay")]
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}

    assert set(shown().values()) == {0.0}
    for seconds in (-5.0, 60.0, 61.0, 1e9):
        metrics.observe_delay(Track.STABLE, "a", seconds)
    mine = 'pipeline="iris-demo",reference="a",track="stable"'
    found = {
        le: shown()[f'remint_feedback_delay_seconds_bucket{{le="{le}",{mine}}}'] for le in ("1.0", "60.0", "300.0")
    }
    assert found == {"1.0": 1, "60.0": 2, "300.0": 3}
    assert shown()[f"remint_feedback_delay_seconds_count{{{mine}}}"] == 4
    assert shown()[f"remint_feedback_delay_seconds_sum{{{mine}}}"] == 1e9 + 121


@pytest.mark.parametrize(
    ("headers", "cookie", "unit"),
    [
        ({"x-remint-unit": " ann "}, "c" * 32, "ann"),
        ({}, "c" * 32, "c" * 32),
        ({}, "short", None),
        ({}, "x" * 31 + ";", None),
    ],
)
def test_the_header_wins_and_a_strange_cookie_is_drawn_anew(
    headers: dict[str, str], cookie: str, unit: str | None
) -> None:
    caller = caller_of(headers, {"remint-unit": cookie})
    assert caller.is_new is (unit is None)
    assert caller.unit == unit or unit is None
    assert caller_of(headers, {"remint-unit": caller.unit}).unit == caller.unit


class FakeLoader:
    """Counts attempts; fails while told to."""

    def __init__(self) -> None:
        self.fails = False
        self.attempts = 0

    def load(self, state: ReleaseState, *, loaded: object) -> Release:
        self.attempts += 1
        if self.fails:
            raise BundleError("is corrupt")
        return Release(state=state, models={})


def test_a_failed_load_is_tried_again_ever_less_often(tmp_path: Path) -> None:
    path = tmp_path / "state.yaml"
    a, b = state_of(bundle("a")), state_of(bundle("b"), release="r2")
    write_state(path, a)
    loader = FakeLoader()
    service: Any = SimpleNamespace(release=Release(state=a, models={}), failure=None)

    def swap(release: Release) -> None:
        service.release, service.failure = release, None

    service.swap = swap
    watcher = Watcher(path, path.read_bytes(), service, loader)  # type: ignore[arg-type]
    watcher.poll(0)
    assert loader.attempts == 0  # nothing changed

    loader.fails = True
    write_state(path, b)
    tried_at = []
    for second in range(40):
        before = loader.attempts
        watcher.poll(float(second))
        if loader.attempts > before:
            tried_at.append(second)
    assert tried_at == [0, 2, 6, 14, 30]
    assert service.failure.message == "is corrupt"
    assert service.release.state == a

    loader.fails = False
    watcher.look_now()
    watcher.poll(40)
    assert (service.release.state, service.failure) == (b, None)

    path.unlink()
    watcher.poll(41)
    assert "not found" in service.failure.message
    write_state(path, b)
    watcher.poll(42)
    assert service.failure is None
    path.write_text("step: [")
    watcher.poll(43)
    assert "not YAML" in service.failure.message
    assert service.release.state == b
