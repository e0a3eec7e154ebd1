"""Claims about the stages train and evaluate: the same bytes in any process, and one line for every mistake."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from remint.adapters.bundle import read_bundle
from remint.adapters.frames import write_rows
from remint.core.document import DocumentKind, unseal
from remint.core.rows import data_rows, objects
from remint.core.schema import Column, Kind
from remint.core.table import Table
from remint.errors import BundleError, ConfigError, DataError
from remint.workflows.evaluate import evaluate
from remint.workflows.train import BUNDLE, train
from training_examples import KINDS, make_prepared, make_rows

SAMPLES = Path(__file__).parents[1] / "samples"
_STAGE = "from remint.workflows.stage import run_stage; from remint.workflows.train import train; run_stage(train)"


def stage(directory: Path, *, hash_seed: int, threads: int) -> dict[str, bytes]:
    """What training leaves, run as a process of its own."""
    shutil.rmtree(directory / BUNDLE, ignore_errors=True)
    environment = {
        **os.environ,
        "PYTHONHASHSEED": str(hash_seed),
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads)),
    }
    subprocess.run([sys.executable, "-c", _STAGE], cwd=directory, env=environment, check=True)
    return {path.name: path.read_bytes() for path in (directory / BUNDLE).iterdir()}


@pytest.mark.parametrize("name", list(KINDS))
def test_training_twice_gives_the_same_bytes_whatever_the_process(tmp_path: Path, name: str) -> None:
    make_prepared(tmp_path, name, classes=3)
    assert stage(tmp_path, hash_seed=1, threads=1) == stage(tmp_path, hash_seed=2, threads=2)
    read_bundle(tmp_path / BUNDLE)


def test_equal_objects_give_equal_archives_in_any_process() -> None:
    code = "from training_examples import ordered_things as o; import hashlib; print(hashlib.sha256(o()).hexdigest())"
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=SAMPLES.parent,
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in (1, 2)
    }
    assert len(found) == 1


def test_the_metadata_names_what_the_model_came_from_and_nothing_of_this_run(tmp_path: Path) -> None:
    params = make_prepared(tmp_path, "numbers")
    train(params, tmp_path)
    bundle = read_bundle(tmp_path / BUNDLE)
    document = unseal(json.loads((tmp_path / "artifacts/metadata.json").read_text()), DocumentKind.METADATA)
    assert document == bundle.metadata
    assert document["parents"] == [bundle.reference.id]
    assert document["training_rows"] == bundle.reference.training_rows == 240
    assert document["classes"] == ["class-0", "class-1"]
    assert document["until"] == {"sequence": 0, "arrived_at": None}
    assert document["hashes"].keys() == {"data", "code", "params", "packages", "split"}
    assert not {"choice", "reused"} & document.keys()
    for name in ("reference", "manifest"):
        copy = (tmp_path / f"artifacts/{name}.json").read_bytes()
        assert copy == (tmp_path / BUNDLE / f"{name}.json").read_bytes()


@pytest.mark.parametrize("changed", ["data", "code", "params"])
def test_a_change_of_what_the_model_came_from_changes_its_hash(tmp_path: Path, changed: str) -> None:
    def hashes() -> dict[str, str]:
        train(params, tmp_path)
        found: dict[str, str] = json.loads((tmp_path / "artifacts/metadata.json").read_text())["hashes"]
        return found

    params = make_prepared(tmp_path, "numbers")
    before = hashes()
    match changed:
        case "data":
            write_rows(tmp_path / "artifacts/prepared/test.parquet", make_rows("numbers", 5))
        case "code":
            (tmp_path / "stages/train.py").write_text("# another stage\n")
        case "params":
            params = params.model_copy(update={"train": params.train.model_copy(update={"seed": 1})})
    after = hashes()
    assert {key for key in before if before[key] != after[key]} == {changed}


def test_confidence_is_profiled_on_rows_that_were_not_trained_on(tmp_path: Path) -> None:
    train(make_prepared(tmp_path, "numbers"), tmp_path)
    reference = read_bundle(tmp_path / BUNDLE).reference
    assert sum(reference.field("@confidence").counts) == sum(reference.field("@prediction").counts) == 60
    assert sum(reference.field("size").counts) == 240


def test_a_teams_own_transformer_needs_trust_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "own_model", raising=False)
    shutil.copy(SAMPLES / "own_model.py", tmp_path)
    params = make_prepared(tmp_path, "numbers", changes={"estimator": "own_model:make"})
    with pytest.raises(BundleError, match=r"nobody trusts: own_model.LogOfSize .*train.trusted_types"):
        train(params, tmp_path)
    assert not (tmp_path / BUNDLE).exists()
    trusted = params.model_copy(
        update={"train": params.train.model_copy(update={"trusted_types": ("own_model.LogOfSize",)})}
    )
    train(trusted, tmp_path)
    evaluate(trusted, tmp_path)
    with pytest.raises(BundleError, match=r"own_model.LogOfSize"):
        read_bundle(tmp_path / BUNDLE)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"estimator": "no_such_module:make"}, ConfigError, "no_such_module cannot be imported"),
        ({"estimator": "own_model:mak"}, ConfigError, "did you mean 'make'"),
        ({"estimator": "own_model:not_a_function"}, ConfigError, "is not a function"),
        ({"estimator": "own_model:broken"}, ConfigError, "RuntimeError: no licence for this solver"),
        ({"estimator": "own_model:regressor"}, ConfigError, r"has no predict_proba\(\)"),
        ({"estimator": "own_model:unfittable"}, DataError, "ArithmeticError: singular matrix"),
        ({"estimator": "own_model:named_classes"}, ConfigError, "classes_ are not class codes"),
        ({"parameters": {"C": -1}}, ConfigError, "The 'C' parameter"),
        ({"parameters": {"Cc": 1}}, ConfigError, "unknown parameter 'Cc'"),
    ],
)
def test_an_estimator_that_cannot_be_used_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    monkeypatch.delitem(sys.modules, "own_model", raising=False)
    shutil.copy(SAMPLES / "own_model.py", tmp_path)
    params = make_prepared(tmp_path, "numbers", changes=changes)
    with pytest.raises(error, match=message) as caught:
        train(params, tmp_path)
    assert "\n" not in str(caught.value)


def test_metrics_are_numbers_or_null_with_a_reason(tmp_path: Path) -> None:
    params = make_prepared(tmp_path, "linear")
    one_class = make_rows("linear", 40)
    write_rows(tmp_path / "artifacts/prepared/fresh.parquet", one_class.take(one_class.labels == "class-0"))
    train(params, tmp_path)
    evaluate(params, tmp_path)
    metrics = json.loads((tmp_path / "artifacts/metrics.json").read_text())
    assert metrics["test"]["accuracy"] > 0.7
    assert metrics["golden"]["log_loss"] < 1
    assert metrics["fresh"]["balanced_accuracy"] is None
    assert metrics["reasons"]["fresh"]["balanced_accuracy"] == "all labels are of one class"
    assert metrics["rows"]["train"] == 240
    regions = metrics["slices"]["region"]
    assert regions.keys() == {"north", "south", "(missing)"}
    assert sum(found["rows"] for found in regions.values()) == metrics["rows"]["test"]
    confusion = json.loads((tmp_path / "artifacts/plots/confusion.json").read_text())
    assert len(confusion) == metrics["rows"]["test"]
    right = [row["actual"] == row["predicted"] for row in confusion]
    assert np.mean(right) == pytest.approx(metrics["test"]["accuracy"])
    calibration = json.loads((tmp_path / "artifacts/plots/calibration.json").read_text())
    assert sum(found["rows"] for found in calibration) == metrics["rows"]["test"]


def test_without_feedback_fresh_is_null(tmp_path: Path) -> None:
    params = make_prepared(tmp_path, "numbers")
    train(params, tmp_path)
    evaluate(params, tmp_path)
    assert json.loads((tmp_path / "artifacts/metrics.json").read_text())["fresh"] is None


def test_training_without_prepared_rows_says_what_to_run(tmp_path: Path) -> None:
    params = make_prepared(tmp_path, "numbers")
    (tmp_path / "artifacts/prepared/train.parquet").unlink()
    with pytest.raises(DataError, match=r"train.parquet: no such file"):
        train(params, tmp_path)


@pytest.mark.parametrize("estimator", ["linear", "boosting"])
def test_real_data_are_learned(tmp_path: Path, estimator: str) -> None:
    data = load_breast_cancer()
    columns = {str(name): Kind.NUMERIC for name in data.feature_names}
    features = tuple(Column(name=name, kind=kind) for name, kind in columns.items())
    table = Table(features, {c.name: data.data[:, i] for i, c in enumerate(features)})
    rows = data_rows(table, objects([str(data.target_names[i]) for i in data.target]))
    params = make_prepared(tmp_path, "numbers", changes={"estimator": f"remint.estimators:{estimator}"})
    params = params.model_copy(update={"task": params.task.model_copy(update={"columns": columns})})
    start = 0
    for side, end in {"train": 380, "held_out": 450, "test": 529, "golden": 569, "fresh": 569}.items():
        write_rows(tmp_path / f"artifacts/prepared/{side}.parquet", rows.take(np.arange(start, end)))
        start = end
    train(params, tmp_path)
    evaluate(params, tmp_path)
    assert json.loads((tmp_path / "artifacts/metrics.json").read_text())["test"]["accuracy"] > 0.93
