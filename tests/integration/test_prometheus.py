"""Counts from a real Prometheus: exact over restarts, pods that come and go, and gaps."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from prometheus_server import PrometheusServer, prometheus_server
from remint.adapters.prometheus import PrometheusClient
from remint.adapters.prometheus_counts import increases, window_counts
from remint.core.profile import FieldProfile, FieldRole, Measure, Reference
from remint.errors import AmbiguousSeriesError, ConfigError, DataError, NoDataError


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    with prometheus_server(tmp_path_factory.mktemp("prometheus")) as running:
        yield running


@pytest.fixture
def client(server: PrometheusServer) -> PrometheusClient:
    return PrometheusClient(server.url, timeout_seconds=10, environ={})


def rise(client: PrometheusClient, metric: str, start: datetime, end: datetime) -> float:
    return increases(client, metric, {}, by=(), start=start, end=end).rises[()]


def test_two_pods_are_summed_and_neighbouring_windows_add_up(
    server: PrometheusServer, client: PrometheusClient
) -> None:
    times = [
        server.show({"a": "two_pods_total 10", "b": "two_pods_total 5"}),
        server.show({"a": "two_pods_total 17", "b": "two_pods_total 5"}),
        server.show({"a": "two_pods_total 1000017", "b": "two_pods_total 8"}),
    ]
    assert rise(client, "two_pods_total", times[0], times[1]) == 7
    assert rise(client, "two_pods_total", times[1], times[2]) == 1_000_003
    assert rise(client, "two_pods_total", times[0], times[2]) == 1_000_010


def test_a_restart_within_the_window_loses_nothing(server: PrometheusServer, client: PrometheusClient) -> None:
    start = server.show({"a": 'restarts_total{bin="0"} 100', "b": 'restarts_total{bin="0"} 3'})
    server.show({"a": 'restarts_total{bin="0"} 130', "b": 'restarts_total{bin="0"} 3'})
    server.show({"a": 'restarts_total{bin="0"} 4', "b": 'restarts_total{bin="0"} 3'})
    server.show({"a": 'restarts_total{bin="0"} 9', "b": 'restarts_total{bin="0"} 3'})
    server.show({"a": 'restarts_total{bin="0"} 2', "b": 'restarts_total{bin="0"} 3'})
    end = server.show({"a": 'restarts_total{bin="0"} 300', "b": 'restarts_total{bin="0"} 4'})
    found = increases(client, "restarts_total", {}, by=("bin",), start=start, end=end)
    assert found.rises == {("0",): 30 + 9 + 300 + 1}
    assert found.resets == 2


def test_a_restart_unseen_in_a_scrape_gap_at_the_start_is_noticed(
    server: PrometheusServer, client: PrometheusClient
) -> None:
    server.show({"a": "gap_restart_total 100", "b": "other 1"})
    start = server.show({"b": "other 1"})  # a is down when the window begins
    server.show({"a": "gap_restart_total 5", "b": "other 1"})
    end = server.show({"a": "gap_restart_total 150", "b": "other 1"})
    assert rise(client, "gap_restart_total", start, end) == 150


def test_a_pod_that_was_out_of_sight_does_not_bring_its_old_total_into_the_window(
    server: PrometheusServer, client: PrometheusClient
) -> None:
    server.show({"a": "gap_total 100", "b": "other 1"})
    start = server.show({"b": "other 1"})
    end = server.show({"a": "gap_total 107", "b": "other 1"})
    assert rise(client, "gap_total", start, end) == 7


def test_pods_that_are_born_and_die_within_the_window_count_in_full(
    server: PrometheusServer, client: PrometheusClient
) -> None:
    start = server.show({"a": "lives_total 50"})
    server.show({"a": "lives_total 60", "c": "lives_total 4"})
    server.show({"a": "lives_total 61", "b": "lives_total 0", "c": "lives_total 40"})
    end = server.show({"a": "lives_total 62", "b": "lives_total 6"})
    assert rise(client, "lives_total", start, end) == 12 + 6 + 40


def test_another_label_that_differs_is_named(server: PrometheusServer, client: PrometheusClient) -> None:
    start = server.show({"a": 'env_total{env="prod",x="1"} 1', "b": 'env_total{env="test",x="1"} 1'})
    end = server.show({"a": 'env_total{env="prod",x="1"} 2', "b": 'env_total{env="test",x="1"} 5'})
    with pytest.raises(AmbiguousSeriesError, match=r"label 'env': 'prod', 'test'"):
        rise(client, "env_total", start, end)
    assert increases(client, "env_total", {"env": "test"}, by=(), start=start, end=end).rises == {(): 4}
    assert increases(client, "env_total", {}, by=("env",), start=start, end=end).rises == {("prod",): 1, ("test",): 4}


def test_a_label_that_only_some_series_have_is_ambiguous_too(
    server: PrometheusServer, client: PrometheusClient
) -> None:
    start = server.show({"a": 'half_total{zone="x"} 1', "b": "half_total 1"})
    end = server.show({"a": 'half_total{zone="x"} 2', "b": "half_total 2"})
    with pytest.raises(AmbiguousSeriesError, match=r"'', 'x'"):
        rise(client, "half_total", start, end)


def test_odd_label_values_are_quoted(server: PrometheusServer, client: PrometheusClient) -> None:
    start = server.show({"a": 'odd_total{v="a\\"b\\\\c\\né"} 1'})
    end = server.show({"a": 'odd_total{v="a\\"b\\\\c\\né"} 3'})
    assert increases(client, "odd_total", {"v": 'a"b\\c\né'}, by=(), start=start, end=end).rises == {(): 2}


def test_no_series_is_no_data_and_an_empty_or_wrong_question_is_an_error(client: PrometheusClient) -> None:
    now = datetime.now(UTC)
    with pytest.raises(NoDataError, match="no series nothing_total"):
        rise(client, "nothing_total", now - timedelta(minutes=5), now)
    with pytest.raises(NoDataError):
        client.newest("nothing", {}, at=now)
    with pytest.raises(ConfigError, match="empty"):
        rise(client, "x_total", now, now)
    with pytest.raises(ConfigError, match=r"400: .*parse error"):
        rise(client, "not a metric", now - timedelta(minutes=5), now)


def test_nan_is_no_data_and_a_gauge_gives_its_largest_value(server: PrometheusServer, client: PrometheusClient) -> None:
    now = server.show({"a": "nan_gauge NaN\nsequence 7", "b": "nan_gauge 3\nsequence 9"})
    with pytest.raises(NoDataError, match="nan_gauge is not a number"):
        client.newest("nan_gauge", {}, at=now)
    assert client.newest("sequence", {}, at=now) == 9


def bins(reference: str, track: str, counts: list[int], field: str = "x") -> str:
    labels = f'pipeline="churn",field="{field}",reference="{reference}",track="{track}"'
    return "\n".join(f'remint_bin_total{{{labels},bin="{i}"}} {n}' for i, n in enumerate(counts))


def reference(identity: str) -> Reference:
    field = FieldProfile(
        name="x",
        role=FieldRole.FEATURE,
        column="x",
        measure=Measure.VALUE,
        edges=(0.0, 1.0, 2.0),
        values=None,
        counts=(0, 0, 5, 5, 0),
    )
    return Reference(id=identity, pipeline="churn", training_rows=10, fields=(field,), vocabularies={})


def test_window_counts_hold_this_reference_and_track_only(server: PrometheusServer, client: PrometheusClient) -> None:
    def text(scale: int) -> str:
        return "\n".join(
            [
                bins("sha256:one", "stable", [0, 1 * scale, 20 * scale, 30 * scale, 0]),
                bins("sha256:one", "canary", [7 * scale] * 5),
                bins("sha256:two", "stable", [9 * scale] * 5),
            ]
        )

    start = server.show({"a": text(0), "b": text(1)})
    end = server.show({"a": text(1), "b": text(3)})
    counts, resets = window_counts(client, reference("sha256:one"), start=start, end=end)
    assert counts["x"].tolist() == [0, 3, 60, 90, 0]
    assert counts["x"].dtype == np.int64
    assert resets == 0
    with pytest.raises(NoDataError):
        window_counts(client, reference("sha256:three"), start=start, end=end)


def test_bins_that_the_reference_has_not_are_refused(server: PrometheusServer, client: PrometheusClient) -> None:
    start = server.show({"a": bins("sha256:many", "stable", [1] * 6)})
    end = server.show({"a": bins("sha256:many", "stable", [2] * 6)})
    with pytest.raises(DataError, match="bin '5', which the reference has not"):
        window_counts(client, reference("sha256:many"), start=start, end=end)
