"""Judge the running canary: read its units' outcomes, ask the core, seal the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, assert_never

from remint.adapters.feedback_store import open_store
from remint.adapters.prometheus import PrometheusClient
from remint.adapters.prometheus_counts import increases
from remint.config import Params
from remint.core.document import DocumentKind, format_time, seal
from remint.core.judge import JudgePolicy, OnTimeout, Outcome, judge, nothing_to_judge
from remint.core.release import ReleaseState, Track, canary_share
from remint.errors import DataError, NoDataError, UsageError

METRIC: Final = "remint_unit_outcomes_total"
_SLACK: Final = timedelta(hours=1)  # pods may count before the start is recorded; a release's counters begin at 0


class OutcomeSource(StrEnum):
    STORE = "store"
    PROMETHEUS = "prometheus"


def judge_canary(
    params: Params,
    state: ReleaseState,
    *,
    source: OutcomeSource,
    store_url: str | None,
    environ: Mapping[str, str],
    started_at: datetime | None,
    now: datetime,
) -> dict[str, Any]:
    """The sealed verdict document about the running canary. No outcomes is HOLD, and so is no canary.

    Raises UsageError where no store is named, ConfigError and ServiceError of the source, DataError for counts that
    cannot be.
    """
    policy = JudgePolicy(
        alpha=params.canary.alpha,
        margin=params.canary.margin,
        min_units=params.canary.min_units,
        max_duration=params.canary.max_duration,
        on_timeout=OnTimeout(params.canary.on_timeout),
    )
    sequence = None
    if state.draws:
        match source:
            case OutcomeSource.STORE:
                sequence, outcomes = _from_store(params, state, store_url)
            case OutcomeSource.PROMETHEUS:
                since = (started_at or now - params.canary.max_duration) - _SLACK
                outcomes = _from_prometheus(params, state, environ, since=since, now=now)
            case _:
                assert_never(source)
        elapsed = None if started_at is None else now - started_at
        judgement = judge(outcomes, steps=state.steps, step=state.step, policy=policy, elapsed=elapsed)
    else:
        judgement = nothing_to_judge(state.release)
    return seal(
        DocumentKind.VERDICT,
        params.pipeline,
        {
            "created_at": format_time(now),
            "release": state.release,
            "step": state.step,
            "share": canary_share(state),
            "answer": judgement.answer.value,
            "summary": judgement.summary,
            "stable": state.stable,
            "canary": state.canary,
            "started_at": None if started_at is None else format_time(started_at),
            "source": source.value,
            "policy": {
                "alpha": policy.alpha,
                "margin": policy.margin,
                "min_units": policy.min_units,
                "max_duration_seconds": policy.max_duration.total_seconds(),
                "on_timeout": policy.on_timeout.value,
            },
            "findings": [finding.to_json() for finding in judgement.findings],
            "evidence": {e.signal.value: e.to_json() for e in judgement.evidence},
            "until": {"at": format_time(now), "sequence": sequence},
        },
    )


def _from_store(params: Params, state: ReleaseState, url: str | None) -> tuple[int, list[Outcome]]:
    if url is None:
        raise UsageError("no store is named", hint="--store sqlite:////path.db or REMINT_STORE_URL")
    with open_store(url, pipeline=params.pipeline) as store:
        sequence, _ = store.newest_sequence()  # before the counts: they hold at least as much
        counted = store.unit_outcomes(state.release)
    return sequence, [Outcome(step=k, track=t, signal=s, bucket=b, units=n) for k, t, s, b, n in counted]


def _from_prometheus(
    params: Params, state: ReleaseState, environ: Mapping[str, str], *, since: datetime, now: datetime
) -> list[Outcome]:
    settings = params.check.prometheus
    client = PrometheusClient(
        environ.get("REMINT_PROMETHEUS_URL") or settings.url,
        timeout_seconds=settings.timeout_seconds,
        environ=environ,
    )
    try:
        found = increases(
            client,
            METRIC,
            {"pipeline": params.pipeline, "release": state.release},
            by=("step", "track", "signal", "bucket"),
            start=since,
            end=now,
        )
    except NoDataError:
        return []  # nothing counted yet: the judge holds
    return [
        Outcome(step=_step(step), track=_track(track), signal=signal, bucket=bucket, units=units)
        for (step, track, signal, bucket), units in found.rises.items()
    ]


def _step(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise DataError(f"the label step is {text!r}, not a number", where=METRIC) from None


def _track(text: str) -> Track:
    try:
        return Track(text)
    except ValueError:
        raise DataError(f"the label track is {text!r}, not stable or canary", where=METRIC) from None
