"""The train stage: prepared rows in; the model bundle, and git-tracked copies of its small files, out."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from threadpoolctl import threadpool_limits

from remint import __version__
from remint.adapters.bundle import MANIFEST, METADATA, REFERENCE, predict, write_bundle
from remint.adapters.frames import read_rows
from remint.adapters.modules import import_function, importable, source_of
from remint.adapters.packages import library_versions
from remint.config import Params
from remint.core.document import DocumentKind, content_id, seal
from remint.core.profile import Reference, build_reference
from remint.core.rows import LabelledRows
from remint.core.schema import Schema
from remint.errors import BundleError, ConfigError, DataError, RemintError
from remint.workflows.prepare import PREPARED

ARTIFACTS: Final = Path("artifacts")
BUNDLE: Final = Path("artifacts/bundle")
_ESTIMATOR: Final = "params.yaml: train.estimator"
_SIDES: Final = ("train", "held_out", "test", "fresh", "golden")


def train(params: Params, directory: Path) -> None:
    """Fit ``train.estimator`` on the training rows and write ``artifacts/bundle/``.

    Nothing of the bundle depends on the time, the host or the number of processors: training twice from the same
    commit and data gives the same bytes. Raises ConfigError where the estimator cannot be had, DataError where the
    rows cannot be learned from, BundleError where the model cannot be stored.
    """
    prepared = directory / PREPARED
    features = params.task.features
    rows = {side: read_rows(prepared / f"{side}.parquet", features) for side in ("train", "held_out", "golden")}
    schema = Schema(
        pipeline=params.pipeline,
        features=features,
        label=params.task.label,
        classes=tuple(sorted(set(rows["train"].labels.tolist()))),
    )
    with importable(directory):
        make = import_function(params.train.estimator, where=_ESTIMATOR)
        model = _made(make, params, schema)
    # Sums depend in their last bits on how many threads share them: one thread, the same bytes on any machine. Entered
    # only now, because it finds the libraries that are loaded.
    with importable(directory), threadpool_limits(limits=1):
        _fit(model, params, schema, rows["train"])
        held_out = predict(model, schema, rows["held_out"].table)
        if not np.isfinite(held_out.probabilities).all():
            raise DataError("the model's probabilities for held-out rows are not finite", where=_ESTIMATOR)
        reference = build_reference(
            schema,
            rows["train"].table,
            held_out_predicted=held_out.labels,
            held_out_confidence=held_out.confidence,
            bins=params.train.bins,
        )
        metadata = _metadata(params, schema, rows["train"].rows, reference, directory, code=source_of(make))
        write_bundle(
            directory / BUNDLE,
            model=model,
            schema=schema,
            reference=reference,
            golden=rows["golden"].table,
            metadata=metadata,
            trusted_types=params.train.trusted_types,
        )
    for name in (REFERENCE, METADATA, MANIFEST):  # git-tracked: what check and gate read at a tag, without DVC
        shutil.copyfile(directory / BUNDLE / name, directory / ARTIFACTS / name)


def _made(make: Callable[..., Any], params: Params, schema: Schema) -> Any:
    name = params.train.estimator
    try:
        model = make(schema, params.train.parameters, params.train.seed)
        absent = [method for method in ("fit", "predict_proba") if not callable(getattr(model, method, None))]
    except RemintError:
        raise
    except Exception as error:  # the team's code may raise anything
        raise ConfigError(f"{name} raised {type(error).__name__}: {error}", where=_ESTIMATOR) from error
    if absent:
        raise ConfigError(f"what {name} returned has no {absent[0]}()", where=_ESTIMATOR)
    return model


def _fit(model: Any, params: Params, schema: Schema, rows: LabelledRows) -> None:
    name = params.train.estimator
    codes = {label: code for code, label in enumerate(schema.classes)}
    y = np.array([codes[label] for label in rows.labels.tolist()], dtype=np.int64)
    try:
        model.fit(rows.table.matrix(), y)
    except RemintError:
        raise
    except Exception as error:
        if type(error).__name__ == "InvalidParameterError":  # scikit-learn checks parameters only when it fits
            raise ConfigError(str(error), where="params.yaml: train.parameters") from error
        raise DataError(f"{name} failed to fit: {type(error).__name__}: {error}", where=str(PREPARED)) from error
    try:
        predict(model, schema, rows.table.take(np.arange(1)))
    except BundleError as error:
        raise ConfigError(f"{name}: {error.message}", where=_ESTIMATOR) from error


def _metadata(
    params: Params, schema: Schema, training_rows: int, reference: Reference, directory: Path, *, code: bytes
) -> dict[str, Any]:
    """What the model was made of; never a commit, a time or a host: those hang on the registry's tag."""
    packages = {"remint": __version__, **library_versions()}
    body = {
        "training_rows": training_rows,
        "classes": list(schema.classes),
        "until": params.prepare.until.model_dump(mode="json"),
        "estimator": params.train.estimator,
        "hashes": {
            "data": _data_hash(directory / PREPARED),
            "code": _code_hash(directory, code),
            "params": content_id(params.model_dump(mode="json", include={"task", "prepare", "train"})),
            "packages": content_id(packages),
        },
        "packages": packages,
    }
    return seal(DocumentKind.METADATA, params.pipeline, body, parents=[reference.id])


def _data_hash(prepared: Path) -> str:
    digests = {side: _sha256((prepared / f"{side}.parquet").read_bytes()) for side in _SIDES}
    return content_id(digests)


def _code_hash(directory: Path, estimator: bytes) -> str:
    stages = {path.name: _sha256(path.read_bytes()) for path in sorted((directory / "stages").glob("*.py"))}
    return content_id({"stages": stages, "estimator": _sha256(estimator), "remint": __version__})


def _sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()
