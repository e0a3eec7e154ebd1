"""Where a back-test's past comes from: Prometheus, the ledger's decisions, or a labelled log.

Each gives chapters: the time of each champion that was in production, counted over the bins of its own reference.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from remint.adapters.bundle import Bundle, read_bundle
from remint.adapters.datafile import RawFile, read_raw
from remint.adapters.git import Git
from remint.adapters.ledger import Ledger
from remint.adapters.prometheus import PrometheusClient
from remint.adapters.prometheus_history import history
from remint.adapters.registry import load_registry
from remint.config import Check, Params, PromqlRule
from remint.core.document import DocumentKind, parse_time, unseal
from remint.core.history import CountsHistory
from remint.core.profile import PREDICTION, Reference
from remint.core.registry import STABLE, Champion
from remint.core.release import Track
from remint.core.schema import Kind
from remint.core.signals import WindowCounts
from remint.core.table import Table
from remint.errors import AmbiguousSeriesError, BundleError, ConfigError, DataError, NoDataError, Silence, UsageError
from remint.workflows.backtest_recording import (
    Chapter,
    KnownCounts,
    LabelSpan,
    RecordedWindow,
    StepRecording,
    WindowRecording,
)
from remint.workflows.champion import ChampionFiles, read_champion, read_champion_files
from remint.workflows.check import watched_champion

_FINEST: Final = timedelta(minutes=1)
_SUFFIXES: Final = frozenset({".parquet", ".pq", ".csv", ".tsv", ".txt", ".tab"})

Whole = npt.NDArray[np.int64]


def step_of(checks: Sequence[Check], *durations: timedelta) -> timedelta:
    """The coarsest step, an hour at most, on whose grid all schedules, windows and further durations lie.

    Not finer than a twelfth of the fastest schedule: beyond that, a window's ends go to the nearest step.
    """
    exact = [3600, *(int(check.every.total_seconds()) for check in checks)]
    exact += [int(check.window.total_seconds()) for check in checks]
    exact += [int(duration.total_seconds()) for duration in durations if duration]
    finest = max(_FINEST, min(check.every for check in checks) / 12)
    return max(timedelta(seconds=math.gcd(*exact)), finest)


# -- champions -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Reign:
    """A champion's time in production, [start, end)."""

    files: ChampionFiles
    start: datetime
    end: datetime


def reigns(git: Git, pipeline: str, *, since: datetime, until: datetime) -> list[Reign]:
    """Every stable champion of [since, until) in its order, the one that stood at ``since`` too.

    ConfigError where there is no champion at all, or git holds no files of one.
    """
    registry = load_registry(git, pipeline)
    stood = sorted((a for a in registry.assignments if a.stage == STABLE), key=lambda a: (a.assigned_at, a.number))
    if not stood:
        read_champion(git, pipeline)  # says that there is none, and how to get one
    ends = [*(a.assigned_at for a in stood[1:]), until]
    found = []
    for assigned, end in zip(stood, ends, strict=True):
        start, end = max(assigned.assigned_at, since), min(end, until)
        if start >= end:
            continue
        version = registry.version_of(assigned.commit)
        champion = Champion(
            tag=assigned.tag,
            number=assigned.number,
            version=str(version.version) if version else None,
            commit=assigned.commit,
            assigned_at=assigned.assigned_at,
        )
        found.append(Reign(files=read_champion_files(git, pipeline, champion), start=start, end=end))
    return found


# -- Prometheus ------------------------------------------------------------------------------------------------------


def prometheus_chapters(
    client: PrometheusClient,
    git: Git,
    pipeline: str,
    checks: Sequence[Check],
    *,
    step: timedelta,
    since: datetime,
    until: datetime,
) -> list[Chapter]:
    """What Prometheus still has of each champion since ``since``. NoDataError where it has nothing of any."""
    queries = {r.query for check in checks for r in check.rules.values() if isinstance(r, PromqlRule)}
    chapters: list[Chapter] = []
    silent: NoDataError | None = None
    for reign in reigns(git, pipeline, since=since, until=until):
        if reign.end - reign.start < step:
            continue
        reference = reign.files.reference
        try:
            past = history(client, reference, start=reign.start, end=reign.end, step=step, track=Track.STABLE.value)
        except NoDataError as error:
            silent = error
            continue
        signals = {query: _signal(client, query, reign.start, past.end, step) for query in queries}
        chapters.append(Chapter(watched=watched_champion(reign.files), recording=StepRecording(past, signals)))
    if not chapters:
        raise silent or NoDataError("no champion stood in this time", where=pipeline)
    return chapters


def _signal(
    client: PrometheusClient, query: str, start: datetime, end: datetime, step: timedelta
) -> Callable[[datetime], float]:
    """The query's value at each step's end. Where it has none, or several, asking for it raises what a check would."""
    found: dict[int, float] = {}
    names: set[str] = set()
    for answer in client.query_range(query, first=start, last=end, step=step):
        for series in answer:
            names.add(str(sorted(series.labels.items())))
            steps = np.rint((series.times - start.timestamp()) / step.total_seconds()).astype(int)
            found.update(zip(steps.tolist(), series.values.tolist(), strict=True))

    def at(moment: datetime) -> float:
        if len(names) > 1:
            raise AmbiguousSeriesError(f"{len(names)} series answer the query", where=query, hint="one number: sum()?")
        value = found.get(round((moment - start) / step))
        if value is None:
            raise NoDataError("no series answers the query", silence=Silence.NO_SERIES, where=query)
        if not math.isfinite(value):
            raise NoDataError("the query answers with no number", silence=Silence.NAN, where=query)
        return float(value)

    return at


# -- the ledger ------------------------------------------------------------------------------------------------------


def ledger_chapters(git: Git, pipeline: str, *, since: datetime | None, until: datetime) -> list[Chapter]:
    """The windows of all recorded decisions. NoDataError where there is none, DocumentError for a changed one."""
    ledger = Ledger(git, pipeline)
    decisions = []
    for run_id, content in ledger.attachments("decision.json").items():
        where = f"{ledger.branch}:runs/{run_id}/decision.json"
        document = unseal(json.loads(content), DocumentKind.DECISION, pipeline=pipeline, where=where)
        at = parse_time(document["created_at"], where=where)
        if document["window"] is not None and (since is None or at >= since) and at < until:
            decisions.append((at, document))
    if not decisions:
        read_champion(git, pipeline)  # without a champion this is what is wrong
        raise NoDataError("no decision of `remint check` in this time", where=ledger.branch)
    decisions.sort(key=lambda one: one[0])
    standing = reigns(git, pipeline, since=decisions[0][0], until=decisions[-1][0] + _FINEST)
    chapters = []
    for reign in standing:
        mine = [d for _, d in decisions if d["champion"]["tag"] == reign.files.champion.tag]
        if mine:
            recording = WindowRecording([_recorded(document) for document in mine])
            chapters.append(Chapter(watched=watched_champion(reign.files), recording=recording))
    if not chapters:
        raise NoDataError("no decision is about a champion that the registry knows", where=ledger.branch)
    return chapters


def _recorded(document: Mapping[str, Any]) -> RecordedWindow:
    window = document["window"]
    counts = KnownCounts(
        {field["field"]: np.array(field["current_counts"], dtype=np.int64) for field in document["drift"]}
    )
    start, end = parse_time(window["start"]), parse_time(window["end"])
    return RecordedWindow(
        start=start,
        end=end,
        counts=WindowCounts(rows=document["rows"], counts=counts) if document["rows"] else None,
        labels=_labels_of(document["rules"], start, end),
    )


def _labels_of(rules: Sequence[Mapping[str, Any]], start: datetime, end: datetime) -> LabelSpan | None:
    """A decision says its labels as the evidence of a rule on accuracy, with the time since which they were counted."""
    for rule in rules:
        for finding in rule["findings"]:
            seen = finding["evidence"]
            if rule["kind"] in {"accuracy", "cost"} and {"right", "wrong"} <= seen.keys():
                since = parse_time(seen["since"]) if "since" in seen else start
                return LabelSpan(start=since, end=end, right=int(seen["right"]), wrong=int(seen["wrong"]))
    return None


# -- a labelled log --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """Rows with a time, the features under the names of ``task.columns`` and, where known, the label.

    Without ``predicted`` and ``confidence`` the champion's bundle predicts every row.
    """

    path: Path  # a file, a directory of them or a glob
    time: str
    zone: str | None
    label: str | None
    predicted: str | None = None
    confidence: str | None = None
    label_delay: timedelta = timedelta()  # how long after its row a label arrives
    bundle: Path = Path("artifacts/bundle")


def log_chapter(
    params: Params, files: ChampionFiles, log: Log, *, step: timedelta, since: datetime | None, until: datetime | None
) -> Chapter:
    """The log as if the champion had been promoted at its first row. Files are read one after another.

    DataError for a file or a value that is not as declared; BundleError where the champion's bundle is not at hand.
    """
    if (log.predicted is None) != (log.confidence is None):
        raise UsageError("--predicted and --confidence go together")
    bundle = None if log.predicted is not None else _bundle(params, files, log.bundle)
    span = (since, until)
    parts = [_counted(read_raw(path), params, files.reference, log, bundle, step, span) for path in _paths(log)]
    found = [part for part in parts if part is not None]
    if not found:
        raise NoDataError("no row with a time in the asked span", where=str(log.path))
    recording = StepRecording(_joined(found, files.reference, step))
    return Chapter(watched=replace(watched_champion(files), promoted_at=recording.start), recording=recording)


@dataclass(frozen=True, slots=True)
class _Part:
    """One file's counts, from the step ``first`` since 1970 on."""

    first: int
    counts: dict[str, Whole]  # (steps, bins)
    labels: Whole  # (steps, 2): right, wrong


def _counted(
    raw: RawFile,
    params: Params,
    reference: Reference,
    log: Log,
    bundle: Bundle | None,
    step: timedelta,
    span: tuple[datetime | None, datetime | None],
) -> _Part | None:
    at = raw.times(log.time, log.zone)
    kept = ~np.isnat(at)
    since, until = (None if t is None else np.datetime64(t.astimezone(UTC).replace(tzinfo=None), "us") for t in span)
    kept &= np.ones(len(at), dtype=bool) if since is None else at >= since
    kept &= np.ones(len(at), dtype=bool) if until is None else at < until
    if not kept.any():
        return None
    features = params.task.features
    table = Table(
        features,
        {c.name: raw.numbers(c.name) if c.kind is Kind.NUMERIC else raw.texts(c.name, c.kind) for c in features},
    ).take(kept)
    if bundle is not None:
        answered = bundle.predict(table)
        predicted, confidence = answered.labels, answered.confidence
    else:
        assert log.predicted is not None
        assert log.confidence is not None
        predicted = raw.texts(log.predicted, Kind.CATEGORICAL)[kept]
        confidence = raw.numbers(log.confidence)[kept]
    moments = at[kept].astype("datetime64[us]").astype(np.int64)
    width = step // timedelta(microseconds=1)
    steps = moments // width
    first = int(steps.min())
    arrived = (moments + log.label_delay // timedelta(microseconds=1)) // width - first
    length = int(max(steps.max() - first, arrived.max())) + 1
    assigned = reference.assign(table, predicted, confidence)
    counts = {f.name: _tallied(steps - first, assigned[f.name], length, f.bins) for f in reference.fields}
    labels = np.zeros((length, 2), dtype=np.int64)
    if log.label is not None:
        actual = raw.texts(log.label, Kind.CATEGORICAL)[kept]
        known = np.array([value is not None for value in actual], dtype=bool)
        wrong = (actual[known] != predicted[known]).astype(np.int64)
        labels = _tallied(arrived[known], wrong, length, 2)
    return _Part(first, counts, labels)


def _tallied(steps: Whole, index: Whole, length: int, bins: int) -> Whole:
    return np.bincount(steps * bins + index, minlength=length * bins).reshape(length, bins).astype(np.int64)


def _joined(parts: Sequence[_Part], reference: Reference, step: timedelta) -> CountsHistory:
    first = min(part.first for part in parts)
    # Labels may arrive after the last row, when there is nothing to judge any more: the history ends with its rows
    last = max(part.first + int(np.flatnonzero(part.counts[PREDICTION].any(axis=1)).max()) + 1 for part in parts)
    counts = {f.name: np.zeros((last - first, f.bins), dtype=np.int64) for f in reference.fields}
    labels = np.zeros((last - first, 2), dtype=np.int64)
    for part in parts:
        place = slice(part.first - first, min(last - first, part.first - first + len(part.labels)))
        length = place.stop - place.start
        labels[place] += part.labels[:length]
        for name, table in part.counts.items():
            counts[name][place] += table[:length]
    return CountsHistory(
        start=datetime(1970, 1, 1, tzinfo=UTC) + first * step,
        step=step,
        counts=counts,
        covered=np.ones(last - first, dtype=bool),
        right=labels[:, 0],
        wrong=labels[:, 1],
    )


def _paths(log: Log) -> list[Path]:
    if any(sign in str(log.path) for sign in "*?["):
        found = sorted(Path(log.path.anchor or ".").glob(str(log.path.relative_to(log.path.anchor))))
        if not found:
            raise DataError("no file matches", where=str(log.path))
        return found
    if not log.path.is_dir():
        return [log.path]
    found = sorted(path for path in log.path.rglob("*") if path.suffix.lower() in _SUFFIXES)
    if not found:
        raise DataError("no Parquet or CSV file in this directory", where=str(log.path))
    return found


def _bundle(params: Params, files: ChampionFiles, directory: Path) -> Bundle:
    try:
        return read_bundle(directory, trusted_types=params.train.trusted_types, expected_id=files.bundle)
    except BundleError as error:
        hint = f"the champion predicts the log: remint bundle export --rev '{files.champion.tag}', then --bundle"
        raise BundleError(error.message, where=error.where, hint=error.hint or hint) from None


def log_of(params: Params, path: Path, **given: Any) -> Log:
    """The log with what ``params.yaml`` says of its columns; ``given`` wins. ConfigError without a time column."""
    declared, source = params.task.time, params.check.files
    named: dict[str, Any] = {
        "time": source.time if source is not None else declared.column if declared is not None else None,
        "zone": declared.zone if declared is not None and "zone" in declared.model_fields_set else "UTC",
        "label": params.task.label,
    }
    log = {**named, **given}
    if log["time"] is None:
        raise ConfigError("no column is declared as the rows' time", where="task.time", hint="or give --time COLUMN")
    return Log(path=path, **log)
