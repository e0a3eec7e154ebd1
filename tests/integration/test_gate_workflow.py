"""The gate on real bundles: what is compared with what, what is said about it, and a booted service."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from gate_examples import NOW, make_model
from remint.adapters.bundle import bundle_bytes, read_manifest
from remint.config import Params, load_params, parse_params
from remint.core.document import DocumentKind, unseal
from remint.core.verdict import Absence, Verdict
from remint.errors import BundleError, UsageError
from remint.workflows.evaluate import evaluate
from remint.workflows.gate import gate_rules_id, run_gate
from remint.workflows.reproduce import compared, judge_reproducible


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("champion")
    make_model(directory)
    return directory


@pytest.fixture(scope="module")
def challenger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("challenger")
    make_model(directory, feedback=900)
    return directory


def gate(directory: Path, champion: Path | None = None, *, params: Params | None = None, **more: Any) -> dict[str, Any]:
    document = run_gate(
        params or load_params(directory / "params.yaml"),
        directory=directory,
        champion_bundle=None if champion is None else champion / "artifacts/bundle",
        champion=None if champion is None else {"tag": "shop#stable#1", "version": "v1.0.0"},
        now=NOW,
        **{"boot_service": False, **more},
    )
    return unseal(document, DocumentKind.GATE, pipeline="shop")


def verdicts(document: dict[str, Any]) -> dict[str, str]:
    return {finding["rule"]: finding["verdict"] for finding in document["findings"]}


def test_in_a_new_world_the_challenger_wins_on_fresh_rows_and_the_golden_guard_stops_it(
    champion: Path, challenger: Path
) -> None:
    document = gate(challenger, champion)
    assert verdicts(document) == {"gate:accuracy": "pass", "guard:accuracy": "fail", "info:log_loss": "pass"}
    assert document["verdict"] == "fail"
    assert document["judged_on"] == "fresh"
    assert document["rows"]["fresh"] == 270
    fresh = document["metrics"]["fresh"]["accuracy"]
    assert fresh["challenger"] > fresh["champion"]
    assert 0 < fresh["interval"]["low"] < fresh["challenger"] - fresh["champion"] < fresh["interval"]["high"]
    assert document["findings"][0]["evidence"]["mcnemar"]["p_value"] < 0.01


def test_an_accepted_guard_lets_it_pass_and_stands_in_the_document(champion: Path, challenger: Path) -> None:
    acceptance = {"rule": "guard:accuracy", "reason": "the golden set is of the old world", "by": "Ada"}
    document = gate(challenger, champion, acceptances=[acceptance])
    assert document["verdict"] == "pass"
    assert document["accepted"] == [
        {**acceptance, "bundle": document["challenger"]["bundle"], "at": "2026-11-21T12:00:00.000000Z"}
    ]
    for_another = gate(challenger, champion, acceptances=[{**acceptance, "bundle": "sha256:" + "0" * 64}])
    assert for_another["verdict"] == "fail"
    assert for_another["accepted"] == []


def test_the_gate_itself_cannot_be_accepted(champion: Path, challenger: Path) -> None:
    with pytest.raises(UsageError, match="only a guard"):
        gate(challenger, champion, acceptances=[{"rule": "gate:accuracy", "reason": "please", "by": "Ada"}])


def test_the_same_models_and_rows_give_the_same_document(champion: Path, challenger: Path) -> None:
    assert gate(challenger, champion) == gate(challenger, champion)


def test_rows_that_the_champion_may_have_been_trained_on_are_left_out(challenger: Path) -> None:
    document = gate(challenger, challenger)
    assert document["judged_on"] == "test"
    assert document["rows"]["fresh"] == 0
    assert any("270 fresh rows had arrived when the champion was trained" in note for note in document["notes"])
    assert any("judged on the test rows" in note for note in document["notes"])
    assert document["metrics"]["fresh"] == {}


def test_a_model_against_itself_is_within_noise(champion: Path) -> None:
    (found, *_) = gate(champion, champion)["findings"]
    assert found["verdict"] == "pass"
    assert "no difference on any row" in found["reason"]


def test_the_first_model_faces_the_floor(champion: Path) -> None:
    document = gate(champion)
    assert document["champion"] is None
    assert document["verdict"] == "pass"
    assert document["metrics"]["test"]["accuracy"]["champion"] is None


def test_too_few_distinct_rows_are_inconclusive(champion: Path, challenger: Path) -> None:
    params = load_params(challenger / "params.yaml")
    strict = params.model_copy(update={"gate": params.gate.model_copy(update={"min_rows": 271})})
    document = gate(challenger, champion, params=strict)
    assert verdicts(document)["gate:accuracy"] == "inconclusive"
    assert "270 distinct rows, the gate needs 271" in document["findings"][0]["reason"]


def test_a_tampered_challenger_is_refused(challenger: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(challenger, copy)
    model = copy / "artifacts/bundle/model.skops"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.chmod(0o644)
    model.write_bytes(content)
    with pytest.raises(BundleError, match="changed after it was written"):
        gate(copy)


def test_a_bundle_that_git_does_not_name_is_refused(champion: Path, challenger: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(challenger, copy)
    shutil.copyfile(champion / "artifacts/manifest.json", copy / "artifacts/manifest.json")
    with pytest.raises(BundleError, match="dvc checkout"):
        gate(copy)


def test_another_bundle_than_the_registry_names_is_refused(champion: Path, challenger: Path) -> None:
    with pytest.raises(BundleError, match="the champion's bundle"):
        run_gate(
            load_params(challenger / "params.yaml"),
            directory=challenger,
            champion_bundle=champion / "artifacts/bundle",
            champion={"tag": None, "version": None, "bundle": "sha256:" + "0" * 64},
            now=NOW,
            boot_service=False,
        )


def test_the_service_is_booted_and_repeats_its_golden_predictions_over_http(champion: Path) -> None:
    document = gate(champion, boot_service=True)
    found = verdicts(document)
    assert found["service:boot"] == "pass"
    assert found["service:golden"] == "pass"
    assert found["service:latency"] == "pass"
    assert document["service"]["memory_bytes"] > 20_000_000
    assert 0 < document["service"]["p95_latency_seconds"] < 0.5
    assert document["service"]["boot_seconds"] > 0.1


def test_a_service_that_does_not_start_fails_and_says_why(champion: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(champion, copy)
    text = (copy / "params.yaml").read_text().replace("serve:\n", "serve:\n  max_series: 3\n")
    (copy / "params.yaml").write_text(text)
    document = gate(copy, boot_service=True)
    found = verdicts(document)
    assert found["service:boot"] == "fail"
    assert found["service:golden"] == found["service:latency"] == found["service:memory"] == "missing"
    assert document["verdict"] == "fail"
    boot = next(f for f in document["findings"] if f["rule"] == "service:boot")
    assert "max_series" in boot["reason"]


# -- the metric contract -----------------------------------------------------------------------------------------------


def with_gate(directory: Path, **sections: Any) -> Params:
    """The directory's params with other sections in ``gate``, checked as those of a file are."""
    document = yaml.safe_load((directory / "params.yaml").read_text())
    document["gate"] |= sections
    return parse_params(yaml.safe_dump(document))


def test_slices_flips_calibration_and_size_are_judged_and_fit_the_schema(champion: Path, challenger: Path) -> None:
    params = with_gate(
        challenger,
        slices=[{"column": "x"}, {"column": "z", "edges": [0]}],
        flips={"max_share": 0.01},
        calibration={"tolerance": 0.5},
        service={"bundle_bytes": 10_000_000, "max_growth_share": 0.0},
    )
    document = gate(challenger, champion, params=params)
    found = verdicts(document)
    assert found["slice:accuracy@x"] == found["slice:accuracy@z"] == "pass"
    assert found["flips"] == "fail"  # a better model, but wrong about others
    assert found["calibration"] == "pass"
    assert found["bundle:size"] in {"pass", "fail"}
    by_z = [s for s in document["slices"] if s["column"] == "z"]
    assert [s["slice"] for s in by_z] == ["z < 0", "z >= 0"]
    assert sum(s["rows"] for s in by_z) == document["rows"]["fresh"] == 270
    assert len([s for s in document["slices"] if s["column"] == "x"]) == 4
    evidence = document["findings"][0]["evidence"]["mcnemar"]
    assert document["flips"]["worse"] == evidence["champion_right"]
    assert document["calibration"]["interval"]["high"] < 0  # the old model is surely wrong in the new world
    assert document["size_bytes"]["challenger"] == bundle_bytes(challenger / "artifacts/bundle")
    schema = json.loads((Path(__file__).parents[2] / "schemas/gate.schema.json").read_text())
    Draft202012Validator(schema).validate(document)


def test_sensitive_slices_are_of_the_test_rows_because_feedback_does_not_know_them(
    champion: Path, tmp_path: Path
) -> None:
    rules = [
        {"metric": "accuracy", "role": "gate", "tolerance": 0.02},
        {"metric": "accuracy", "role": "guard", "tolerance": 0.5, "slices": ["region"]},
    ]
    made = make_model(tmp_path, feedback=900, regions=True, rules=rules, slices=[{"column": "region", "min_rows": 20}])
    document = gate(tmp_path, champion, params=made)
    assert document["judged_on"] == "fresh"
    assert {(s["role"], s["slice"], s["rows_name"]) for s in document["slices"]} >= {
        ("gate", "region = north", "test"),
        ("gate", "region = south", "test"),
        ("guard", "region = north", "golden"),
        ("guard", "region = south", "golden"),
    }
    found = verdicts(document)
    assert found["slice:accuracy@region"] == "fail"  # the test rows are of the old world
    assert found["guard:accuracy@region"] == "pass"


def test_without_a_champion_slices_and_flips_stop_nothing(champion: Path) -> None:
    params = with_gate(champion, slices=[{"column": "x"}], flips={"max_share": 0.0}, calibration={"tolerance": 0.0})
    document = gate(champion, params=params)
    found = verdicts(document)
    assert {found[r] for r in ("slice:accuracy@x", "flips", "calibration", "guard:accuracy")} == {"no_champion"}
    assert document["verdict"] == "pass"
    assert document["evaluation"] is document["flips"] is None


def test_other_rules_have_another_id(champion: Path) -> None:
    params = load_params(champion / "params.yaml")
    assert gate(champion)["rules_id"] == gate_rules_id(params)
    assert gate_rules_id(with_gate(champion, min_rows=41)) != gate_rules_id(params)


def test_three_columns_where_the_evaluation_rows_changed(champion: Path, challenger: Path) -> None:
    evaluate(load_params(champion / "params.yaml"), champion)
    recorded = json.loads((champion / "artifacts/metrics.json").read_text())
    same = gate(champion, champion, champion_metrics=recorded)["evaluation"]
    assert same["changed"] is same["golden"]["changed"] is False
    moved = gate(challenger, champion, champion_metrics=recorded)["evaluation"]
    assert moved["changed"] is True
    assert moved["golden"]["changed"] is False
    assert moved["judged_on"] == {"before": "test", "now": "fresh"}
    columns = moved["metrics"]["accuracy"]
    assert columns["champion_before"] == recorded["test"]["accuracy"]
    assert columns["champion_before"] > columns["challenger_now"] > columns["champion_now"]


def test_training_again_in_another_process_gives_the_same_bundle(champion: Path) -> None:
    document = gate(champion, params=with_gate(champion, reproducibility="always"))
    assert verdicts(document)["reproducible"] == "pass"


def test_another_bundle_or_none_is_no_reproduction(champion: Path, challenger: Path, tmp_path: Path) -> None:
    first, again = (read_manifest(place / "artifacts/bundle") for place in (champion, challenger))
    found = compared(first, again)
    assert found.verdict is Verdict.FAIL
    assert "model.skops" in found.evidence["files"]
    (tmp_path / "params.yaml").write_text("pipeline: shop\n")
    absent = judge_reproducible(tmp_path, champion / "artifacts/bundle")
    assert absent.verdict is Absence.MISSING
    assert "params.yaml" in absent.reason
