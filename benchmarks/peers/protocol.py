"""What every side of ``benchmarks/drift.py`` runs in an environment of its own: the same rows, the same questions.

``python run_NAME.py JOB`` takes the job as JSON and answers with one line of JSON on stdout. Rows are generated here
from the job's seed, so nothing is copied between environments; the answer holds a digest of the rows, and the caller
compares the digests. Needs NumPy and the standard library only, of any version that a peer is pinned to.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float64]  # shape (rows, features)
Alarms = Mapping[str, bool]  # decision of the tool -> did it raise an alarm on the window

REFERENCE_DAYS = 30  # the reference's rows are in order of time, and cover this many days evenly
SHIFTED = 3  # features that a shift moves
_EVENTS = 5_000  # of a stream, between two looks at the clock


@dataclass(frozen=True)
class Tool:
    """One documented way to use a library.

    ``load`` brings rows into the form that the library takes (not timed), ``prepare`` does what can be done before a
    window is there, ``check`` asks about one window.
    """

    call: str  # what is called, for the table
    prepare: Callable[[Any], Any]
    check: Callable[[Any, Any], Alarms]
    load: Callable[[Rows], Any] = lambda rows: rows
    streaming: bool = False  # check() changes the state


@dataclass(frozen=True)
class Stream:
    """A detector that takes one value after another. ``start`` sees reference values; what it gives counts alarms."""

    call: str
    errors: bool  # takes a model's errors (0 or 1, a fifth of them 1), not values (standard normal)
    start: Callable[[npt.NDArray[np.float64]], Callable[[npt.NDArray[np.float64]], int]]


@dataclass(frozen=True)
class World:
    """Standard normal features, whose means differ from day to day.

    ``own_day_psi`` is how far a harmless day is from the long-run distribution on average: each day each feature's mean
    is drawn from N(0, own_day_psi), and PSI is the squared shift of a normal variable's mean.
    """

    seed: int
    reference_rows: int
    window_rows: int
    features: int = 20
    own_day_psi: float = 0.0
    shift: float = 0.0  # standard deviations, in the first SHIFTED features of every window

    def reference(self, index: int) -> Rows:
        """Rows of REFERENCE_DAYS days, shape (reference_rows, features)."""
        random = self._random(index, 0)
        rows: Rows = random.normal(size=(self.reference_rows, self.features))
        if self.own_day_psi:
            days = random.normal(scale=self.own_day_psi**0.5, size=(REFERENCE_DAYS, self.features))
            rows += days[day_of(self.reference_rows)]
        return rows

    def window(self, index: int, day: int) -> Rows:
        """Rows of one later day."""
        random = self._random(index, day + 1)
        rows: Rows = random.normal(size=(self.window_rows, self.features))
        if self.own_day_psi:
            rows += random.normal(scale=self.own_day_psi**0.5, size=self.features)
        rows[:, :SHIFTED] += self.shift
        return rows

    def digest(self) -> str:
        digest = hashlib.sha256(self.reference(0).tobytes())
        digest.update(self.window(0, 0).tobytes())
        return digest.hexdigest()[:16]

    def _random(self, index: int, day: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, index, day])


def day_of(rows: int) -> npt.NDArray[np.int64]:
    """The reference's day of each of its rows, 0 .. REFERENCE_DAYS - 1; shape (rows,)."""
    return np.arange(rows, dtype=np.int64) * REFERENCE_DAYS // rows


def main(tools: Mapping[str, Tool], streams: Mapping[str, Stream] | None = None) -> None:
    """Read the job, do it, answer. Whatever the library prints goes to stderr."""
    answer_to = os.dup(1)
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    job = json.loads(sys.argv[1])
    try:
        match job["task"]:
            case "speed":
                found = _speed(tools[job["tool"]], World(**job["world"]))
            case "windows":
                found = _windows(
                    tools[job["tool"]], World(**job["world"]), job["references"], job["windows"], job["patience"]
                )
            case "years":
                found = _years(tools[job["tool"]], World(**job["world"]), job["years"], job["days"], job["patience"])
            case "stream":
                found = _stream((streams or {})[job["tool"]], job["seed"], job["events"], job["patience"])
            case unknown:
                raise ValueError(f"no such task: {unknown}")
    except Exception as error:  # noqa: BLE001  a peer may fail in any way; it is reported and the run goes on
        traceback.print_exc()
        found = {"error": f"{type(error).__name__}: {error}"}
    os.write(answer_to, json.dumps(found, default=lambda number: number.item()).encode() + b"\n")  # NumPy's numbers


def _speed(tool: Tool, world: World) -> dict[str, Any]:
    """Seconds and peak memory of one comparison, after one of a thousand rows to load what is loaded lazily."""
    imported = _status_bytes("VmRSS")
    small = World(seed=world.seed, reference_rows=1_000, window_rows=1_000, features=world.features)
    tool.check(tool.prepare(tool.load(small.reference(0))), tool.load(small.window(0, 0)))
    reference, window = tool.load(world.reference(0)), tool.load(world.window(0, 0))
    Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark: generating rows is not the tool's
    prepare_seconds, check_seconds = [], []
    for _ in range(3):
        start = time.perf_counter()
        state = tool.prepare(reference)
        prepared = time.perf_counter()
        tool.check(state, window)
        prepare_seconds.append(prepared - start)
        check_seconds.append(time.perf_counter() - prepared)
        if sum(check_seconds) > 3:
            break
    return {
        "call": tool.call,
        "prepare_seconds": min(prepare_seconds),
        "check_seconds": min(check_seconds),
        "peak_bytes": _status_bytes("VmHWM") - imported,
        "digest": world.digest(),
    }


def _windows(tool: Tool, world: World, references: int, windows: int, patience_seconds: float) -> dict[str, Any]:
    """Alarms by decision and reference, on ``windows`` windows each; a slow tool gets fewer, before it has seen any."""
    affordable = patience_seconds / _seconds_a_window(tool, world) / references
    windows = max(2, min(windows, int(affordable)))
    alarms: dict[str, list[int]] = {}
    for index in range(references):
        state = tool.prepare(tool.load(world.reference(index)))
        for day in range(windows):
            own = copy.deepcopy(state) if tool.streaming else state
            for decision, fired in tool.check(own, tool.load(world.window(index, day))).items():
                alarms.setdefault(decision, [0] * references)[index] += fired
    return {"call": tool.call, "windows": windows, "alarms": alarms, "digest": world.digest()}


def _years(tool: Tool, world: World, years: int, days: int, patience_seconds: float) -> dict[str, Any]:
    """The day of each year's first alarm by decision, None in a year without.

    How many years a slow tool gets is set by the time of one that is thrown away, so that it says nothing of alarms.
    """
    start = time.perf_counter()
    _first_alarms(tool, world, years, days)
    years = max(2, min(years, int(patience_seconds / (time.perf_counter() - start))))
    found = [_first_alarms(tool, world, year, days) for year in range(years)]
    first = {decision: [year[decision] for year in found] for decision in found[0]}
    return {"call": tool.call, "first_alarm_day": first, "digest": world.digest()}


def _first_alarms(tool: Tool, world: World, year: int, days: int) -> dict[str, int | None]:
    """The first day, from 1, on which each decision raised an alarm; ends when all have."""
    first: dict[str, int | None] = {}
    state = tool.prepare(tool.load(world.reference(year)))
    for day in range(days):
        for decision, fired in tool.check(state, tool.load(world.window(year, day))).items():
            if first.setdefault(decision) is None and fired:
                first[decision] = day + 1
        if None not in first.values():
            break
    return first


def _seconds_a_window(tool: Tool, world: World) -> float:
    state, window = tool.prepare(tool.load(world.reference(0))), tool.load(world.window(0, 0))
    seconds = []
    for _ in range(3):
        own = copy.deepcopy(state) if tool.streaming else state
        start = time.perf_counter()
        tool.check(own, window)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _stream(stream: Stream, seed: int, events: int, patience_seconds: float) -> dict[str, Any]:
    """Events a second, and alarms where nothing changes."""
    random = np.random.default_rng([seed, events])
    values = random.uniform(size=events + 10_000)
    values = (values < 0.2).astype(float) if stream.errors else random.normal(size=events + 10_000)
    feed = stream.start(values[:10_000])
    seconds, done, alarms = 0.0, 0, 0
    while done < events and seconds < patience_seconds:
        part = values[10_000 + done : 10_000 + done + _EVENTS]
        start = time.perf_counter()
        alarms += feed(part)
        seconds += time.perf_counter() - start
        done += len(part)
    return {
        "call": stream.call,
        "errors": stream.errors,
        "events": done,
        "events_per_second": done / seconds,
        "alarms": alarms,
        "digest": hashlib.sha256(values.tobytes()).hexdigest()[:16],
    }


def _status_bytes(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"/proc/self/status has no {name}")
