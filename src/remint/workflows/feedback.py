"""Feedback out of a store, a service or segments, curated, into the file that the prepare stage depends on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, assert_never

from remint.adapters.feedback_export import INDEX, read_index, read_segments, read_service, write_segment
from remint.adapters.feedback_store import open_store
from remint.adapters.frames import write_rows
from remint.config import Params
from remint.core.curate import Curated, curate, current_answers
from remint.core.feedback import FeedbackRow
from remint.core.golden import parse_golden
from remint.core.schema import Schema
from remint.errors import ConfigError, DataError, UsageError

SERVICE_TOKEN_VARIABLE: Final = "REMINT_SERVICE_TOKEN"  # noqa: S105 - the variable's name
QUARANTINE: Final = "remint.quarantine"  # keys of the file's metadata
TAGS: Final = "remint.tags"


class SourceKind(StrEnum):
    STORE = "store"
    SERVICE = "service"
    SEGMENTS = "segments"

    @property
    def variable(self) -> str:
        """The environment variable that names it where no option does."""
        match self:
            case SourceKind.STORE:
                return "REMINT_STORE_URL"
            case SourceKind.SERVICE:
                return "REMINT_FEEDBACK_URL"
            case SourceKind.SEGMENTS:
                return "REMINT_SEGMENTS_URL"
            case _:
                assert_never(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackSource:
    """Where the answers are. ``token`` is the service's bearer token."""

    kind: SourceKind
    place: str
    token: str | None = None

    def read(self, *, until: int, pipeline: str) -> tuple[FeedbackRow, ...]:
        """The answers that count up to the sequence ``until``, in order.

        Raises DataError where the source ends before ``until``: then it is not the one that the decision was made on.
        """
        match self.kind:
            case SourceKind.STORE:
                with open_store(self.place) as store:
                    _require_pipeline(store.pipeline, pipeline, self.place)
                    rows, reached = list(store.feedback_rows(0, until)), store.newest_sequence()[0]
            case SourceKind.SERVICE:
                rows, reached = read_service(self.place, token=self.token, until=until)
            case SourceKind.SEGMENTS:
                rows, reached = read_segments(self.place, until=until)
            case _:
                assert_never(self.kind)
        if reached < until:
            raise DataError(
                f"feedback ends at sequence {reached}, before {until}",
                where=self.place,
                hint="another store, or segments that are not written yet?",
            )
        return current_answers(rows, until=until)


def choose_source(
    *, store: str | None, service: str | None, segments: str | None, environment: Mapping[str, str]
) -> FeedbackSource:
    """The one source that the options name, else the one that the environment names; anything else raises."""
    options = {SourceKind.STORE: store, SourceKind.SERVICE: service, SourceKind.SEGMENTS: segments}
    given = {kind: place for kind, place in options.items() if place}
    if len(given) > 1:
        raise UsageError("more than one source of feedback", hint=f"one of {_options(given)}")
    if not given:
        given = {kind: environment[kind.variable] for kind in SourceKind if environment.get(kind.variable)}
        if len(given) > 1:
            names = " and ".join(kind.variable for kind in given)
            raise ConfigError(f"{names} are both set: which source of feedback?", hint=f"say {_options(given)}")
    for kind, place in given.items():
        return FeedbackSource(kind=kind, place=place, token=environment.get(SERVICE_TOKEN_VARIABLE) or None)
    raise UsageError(
        "no source of feedback", hint=f"{_options(options)}, or one of {', '.join(k.variable for k in SourceKind)}"
    )


def _options(kinds: Mapping[SourceKind, object]) -> str:
    return ", ".join(f"--{kind.value}" for kind in kinds)


def export_feedback(
    params: Params, directory: Path, source: FeedbackSource, *, until: int, output: Path | None
) -> Curated:
    """Curate the answers up to ``until`` and write them as Parquet whose bytes repeat; returns what was decided.

    ``directory`` is the pipeline's: its golden set and, where a model was trained already, its classes are read there.
    ``output`` None only counts.
    """
    rows = source.read(until=until, pipeline=params.pipeline) if until > 0 else ()
    curated = curate(
        rows,
        Schema(
            pipeline=params.pipeline,
            features=params.task.features,
            label=params.task.label,
            classes=_known_classes(directory),
        ),
        golden_keys=golden_keys(params, directory),
        reporter_share=params.prepare.reporter_share,
    )
    if output is not None:
        write_curated(output, curated)
    return curated


def write_curated(path: Path, curated: Curated) -> None:
    """The feedback file: a row for each training row; what was put aside and tagged, as counts in its metadata."""
    origin = curated.origin
    write_rows(
        path,
        curated.kept,
        extra={
            "remint.prediction_id": [row.prediction_id for row in origin],
            "remint.reporter": [row.reporter for row in origin],
            "remint.predicted": [row.predicted for row in origin],
            "remint.bundle": [row.bundle for row in origin],
            "remint.tags": [" ".join(tags) for tags in curated.tags],
        },
        metadata={QUARANTINE: json.dumps(curated.quarantine_counts), TAGS: json.dumps(curated.tag_counts)},
    )


def golden_keys(params: Params, directory: Path) -> frozenset[str]:
    """Keys of the golden rows, which feedback must never equal. A changed or absent golden file raises DataError."""
    path = directory / params.prepare.golden.path
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(path), hint="restore it from git") from None
    golden = parse_golden(content, sha256=params.prepare.golden.sha256, features=params.task.features, where=str(path))
    return frozenset(golden.keys.tolist())


def _known_classes(directory: Path) -> tuple[str, ...]:
    """The classes of the model at hand, from its git-tracked metadata; none before the first training."""
    try:
        metadata = json.loads((directory / "artifacts" / "metadata.json").read_bytes())
        return tuple(str(label) for label in metadata["classes"])
    except FileNotFoundError:
        return ()
    except (ValueError, KeyError, TypeError):
        raise DataError("is not a bundle's metadata", where="artifacts/metadata.json", hint="dvc repro") from None


def newest(source: FeedbackSource) -> tuple[int, datetime | None]:
    """The highest sequence of a store, with its time; for other sources ``until`` is declared, so UsageError."""
    if source.kind is not SourceKind.STORE:
        raise UsageError(f"--until is needed with --{source.kind.value}")
    with open_store(source.place) as store:
        return store.newest_sequence()


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentReport:
    """The sequences ``first..last`` that arrived since the last segment; none where ``last < first``."""

    first: int
    last: int
    name: str | None  # of the file; None where none was written

    def to_json(self) -> dict[str, Any]:
        return {"first": self.first, "last": self.last, "segment": self.name}


def write_next_segment(params: Params, store_url: str, directory: Path, *, dry_run: bool = False) -> SegmentReport:
    """Write everything that arrived since the last segment as one more, where anything did."""
    known = read_index(directory) if (directory / INDEX).exists() else []
    after = known[-1].last if known else 0
    with open_store(store_url) as store:
        _require_pipeline(store.pipeline, params.pipeline, store_url)
        last, _ = store.newest_sequence()
        if last < after:
            raise DataError(f"the segments reach {after}, the store only {last}", where=store_url, hint="another one?")
        rows = list(store.feedback_rows(after, last)) if last > after and not dry_run else None
    name = None if rows is None else write_segment(directory, rows, first=after + 1, last=last).name
    return SegmentReport(first=after + 1, last=last, name=name)


def _require_pipeline(found: str, wanted: str, where: str) -> None:
    if found != wanted:
        raise ConfigError(f"belongs to pipeline {found!r}, not {wanted!r}", where=where)


def describe(curated: Curated) -> dict[str, Any]:
    """The counts as JSON."""
    return {
        "rows": curated.kept.rows,
        "quarantine": curated.quarantine_counts,
        "tags": curated.tag_counts,
    }
