"""Claims about the prepare stage, on real files without DVC."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from params_examples import only_age
from remint import __version__
from remint.adapters.frames import read_data_file, read_rows, write_rows
from remint.config import Params, parse_params
from remint.core.golden import draw_golden, format_golden, golden_hash
from remint.core.rows import LabelledRows, no_times, objects
from remint.core.schema import Kind
from remint.errors import ConfigError, DataError
from remint.workflows.prepare import PREPARED, QUARANTINE, check_pin, prepare

KINDS = {"x": Kind.NUMERIC, "shop": Kind.CATEGORICAL, "age": Kind.SENSITIVE, "day": Kind.IGNORED}
Changes = dict[str, dict[str, Any]]


def make_pipeline(directory: Path, changes: Changes | None = None, rows: int = 300) -> Params:
    """Files of a pipeline as init leaves them; ``changes`` to sections of params.yaml."""
    (directory / "data").mkdir(parents=True)
    (directory / "golden").mkdir()
    lines = ["x,shop,age,day,y"]
    lines += [f"{i % 250},{'ab'[i % 2]},{i % 90},2026-01-{1 + i % 28:02d}T00:00,{i % 3}" for i in range(rows)]
    (directory / "data/d.csv").write_text("\n".join([*lines, "7,a,1,2026-01-01T00:00,"]) + "\n")
    (directory / "requirements.txt").write_text(f"# pinned\nremint[serve]=={__version__}  # ours\n")
    data = read_data_file(directory / "data/d.csv", columns=KINDS, label="y").rows
    golden = format_golden(data.take(draw_golden(data, size=20, salt="p:0")))
    (directory / "golden/golden.jsonl").write_bytes(golden)
    write_rows(directory / "data/feedback.parquet", data.take(np.zeros(0, dtype=np.int64)))
    document: dict[str, Any] = {
        "pipeline": "shop",
        "task": {"data": "data/d.csv", "label": "y", "columns": {name: kind.value for name, kind in KINDS.items()}},
        "prepare": {"golden": {"sha256": golden_hash(golden)}},
        "train": {"estimator": "remint.estimators:linear"},
        "gate": {"rules": [{"metric": "accuracy", "role": "gate", "floor": 0.4}]},
        "check": only_age(),
    }
    for section, values in (changes or {}).items():
        document[section].update(values)
    return parse_params(yaml.safe_dump(document))


def sides(directory: Path, params: Params) -> dict[str, LabelledRows]:
    names = ("train", "held_out", "test", "fresh", "golden")
    return {name: read_rows(directory / PREPARED / f"{name}.parquet", params.task.features) for name in names}


def summary(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / PREPARED / "summary.json").read_text())
    return found


def hashes(directory: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in (directory / PREPARED).iterdir()}


def add_feedback(directory: Path, params: Params, rows: LabelledRows, **metadata: str) -> None:
    labelled = LabelledRows(
        table=rows.table,
        labels=rows.labels,
        source=objects(["feedback"] * rows.rows),
        sequence=np.arange(1, rows.rows + 1, dtype=np.int64),
        arrived_at=objects([None] * rows.rows),
        event_at=no_times(rows.rows),
        keys=rows.keys,
    )
    write_rows(directory / params.prepare.feedback, labelled, metadata=metadata)


def test_preparing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    params = make_pipeline(tmp_path)
    prepare(params, tmp_path)
    first = hashes(tmp_path)
    prepare(params, tmp_path)
    assert hashes(tmp_path) == first


def test_the_summary_counts_every_row(tmp_path: Path) -> None:
    params = make_pipeline(tmp_path, {"prepare": {"duplicates": "drop"}})
    prepare(params, tmp_path)
    found = summary(tmp_path)
    dropped = found["dropped"]
    assert found["classes"] == ["0", "1", "2"]
    assert dropped["missing_label"] == 1
    assert dropped["golden"] >= found["rows"]["golden"] >= 15
    assert sum(found["rows"][name] for name in ("train", "held_out", "test")) + sum(dropped.values()) == 301
    assert found["sources"]["train"] == {"data": found["rows"]["train"]}
    assert sum(found["labels"]["test"].values()) == found["rows"]["test"]


def test_window_and_half_life_shape_the_training_side_and_nothing_else(tmp_path: Path) -> None:
    timed: Changes = {"task": {"time": {"column": "day", "zone": "UTC"}}}
    plain = make_pipeline(tmp_path / "a", timed)
    prepare(plain, tmp_path / "a")
    recent = make_pipeline(tmp_path / "b", {**timed, "prepare": {"window": {"last": "5d"}, "half_life": "2d"}})
    prepare(recent, tmp_path / "b")
    before, after = sides(tmp_path / "a", plain)["train"], sides(tmp_path / "b", recent)["train"]
    assert before.weight is None
    assert after.weight is not None
    newest = before.event_at.max()
    inside = before.event_at > newest - np.timedelta64(5, "D")
    assert after.keys.tolist() == before.keys[inside].tolist()
    assert after.weight.tolist() == (0.5 ** ((newest - after.event_at) / np.timedelta64(2, "D"))).tolist()
    assert summary(tmp_path / "b")["dropped"]["window"] == int((~inside).sum()) > 0
    assert {n: h for n, h in hashes(tmp_path / "a").items() if n not in {"train.parquet", "summary.json"}} == {
        n: h for n, h in hashes(tmp_path / "b").items() if n not in {"train.parquet", "summary.json"}
    }


def test_sensitive_columns_stand_beside_the_rows_and_never_in_the_golden_file(tmp_path: Path) -> None:
    params = make_pipeline(tmp_path)
    prepare(params, tmp_path)
    found = sides(tmp_path, params)
    assert set(found["train"].sensitive) == {"age"}
    assert set(found["golden"].sensitive) == {"age"}  # known again by the data rows that it was drawn from
    assert "age" not in found["train"].table.columns
    assert b"age" not in (tmp_path / "golden/golden.jsonl").read_bytes()


def test_feedback_equal_to_a_golden_row_never_trains(tmp_path: Path) -> None:
    params = make_pipeline(tmp_path, {"prepare": {"until": {"sequence": 1000}}})
    prepare(params, tmp_path)
    golden = sides(tmp_path, params)["golden"]
    add_feedback(tmp_path, params, golden, **{QUARANTINE: '{"duplicate": 3}'})
    prepare(params, tmp_path)
    found = sides(tmp_path, params)
    keys = set(golden.keys.tolist())
    for name in ("train", "held_out", "test", "fresh"):
        assert not keys & set(found[name].keys.tolist())
    assert summary(tmp_path)["feedback"] == {"rows": golden.rows, "until": 1000, "quarantine": {"duplicate": 3}}


def test_a_temporal_split_needs_the_zone_of_naive_times(tmp_path: Path) -> None:
    params = make_pipeline(tmp_path / "a", {"task": {"time": {"column": "day"}}})
    with pytest.raises(ConfigError, match="times without a zone"):
        prepare(params, tmp_path / "a")
    params = make_pipeline(tmp_path / "b", {"task": {"time": {"column": "day", "zone": "UTC"}}})
    prepare(params, tmp_path / "b")
    assert sides(tmp_path / "b", params)["test"].rows > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": {"data": "data/e.csv"}}, r"e\.csv: no such file .*did you mean 'd\.csv'"),
        ({"task": {"label": "why"}}, "no column 'why'"),
        ({"task": {"columns": {"x": "numeric", "colour": "categorical"}}}, "'colour'"),
        ({"task": {"columns": {"x": "numeric", "shop": "numeric"}}}, "'a' is not a number"),
        ({"task": {"columns": {"x": "numeric"}}}, "unknown column 'shop'.*--redraw-golden"),
        ({"prepare": {"golden": {"sha256": "0" * 64}}}, r"golden\.jsonl: has changed"),
        ({"prepare": {"golden": {"sha256": "0" * 64, "path": "golden/none.jsonl"}}}, r"none\.jsonl: no such file"),
        ({"prepare": {"feedback": "data/none.parquet"}}, r"none\.parquet: no such file"),
        ({"prepare": {"test_share": 0.0001}}, "no row is left for the test side"),
    ],
)
def test_what_contradicts_the_data_is_one_clear_line(tmp_path: Path, changes: Changes, message: str) -> None:
    params = make_pipeline(tmp_path, changes)
    with pytest.raises(DataError, match=message):
        prepare(params, tmp_path)


def test_a_label_with_one_class_is_refused(tmp_path: Path) -> None:
    params = make_pipeline(tmp_path)
    lines = (tmp_path / "data/d.csv").read_text().splitlines()
    same = [lines[0], *(line.rsplit(",", 1)[0] + ",1" for line in lines[1:])]
    (tmp_path / "data/d.csv").write_text("\n".join(same))
    with pytest.raises(DataError, match=r"y: all training rows have the label '1'"):
        prepare(params, tmp_path)


def test_a_positive_class_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    params = make_pipeline(tmp_path, {"task": {"positive": "yes"}})
    with pytest.raises(ConfigError, match=r"task\.positive: 'yes' is not a class of 'y': 0, 1, 2"):
        prepare(params, tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "not found"),
        ("pandas\n# remint==1.0\n", "does not pin remint"),
        ("remint\n", "does not pin remint"),
        ("remint==0.0.9\n", "pins remint==0.0.9, installed is 1.0"),
        ("remint==1.0\nremint==0.9\n", "pins remint==0.9"),
        ("remint-tools==1.0\n", "does not pin remint"),
    ],
)
def test_the_installed_remint_is_the_pinned_one(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "requirements.txt"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=message):
        check_pin(path, installed="1.0")


@pytest.mark.parametrize("content", ["remint==1.0\n", "Remint[serve, x] == 1.0 ; python_version > '3'\n"])
def test_a_pin_may_be_written_as_pip_allows(tmp_path: Path, content: str) -> None:
    (tmp_path / "requirements.txt").write_text(content)
    check_pin(tmp_path / "requirements.txt", installed="1.0")
