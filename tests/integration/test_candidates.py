"""Claims about weights, candidates and the choice between them, on the real train stage."""

from __future__ import annotations

import json
import shutil
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from sklearn import config_context
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from remint.adapters.bundle import predict, read_bundle
from remint.adapters.frames import read_rows, write_rows
from remint.config import Params
from remint.core.recency import ALL, Window, weights
from remint.core.report_choice import choice_table
from remint.core.rows import LabelledRows, data_rows, objects
from remint.core.schema import Column, Kind, Schema
from remint.core.table import Table
from remint.errors import ConfigError, DataError
from remint.estimators import linear
from remint.workflows.evaluate import evaluate
from remint.workflows.fitting import Recipe, weight_argument
from remint.workflows.train import BUNDLE, train
from training_examples import KINDS, features, make_prepared, make_rows

SAMPLES = Path(__file__).parents[1] / "samples"
SCHEMA = Path(__file__).parents[2] / "schemas" / "metadata.schema.json"
HOUR = np.timedelta64(1, "h")
NEW_WORLD = 80  # of the rows of ``turned``, the newest


def metadata(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / "artifacts/metadata.json").read_text())
    return found


def turned(rows: LabelledRows) -> LabelledRows:
    """One row an hour; in the newest the classes have changed places."""
    last = np.arange(rows.rows) >= rows.rows - NEW_WORLD
    labels = rows.labels.copy()
    labels[last] = np.where(labels[last] == "class-0", "class-1", "class-0")
    return data_rows(
        rows.table,
        labels,
        event_at=np.datetime64("2026-01-01", "us") + np.arange(rows.rows) * HOUR,
        sensitive=rows.sensitive,
    )


def prepared(
    directory: Path, *, half_life: timedelta | int | None = None, name: str = "numbers", **train: Any
) -> Params:
    """A pipeline whose concept has turned; held-out and test rows are of the new world."""
    params = make_prepared(directory, name, changes=train)
    for side, rows in {"train": 400, "held_out": NEW_WORLD, "test": NEW_WORLD}.items():
        labelled = turned(make_rows(name, rows, seed=3))
        if side == "train" and half_life is not None:
            object.__setattr__(labelled, "weight", weights(labelled, half_life))
        write_rows(directory / f"artifacts/prepared/{side}.parquet", labelled)
    return params


def accuracy(directory: Path, params: Params) -> float:
    train(params, directory)
    evaluate(params, directory)
    found: float = json.loads((directory / "artifacts/metrics.json").read_text())["test"]["accuracy"]
    return found


# -- weights ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(KINDS))
def test_our_estimators_learn_from_the_new_world_where_old_rows_have_little_weight(tmp_path: Path, name: str) -> None:
    plain = accuracy(tmp_path / "a", prepared(tmp_path / "a", name=name))
    recent = accuracy(tmp_path / "b", prepared(tmp_path / "b", name=name, half_life=timedelta(hours=24)))
    assert plain < 0.5 < 0.6 < recent


def test_weighted_training_repeats_to_the_byte(tmp_path: Path) -> None:
    params = prepared(tmp_path, half_life=30)
    train(params, tmp_path)
    first = {path.name: path.read_bytes() for path in (tmp_path / BUNDLE).iterdir()}
    train(params, tmp_path)
    assert {path.name: path.read_bytes() for path in (tmp_path / BUNDLE).iterdir()} == first


@pytest.mark.parametrize(
    ("model", "argument"),
    [
        (LogisticRegression(), "sample_weight"),
        (make_pipeline(StandardScaler(), GaussianNB()), "gaussiannb__sample_weight"),
        (make_pipeline(make_pipeline(GaussianNB())), "pipeline__gaussiannb__sample_weight"),
        (GridSearchCV(make_pipeline(LogisticRegression()), {}), "logisticregression__sample_weight"),
        (CalibratedClassifierCV(LogisticRegression()), "sample_weight"),
    ],
)
def test_a_weight_finds_its_way_to_the_estimator_that_learns(model: Any, argument: str) -> None:
    assert weight_argument(model, where="here") == argument
    x = np.random.default_rng(0).normal(size=(60, 2))
    model.fit(x, (x[:, 0] > 0).astype(int), **{argument: np.ones(60)})


def test_with_metadata_routing_the_teams_own_requests_decide() -> None:
    x = np.random.default_rng(0).normal(size=(60, 2))
    with config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        model = make_pipeline(scaler, LogisticRegression().set_fit_request(sample_weight=True))
        model.fit(x, (x[:, 0] > 0).astype(int), **{weight_argument(model, where="here"): np.ones(60)})


@pytest.mark.parametrize(
    "model",
    [
        KNeighborsClassifier(),
        make_pipeline(StandardScaler(), KNeighborsClassifier()),
        make_pipeline(StandardScaler(), "passthrough"),
        GridSearchCV(KNeighborsClassifier(), {}),
    ],
)
def test_an_estimator_without_weights_is_refused_and_says_so(model: Any) -> None:
    with pytest.raises(ConfigError, match=r"here: the fit\(\) of .* takes no sample_weight, which prepare.half_life"):
        weight_argument(model, where="here")


def test_a_teams_estimator_without_weights_stops_the_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "own_model", raising=False)
    shutil.copy(SAMPLES / "own_model.py", tmp_path)
    params = prepared(tmp_path, half_life=30, estimator="own_model:unfittable")
    with pytest.raises(ConfigError, match=r"params.yaml: train.estimator: the fit\(\) of _Unfittable takes no"):
        train(params, tmp_path)


# -- candidates ------------------------------------------------------------------------------------------------------

WINDOWS = [{"name": "everything"}, {"name": "last-days", "window": {"rows": NEW_WORLD}}]


def test_where_the_world_has_turned_the_newest_rows_beat_all_of_history(tmp_path: Path) -> None:
    params = prepared(tmp_path, candidates=WINDOWS, selection={"share": 0.1})
    assert accuracy(tmp_path, params) > 0.8
    found = metadata(tmp_path)
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(found)
    assert found["choice"]["chosen"] == "last-days"
    assert [(c["name"], c["rows"]) for c in found["choice"]["candidates"]] == [("everything", 40), ("last-days", 40)]
    assert found["training_rows"] == read_bundle(tmp_path / BUNDLE).reference.training_rows == NEW_WORLD
    table = choice_table(found)
    assert "| **last-days** |" in table
    assert "beyond noise" in table


def test_where_nothing_moves_the_first_declared_stands(tmp_path: Path) -> None:
    params = make_prepared(tmp_path, "numbers", changes={"candidates": WINDOWS})
    train(params, tmp_path)
    found = metadata(tmp_path)
    why = "'everything' is the first declared, and no other (1 compared) is better beyond noise"
    assert found["choice"]["reason"] == why
    assert found["training_rows"] == 240


def test_the_winner_is_trained_on_the_rows_that_it_was_chosen_on_too(tmp_path: Path) -> None:
    chosen = prepared(tmp_path / "a", candidates=WINDOWS, selection={"share": 0.1})
    train(chosen, tmp_path / "a")
    alone = prepared(tmp_path / "b", candidates=[WINDOWS[1]])
    train(alone, tmp_path / "b")
    for name in ("model.skops", "reference.json"):
        assert (tmp_path / "a" / BUNDLE / name).read_bytes() == (tmp_path / "b" / BUNDLE / name).read_bytes()
    assert "choice" not in metadata(tmp_path / "b")


def test_the_choice_repeats_to_the_byte_and_sees_no_row_of_the_gate(tmp_path: Path) -> None:
    params = prepared(tmp_path, candidates=WINDOWS, selection={"share": 0.1, "metric": "log_loss"})
    train(params, tmp_path)
    first = metadata(tmp_path)
    train(params, tmp_path)
    assert metadata(tmp_path) == first
    for side in ("held_out", "test", "fresh", "golden"):
        write_rows(tmp_path / f"artifacts/prepared/{side}.parquet", make_rows("numbers", 50, seed=9))
    train(params, tmp_path)
    assert metadata(tmp_path)["choice"] == first["choice"]


def test_a_candidate_takes_over_what_it_leaves_out(tmp_path: Path) -> None:
    candidates = [
        {"name": "own-parameters", "parameters": {"C": -1}},
        {"name": "inherited"},
    ]
    params = prepared(tmp_path, candidates=candidates)
    with pytest.raises(ConfigError, match="'C' parameter"):
        train(params, tmp_path)
    boosting = [{"name": "linear"}, {"name": "boosting", "estimator": "remint.estimators:boosting"}]
    params = prepared(tmp_path / "b", candidates=boosting, parameters={"C": 0.5})  # no parameter of boosting
    train(params, tmp_path / "b")
    assert [c["source"] for c in metadata(tmp_path / "b")["choice"]["candidates"]] == [
        "remint.estimators:linear",
        "remint.estimators:boosting",
    ]


def test_a_candidate_that_is_left_with_one_class_is_one_line(tmp_path: Path) -> None:
    params = prepared(tmp_path, candidates=[*WINDOWS, {"name": "one-row", "window": {"rows": 1}}])
    with pytest.raises(DataError, match=r"candidate 'one-row' cannot be tried: .*one class is left in the newest 1 r"):
        train(params, tmp_path)


def test_prepared_rows_keep_their_times(tmp_path: Path) -> None:
    prepared(tmp_path)
    rows = read_rows(tmp_path / "artifacts/prepared/train.parquet", features("numbers"))
    assert (np.diff(rows.event_at) == HOUR).all()
    train(prepared(tmp_path / "b"), tmp_path / "b")
    assert metadata(tmp_path / "b")["newest_event_at"] == "2026-01-17T15:00:00.000000Z"


# -- real data ---------------------------------------------------------------------------------------------------------


def test_on_electricity_a_linear_model_of_the_last_weeks_beats_one_of_all_history(shared_data: Path) -> None:
    """Test-then-train, every tenth week, on next week's accuracy. Boosting gains nothing there."""
    raw = np.genfromtxt(shared_data / "elec.csv", delimiter=",", skip_header=1)
    columns = tuple(Column(name=f"x{i}", kind=Kind.NUMERIC) for i in range(6))
    schema = Schema(pipeline="elec", features=columns, label="y", classes=("0", "1"))
    half_hours = np.datetime64("1996-05-07", "us") + np.arange(len(raw)) * np.timedelta64(30, "m")
    table = Table(columns, {column.name: raw[:, i] for i, column in enumerate(columns)})
    rows = data_rows(table, objects([str(int(label)) for label in raw[:, 6]]), event_at=half_hours)
    week = 7 * 48
    recipe = {"make": linear, "estimator": "linear", "parameters": {}, "seed": 0, "where": "here"}
    ways = [
        Recipe(name="all", window=ALL, **recipe),
        Recipe(name="twelve-weeks", window=Window(last=timedelta(weeks=12)), **recipe),
    ]
    right: dict[str, list[float]] = {way.name: [] for way in ways}
    for now in range(12, len(raw) // week, 10):
        past, next_week = rows.take(np.arange(now * week)), rows.take(np.arange(now * week, (now + 1) * week))
        for way in ways:
            model = way.fit(schema, way.rows(past))
            right[way.name].append(float((predict(model, schema, next_week.table).labels == next_week.labels).mean()))
    assert np.mean(right["twelve-weeks"]) > np.mean(right["all"]) + 0.01
