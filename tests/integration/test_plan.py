"""The plan against what DVC then really does, in fresh clones with an empty cache (calkit#820)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from remint.adapters.git import Git
from remint.cli.main import main
from remint.core.run_plan import Action
from remint.workflows.feedback import FeedbackSource, SourceKind
from remint.workflows.plan import Plan, plan_checkout, plan_decision
from remint.workflows.retrain import RetrainRequest, retrain
from retrain_world import NOW, World

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("nobodys_home")]


@pytest.fixture(scope="module")
def clone(nobodys_home: None, built: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A machine that has never seen the data: its cache is empty."""
    root = tmp_path_factory.mktemp("clone") / "world"
    shutil.copytree(built.root, root, symlinks=True)
    shutil.rmtree(root / "repo")
    world = World(root)
    world.git("clone", "-q", "origin.git", "repo", at=root)
    world.git("checkout", "-q", "main", at=root / "repo")
    return world


@pytest.fixture
def fresh(clone: World, tmp_path: Path) -> World:
    shutil.copytree(clone.root, tmp_path / "world", symlinks=True)
    return World(tmp_path / "world")


def actions(plan: Plan) -> dict[str, str]:
    return {stage.name: stage.action.value for stage in plan.run.stages}


def ran(world: World) -> str:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = ["dvc", "repro", "--pull", "--allow-missing"]
    done = subprocess.run(command, cwd=world.repo, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_in_a_fresh_clone_nothing_has_to_run_and_nothing_is_pulled(fresh: World) -> None:
    plan = plan_checkout(fresh.repo)
    assert actions(plan) == {"prepare": "stay", "train": "stay", "evaluate": "stay"}
    document = plan.to_json()
    assert document["downloads"] == []
    assert document["missing_bytes"] > 10_000
    assert not (fresh.repo / ".dvc" / "cache").exists(), "planning fetched nothing"


def test_a_changed_parameter_is_named_and_only_its_stages_inputs_are_pulled(fresh: World) -> None:
    params = fresh.repo / "params.yaml"
    text = params.read_text()
    params.write_text(text.replace("metrics: [accuracy, balanced_accuracy", "metrics: [balanced_accuracy, accuracy"))
    assert params.read_text() != text
    plan = plan_checkout(fresh.repo)
    assert actions(plan) == {"prepare": "stay", "train": "stay", "evaluate": "run"}
    assert plan.run.stages[2].reason == "params.yaml:evaluate modified"
    assert [d.path for d in plan.run.downloads] == ["artifacts/bundle", "artifacts/prepared"]
    sizes = {d.path: d.size_bytes for d in plan.run.downloads}
    output = ran(fresh)
    assert "Running stage 'evaluate'" in output
    assert "Running stage 'train'" not in output
    for path, size in sizes.items():
        found = sum(file.stat().st_size for file in (fresh.repo / path).rglob("*") if file.is_file())
        assert found == size, f"{path}: the bytes that were announced"
    assert not (fresh.repo / "data" / "churn.csv").exists(), "what no stage read was not pulled"
    assert not plan_checkout(fresh.repo).run.runs


def test_the_plan_of_a_decision_is_what_retrain_does(built: World, tmp_path: Path) -> None:
    shutil.copytree(built.root, tmp_path / "world", symlinks=True)
    world = World(tmp_path / "world")
    before = world.git("status", "--porcelain"), world.git("worktree", "list")
    plan = plan_decision(world.repo, world.decision(), where="decision.json")
    assert (world.git("status", "--porcelain"), world.git("worktree", "list")) == before
    assert plan.changes == ("prepare.until.sequence: 0 -> 150",)
    assert actions(plan) == {"prepare": "run", "train": "run", "evaluate": "may_run"}
    reasons = {stage.name: stage.reason for stage in plan.run.stages}
    assert "data/feedback.parquet is exported anew, with feedback up to 150 instead of 0" in reasons["prepare"]
    assert "params.yaml:prepare modified" in reasons["prepare"]
    assert reasons["train"] == "params.yaml:prepare.until modified"
    source = FeedbackSource(kind=SourceKind.STORE, place=world.store_url)
    lines: list[str] = []
    request = RetrainRequest(
        decision=world.decision(), source=lambda: source, clock=lambda: NOW, push=False, progress=lines.append
    )
    retrain(world.repo, request)
    running = {stage for stage in reasons if f"Running stage '{stage}':" in lines}
    assert {name for name, action in actions(plan).items() if action == Action.RUN} <= running
    assert running <= {name for name, action in actions(plan).items() if action != Action.STAY}
    old = plan_decision(world.repo, world.decision(until=0), where="decision.json")
    assert (old.changes, old.run.runs) == ((), False)


def test_the_command_prints_json_and_a_table(
    built: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(built.root, tmp_path / "world", symlinks=True)
    world = World(tmp_path / "world")
    monkeypatch.chdir(world.repo)
    assert main(["plan", "--json"]) == 0
    said = capsys.readouterr()
    document: dict[str, Any] = json.loads(said.out)
    assert document["runs"] is False
    assert "Nothing has to run" in said.err
    (world.repo / "dvc.yaml").write_text("stages: [")
    assert main(["plan"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert Git(world.repo).head()
