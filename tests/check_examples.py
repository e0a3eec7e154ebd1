"""A small pipeline in git with a champion, its prediction log, and what Prometheus would say of it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from params_examples import NO_DATA
from remint.adapters.feedback_store import FeedbackStore, StoredPrediction, open_store
from remint.adapters.git import Git
from remint.adapters.registry import assign
from remint.config import Params, load_params
from remint.core.document import DocumentKind, content_id, seal
from remint.core.feedback import Answer, implied_label
from remint.core.profile import Counts, Reference, build_reference
from remint.core.release import Track
from remint.core.schema import Column, Kind, Schema
from remint.core.table import Table

PIPELINE = "churn"
PROMOTED = datetime(2026, 5, 1, tzinfo=UTC)
NOW = PROMOTED + timedelta(days=2)
CLASSES = ("no", "yes")
RULES: Mapping[str, Mapping[str, Any]] = {
    "features": {"kind": "drift", "role": "feature"},
    "predictions": {"kind": "drift", "role": "prediction"},
    "confidence": {"kind": "drift", "role": "confidence"},
    "integrity": {"kind": "integrity"},
    "accuracy": {"kind": "accuracy"},
    "wrong": {"kind": "wrong", "limit": 150},
    "volume": {"kind": "volume", "share": 0.5},
    "age": {"kind": "age", "max_age": "90d"},
}


@dataclass(frozen=True)
class Rows:
    """Served rows: a number (NaN is missing), a city, and what the model said."""

    size: np.ndarray
    city: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray

    @property
    def table(self) -> Table:
        return Table(FEATURES, {"size": self.size, "city": self.city})


FEATURES = (Column(name="size", kind=Kind.NUMERIC), Column(name="city", kind=Kind.CATEGORICAL))


def draw(count: int, *, seed: int, shift: float = 0.0, missing: float = 0.0) -> Rows:
    random = np.random.default_rng(seed)
    size = random.normal(loc=shift, size=count)
    size[random.random(count) < missing] = np.nan
    return Rows(
        size=size,
        city=random.choice(["ams", "rtm", "utr"], p=[0.5, 0.3, 0.2], size=count).astype(object),
        predicted=random.choice(CLASSES, p=[0.6, 0.4], size=count).astype(object),
        confidence=random.uniform(0.5, 1.0, size=count),
    )


def make_reference() -> Reference:
    rows = draw(2_000, seed=0)
    schema = Schema(pipeline=PIPELINE, features=FEATURES, label="churned", classes=CLASSES)
    return build_reference(
        schema, rows.table, held_out_predicted=rows.predicted, held_out_confidence=rows.confidence, bins=10
    )


@dataclass(frozen=True)
class Pipeline:
    directory: Path
    reference: Reference
    store_url: str

    @property
    def params(self) -> Params:
        return load_params(self.directory / "params.yaml")

    def set_rules(self, names: Sequence[str], **check: Any) -> None:
        """Declare only these rules, and further keys of ``check``."""
        write_params(self.directory, {name: RULES[name] for name in names}, **check)

    def store(self) -> FeedbackStore:
        return open_store(self.store_url, pipeline=PIPELINE, create=True)

    def serve(
        self,
        rows: Rows,
        *,
        at: datetime = NOW - timedelta(hours=1),
        right: int = 0,
        wrong: int = 0,
        track: Track = Track.STABLE,
        reference: str | None = None,
        malformed: int = 0,
    ) -> None:
        """Log the rows as predictions made at ``at``; users call the first of them right, the next ones wrong."""
        logged: list[dict[str, Any]] = rows.table.to_rows()
        for row in logged[:malformed]:
            row["size"] = "seven"
        with self.store() as store:
            predictions = [
                StoredPrediction(
                    prediction_id=store.new_prediction_id(),
                    made_at=at,
                    bundle="sha256:b",
                    reference=reference or self.reference.id,
                    release="r1",
                    track=track,
                    unit=None,
                    counts=False,
                    subject=None,
                    row=row,
                    predicted=str(predicted),
                    confidence=float(confidence),
                )
                for row, predicted, confidence in zip(logged, rows.predicted, rows.confidence, strict=True)
            ]
            said = [Answer.CORRECT] * right + [Answer.WRONG] * wrong
            with store.transaction() as transaction:
                transaction.add_predictions(predictions)
                for prediction, answer in zip(predictions, said, strict=False):
                    transaction.add_feedback(
                        prediction_id=prediction.prediction_id,
                        answer=answer,
                        label=implied_label(answer, None, predicted=prediction.predicted, classes=CLASSES),
                        reporter=None,
                        at=at,
                    )


def make_pipeline(directory: Path, *, promoted_at: datetime = PROMOTED, champion: bool = True) -> Pipeline:
    """``params.yaml`` and the champion's git-tracked files, committed and assigned to stable."""
    directory.mkdir()
    write_params(directory, RULES)
    reference = make_reference()
    manifest = {"schema": "remint/manifest/1.0", "pipeline": PIPELINE, "files": {}, "libraries": {}}
    metadata = {"training_rows": 2_000, "until": {"sequence": 0, "arrived_at": None}}
    files = {
        "reference.json": reference.to_json(),
        "metadata.json": seal(DocumentKind.METADATA, PIPELINE, metadata, parents=[reference.id]),
        "manifest.json": {**manifest, "id": content_id(manifest)},
        "metrics.json": {
            "test": {"accuracy": 0.9},
            "golden": {"accuracy": 0.9},
            "fresh": None,
            "rows": {"test": 500, "golden": 50, "fresh": 0},
        },
    }
    (directory / "artifacts").mkdir()
    for name, document in files.items():
        (directory / "artifacts" / name).write_text(json.dumps(document))
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "First model"]):
        subprocess.run(["git", *command], cwd=directory, check=True)
    if champion:
        git = Git(directory)
        assign(git, PIPELINE, git.head(), now=promoted_at)
    return Pipeline(directory, reference, f"sqlite:///{directory.parent / 'store.db'}")


def write_params(directory: Path, rules: Mapping[str, Any], **check: Any) -> None:
    params = {
        "pipeline": PIPELINE,
        "task": {"data": "data/x.csv", "label": "churned", "columns": {"size": "numeric", "city": "categorical"}},
        "prepare": {"golden": {"sha256": "0" * 64}},
        "train": {"estimator": "remint.estimators:linear"},
        "gate": {"rules": [{"metric": "accuracy", "role": "gate"}]},
        "check": {
            "source": "log",
            "no_data": NO_DATA,
            **check,
            "rules": {name: dict(rule) for name, rule in rules.items()},
        },
    }
    (directory / "params.yaml").write_text(yaml.safe_dump(params))


def exposition(reference: Reference, counts: Counts, *, right: int, wrong: int, sequence: int, at: datetime) -> str:
    """What the service's ``/metrics`` says after these counts."""
    mine = f'pipeline="{PIPELINE}",reference="{reference.id}",track="stable"'
    lines = [
        f'remint_bin_total{{{mine},field="{field}",bin="{i}"}} {n}'
        for field, bins in counts.items()
        for i, n in enumerate(bins)
    ]
    for outcome, n in (("right", right), ("wrong", wrong), ("unknown", 0)):
        lines.append(f'remint_feedback_total{{{mine},outcome="{outcome}"}} {n}')
    lines.append(f'remint_feedback_sequence{{pipeline="{PIPELINE}"}} {sequence}')
    lines.append(f'remint_feedback_arrived_timestamp_seconds{{pipeline="{PIPELINE}"}} {at.timestamp()}')
    return "\n".join(lines)
