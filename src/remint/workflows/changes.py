"""``changes.json``: what a retrain changed against the commit that it started from, and what ``dvc repro`` did for it.

It informs and decides nothing, so what cannot be had (the base's data is in no remote any more) is said in ``notes``
and stops no retrain.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml

from remint.adapters.dvc_status import read_output
from remint.adapters.frames import read_rows
from remint.adapters.git import Git
from remint.config import Params
from remint.core.data_diff import (
    Change,
    LockChanges,
    ProfileMove,
    lock_changes,
    params_changes,
    profile_moves,
    row_changes,
    schema_changes,
)
from remint.core.document import DocumentKind, format_time, seal, unseal
from remint.core.profile import Measure, Reference
from remint.core.rows import objects
from remint.core.schema import Column, Kind
from remint.core.stage_runs import StageRun, read_stage_runs
from remint.errors import RemintError

SUMMARY: Final = "artifacts/prepared/summary.json"
_TRAIN: Final = "artifacts/prepared/train.parquet"
_REFERENCE: Final = "artifacts/reference.json"
_METADATA: Final = "artifacts/metadata.json"
_MANIFEST: Final = "artifacts/manifest.json"

Json = Mapping[str, Any]


@dataclass(slots=True)
class ReproLog:
    """Hands DVC's lines on and remembers when each came."""

    progress: Callable[[str], None]
    lines: list[tuple[float, str]] = field(default_factory=list)

    def __call__(self, line: str) -> None:
        self.lines.append((time.monotonic(), line))
        self.progress(line)

    def stages(self) -> Callable[[LockChanges], tuple[StageRun, ...]]:
        """To be asked right after DVC is done, which is when the last stage ended."""
        ended_at = time.monotonic()
        return lambda changed: read_stage_runs(self.lines, ended_at=ended_at, changed=changed.stages)


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The commit that a retrain starts from, as far as it has a model."""

    commit: str
    lock: Json | None
    params: Any
    summary: Json | None
    reference: Json | None
    metadata: Json | None
    bundle: str | None
    notes: tuple[str, ...] = ()


def read_base(tree: Git, directory: Path, commit: str) -> Base:
    """To be called before ``dvc repro``: the summary is read through DVC, by the ``dvc.lock`` of the checkout."""
    notes: list[str] = []
    lock, params = (_yaml(tree.show(commit, name)) for name in ("dvc.lock", "params.yaml"))
    summary = None
    if lock is not None:
        try:
            summary = _json(read_output(directory, SUMMARY))
        except RemintError as error:
            notes.append(f"rows are not compared: {SUMMARY} of {commit[:12]} cannot be had ({error.message})")
    manifest = _json(tree.show(commit, _MANIFEST))
    return Base(
        commit=commit,
        lock=lock,
        params=params,
        summary=summary,
        reference=_sealed(tree.show(commit, _REFERENCE), DocumentKind.REFERENCE),
        metadata=_sealed(tree.show(commit, _METADATA), DocumentKind.METADATA),
        bundle=None if manifest is None else str(manifest.get("id")),
        notes=tuple(notes),
    )


def collect_changes(
    base: Base,
    directory: Path,
    params: Params,
    *,
    stages: Callable[[LockChanges], tuple[StageRun, ...]],
    run_id: str,
    now: datetime,
    parents: Sequence[str],
) -> dict[str, Any]:
    """The sealed ``changes`` document of ``directory`` right after ``dvc repro``, against ``base``."""
    lock = lock_changes(base.lock, _yaml((directory / "dvc.lock").read_bytes()) or {})
    notes = list(base.notes)
    summary = _json(_bytes(directory / SUMMARY))
    reference = _sealed(_bytes(directory / _REFERENCE), DocumentKind.REFERENCE)
    metadata = _sealed(_bytes(directory / _METADATA), DocumentKind.METADATA)
    manifest = _json(_bytes(directory / _MANIFEST))
    rows = () if summary is None else row_changes(base.summary, summary, by="sources")
    labels = () if summary is None else row_changes(base.summary, summary, by="labels")
    schema: tuple[Change, ...] = ()
    if base.reference is not None and base.metadata is not None and reference is not None and metadata is not None:
        schema = schema_changes((base.reference, base.metadata), (reference, metadata))
    profile: tuple[ProfileMove, ...] = ()
    if base.reference is not None:
        try:
            profile = _profile(Reference.from_json(base.reference), directory / _TRAIN, params)
        except RemintError as error:
            notes.append(f"profiles are not compared: {error.message}")
    body = {
        "created_at": format_time(now),
        "run_id": run_id,
        "base": base.commit,
        "bundle": {"before": base.bundle, "now": None if manifest is None else manifest.get("id")},
        "rows": [change.to_json() for change in rows],
        "labels": [change.to_json() for change in labels],
        "schema_changes": [change.to_json() for change in schema],
        "profile": [move.to_json() for move in profile],
        "params": [c.to_json() for c in params_changes(base.params, _yaml(_bytes(directory / "params.yaml")))],
        "files": [change.to_json() for change in lock.files],
        "stages": [stage.to_json() for stage in stages(lock)],
        "notes": notes,
    }
    return seal(DocumentKind.CHANGES, params.pipeline, body, parents=parents)


def _profile(before: Reference, path: Path, params: Params) -> tuple[ProfileMove, ...]:
    """The training rows over the bins of ``before``; a column that came, went or changed its kind is left out."""
    kinds = {column.name: column.kind for column in params.task.features}
    fields = tuple(f for f in before.fields if f.column in kinds and _fits(kinds[f.column], f.measure, f.is_numeric))
    known = {f.column for f in fields}
    columns = [Column(name=name, kind=kind) for name, kind in kinds.items() if name in known]
    if not columns:
        return ()
    table = read_rows(path, columns).table
    comparable = replace(
        before, fields=fields, vocabularies={c: words for c, words in before.vocabularies.items() if c in known}
    )
    nothing = objects([None] * table.rows)  # features are compared, what a model said of these rows is not
    return profile_moves(comparable, comparable.count(table, nothing, np.zeros(table.rows)))


def _fits(kind: Kind, measure: Measure, is_numeric: bool) -> bool:
    if kind is Kind.TEXT:
        return measure is not Measure.VALUE
    return measure is Measure.VALUE and is_numeric is (kind is Kind.NUMERIC)


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _json(content: bytes | None) -> dict[str, Any] | None:
    try:
        document = None if content is None else json.loads(content)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _yaml(content: bytes | None) -> dict[str, Any] | None:
    try:
        document = None if content is None else yaml.safe_load(content)
    except yaml.YAMLError:
        return None
    return document if isinstance(document, dict) else None


def _sealed(content: bytes | None, kind: DocumentKind) -> dict[str, Any] | None:
    """None also for what another Remint wrote and this one cannot read: then it is not compared."""
    document = _json(content)
    try:
        return None if document is None else unseal(document, kind)
    except RemintError:
        return None
