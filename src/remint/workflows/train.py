"""The train stage: prepared rows in; the model bundle, and git-tracked copies of its small files, out."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any, Final

import numpy as np
from threadpoolctl import threadpool_limits

from remint import __version__
from remint.adapters.bundle import MANIFEST, METADATA, REFERENCE, predict, write_bundle
from remint.adapters.frames import read_rows
from remint.adapters.modules import importable, source_of
from remint.adapters.packages import library_versions
from remint.config import Params
from remint.core.document import DocumentKind, content_id, format_time, seal
from remint.core.profile import Reference, build_reference
from remint.core.rows import LabelledRows
from remint.core.schema import Schema
from remint.errors import DataError
from remint.workflows.earlier import fetch, split_hash
from remint.workflows.fitting import Recipe, recipes
from remint.workflows.prepare import PREPARED
from remint.workflows.selection import Selected, select

ARTIFACTS: Final = Path("artifacts")
BUNDLE: Final = Path("artifacts/bundle")
_ESTIMATOR: Final = "params.yaml: train.estimator"
_SIDES: Final = ("train", "held_out", "test", "fresh", "golden")


def train(params: Params, directory: Path, *, output: Path | None = None) -> None:
    """Fit ``train.estimator`` on the training rows and write ``artifacts/bundle/``, or ``bundle/`` in ``output``.

    With several candidates or earlier champions, the one that does best on the newest training rows; see ``selection``.
    Nothing of the bundle depends on the time, the host or the number of processors: training twice from the same
    commit and data gives the same bytes. Raises ConfigError where the estimator cannot be had, DataError where the
    rows cannot be learned from, BundleError where the model cannot be stored.
    """
    prepared, artifacts = directory / PREPARED, output or directory / ARTIFACTS
    features = params.task.features
    rows = {side: read_rows(prepared / f"{side}.parquet", features) for side in ("train", "held_out", "golden")}
    schema = Schema(
        pipeline=params.pipeline,
        features=features,
        label=params.task.label,
        classes=tuple(sorted(set(rows["train"].labels.tolist()))),
    )
    with importable(directory):
        ways = recipes(params)
        for recipe in ways:
            recipe.model(schema)  # what cannot be made stops it here; and its libraries are loaded now
        earlier = fetch(params, directory, schema)
    # Sums depend in their last bits on how many threads share them: one thread, the same bytes on any machine. Entered
    # only now, because it finds the libraries that are loaded.
    with importable(directory), threadpool_limits(limits=1):
        selected = select(params, schema, rows["train"], ways, earlier)
        made = _made(selected, schema, rows["train"])
        held_out = predict(made.model, made.schema, rows["held_out"].table)
        if not np.isfinite(held_out.probabilities).all():
            raise DataError("the model's probabilities for held-out rows are not finite", where=_ESTIMATOR)
        reference = build_reference(
            made.schema,
            made.rows.table,
            held_out_predicted=held_out.labels,
            held_out_confidence=held_out.confidence,
            held_out_right=held_out.labels == rows["held_out"].labels,
            training_at=made.rows.event_at,
            held_out_at=rows["held_out"].event_at,
            window=params.train.reference_window,
            bins=params.train.bins,
        )
        code = b"".join(sorted({source_of(recipe.make) for recipe in ways}))
        metadata = _metadata(params, made, reference, directory, code=code, choice=selected.record)
        write_bundle(
            artifacts / BUNDLE.name,
            model=made.model,
            schema=made.schema,
            reference=reference,
            golden=rows["golden"].table,
            metadata=metadata,
            trusted_types=params.train.trusted_types,
        )
    for name in (REFERENCE, METADATA, MANIFEST):  # git-tracked: what check and gate read at a tag, without DVC
        shutil.copyfile(artifacts / BUNDLE.name / name, artifacts / name)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """The model of the bundle, with the rows that its reference is built on."""

    model: Any
    schema: Schema
    rows: LabelledRows
    estimator: str
    reused: Mapping[str, Any] | None = None


def _made(selected: Selected, schema: Schema, training: LabelledRows) -> _Made:
    """The winner trained on all rows of its window; an earlier champion as it is, with today's training rows."""
    winner = selected.winner
    if isinstance(winner, Recipe):
        rows = winner.rows(training)
        return _Made(model=winner.fit(schema, rows), schema=schema, rows=rows, estimator=winner.estimator)
    assert winner.bundle is not None  # one that could not be asked cannot win
    earlier = winner.bundle
    of_model = earlier.metadata.get("reused") or earlier.metadata
    return _Made(
        model=earlier.model,
        schema=earlier.schema,
        rows=training,
        estimator=str(earlier.metadata["estimator"]),
        reused={
            **winner.champion.model_dump(),
            "until": of_model["until"],
            "newest_event_at": of_model.get("newest_event_at"),
        },
    )


def _metadata(
    params: Params, made: _Made, reference: Reference, directory: Path, *, code: bytes, choice: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What the model was made of; never a commit, a time or a host of this run: those hang on the registry's tag."""
    packages = {"remint": __version__, **library_versions()}
    body = {
        "training_rows": made.rows.rows,
        "newest_event_at": _newest(made.rows),
        "classes": list(made.schema.classes),
        "until": params.prepare.until.model_dump(mode="json"),
        "estimator": made.estimator,
        "hashes": {
            "data": _data_hash(directory / PREPARED),
            "code": _code_hash(directory, code),
            "params": content_id(params.model_dump(mode="json", include={"task", "prepare", "train"})),
            "packages": content_id(packages),
            "split": split_hash(params),
        },
        "packages": packages,
        **({"choice": choice} if choice is not None else {}),
        **({"reused": made.reused} if made.reused is not None else {}),
    }
    return seal(DocumentKind.METADATA, params.pipeline, body, parents=[reference.id])


def _newest(rows: LabelledRows) -> str | None:
    """The latest event among the rows; None where no time is known."""
    known = rows.event_at[~np.isnat(rows.event_at)]
    return None if known.size == 0 else format_time(known.max().item().replace(tzinfo=UTC))


def _data_hash(prepared: Path) -> str:
    digests = {side: _sha256((prepared / f"{side}.parquet").read_bytes()) for side in _SIDES}
    return content_id(digests)


def _code_hash(directory: Path, estimator: bytes) -> str:
    stages = {path.name: _sha256(path.read_bytes()) for path in sorted((directory / "stages").glob("*.py"))}
    return content_id({"stages": stages, "estimator": _sha256(estimator), "remint": __version__})


def _sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()
