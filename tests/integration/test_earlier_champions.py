"""A concept that comes back: the champion of then wins against what is trained now, through real git and DVC."""

from __future__ import annotations

import json
import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from remint.adapters.bundle import read_bundle
from remint.adapters.git import Git
from remint.adapters.registry import assign
from remint.config import load_params
from remint.core.document import DocumentKind, unseal
from remint.errors import BundleError
from remint.workflows.earlier import earlier_champions, fetch
from remint.workflows.feedback import FeedbackSource, SourceKind
from remint.workflows.retrain import RetrainRequest, RetrainResult, retrain
from retrain_world import NOW, World, fill_store

BRANCH = "remint/retrain/churn"
SCHEMA = Path(__file__).parents[2] / "schemas" / "metadata.schema.json"
LATER = datetime(2026, 11, 21, 12, 5, tzinfo=UTC)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("nobodys_home")]


@pytest.fixture(scope="module")
def recurred(nobodys_home: None, built: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[World, RetrainResult]:
    """The first champion was good, the second is not (it learns next to nothing); the first one's world is back."""
    root = tmp_path_factory.mktemp("recurred") / "world"
    shutil.copytree(built.root, root, symlinks=True)
    world = World(root)
    (root / "store.db").unlink()
    fill_store(world, shifted=False)
    path = world.repo / "params.yaml"
    text = path.read_text().replace("parameters: {}", "parameters: {C: 0.000001}")
    text = text.replace("share: 0.2\n    metric: accuracy", "share: 0.5\n    metric: log_loss")
    path.write_text(text.replace("earlier_champions: 0", "earlier_champions: 2"))
    world.run("dvc", "repro", "--quiet", "train")
    world.run("dvc", "push", "--quiet")
    world.git("commit", "-q", "-a", "-m", "A worse model")
    world.git("push", "-q", "origin", "HEAD:refs/heads/main")
    assign(Git(world.repo), "churn", "HEAD", now=NOW - timedelta(days=20))
    source = FeedbackSource(kind=SourceKind.STORE, place=world.store_url)
    request = RetrainRequest(decision=world.decision(), source=lambda: source, clock=lambda: LATER)
    return world, retrain(world.repo, request)


def at(world: World, rev: str, path: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Git(world.repo).show(rev, path) or b"")
    return found


def test_the_model_is_the_earlier_champions_and_its_reference_is_of_today(
    recurred: tuple[World, RetrainResult],
) -> None:
    world, result = recurred
    assert result.document["outcome"] == "published"
    metadata = unseal(at(world, BRANCH, "artifacts/metadata.json"), DocumentKind.METADATA, pipeline="churn")
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(metadata)
    first = at(world, "churn#stable#1", "artifacts/manifest.json")
    assert metadata["choice"]["chosen"] == metadata["reused"]["tag"] == "churn#stable#1"
    assert metadata["reused"]["bundle"] == first["id"]
    assert (metadata["reused"]["until"]["sequence"], metadata["until"]["sequence"]) == (0, 150)
    champion = next(c for c in metadata["choice"]["candidates"] if c["kind"] == "earlier")
    assert champion["rows"] == 53  # half of the feedback that may train: all of it arrived after its ``until``
    assert champion["high"] < 0  # a lower log loss, beyond noise
    manifest = at(world, BRANCH, "artifacts/manifest.json")
    assert manifest["id"] != first["id"]
    assert manifest["files"]["model.skops"] == first["files"]["model.skops"]
    assert manifest["files"]["reference.json"] != first["files"]["reference.json"]


def test_the_gate_sees_one_challenger_and_the_report_says_who_it_is(recurred: tuple[World, RetrainResult]) -> None:
    world, result = recurred
    gate = json.loads((result.files / "gate.json").read_text())
    assert gate["champion"]["tag"] == "churn#stable#2"
    assert gate["challenger"]["bundle"] == at(world, BRANCH, "artifacts/manifest.json")["id"]
    report = (result.files / "report.md").read_text()
    assert "unchanged; only its reference is new." in report


def test_who_competed_stands_in_the_params_and_anybody_can_repeat_it(recurred: tuple[World, RetrainResult]) -> None:
    world, result = recurred
    world.git("clone", "-q", "--branch", BRANCH, "origin.git", "clone", at=world.root)
    clone = world.root / "clone" / "models" / "churn"
    params = load_params(clone / "params.yaml")
    assert [champion.tag for champion in params.train.earlier] == ["churn#stable#1"]
    world.run("dvc", "pull", "--quiet", at=clone)
    world.run("dvc", "repro", "--quiet", "--force", "--single-item", "train", at=clone)
    assert read_bundle(clone / "artifacts/bundle").id == result.document["bundle"]
    assert world.run(sys.executable, "-m", "dvc", "status", at=clone).startswith("Data and pipelines are up to date")


def test_only_the_bundle_that_was_named_competes(recurred: tuple[World, RetrainResult]) -> None:
    world, _ = recurred
    bundle = at(world, "churn#stable#1", "artifacts/manifest.json")["id"]
    params = load_params(world.repo / "params.yaml")
    champion = {"tag": "churn#stable#1", "commit": world.git("rev-parse", "churn#stable#1^{commit}"), "bundle": bundle}
    schema = read_bundle(world.repo / "artifacts/bundle").schema

    def asked(section: str = "train", **changes: Any) -> str | None:
        given = yaml.safe_load((world.repo / "params.yaml").read_text())
        given["train"]["earlier"] = [champion]
        given[section].update(changes)
        return fetch(type(params).model_validate(given), world.repo, schema)[0].note

    assert asked() is None
    assert asked("prepare", seed=7) == "trained on another split: its training rows may be held-out ones of today"
    champion["bundle"] = "sha256:" + "0" * 64
    with pytest.raises(BundleError, match="not sha256:0000"):
        asked()


def test_a_model_that_came_back_is_no_other_model(recurred: tuple[World, RetrainResult]) -> None:
    world, _ = recurred
    git = Git(world.repo)
    assert [c.tag for c in earlier_champions(git, "churn", count=5)] == ["churn#stable#1"]
    assert earlier_champions(git, "churn", count=0) == ()
    assign(git, "churn", BRANCH, now=LATER)
    assert [c.tag for c in earlier_champions(git, "churn", count=5)] == ["churn#stable#2"]  # the first one's is stable
