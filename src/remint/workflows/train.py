"""The train stage: prepared rows in; the model bundle and its git-tracked evidence out."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from remint import __version__
from remint.adapters.bundle import MANIFEST, METADATA, REFERENCE, predict, write_bundle
from remint.adapters.frames import read_rows
from remint.adapters.packages import library_versions
from remint.config import Params
from remint.core.document import DocumentKind, content_id, seal
from remint.core.profile import build_reference
from remint.core.rows import LabelledRows
from remint.core.schema import Schema
from remint.errors import ConfigError, DataError, RemintError
from remint.workflows.prepare import PREPARED

BUNDLE: Final = Path("artifacts/bundle")
ARTIFACTS: Final = Path("artifacts")
_COPIES: Final = (REFERENCE, METADATA, MANIFEST)  # git-tracked: what check and gate read at a tag


def train(params: Params, directory: Path) -> None:
    """Fit the declared estimator, freeze the reference profile and write the bundle.

    Same prepared rows, code, parameters and packages give the same bytes. Raises ConfigError where the estimator
    cannot be made, DataError where it cannot be fitted.
    """
    features = params.task.features
    training = read_rows(directory / PREPARED / "train.parquet", features)
    held_out = read_rows(directory / PREPARED / "held_out.parquet", features)
    golden = read_rows(directory / PREPARED / "golden.parquet", features)
    schema = Schema(
        pipeline=params.pipeline,
        features=features,
        label=params.task.label,
        classes=tuple(sorted(set(training.labels.tolist()))),
    )
    function = load_function(params.train.estimator)
    model = fit(function, schema, training, parameters=params.train.parameters, seed=params.train.seed)
    answers = predict(model, schema, held_out.table)
    reference = build_reference(
        schema,
        training.table,
        held_out_predicted=answers.labels,
        held_out_confidence=answers.confidence,
        bins=params.train.bins,
    )
    metadata = seal(
        DocumentKind.METADATA,
        params.pipeline,
        {
            "training_rows": training.rows,
            "classes": list(schema.classes),
            "until": params.prepare.until.model_dump(),
            "estimator": params.train.estimator,
            "hashes": _hashes(params, directory, function),
            "packages": {"remint": __version__, **library_versions()},
        },
        parents=[reference.id],
    )
    write_bundle(
        directory / BUNDLE,
        model=model,
        schema=schema,
        reference=reference,
        golden=golden.table,
        metadata=metadata,
        trusted_types=params.train.trusted_types,
    )
    for name in _COPIES:
        shutil.copyfile(directory / BUNDLE / name, directory / ARTIFACTS / name)


def load_function(name: str) -> Callable[..., Any]:
    """The function behind ``module:function``; raises ConfigError where there is none."""
    where = "params.yaml: train.estimator"
    module_name, _, attribute = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a team's module may fail in any way when it is imported
        raise ConfigError(f"{module_name!r} cannot be imported: {error}", where=where) from error
    function = getattr(module, attribute, None)
    if not callable(function):
        raise ConfigError(f"{module_name!r} has no function {attribute!r}", where=where)
    found: Callable[..., Any] = function
    return found


def fit(
    function: Callable[..., Any], schema: Schema, training: LabelledRows, *, parameters: Mapping[str, Any], seed: int
) -> Any:
    """The estimator fitted on class codes (positions in ``schema.classes``)."""
    codes = {name: code for code, name in enumerate(schema.classes)}
    targets = np.array([codes[label] for label in training.labels.tolist()], dtype=np.int64)
    try:
        return function(schema, parameters, seed).fit(training.table.matrix(), targets)
    except RemintError:
        raise
    except Exception as error:  # whatever a team's estimator raises is about its data or its code, not ours
        raise DataError(
            f"the estimator failed on {training.rows} rows: {type(error).__name__}: {error}",
            where="params.yaml: train",
        ) from error


def _hashes(params: Params, directory: Path, function: Callable[..., Any]) -> dict[str, str]:
    """sha256 of what the model came from; never a commit, a time or a host: those hang on the registry's tag."""
    prepared = sorted((directory / PREPARED).glob("*.parquet"))
    code = [*sorted((directory / "stages").glob("*.py")), Path(inspect.getfile(function))]
    sections = params.model_dump(mode="json", include={"pipeline", "task", "prepare", "train"})
    return {
        "data": _digest(prepared),
        "code": _digest(code, __version__),
        "params": content_id(sections),
        "packages": content_id(library_versions()),
    }


def _digest(files: list[Path], *further: str) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode() + b"\x00" + hashlib.sha256(path.read_bytes()).digest())
    for text in further:
        digest.update(text.encode())
    return f"sha256:{digest.hexdigest()}"
