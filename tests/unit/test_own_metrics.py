"""Claims about a team's own metrics: every number under its dotted name, and nothing that is no number."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from remint.errors import DataError
from remint.workflows.own_metrics import METRICS, own_metric_notes, read_own_metrics


def test_numbers_of_any_depth_in_the_formats_that_dvc_reads(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text('{"a": 1e-05, "test": {"f1": [0.5, NaN], "ok": true, "by": "us"}, "none": null}')
    (tmp_path / "m.yaml").write_text("auc: 0.9\n")
    (tmp_path / "m.toml").write_text("[test]\nauc = 0.8\n")
    assert read_own_metrics(tmp_path, ["m.json", "m.yaml", "m.toml"]) == {
        "m.json": {"a": 1e-05, "test.f1.0": 0.5},
        "m.yaml": {"auc": 0.9},
        "m.toml": {"test.auc": 0.8},
    }


def test_an_absent_or_broken_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"m\.json: no such file \(a stage of yours makes it"):
        read_own_metrics(tmp_path, ["m.json"])
    (tmp_path / "m.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        read_own_metrics(tmp_path, ["m.json"])


def test_a_curve_does_not_flood_the_gate(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text(json.dumps({"curve": list(range(10_000))}))
    found = read_own_metrics(tmp_path, ["m.json"])
    assert len(found["m.json"]) == 200
    (tmp_path / "artifacts").mkdir()
    (tmp_path / METRICS).write_text(json.dumps({"info": found}))
    notes = own_metric_notes(tmp_path, ["m.json"], None)
    assert len(notes) == 21
    assert notes[0] == "m.json: curve.0 is 0 (of your own stages, not judged)"
    assert notes[-1] == "m.json: and 180 more numbers, in artifacts/metrics.json"
    assert own_metric_notes(tmp_path, [], None) == []
