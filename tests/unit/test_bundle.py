"""Claims about bundles: nothing that was touched, cut, linked, foreign or untrusted is ever used."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.tree import DecisionTreeClassifier

from remint.adapters import packages
from remint.adapters.archive import TRUSTED_TYPES, canonical_archive, dump_model, load_model
from remint.adapters.bundle import FILES, MANIFEST, predict, read_bundle, write_bundle
from remint.core.document import DocumentKind, content_id, seal
from remint.core.profile import build_reference
from remint.core.schema import Schema
from remint.errors import BundleError, DataError
from remint.estimators import boosting, linear
from training_examples import Tag, features, make_rows, ordered_things


def write(directory: Path, name: str = "linear", make: Callable[..., Any] = linear, golden: int = 60) -> str:
    schema = Schema(pipeline="shop", features=features(name), label="y", classes=("class-0", "class-1"))
    rows = make_rows(name, 200)
    codes = np.array([schema.classes.index(label) for label in rows.labels])
    model = make(schema, {"max_iter": 20} if make is boosting else {}, 0).fit(rows.table.matrix(), codes)
    found = predict(model, schema, rows.table)
    reference = build_reference(
        schema, rows.table, held_out_predicted=found.labels, held_out_confidence=found.confidence
    )
    return write_bundle(
        directory,
        model=model,
        schema=schema,
        reference=reference,
        golden=rows.table.take(np.arange(golden)),
        metadata=seal(DocumentKind.METADATA, "shop", {"training_rows": 200}, parents=[reference.id]),
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("bundles") / "bundle"
    write(directory)
    return directory


@pytest.fixture
def bundle(written: Path, tmp_path: Path) -> Path:
    return shutil.copytree(written, tmp_path / "bundle")


def rewrite(directory: Path, name: str, change: Callable[[Any], Any]) -> None:
    """Change a file and make the manifest fit again: what somebody does who controls the whole bundle."""
    path = directory / name
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    refit(directory)


def refit(directory: Path) -> None:
    manifest = json.loads((directory / MANIFEST).read_text())
    for name in FILES:
        content = (directory / name).read_bytes()
        manifest["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    seal_manifest(directory, manifest)


def seal_manifest(directory: Path, manifest: dict[str, Any]) -> None:
    manifest["id"] = content_id({k: v for k, v in manifest.items() if k != "id"})
    (directory / MANIFEST).write_text(json.dumps(manifest))


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    bundle_id = write(tmp_path / "b")
    found = read_bundle(tmp_path / "b", expected_id=bundle_id)
    assert found.id == bundle_id
    assert found.pipeline == "shop"
    assert len(found.golden) == 50
    rows = make_rows("linear", 200).table
    again = found.predict(rows)
    assert again.confidence.min() >= 0.5
    assert {"features", "label", "probabilities"} == found.golden[0].keys()
    assert again.labels[0] == found.golden[0]["label"]


def test_a_bundle_takes_the_place_of_the_former_one(tmp_path: Path) -> None:
    first = write(tmp_path / "b")
    second = write(tmp_path / "b", "boosting", boosting)
    assert first != second
    assert read_bundle(tmp_path / "b").id == second
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_a_bundle_without_golden_rows_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no golden row"):
        write(tmp_path / "b", golden=0)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
@pytest.mark.parametrize("damage", ["changed", "truncated", "emptied", "missing", "linked", "directory"])
def test_a_damaged_file_is_one_clear_error(bundle: Path, name: str, damage: str) -> None:
    path = bundle / name
    content = path.read_bytes()
    path.unlink()
    match damage:
        case "changed":
            middle = len(content) // 2
            path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
        case "truncated":
            path.write_bytes(content[:-7])
        case "emptied":
            path.write_bytes(b"")
        case "linked":
            (bundle.parent / "elsewhere").write_bytes(content)
            path.symlink_to(bundle.parent / "elsewhere")
        case "directory":
            path.mkdir()
    with pytest.raises(BundleError) as caught:
        read_bundle(bundle)
    assert "\n" not in str(caught.value)
    assert str(bundle) in str(caught.value)


def test_another_bundle_than_the_expected_one_is_refused(bundle: Path) -> None:
    with pytest.raises(BundleError, match="not sha256:0000"):
        read_bundle(bundle, expected_id="sha256:0000")


def test_a_file_too_many_is_refused(bundle: Path) -> None:
    (bundle / "model.pkl").write_bytes(b"")
    with pytest.raises(BundleError, match=r"'model.pkl' is not part of a bundle"):
        read_bundle(bundle)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "model.skops/../x"])
def test_a_manifest_never_leads_out_of_the_directory(bundle: Path, name: str) -> None:
    manifest = json.loads((bundle / MANIFEST).read_text())
    manifest["files"][name] = manifest["files"].pop("schema.json")
    seal_manifest(bundle, manifest)
    with pytest.raises(BundleError, match="exactly a bundle's files"):
        read_bundle(bundle)


def test_no_directory_and_no_bundle_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="No such file"):
        read_bundle(tmp_path / "nowhere")
    with pytest.raises(BundleError, match="not a bundle"):
        read_bundle(tmp_path)


def test_an_unknown_major_version_is_refused(bundle: Path) -> None:
    manifest = json.loads((bundle / MANIFEST).read_text())
    seal_manifest(bundle, {**manifest, "schema": "remint/manifest/2.0"})
    with pytest.raises(BundleError, match=r"remint/manifest/2.0 is unknown here"):
        read_bundle(bundle)


@pytest.mark.parametrize("library", ["python", *packages.LIBRARIES])
def test_other_library_versions_are_refused_with_both_named(bundle: Path, library: str) -> None:
    manifest = json.loads((bundle / MANIFEST).read_text())
    installed = manifest["libraries"][library]
    manifest["libraries"][library] = "0.1"
    seal_manifest(bundle, manifest)
    with pytest.raises(BundleError, match=f"made with {library} 0.1, but {installed} is installed"):
        read_bundle(bundle)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("schema.json", lambda d: {**d, "classes": ["class-0"]}),
        ("schema.json", lambda d: {**d, "pipeline": "other"}),
        ("schema.json", lambda d: {**d, "features": d["features"][:1]}),
        ("schema.json", lambda d: []),
        ("reference.json", lambda d: {**d, "training_rows": 7}),
        ("metadata.json", lambda d: None),
        ("golden_predictions.json", lambda d: []),
        ("golden_predictions.json", lambda d: [{**d[0], "label": "class-9"}]),
        ("golden_predictions.json", lambda d: [{**d[0], "probabilities": [0.5]}]),
        ("golden_predictions.json", lambda d: [{**d[0], "probabilities": [float("nan")] * 2}]),
        ("golden_predictions.json", lambda d: [{**d[0], "features": {"size": "tall"}}]),
        ("golden_predictions.json", lambda d: {"rows": 3}),
    ],
)
def test_content_that_does_not_belong_together_is_refused(bundle: Path, name: str, change: Any) -> None:
    rewrite(bundle, name, change)
    with pytest.raises(BundleError) as caught:
        read_bundle(bundle)
    assert str(bundle) in str(caught.value)


def test_golden_predictions_must_come_out_again(bundle: Path) -> None:
    def shift(rows: Any, by: float) -> Any:
        first = rows[0]["probabilities"]
        return [{**rows[0], "probabilities": [first[0] + by, first[1] - by]}, *rows[1:]]

    rewrite(bundle, "golden_predictions.json", lambda rows: shift(rows, 5e-7))
    read_bundle(bundle)
    rewrite(bundle, "golden_predictions.json", lambda rows: shift(rows, 1e-5))
    with pytest.raises(BundleError, match="does not repeat golden prediction 0"):
        read_bundle(bundle)


def test_a_label_that_is_not_the_most_probable_one_is_refused(bundle: Path) -> None:
    other = {"class-0": "class-1", "class-1": "class-0"}
    rewrite(bundle, "golden_predictions.json", lambda rows: [{**rows[0], "label": other[rows[0]["label"]]}, *rows[1:]])
    with pytest.raises(BundleError, match="does not repeat golden prediction 0"):
        read_bundle(bundle)


def test_types_that_nobody_trusts_are_named(bundle: Path) -> None:
    tree = DecisionTreeClassifier().fit(make_rows("numbers", 20).table.matrix(), np.arange(20) % 2)
    (bundle / "model.skops").write_bytes(skops.io.dumps(tree))
    refit(bundle)
    with pytest.raises(BundleError, match=r"nobody trusts: sklearn.tree._tree.Tree .*train.trusted_types"):
        read_bundle(bundle)


@pytest.mark.parametrize("content", [b"", b"PK", b"\x80\x04.", b"not a zip"])
def test_a_model_that_is_no_archive_is_refused(bundle: Path, content: bytes) -> None:
    (bundle / "model.skops").write_bytes(content)
    refit(bundle)
    with pytest.raises(BundleError, match=r"model.skops: not a readable skops archive"):
        read_bundle(bundle)


@pytest.mark.parametrize(("name", "value"), [("left", 10_000), ("right", 0), ("feature_idx", 77), ("feature_idx", -1)])
def test_a_tree_that_points_outside_itself_is_refused(name: str, value: int) -> None:
    rows = make_rows("numbers", 200)
    model = HistGradientBoostingClassifier(max_iter=2).fit(rows.table.matrix(), np.arange(200) % 2)
    load_model(dump_model(model), trusted_types=(), where="model")
    model._predictors[1][0].nodes[name][0] = value
    with pytest.raises(BundleError, match="a tree points outside itself"):
        load_model(dump_model(model), trusted_types=(), where="model")


def test_code_that_is_trusted_but_absent_is_named() -> None:
    archive = dump_model(Tag(words={"a"})).replace(b"training_examples", b"training_exampels")
    with pytest.raises(BundleError, match=r"nobody trusts: training_exampels\.Tag"):
        load_model(archive_again(archive), trusted_types=(), where="model")
    with pytest.raises(BundleError, match=r"cannot be imported: No module named 'training_exampels'.*PYTHONPATH"):
        load_model(archive_again(archive), trusted_types=["training_exampels.Tag"], where="model")


def archive_again(archive: bytes) -> bytes:
    """The same entries with checksums that fit."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as target:
        source = zipfile.ZipFile(io.BytesIO(archive))
        for entry in source.infolist():
            source.NameToInfo[entry.filename].CRC = zipfile.crc32(raw(archive, entry))  # type: ignore[attr-defined]
            target.writestr(entry.filename, source.read(entry.filename))
    return out.getvalue()


def raw(archive: bytes, entry: zipfile.ZipInfo) -> bytes:
    start = entry.header_offset + 30 + len(entry.filename)
    return archive[start : start + entry.file_size]


def test_what_skops_cannot_store_is_said() -> None:
    with pytest.raises(BundleError, match="cannot be stored"):
        dump_model(Tag(words=set(), table=(i for i in range(3))))


def test_an_archive_means_the_same_after_it_was_made_canonical() -> None:
    found = load_model(
        ordered_things(), trusted_types=["training_examples.Tag", "scipy.sparse._csr.csr_matrix"], where="model"
    )
    assert found.words == {"alpha", "beta", "gamma", "delta"}
    assert found.raw == b"\x00\x01"
    assert found.table[2] is found.table[3]["again"]
    assert (found.table[3]["__id__"], found.table[3]["file"]) == (5, "x.npy")
    assert found.table[0]["value"].tolist() == [0.5] * 5
    assert (found.table[1].toarray() == np.eye(3)).all()


def test_a_canonical_archive_stays_as_it_is() -> None:
    archive = ordered_things()
    assert canonical_archive(archive) == archive


def test_trusted_types_of_ours_are_all_needed() -> None:
    needed: set[str] = set()
    for name, make in (("linear", linear), ("text", linear), ("boosting", boosting)):
        schema = Schema(pipeline="shop", features=features(name), label="y", classes=("class-0", "class-1"))
        rows = make_rows(name, 100)
        codes = np.array([schema.classes.index(label) for label in rows.labels])
        needed |= set(
            skops.io.get_untrusted_types(data=dump_model(make(schema, {}, 0).fit(rows.table.matrix(), codes)))
        )
    assert needed == set(TRUSTED_TYPES)


def test_importing_the_bundle_is_light() -> None:
    code = (
        "import sys, remint.adapters.bundle\n"
        "print(sorted({'sklearn', 'skops', 'pandas', 'dvc', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
