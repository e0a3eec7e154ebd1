"""What a check and a back-test ask of a real Prometheus: queries, samples, seconds; and that the counts are exact.

    .venv/bin/python benchmarks/prometheus.py [--interval 300] [--days 365]

Back-filled blocks, a real server. The check: 20 fields x 12 bins x 10 pods over 7 days scraped every ``--interval``
seconds, one pod restarted in the middle, and once more without it. The history: 20 fields x 12 bins x 2 pods in hourly
steps over ``--days``, each pod restarted every 30 days; every count is compared with what was filled in. A year takes
minutes to fill in.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from remint.adapters.prometheus import PrometheusClient
from remint.adapters.prometheus_counts import increases
from remint.adapters.prometheus_history import history
from remint.core.profile import PREDICTION, FieldProfile, FieldRole, Measure, Reference

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from prometheus_server import backfill, prometheus_server

FIELDS, BINS = 20, 12
END = datetime(2026, 1, 1, tzinfo=UTC)
KEEP = "--storage.tsdb.retention.time=90y"
T = TypeVar("T")


def reference() -> Reference:
    fields = tuple(
        FieldProfile(
            name=PREDICTION if i == 0 else f"f{i}",
            role=FieldRole.FEATURE,
            column="x",
            measure=Measure.VALUE,
            edges=None,
            values=tuple(str(v) for v in range(BINS - 2)),
            counts=(1,) * BINS,
        )
        for i in range(FIELDS)
    )
    return Reference(id="sha256:one", pipeline="churn", training_rows=1, fields=fields, vocabularies={})


def series(field: str, index: int, pod: int) -> str:
    mine = 'pipeline="churn",reference="sha256:one",track="stable"'
    return f'remint_bin_total{{{mine},field="{field}",bin="{index}",pod="{pod}"}}'


class Watched:
    """A client that counts what it asks and is answered."""

    def __init__(self, url: str) -> None:
        self.client = PrometheusClient(url, timeout_seconds=120, environ={})
        self.samples: list[int] = []
        self.bytes = 0
        self.client._session.hooks["response"].insert(0, self._record)

    def _record(self, response: Any, *_: Any, **__: Any) -> None:
        result = response.json()["data"]["result"]
        self.samples.append(sum(len(one.get("values", (0,))) for one in result))
        self.bytes += len(response.content)

    def time(self, name: str, question: Callable[[], T]) -> T:
        self.samples, self.bytes = [], 0
        began = time.perf_counter()
        answer = question()
        seconds = time.perf_counter() - began
        samples, mebibytes = sum(self.samples), self.bytes / 2**20
        print(f"{name:<34} {seconds:6.2f} s {len(self.samples):4} queries {samples:9,} samples {mebibytes:6.1f} MiB")
        return answer


def check(folder: Path, interval: int) -> None:
    steps, first = 7 * 86_400 // interval, (END - timedelta(days=7)).timestamp()

    def filled() -> Iterator[tuple[str, float, float]]:
        for field in (f.name for f in reference().fields):
            for index in range(BINS):
                for pod in range(10):
                    restart = steps // 2 if pod == 0 else steps + 1
                    for i in range(steps + 1):
                        yield series(field, index, pod), (i if i < restart else i - restart) * 2, first + i * interval

    backfill(folder, filled())
    with prometheus_server(folder, KEEP) as server:
        watched = Watched(server.url)
        start, end = END - timedelta(days=7), END
        for name, begin in (("a week, one restart", start), ("half a week, no restart", start + timedelta(days=4.6))):
            asked: dict[str, Any] = {"by": ("field", "bin"), "start": begin, "end": end}
            question = partial(increases, watched.client, "remint_bin_total", {}, **asked)
            found = watched.time(f"check: {name}", question)
            print(f"{'':<34} {found.resets} resets, {sum(found.rises.values()):,.0f} counted")


def year(folder: Path, days: int) -> None:
    steps, pods = days * 24, 2
    counted = np.random.default_rng(0).integers(0, 30, size=(FIELDS, BINS, pods, steps))
    first = (END - timedelta(days=days)).timestamp()
    names = [f.name for f in reference().fields]

    def filled() -> Iterator[tuple[str, float, float]]:
        for f, field in enumerate(names):
            for index in range(BINS):
                for pod in range(pods):
                    values = np.concatenate([[0], np.cumsum(counted[f, index, pod])])
                    for restart in range(360 * (1 + pod), steps + 1, 720):
                        values[restart:] -= values[restart - 1]
                    for i, value in enumerate(values.tolist()):
                        yield series(field, index, pod), value, first + i * 3600

    backfill(folder, filled())
    with prometheus_server(folder, KEEP) as server:
        watched = Watched(server.url)
        start, step = END - timedelta(days=days), timedelta(hours=1)
        asked: dict[str, Any] = {"start": start, "end": END, "step": step, "track": "stable"}
        for _ in range(2):
            found = watched.time(f"history: {days} days", lambda: history(watched.client, reference(), **asked))
        for f, field in enumerate(names):
            assert (found.counts[field] == counted[f].sum(axis=1).T).all(), field
        print(f"{'':<34} {steps:,} steps x {FIELDS * BINS} bins, every count exact")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interval", type=int, default=300, help="seconds between scrapes of the check")
    parser.add_argument("--days", type=int, default=365, help="of the history")
    arguments = parser.parse_args()
    for part, argument in ((check, arguments.interval), (year, arguments.days)):
        with tempfile.TemporaryDirectory() as folder:
            part(Path(folder), argument)


if __name__ == "__main__":
    main()
