"""A long past from Prometheus, step by step: what ``remint backtest`` replays. Exact over resets, gaps stay gaps.

Range queries over ``last_over_time`` in pieces, never ``increase()``: the rise of a step is the difference between a
series' last samples in it and before it, plus what resets took away.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt

from remint.adapters.prometheus import (
    Floats,
    Key,
    Labels,
    PrometheusClient,
    refuse_ambiguous,
    selector,
    span,
    to_milliseconds,
)
from remint.adapters.prometheus_counts import BINS, LOOK_BACK, Drop, bin_of, count_server_resets, find_drops
from remint.adapters.prometheus_silence import why_no_series
from remint.core.feedback import Outcome
from remint.core.history import CountsHistory, Whole
from remint.core.profile import Reference
from remint.errors import ConfigError, DataError, NoDataError, Silence

FEEDBACK: Final = "remint_feedback_total"

_MILLISECOND: Final = timedelta(milliseconds=1)
_RESETS_PIECE: Final = timedelta(days=30)  # of history in one question about resets


@dataclass(frozen=True, slots=True, kw_only=True)
class Rises:
    """One series: the steps in which it was sampled, ascending, and how much it rose in each."""

    labels: Labels
    steps: npt.NDArray[np.int64]
    rises: Floats


def history(
    client: PrometheusClient, reference: Reference, *, start: datetime, end: datetime, step: timedelta, track: str
) -> CountsHistory:
    """Counts and feedback of each whole step in [start, end) of this very reference on this track.

    A step in which no series was sampled is not covered. Raises NoDataError where none was, DataError for bins that
    the reference has not, ConfigError where not one step fits.
    """
    start, steps = to_milliseconds(start), _steps(client, start, end, step)
    matchers = {"pipeline": reference.pipeline, "reference": reference.id, "track": track}
    counts = {f.name: np.zeros((steps, f.bins), dtype=np.int64) for f in reference.fields}
    covered = np.zeros(steps, dtype=np.bool_)
    for series in step_rises(client, BINS, matchers, by=("field", "bin"), start=start, steps=steps, step=step):
        name = series.labels.get("field", "")
        index = bin_of(reference, name, series.labels.get("bin", ""), where=client.url)
        counts[name][series.steps, index] += np.rint(series.rises).astype(np.int64)
        covered[series.steps] = True
    right, wrong = feedback_history(client, reference, start=start, end=end, step=step, track=track)
    return CountsHistory(start=start, step=step, counts=counts, covered=covered, right=right, wrong=wrong)


def feedback_history(
    client: PrometheusClient, reference: Reference, *, start: datetime, end: datetime, step: timedelta, track: str
) -> tuple[Whole, Whole]:
    """Right and wrong answers that arrived in each step, each (steps,); zeros where none was ever counted."""
    start, steps = to_milliseconds(start), _steps(client, start, end, step)
    matchers = {"pipeline": reference.pipeline, "reference": reference.id, "track": track}
    counts = {outcome.value: np.zeros(steps, dtype=np.int64) for outcome in Outcome}
    try:
        found = step_rises(client, FEEDBACK, matchers, by=("outcome",), start=start, steps=steps, step=step)
    except NoDataError as error:
        if error.silence not in {Silence.NO_SERIES, Silence.STALE}:
            raise
        found = []
    for series in found:
        outcome = series.labels.get("outcome", "")
        if outcome not in counts:
            raise DataError(f"series of outcome {outcome!r}, which no answer has", where=client.url)
        counts[outcome][series.steps] += np.rint(series.rises).astype(np.int64)
    return counts[Outcome.RIGHT.value], counts[Outcome.WRONG.value]


def step_rises(
    client: PrometheusClient,
    metric: str,
    matchers: Labels,
    *,
    by: tuple[str, ...],
    start: datetime,
    steps: int,
    step: timedelta,
) -> list[Rises]:
    """How much each series rose in each of ``steps`` steps from ``start``. A series that appears starts at 0.

    What a series counted while it was not sampled belongs to the step in which it is seen again.
    """
    lead = -(-LOOK_BACK // step)  # steps before the first: where its series stood
    # Half-open at its start: servers differ in whether a range holds the sample at its very beginning
    asked = f"last_over_time({selector(metric, matchers)}[{span(step - _MILLISECOND)}])"
    end = start + steps * step
    seen: dict[Key, _Samples] = {}
    for answer in client.query_range(asked, first=start - (lead - 1) * step, last=end, step=step):
        for series in answer:
            samples = seen.setdefault(series.key, _Samples(labels=series.labels))
            samples.times.append(series.times)
            samples.values.append(series.values)
    refuse_ambiguous(metric, (samples.labels for samples in seen.values()), known={*by, *matchers})
    drops = _all_drops(client, metric, matchers, start, end) if seen else {}
    found = []
    for key, samples in seen.items():
        rises = _rises(samples, drops.get(key, []), start.timestamp(), step.total_seconds())
        if (rises.rises < 0).any():
            raise DataError(f"{metric} went down without a reset", where=client.url, hint="is it a counter?")
        if rises.steps.size:
            found.append(rises)
    if not found:
        raise why_no_series(client, metric, matchers, start=start, end=end)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Samples:
    """One series' last sample of each step, in the pieces in which they came."""

    labels: Labels
    times: list[Floats] = field(default_factory=list)
    values: list[Floats] = field(default_factory=list)


def _rises(samples: _Samples, drops: list[Drop], start: float, step: float) -> Rises:
    times, values = np.concatenate(samples.times), np.concatenate(samples.values)
    steps = np.rint((times - start) / step).astype(np.int64) - 1  # a step's value is asked for at its end
    rises = np.diff(values, prepend=0.0)
    for drop in drops:
        of = int(np.searchsorted(times, drop.at - 5e-4))  # the first step that ends at or after the drop
        if of < len(rises):
            rises[of] += drop.before
    inside = steps >= 0
    return Rises(labels=samples.labels, steps=steps[inside], rises=rises[inside])


def _all_drops(
    client: PrometheusClient, metric: str, matchers: Labels, start: datetime, end: datetime
) -> dict[Key, list[Drop]]:
    drops: dict[Key, list[Drop]] = {}
    # From before the first step as far as its series are looked at
    begin = start - LOOK_BACK
    while begin < end:
        finish = min(begin + _RESETS_PIECE, end)
        known = count_server_resets(client, metric, matchers, start=begin, end=finish)
        for key, found in find_drops(client, metric, matchers, known, start=begin, end=finish).items():
            drops.setdefault(key, []).extend(found)
        begin = finish
    return drops


def _steps(client: PrometheusClient, start: datetime, end: datetime, step: timedelta) -> int:
    if step < _MILLISECOND:
        raise ConfigError("a step is at least a millisecond", where=client.url)
    steps = (end - to_milliseconds(start)) // step
    if steps < 1:
        raise ConfigError(f"not one step of {step} fits between {start.isoformat()} and {end.isoformat()}")
    return steps
