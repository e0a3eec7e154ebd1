"""The gate on real bundles: what is compared with what, what is said about it, and a booted service."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from gate_examples import NOW, make_model
from remint.config import Params, load_params
from remint.core.document import DocumentKind, unseal
from remint.errors import BundleError, UsageError
from remint.workflows.gate import run_gate


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
