"""A long past out of a real Prometheus: exact over restarts, gaps, pods that come and go; windows cut the same past."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pytest

from prometheus_server import PrometheusServer, backfill, prometheus_server
from remint.adapters.prometheus import PrometheusClient
from remint.adapters.prometheus_counts import increases, window_counts
from remint.adapters.prometheus_history import history
from remint.adapters.prometheus_silence import refuse_short_retention, refuse_stale
from remint.core.profile import PREDICTION, FieldProfile, FieldRole, Measure, Reference
from remint.core.registry import Champion
from remint.core.signals import LabelDelay
from remint.errors import ConfigError, NoDataError, RetentionError, ServiceError, Silence
from remint.workflows.champion import ChampionFiles
from remint.workflows.evidence_prometheus import PrometheusEvidence

START: Final = datetime(2025, 3, 3, tzinfo=UTC)
TICK: Final = timedelta(minutes=5)
HOUR: Final = timedelta(hours=1)
TICKS: Final = 3 * 288  # three days
GAP: Final = range(20 * 12 + 1, 25 * 12)  # no sample of any pod: Prometheus was away from 20:00 to 25:00
QUIET: Final = range(60 * 12 + 1, 66 * 12 + 1)  # nobody asks
BINS: Final = {PREDICTION: 4, "x": 5}
TRACK: Final = "stable"


def reference(identity: str = "sha256:one") -> Reference:
    fields = [
        FieldProfile(
            name=name,
            role=FieldRole.FEATURE,
            column=name,
            measure=Measure.VALUE,
            edges=None,
            values=tuple(str(i) for i in range(bins - 2)),
            counts=(1,) * bins,
        )
        for name, bins in BINS.items()
    ]
    return Reference(id=identity, pipeline="churn", training_rows=10, fields=tuple(fields), vocabularies={})


class Pod:
    """What a pod counted in each tick (ticks, bins of all series), when it is sampled, and when it begins anew."""

    def __init__(self, name: str, lives: range, restarts: set[int], seed: int) -> None:
        self.name = name
        rng = np.random.default_rng(seed)
        width = sum(BINS.values()) + 2  # and right, wrong
        self.counted = rng.poisson(2, size=(TICKS + 1, width))
        self.counted[list(QUIET)] = 0
        for tick in restarts:
            self.counted[tick + 3] += 4_000  # soon past what it had: no hour's end shows the restart
        self.counted[: lives.start + 1] = 0  # the first sample of a pod is 0
        self.counted[lives.stop :] = 0
        self.sampled = [tick for tick in lives if tick not in GAP]
        self.restarts = restarts

    def values(self) -> np.ndarray[Any, Any]:
        """The counters at each tick, (ticks, bins). A restart is right after its tick."""
        shown = np.cumsum(self.counted, axis=0)
        for tick in sorted(self.restarts):
            shown[tick + 1 :] -= shown[tick]
        return shown

    def series(self) -> list[str]:
        mine = f'pipeline="churn",reference="sha256:one",track="{TRACK}",pod="{self.name}"'
        bins = [
            f'remint_bin_total{{{mine},field="{field}",bin="{i}"}}' for field, size in BINS.items() for i in range(size)
        ]
        return bins + [f'remint_feedback_total{{{mine},outcome="{outcome}"}}' for outcome in ("right", "wrong")]

    def seen(self) -> np.ndarray[Any, Any]:
        """What is newly seen at each tick, (ticks, bins): what was counted unseen comes with the next sample."""
        found = np.zeros_like(self.counted)
        last = self.sampled[0]
        for tick in self.sampled[1:]:
            found[tick] = self.counted[last + 1 : tick + 1].sum(axis=0)
            last = tick
        return found


PODS: Final = (
    Pod("a", range(TICKS + 1), {100, 104, GAP.start - 1}, seed=1),  # twice within an hour, and once unseen
    Pod("b", range(400), set(), seed=2),
    Pod("c", range(330, TICKS + 1), {700}, seed=3),
)
SEEN: Final = sum(pod.seen() for pod in PODS)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    folder = tmp_path_factory.mktemp("prometheus")
    shown = {pod.name: pod.values() for pod in PODS}
    series = [(name, i, pod) for pod in PODS for i, name in enumerate(pod.series())]
    lines = [
        (name, float(shown[pod.name][tick, i]), START.timestamp() + tick * TICK.total_seconds())
        for name, i, pod in sorted(series, key=lambda one: one[0].partition("{")[0])
        for tick in pod.sampled
    ]
    backfill(folder, lines)
    with prometheus_server(folder, "--storage.tsdb.retention.time=90y") as running:
        yield running


@pytest.fixture
def client(server: PrometheusServer) -> PrometheusClient:
    return PrometheusClient(server.url, timeout_seconds=10, environ={})


def seen_between(start: datetime, end: datetime) -> np.ndarray[Any, Any]:
    """Of (start, end], as samples are cut: (bins,)."""
    first, last = (int((at - START) / TICK) for at in (start, end))
    total: np.ndarray[Any, Any] = SEEN[first + 1 : last + 1].sum(axis=0)
    return total


@pytest.mark.parametrize("step", [HOUR, timedelta(minutes=5), timedelta(minutes=95), timedelta(days=1)])
def test_every_step_is_exact_and_a_gap_stays_a_gap(client: PrometheusClient, step: timedelta) -> None:
    end = START + TICKS * TICK
    found = history(client, reference(), start=START, end=end, step=step, track=TRACK)
    assert found.steps == (end - START) // step
    for i in range(found.steps):
        want = seen_between(found.time(i), found.time(i + 1)).tolist()
        counts = [*found.counts[PREDICTION][i].tolist(), *found.counts["x"][i].tolist()]
        assert [*counts, found.right[i], found.wrong[i]] == want, f"step {i}"
    ends = [(found.time(i) - START) // TICK + 1 for i in range(found.steps + 1)]
    gap = [i for i, (first, last) in enumerate(pairwise(ends)) if set(range(first, last)) <= set(GAP)]
    assert np.flatnonzero(~found.covered).tolist() == gap
    if step == HOUR:
        assert gap == [20, 21, 22, 23]


@pytest.mark.parametrize(
    ("first", "last", "resets"),
    [(0.0, 72.0, 4), (7.0, 9.0, 2), (22.0, 30.0, 1), (8.5, 8.75, 1), (26.0, 58.0, 0), (58.0, 59.0, 1)],
)
def test_a_window_of_the_same_past_counts_the_same(
    client: PrometheusClient, first: float, last: float, resets: int
) -> None:
    start, end = START + first * HOUR, START + last * HOUR
    counts, found = window_counts(client, reference(), start=start, end=end, track=TRACK)
    assert [*counts[PREDICTION].tolist(), *counts["x"].tolist()] == seen_between(start, end)[:9].tolist()
    assert found == resets


def test_a_history_in_pieces_is_the_history(client: PrometheusClient, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {"start": START, "end": START + 48 * HOUR, "step": TICK, "track": TRACK}
    whole = history(client, reference(), **asked)
    monkeypatch.setattr("remint.adapters.prometheus._MAX_SAMPLES", 700)
    monkeypatch.setattr("remint.adapters.prometheus_history._RESETS_PIECE", timedelta(hours=5))
    pieces = history(client, reference(), **asked)
    assert all((pieces.counts[field] == whole.counts[field]).all() for field in BINS)
    assert (pieces.right == whole.right).all()


def test_a_history_of_nothing_is_refused(client: PrometheusClient) -> None:
    with pytest.raises(ConfigError, match="not one step"):
        history(client, reference(), start=START, end=START + TICK, step=HOUR, track=TRACK)
    with pytest.raises(NoDataError, match="no reference is 'sha256:two'"):
        history(client, reference("sha256:two"), start=START, end=START + 9 * HOUR, step=HOUR, track=TRACK)


# -- silences --------------------------------------------------------------------------------------------------------


def champion_files(identity: str = "sha256:one", promoted_at: datetime = START) -> ChampionFiles:
    champion = Champion(tag="churn#stable#1", number=1, version="v1.0.0", commit="0" * 40, assigned_at=promoted_at)
    metadata = {"until": {"sequence": 0, "arrived_at": None}}
    return ChampionFiles(
        champion=champion, bundle="sha256:b", reference=reference(identity), metadata=metadata, metrics={}
    )


def evidence(client: PrometheusClient, end: datetime, **more: Any) -> PrometheusEvidence:
    return PrometheusEvidence(client, more.pop("files", champion_files()), end=end, now=end, **more)


def silent(client: PrometheusClient, first: float, last: float, **more: Any) -> NoDataError:
    start, end = START + first * HOUR, START + last * HOUR
    with pytest.raises(NoDataError) as caught:
        evidence(client, end, **more).counts(start, end)
    return caught.value


def test_a_service_that_died_is_stale_and_says_since_when(client: PrometheusClient) -> None:
    error = silent(client, 60, 75)
    assert error.silence is Silence.STALE
    assert "is of 2025-03-06 00:00Z, 3 h 0 min before the window's end" in str(error)


def test_a_series_that_ended_before_the_window_is_stale_too(client: PrometheusClient) -> None:
    error = silent(client, 80, 81)
    assert error.silence is Silence.STALE
    assert "is of 2025-03-06 00:00Z, 9 h 0 min before" in str(error)


def test_nobody_asked_is_empty(client: PrometheusClient) -> None:
    error = silent(client, 60, 66)
    assert error.silence is Silence.EMPTY
    assert "did not rise" in str(error)


def test_another_reference_is_named_with_those_that_are_there(client: PrometheusClient) -> None:
    error = silent(client, 60, 70, files=champion_files("sha256:two"))
    assert error.silence is Silence.NO_SERIES
    assert "no reference is 'sha256:two', there is 'sha256:one'" in str(error)
    assert "did you mean 'sha256:one'?" in str(error)


def test_a_wrong_slug_and_an_unknown_metric_are_named(client: PrometheusClient) -> None:
    start, end = START + 60 * HOUR, START + 70 * HOUR
    with pytest.raises(NoDataError, match=r"no pipeline is 'chrun', there is 'churn' \(did you mean 'churn'\?\)"):
        refuse_stale(client, "remint_bin_total", {"pipeline": "chrun"}, start=start, end=end)
    with pytest.raises(NoDataError, match=r"no series remint_bins_total at all .*/targets"):
        refuse_stale(client, "remint_bins_total", {"pipeline": "churn"}, start=start, end=end)


def test_resets_can_be_refused_and_are_counted_exactly_else(client: PrometheusClient) -> None:
    error = silent(client, 48, 72, refuse_resets=True)
    assert error.silence is Silence.COUNTER_RESET
    assert "began anew 1 time between" in str(error)
    start, end = START + 48 * HOUR, START + 72 * HOUR
    assert evidence(client, end).counts(start, end).rows == seen_between(start, end)[:4].sum()


def test_a_window_before_the_retention_is_an_error_of_its_own(client: PrometheusClient) -> None:
    asked: dict[str, Any] = {"start": START, "end": START + HOUR}
    refuse_short_retention(client, "remint_bin_total", {}, now=START + HOUR, **asked)
    late = START + timedelta(days=365 * 91)
    with pytest.raises(RetentionError, match="keeps samples for 90y, and the window begins 33215 d ago"):
        refuse_short_retention(client, "remint_bin_total", {}, now=late, **asked)


def test_feedback_comes_with_the_predictions_of_its_window(client: PrometheusClient) -> None:
    start, end = START + 48 * HOUR, START + 60 * HOUR
    found = evidence(client, end).feedback(start, end)
    want = seen_between(start, end)
    assert [found.right, found.wrong] == want[9:].tolist()
    assert found.predictions == want[:4].sum()
    assert found.delay is None  # a service that does not tell it


def test_a_signal_is_asked_at_the_windows_end(client: PrometheusClient) -> None:
    source = evidence(client, START + 48 * HOUR)
    assert source.signal("count(remint_bin_total{bin='0',field='x'})") == 2
    with pytest.raises(NoDataError, match="last did about") as caught:
        evidence(client, START + 73 * HOUR).signal("sum(remint_bin_total)")
    assert caught.value.silence is Silence.STALE
    with pytest.raises(NoDataError) as caught:
        source.signal("sum(remint_nothing)")
    assert caught.value.silence is Silence.NO_SERIES


# -- a live one ------------------------------------------------------------------------------------------------------


def delays(counted: list[int], reference: str = "sha256:one") -> str:
    mine = f'pipeline="churn",reference="{reference}",track="stable"'
    name = "remint_feedback_delay_seconds_bucket"
    bounds = ("60.0", "3600.0", "+Inf")
    return "\n".join(f'{name}{{{mine},le="{le}"}} {n}' for le, n in zip(bounds, counted, strict=True))


def shown(rows: int, labels: int = 0) -> str:
    mine = 'pipeline="churn",reference="sha256:one",track="stable"'
    bins = [
        f'remint_bin_total{{{mine},field="{field}",bin="{i}"}} {rows if i == 2 else 0}'
        for field, size in BINS.items()
        for i in range(size)
    ]
    outcomes = {"right": labels, "wrong": 0}
    feedback = [f'remint_feedback_total{{{mine},outcome="{outcome}"}} {n}' for outcome, n in outcomes.items()]
    return "\n".join([*bins, *feedback, delays([labels // 2, labels, labels])])


def test_a_prometheus_that_was_away_and_came_back_has_lost_nothing(
    server: PrometheusServer, client: PrometheusClient
) -> None:
    start = server.show({"a": shown(0), "b": shown(0)})
    files = champion_files(promoted_at=start)
    middle = server.show({"a": shown(100), "b": shown(10)})
    assert evidence(client, middle, files=files).counts(start, middle).rows == 110
    server.stop()
    server.pods.texts = {"a": shown(200), "b": shown(3)}  # b begins anew meanwhile
    source = evidence(client, middle, files=files)
    for question in (source.counts, source.feedback):
        with pytest.raises(ServiceError, match="cannot be reached: connection refused"):
            question(start, middle)
    server.start()
    end = server.show({"a": shown(300, labels=40), "b": shown(5)})
    source = evidence(client, end, files=files)
    assert source.counts(start, end).rows == 300 + 10 + 5
    assert source.counts(middle, end).rows == 200 + 5
    found = source.feedback(start, end)
    assert (found.right, found.wrong, found.predictions) == (40, 0, 315)
    assert found.delay == LabelDelay(median_seconds=60, p90_seconds=60 + 3540 * 0.8)


def test_the_cost_is_that_of_the_series_whatever_the_traffic(
    server: PrometheusServer, client: PrometheusClient
) -> None:
    def text(rows: int) -> str:
        return "\n".join(f'cost_total{{field="f{f}",bin="{i}"}} {rows * (i + 1)}' for f in range(20) for i in range(12))

    answers: list[int] = []

    def record(response: Any, *_: Any, **__: Any) -> None:
        result = response.json()["data"]["result"]
        answers.append(sum(len(one.get("values", [0])) for one in result))

    client._session.hooks["response"].insert(0, record)
    times = [server.show(dict.fromkeys("abc", text(rows))) for rows in (0, 1, 1_000_000)]
    for start, end, rows in ((times[0], times[1], 1), (times[1], times[2], 999_999)):
        answers.clear()
        found = increases(client, "cost_total", {}, by=("field", "bin"), start=start, end=end)
        assert found.rises["f7", "3"] == 3 * rows * 4
        assert answers == [720, 720, 720]  # resets, series at the end, series at the start
