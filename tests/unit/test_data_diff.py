"""What came, what went, what moved; and what DVC did for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from remint.core.data_diff import (
    Change,
    CountChange,
    lock_changes,
    params_changes,
    profile_moves,
    row_changes,
    schema_changes,
)
from remint.core.stage_runs import StageAction, read_stage_runs
from report_examples import reference


def test_rows_are_counted_by_side_and_name_and_what_went_counts_too() -> None:
    before = {"labels": {"train": {"no": 5, "old": 2}}}
    now = {"labels": {"train": {"no": 9, "new": 1}}}
    found = row_changes(before, now, by="labels")
    assert [(c.name, c.before, c.now) for c in found] == [("no", 5, 9), ("new", 0, 1), ("old", 2, 0)]


def test_without_a_base_nothing_is_called_new() -> None:
    assert row_changes(None, {"labels": {"train": {"no": 9}}}, by="labels") == (
        CountChange(side="train", name="no", before=None, now=9),
    )
    documents: tuple[dict[str, Any], dict[str, Any]] = ({"fields": []}, {"classes": ["a"]})
    assert schema_changes(None, documents) == ()


def field(column: str, *, measure: str = "value", edges: list[float] | None = None) -> dict[str, Any]:
    return {"role": "feature", "column": column, "measure": measure, "edges": edges}


def test_columns_and_classes_that_came_went_or_changed_their_kind() -> None:
    before = ({"fields": [field("a", edges=[0.0]), field("b")]}, {"classes": ["x", "y"]})
    now = ({"fields": [field("a"), field("c", measure="length"), field("c", measure="terms")]}, {"classes": ["x", "z"]})
    assert schema_changes(before, now) == (
        Change(name="column a", before="numeric", now="categorical"),
        Change(name="column c", before=None, now="text"),
        Change(name="class z", before=None, now="there"),
        Change(name="column b", before="categorical", now=None),
        Change(name="class y", before="there", now=None),
    )


def test_parameters_are_compared_key_by_key() -> None:
    before = {"train": {"seed": 0, "candidates": []}, "gate": {"on": True}}
    now = {"train": {"seed": 1, "candidates": [{"name": "x"}]}, "gate": {"on": True}, "new": None}
    assert {c.name: (c.before, c.now) for c in params_changes(before, now)} == {
        "train.seed": ("0", "1"),
        "train.candidates": ("[]", "[{'name': 'x'}]"),
        "new": (None, "null"),
    }
    assert params_changes(None, None) == ()


def test_the_fields_that_moved_most_come_first_and_what_stayed_is_left_out() -> None:
    profile, moved = reference(shift=1.0)
    (found,) = profile_moves(profile, moved)
    assert found.field == "age"
    assert found.sigmas == pytest.approx(1.0, abs=0.15)  # a unit shift of a Gaussian
    same = {name: np.asarray(profile.field(name).counts) for name in moved}
    assert profile_moves(profile, same) == ()
    assert profile_moves(profile, {}) == ()


LOCK = {
    "stages": {
        "prepare": {
            "cmd": "p",
            "deps": [{"path": "data.csv", "md5": "1"}, {"path": "stages/prepare.py", "md5": "a"}],
            "params": {"params.yaml": {"prepare": {"until": {"sequence": 0}}}},
            "outs": [{"path": "prepared", "md5": "x"}],
        },
        "train": {"cmd": "t", "deps": [{"path": "prepared", "md5": "x"}]},
    }
}


def test_a_lock_says_which_files_and_parameters_made_a_stage_run() -> None:
    now = {
        "stages": {
            "prepare": {
                **LOCK["stages"]["prepare"],
                "deps": [{"path": "data.csv", "md5": "2"}, {"path": "stages/prepare.py", "md5": "a"}],
                "params": {"params.yaml": {"prepare": {"until": {"sequence": 9}}}},
            },
            "train": {"cmd": "t --more", "deps": [{"path": "prepared", "md5": "y"}]},
            "added": {"cmd": "a"},
        }
    }
    found = lock_changes(LOCK, now)
    assert found.files == (Change(name="data.csv", before="1", now="2"),)  # what a stage makes is no change of its own
    assert found.stages == {
        "prepare": ("data.csv", "prepare.until.sequence"),
        "train": ("command", "prepared"),
        "added": ("first run",),
    }
    assert lock_changes(LOCK, LOCK).stages == {"prepare": (), "train": ()}
    assert lock_changes(None, LOCK).stages == {"prepare": ("first run",), "train": ("first run",)}


PRINTED = [
    (0.0, "Verifying data sources in stage: 'data.csv.dvc'"),
    (1.0, "Stage 'prepare' is cached - skipping run, checking out outputs"),
    (3.0, "Running stage 'train':"),
    (3.1, "> python stages/train.py"),
    (9.0, "Stage 'evaluate' didn't change, skipping"),
    (9.5, "Running stage 'elsewhere':"),
]


def test_what_dvc_did_with_each_stage_and_how_long_it_took() -> None:
    found = {
        run.name: run
        for run in read_stage_runs(
            PRINTED,
            ended_at=10.0,
            changed={"prepare": ("data.csv",), "train": (), "evaluate": (), "silent": ()},
        )
    }
    assert [(run.action, run.seconds) for run in found.values()] == [
        (StageAction.RESTORED, 2.0),
        (StageAction.RAN, 6.0),
        (StageAction.SKIPPED, 0.0),
        (StageAction.UNKNOWN, None),
    ]
    assert found["prepare"].changed == ("data.csv",)
    assert "elsewhere" not in found


def test_a_stage_that_nobody_wrote_a_line_about_is_not_called_skipped() -> None:
    (run,) = read_stage_runs([], ended_at=1.0, changed={"train": ()})
    assert run.to_json() == {"name": "train", "action": "unknown", "seconds": None, "changed": []}
