"""Claims about what init concludes from a file, by --dry-run: nothing is written, so neither git nor DVC is needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from params_examples import NO_DATA
from remint.adapters.datafile import read_raw
from remint.adapters.examples import Example, example_csv
from remint.cli.main import main
from remint.config import (
    Canary,
    Check,
    DriftRule,
    Gate,
    IntegrityRule,
    NoData,
    Params,
    Serve,
    Train,
    parse_params,
)
from remint.core.gate import MetricRole
from remint.core.golden import format_golden
from remint.workflows.init import render_params
from remint.workflows.inspection import inspect


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def frame(rows: int = 400, **columns: Any) -> pd.DataFrame:
    """A learnable column ``x``, and further ones."""
    noise = np.random.default_rng(0).normal(size=rows).round(4)
    return pd.DataFrame({"x": noise, **columns, "y": [i % 2 for i in range(rows)]})


def dry_run(
    data: pd.DataFrame, capsys: pytest.CaptureFixture[str], *options: str, label: str = "y", code: int = 0
) -> dict[str, Any]:
    data.to_csv("../d.csv", index=False)
    assert main(["init", "--data", "../d.csv", "--label", label, "--dry-run", "--json", *options]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def params_of(data: pd.DataFrame, name: str = "d.csv") -> Params:
    data.to_csv(name, index=False)
    found = inspect(read_raw(Path(name)), label=str(data.columns[-1]), pipeline="shop")
    return parse_params(render_params("shop", f"data/{name}", found, format_golden(found.golden)))


def test_a_dry_run_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    dry_run(frame(), capsys)
    assert list(Path().iterdir()) == []


def test_every_default_is_spelled_out_as_it_is() -> None:
    params = params_of(frame(2000))
    assert params.canary == Canary()
    assert params.serve == Serve()
    assert params.train == Train(estimator="remint.estimators:boosting")
    assert params.gate == Gate(rules=params.gate.rules)
    rules = params.check.rules
    assert params.check == Check(rules=rules, no_data=NoData.model_validate(NO_DATA))
    drift = [rule for rule in rules.values() if isinstance(rule, DriftRule)]
    assert drift == [DriftRule(kind="drift", role=role) for role in ("feature", "prediction", "confidence")]
    assert rules["integrity"] == IntegrityRule(kind="integrity")
    assert sorted(rule.kind for rule in rules.values()) == sorted(
        ["drift"] * 3 + ["integrity", "accuracy", "wrong", "volume", "age"]
    )


def test_the_floor_is_a_little_above_having_learned_nothing() -> None:
    balanced = params_of(frame()).gate.rules
    assert [(rule.metric.value, rule.role) for rule in balanced] == [
        ("accuracy", MetricRole.GATE),
        ("accuracy", MetricRole.GUARD),
    ]
    assert balanced[0].floor == pytest.approx(0.52)
    skewed = params_of(frame().assign(y=["rare" if i % 10 == 0 else "usual" for i in range(400)])).gate.rules
    assert [rule.metric.value for rule in skewed] == ["balanced_accuracy"] * 2
    assert skewed[0].floor == pytest.approx(0.52)


def test_many_rows_without_text_are_boosted(capsys: pytest.CaptureFixture[str]) -> None:
    assert dry_run(frame(2000), capsys)["estimator"] == "remint.estimators:boosting"
    assert dry_run(frame(1999), capsys)["estimator"] == "remint.estimators:linear"
    text = [f"the waiter number {i} was kind and quick" for i in range(2000)]
    assert dry_run(frame(2000, review=text), capsys)["estimator"] == "remint.estimators:linear"


def test_copies_are_dropped_where_fewer_than_half_the_rows_are_distinct(capsys: pytest.CaptureFixture[str]) -> None:
    found = dry_run(pd.concat([frame(300).assign(x=np.arange(300) / 7)] * 3), capsys)
    assert found["rows"]["distinct"] == 300
    assert any("300 of 900 rows are distinct" in warning for warning in found["warnings"])


def test_leaks_and_identifiers_are_ignored_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    data = frame(
        customer=[f"c-{i:05d}" for i in range(400)], churned_at=["2026" if i % 2 else "never" for i in range(400)]
    )
    found = dry_run(data, capsys)
    assert {c["name"]: c["kind"] for c in found["columns"]} == {
        "x": "numeric",
        "customer": "ignored",
        "churned_at": "ignored",
    }
    assert len([w for w in found["warnings"] if "alone predicts the label (100.0% balanced" in w]) == 1
    assert len([w for w in found["warnings"] if "'customer' looks like an identifier" in w]) == 1


def test_copied_rows_do_not_make_a_column_look_like_a_leak(capsys: pytest.CaptureFixture[str]) -> None:
    found = dry_run(pd.concat([frame(400)] * 5), capsys)
    assert found["columns"] == [{"name": "x", "kind": "numeric", "reason": found["columns"][0]["reason"]}]


def test_a_kind_can_be_overruled(capsys: pytest.CaptureFixture[str]) -> None:
    found = dry_run(frame(customer=range(400), sex=["f", "m"] * 200), capsys, "--kind", "sex=sensitive")
    assert {c["name"]: c["kind"] for c in found["columns"]}["sex"] == "sensitive"
    dry_run(frame(), capsys, "--kind", "x=numerical", code=2)


def test_a_time_column_is_suggested_and_makes_the_split_temporal(capsys: pytest.CaptureFixture[str]) -> None:
    day = [f"2026-{1 + i // 34:02d}-{1 + i % 28:02d}" for i in range(400)]
    assert any("--time 'day'" in warning for warning in dry_run(frame(day=day), capsys)["warnings"])
    found = dry_run(frame(day=day), capsys, "--time", "day", "--zone", "Europe/Amsterdam")
    assert not any("--time" in warning for warning in found["warnings"])
    assert found["rows"]["test"] > 0
    naive = dry_run(frame(day=day), capsys, "--time", "day", code=2)
    assert "times without a zone (add --zone" in naive["message"]
    mistyped = dry_run(frame(day=day), capsys, "--time", "day", "--zone", "Europe/Amsterdm", code=2)
    assert "did you mean 'Europe/Amsterdam'?" in mistyped["message"]


NAMES = ["a b", "é.ü", "on", "1", "null", "x: y", "# z", "${task}", "'q\"", "🎉", "2026-01-01", "{a}", "- d", "~", "*r"]


def test_odd_names_reach_params_unharmed() -> None:
    columns = {name: np.random.default_rng(i).normal(size=400).round(3) for i, name in enumerate(NAMES)}
    params = params_of(pd.DataFrame({**columns, "the label?": ["yes", "no"] * 200}), "my data (1).csv")
    assert list(params.task.columns) == NAMES
    assert params.task.label == "the label?"
    assert params.task.data == "data/my data (1).csv"
    assert params.task.positive == "yes"


@pytest.mark.parametrize("width", [1, 3, 100, 400])
def test_any_number_of_columns_fits_its_series_limit(width: int) -> None:
    columns = {f"c{i}": np.random.default_rng(i).normal(size=300).round(3) for i in range(width)}
    params = params_of(pd.DataFrame({**columns, "y": [i % 2 for i in range(300)]}))
    assert len(params.task.features) == width
    assert params.serve.max_series >= 2 * 13 * width + 40


@pytest.mark.parametrize("labels", [["true", "false"], ["1", "0"], ["a", "b", "c"], [str(i) for i in range(60)]])
def test_two_and_many_classes(labels: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    found = dry_run(frame(1500).assign(y=[labels[i % len(labels)] for i in range(1500)]), capsys)
    assert found["classes"] == sorted(labels)


def test_rare_classes_and_missing_labels_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    labels: list[str | None] = ["a", "b"] * 195 + ["c"] * 4 + [None] * 6
    warnings = dry_run(frame().assign(y=labels), capsys)["warnings"]
    assert "6 of 400 rows have no label and are left out" in warnings
    assert "1 of 3 classes have fewer than 10 rows: 'c'" in warnings


@pytest.mark.parametrize(
    ("changed", "label", "message"),
    [
        ({}, "Y ", "no column 'Y '"),
        ({}, "lable", "no column 'lable'"),
        ({"y": 1}, "y", "all rows have the label '1' (two classes are needed)"),
        ({"y": None}, "y", "no row has a label"),
        (
            {"y": np.linspace(0, 1, 400)},
            "y",
            "400 different labels in 400 rows: a number or an identifier",
        ),
        ({"x": 1}, "y", "no column to learn from"),
    ],
)
def test_what_cannot_be_learned_is_one_clear_line(
    changed: dict[str, Any], label: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = dry_run(frame().assign(**changed), capsys, label=label, code=2)
    assert message in found["message"]
    assert "\n" not in found["message"]


def test_too_few_distinct_rows_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "distinct rows" in dry_run(frame(6), capsys, code=2)["message"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "absent.csv", "--label", "y"], "absent.csv: no such file"),
        (["--data", "absent.csv"], "no label (name the column to predict: --label COLUMN)"),
        (["--example", "breast-cancer", "--pipeline", "Two Words"], "is not a slug"),
        (["--redraw-golden"], "params.yaml: not found"),
    ],
)
def test_a_wrong_call_is_one_clear_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_the_example_never_changes() -> None:
    content = example_csv(Example.BREAST_CANCER)
    assert content.count(b"\n") == 570
    assert content == example_csv(Example.BREAST_CANCER)
