"""The model bundle: a directory with the model and everything that it is served, checked and compared by.

::

    model.skops              the estimator, in a canonical archive whose bytes repeat (``adapters.archive``)
    schema.json              features with their kinds, label, classes
    reference.json           the reference profile, a sealed document
    golden_predictions.json  [{"features": {...}, "label": predicted class, "probabilities": [...]}]
    metadata.json            hashes of data, code, params and packages, a sealed document
    manifest.json            sha256 and size of each file, library versions; its content id is the bundle's id

Reading trusts nothing: every byte is hashed before it is parsed, types are trusted by name in reviewed code and
``params.yaml`` only, other library versions are refused, and the golden predictions must come out again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from remint.adapters.archive import dump_model, load_model
from remint.adapters.packages import library_versions
from remint.core.document import DocumentKind, content_id, unseal
from remint.core.profile import Reference
from remint.core.schema import Schema
from remint.core.table import Table, table_from_rows
from remint.errors import BundleError, DataError, DocumentError

MANIFEST: Final = "manifest.json"
MODEL: Final = "model.skops"
SCHEMA: Final = "schema.json"
REFERENCE: Final = "reference.json"
GOLDEN: Final = "golden_predictions.json"
METADATA: Final = "metadata.json"
FILES: Final = (MODEL, SCHEMA, REFERENCE, GOLDEN, METADATA)

GOLDEN_ROWS: Final = 50
GOLDEN_TOLERANCE: Final = 1e-6  # of a probability: other processors round differently, other models differ by more

_MANIFEST_SCHEMA: Final = "remint/manifest/1.0"
_MAX_MODEL_BYTES: Final = 1 << 30
_MAX_FILE_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says about some rows. A row it failed on has NaN confidence; its label means nothing then."""

    labels: npt.NDArray[Any]  # object array of class names, (rows,)
    confidence: npt.NDArray[np.float64]  # the label's probability, (rows,)
    probabilities: npt.NDArray[np.float64]  # (rows, classes), columns in the schema's order


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A bundle that was read and found whole."""

    id: str  # "sha256:..."
    schema: Schema
    reference: Reference
    metadata: Mapping[str, Any]
    golden: Sequence[Mapping[str, Any]]  # as in golden_predictions.json
    model: Any

    @property
    def pipeline(self) -> str:
        return self.schema.pipeline

    def predict(self, table: Table) -> Prediction:
        """The model's answers for the rows of ``table``; no rows give no answers."""
        return predict(self.model, self.schema, table)


def predict(model: Any, schema: Schema, table: Table) -> Prediction:
    """Ask ``model`` (anything with ``predict_proba`` and ``classes_``) about the rows of ``table``.

    A class that the model never saw has probability 0. Raises BundleError where the model's ``classes_`` are not codes
    of the schema's classes, or its probabilities have another shape.
    """
    codes = np.asarray(model.classes_)
    if codes.dtype.kind not in "iu" or len(np.unique(codes)) != len(codes):
        raise BundleError(f"the model's classes_ are not class codes: {codes.tolist()!r:.80}")
    if len(codes) == 0 or codes.min() < 0 or codes.max() >= len(schema.classes):
        raise BundleError(f"the model's classes_ go beyond the {len(schema.classes)} classes of the schema")
    probabilities = np.zeros((table.rows, len(schema.classes)))
    if table.rows:
        found = np.asarray(model.predict_proba(table.matrix()), dtype=np.float64)
        if found.shape != (table.rows, len(codes)):
            raise BundleError(f"predict_proba gave shape {found.shape}, not {(table.rows, len(codes))}")
        probabilities[:, codes] = found
    names = np.array(schema.classes, dtype=object)
    return Prediction(names[probabilities.argmax(axis=1)], probabilities.max(axis=1), probabilities)


def write_bundle(
    directory: Path,
    *,
    model: Any,
    schema: Schema,
    reference: Reference,
    golden: Table,
    metadata: Mapping[str, Any],
    trusted_types: Sequence[str] = (),
) -> str:
    """Write the bundle to ``directory`` (replaced where it exists; whole or absent) and return its id.

    The golden predictions are those of the model as read back from its archive, so what is served is what was written.
    ``metadata`` is a sealed document. Raises BundleError where the model cannot be stored or holds types that are
    neither ours nor among ``trusted_types``.
    """
    if golden.rows == 0:
        raise DataError("no golden row: a bundle cannot prove that it answers as it did when it was trained")
    archive = dump_model(model)
    if len(archive) > _MAX_MODEL_BYTES:
        raise BundleError(f"the model takes {len(archive):,} bytes, more than {_MAX_MODEL_BYTES:,}", where=MODEL)
    stored = load_model(archive, trusted_types=trusted_types, where=MODEL)
    contents = {
        MODEL: archive,
        SCHEMA: _json_bytes(schema.to_json()),
        REFERENCE: _json_bytes(reference.to_json()),
        GOLDEN: _json_bytes(_golden_predictions(stored, schema, golden)),
        METADATA: _json_bytes(metadata),
    }
    manifest: dict[str, Any] = {
        "schema": _MANIFEST_SCHEMA,
        "pipeline": schema.pipeline,
        "files": {
            name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            for name, content in contents.items()
        },
        "libraries": library_versions(),
    }
    manifest["id"] = content_id(manifest)
    contents[MANIFEST] = _json_bytes(manifest)
    _write_directory(directory, contents)
    return str(manifest["id"])


def read_bundle(directory: Path, *, trusted_types: Sequence[str] = (), expected_id: str | None = None) -> Bundle:
    """Read and verify a bundle; raises BundleError with the first thing that is wrong with it.

    ``trusted_types`` are ``train.trusted_types``; ``expected_id`` the id that the state file or the registry names.
    """
    manifest = read_manifest(directory, expected_id=expected_id)
    contents = _read_files(directory, manifest)
    for name, installed in library_versions().items():
        made_with = manifest["libraries"].get(name)
        if made_with != installed:
            raise BundleError(
                f"made with {name} {made_with}, but {installed} is installed",
                where=str(directory),
                hint="install the version it was made with",
            )
    try:
        schema = Schema.from_json(_parse(contents[SCHEMA], SCHEMA))
        reference = Reference.from_json(unseal(_parse(contents[REFERENCE], REFERENCE), DocumentKind.REFERENCE))
        metadata = unseal(_parse(contents[METADATA], METADATA), DocumentKind.METADATA)
        golden = _parse(contents[GOLDEN], GOLDEN)
        if {schema.pipeline, reference.pipeline, metadata["pipeline"]} != {manifest["pipeline"]}:
            raise BundleError("its files belong to different pipelines")
        model = load_model(contents[MODEL], trusted_types=trusted_types, where=MODEL)
        _check_golden(model, schema, golden)
    except BundleError as error:
        where = f"{directory}/{error.where}" if error.where else str(directory)
        raise BundleError(error.message, where=where, hint=error.hint) from error
    except (DataError, DocumentError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(f"malformed: {type(error).__name__}: {error}", where=str(directory)) from error
    return Bundle(
        id=manifest["id"], schema=schema, reference=reference, metadata=metadata, golden=tuple(golden), model=model
    )


def read_manifest(directory: Path, *, expected_id: str | None = None) -> dict[str, Any]:
    """The manifest, its id and shape checked, the files it names not yet. Raises BundleError."""
    try:
        listed = {entry.name for entry in directory.iterdir()}
    except OSError as error:
        raise BundleError(f"cannot be read: {error.strerror}", where=str(directory)) from None
    if MANIFEST not in listed:
        raise BundleError("manifest.json is missing: not a bundle", where=str(directory))
    try:
        manifest = _parse(_read_regular(directory / MANIFEST, _MAX_FILE_BYTES), MANIFEST)
    except BundleError as error:
        raise BundleError(error.message, where=str(directory / MANIFEST)) from None
    if not isinstance(manifest, dict) or not str(manifest.get("schema")).startswith("remint/manifest/"):
        raise BundleError("not a bundle's manifest", where=str(directory / MANIFEST))
    if not manifest["schema"].startswith("remint/manifest/1."):
        raise BundleError(
            f"{manifest['schema']} is unknown here", where=str(directory), hint="install the Remint that wrote it"
        )
    if manifest.get("id") != content_id({key: value for key, value in manifest.items() if key != "id"}):
        raise BundleError("content does not give its id: changed after it was written", where=f"{directory}/{MANIFEST}")
    if expected_id is not None and manifest["id"] != expected_id:
        raise BundleError(f"is {manifest['id']}, not {expected_id}", where=str(directory))
    if not _is_well_formed(manifest):
        raise BundleError("does not list exactly a bundle's files", where=f"{directory}/{MANIFEST}")
    if extra := sorted(listed - {*FILES, MANIFEST}):
        raise BundleError(f"{extra[0]!r} is not part of a bundle", where=str(directory))
    return manifest


def bundle_bytes(directory: Path) -> int:
    """The size of the bundle's files by its manifest, which is not counted itself."""
    return sum(int(file["bytes"]) for file in read_manifest(directory)["files"].values())


def _is_well_formed(manifest: Mapping[str, Any]) -> bool:
    files, libraries = manifest.get("files"), manifest.get("libraries")
    return (
        isinstance(manifest.get("pipeline"), str)
        and isinstance(libraries, dict)
        and isinstance(files, dict)
        and files.keys() == set(FILES)  # so no name in it can lead out of the directory
        and all(
            isinstance(entry, dict) and isinstance(entry.get("sha256"), str) and isinstance(entry.get("bytes"), int)
            for entry in files.values()
        )
    )


def _read_files(directory: Path, manifest: Mapping[str, Any]) -> dict[str, bytes]:
    """Each file's bytes, hashed. What is parsed later are these bytes: nothing is read twice."""
    contents = {}
    for name in FILES:
        promised = manifest["files"][name]
        content = _read_regular(directory / name, _MAX_MODEL_BYTES if name == MODEL else _MAX_FILE_BYTES)
        if len(content) != promised["bytes"]:
            raise BundleError(
                f"holds {len(content):,} bytes instead of {promised['bytes']:,}: truncated or changed",
                where=str(directory / name),
            )
        if hashlib.sha256(content).hexdigest() != promised["sha256"]:
            raise BundleError(
                "its sha256 is not the manifest's: changed after it was written", where=f"{directory}/{name}"
            )
        contents[name] = content
    return contents


def _read_regular(path: Path, limit: int) -> bytes:
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise BundleError("not a regular file", where=str(path), hint="links are not followed")
        if status.st_size > limit:
            raise BundleError(f"holds {status.st_size:,} bytes, more than {limit:,}", where=str(path))
        with path.open("rb") as file:
            return file.read(limit + 1)
    except FileNotFoundError:
        raise BundleError("missing", where=str(path)) from None
    except OSError as error:
        raise BundleError(f"cannot be read: {error.strerror}", where=str(path)) from None


def _golden_predictions(model: Any, schema: Schema, golden: Table) -> list[dict[str, Any]]:
    rows = golden.take(np.arange(min(golden.rows, GOLDEN_ROWS))).to_rows()
    found = predict(model, schema, table_from_rows(schema, rows))
    if not np.isfinite(found.probabilities).all():
        raise BundleError("the model's probabilities for golden rows are not finite")
    return [
        {"features": row, "label": label, "probabilities": probabilities}
        for row, label, probabilities in zip(rows, found.labels.tolist(), found.probabilities.tolist(), strict=True)
    ]


def _check_golden(model: Any, schema: Schema, golden: Sequence[Mapping[str, Any]]) -> None:
    if not golden:
        raise BundleError("no golden prediction to verify the model by", where=GOLDEN)
    found = predict(model, schema, table_from_rows(schema, [row["features"] for row in golden]))
    expected = np.array([row["probabilities"] for row in golden], dtype=np.float64)
    if expected.shape != found.probabilities.shape:
        raise BundleError("golden predictions are about other classes", where=GOLDEN)
    gaps = np.abs(expected - found.probabilities).max(axis=1)
    of_label = found.probabilities[np.arange(len(golden)), [schema.classes.index(row["label"]) for row in golden]]
    # A label may only differ where the two best classes are as good as equal.
    agrees = (gaps <= GOLDEN_TOLERANCE) & (of_label >= found.confidence - GOLDEN_TOLERANCE)  # NaN never agrees
    if not agrees.all():
        i = int(np.argmin(agrees))
        raise BundleError(
            f"the model does not repeat golden prediction {i}: {found.labels[i]!r} at {found.confidence[i]:.6f}, "
            f"recorded {golden[i]['label']!r} at {expected[i].max():.6f}",
            where=GOLDEN,
        )


def _json_bytes(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _parse(content: bytes, name: str) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"not JSON: {error}", where=name) from None


def _write_directory(directory: Path, contents: Mapping[str, bytes]) -> None:
    """The directory is whole or absent: written beside, then renamed into place."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=directory.parent, prefix=f".{directory.name}."))
    try:
        draft.chmod(0o755)
        for name, content in contents.items():
            (draft / name).write_bytes(content)
        if directory.exists():
            former = draft.with_name(f"{draft.name}.former")
            directory.rename(former)
            draft.rename(directory)
            shutil.rmtree(former)
        else:
            draft.rename(directory)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
