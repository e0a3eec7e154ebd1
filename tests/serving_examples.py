"""Small real bundles and what a service needs around them, for the tests of serving."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from params_examples import only_age
from remint.adapters.bundle import Bundle, predict, read_bundle, write_bundle
from remint.adapters.state import write_state
from remint.config import Serve
from remint.core.document import DocumentKind, seal
from remint.core.profile import build_reference
from remint.core.release import ReleaseState
from remint.core.schema import Column, Kind, Schema
from remint.core.table import Table

PIPELINE = "iris-demo"
TRUSTED = ("numpy.dtype",)  # of the imputer; the service has it from params.yaml
ROW = {"x": 0.5, "y": -1.0}


def make_bundle(
    bundles: Path,
    *,
    seed: int = 0,
    classes: tuple[str, ...] = ("no", "yes"),
    flipped: bool = False,
    transformer: Any = None,
    trusted: tuple[str, ...] = TRUSTED,
) -> Bundle:
    """Train on two numbers, write the bundle under ``bundles`` by its id, read it back."""
    schema = Schema(
        pipeline=PIPELINE,
        features=(Column(name="x", kind=Kind.NUMERIC), Column(name="y", kind=Kind.NUMERIC)),
        label="label",
        classes=classes,
    )
    random = np.random.default_rng(seed)
    values = random.normal(size=(300, 2))
    cuts = np.quantile(values[:, 0], np.linspace(0, 1, len(classes) + 1)[1:-1])
    codes = np.searchsorted(cuts, -values[:, 0] if flipped else values[:, 0])
    table = Table(schema.features, {"x": values[:, 0], "y": values[:, 1]})
    steps = [SimpleImputer(), transformer or StandardScaler(), LogisticRegression()]
    model = make_pipeline(*steps).fit(values, codes)
    found = predict(model, schema, table)
    reference = build_reference(
        schema, table, held_out_predicted=found.labels, held_out_confidence=found.confidence, bins=5
    )
    draft = bundles / f"draft-{seed}-{len(classes)}-{flipped}"
    bundle_id = write_bundle(
        draft,
        model=model,
        schema=schema,
        reference=reference,
        golden=table.take(np.arange(20)),
        metadata=seal(DocumentKind.METADATA, PIPELINE, {"training_rows": 300}, parents=[reference.id]),
        trusted_types=trusted,
    )
    final = bundles / bundle_id.removeprefix("sha256:")
    if not final.exists():
        draft.rename(final)
    return read_bundle(final, trusted_types=trusted, expected_id=bundle_id)


def state_of(stable: Bundle, canary: Bundle | None = None, *, step: int = -1, release: str = "r1") -> ReleaseState:
    return ReleaseState(
        pipeline=PIPELINE,
        release=release,
        stable=stable.id,
        canary=canary.id if canary else None,
        steps=(0.1, 0.5, 1.0),
        step=step,
    )


class FaultyModel:
    """Wraps a model: raises for rows with x > 1e6, answers NaN for rows with x < -1e6."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.classes_ = model.classes_

    def predict_proba(self, rows: Any) -> Any:
        if (rows[:, 0] > 1e6).any():
            raise ZeroDivisionError("boom")
        found = self.model.predict_proba(np.clip(rows, -1e6, 1e6))
        found[rows[:, 0] < -1e6] = np.nan
        return found


def faulty(bundle: Bundle) -> Bundle:
    return replace(bundle, model=FaultyModel(bundle.model))


def write_params(path: Path, *, trusted: tuple[str, ...] = TRUSTED, **serve: int) -> None:
    """A ``params.yaml`` that ``remint serve`` accepts."""
    params = {
        "pipeline": PIPELINE,
        "task": {"data": "data/x.csv", "label": "label", "columns": {"x": "numeric", "y": "numeric"}},
        "prepare": {"golden": {"sha256": "0" * 64}},
        "train": {"estimator": "remint.estimators:linear", "trusted_types": list(trusted)},
        "gate": {"rules": [{"metric": "accuracy", "role": "gate"}]},
        "check": only_age("30d"),
        "serve": {**Serve(min_free_bytes=0).model_dump(), **serve},
    }
    path.write_text(yaml.safe_dump(params))


__all__ = ["PIPELINE", "ROW", "FaultyModel", "faulty", "make_bundle", "state_of", "write_params", "write_state"]
