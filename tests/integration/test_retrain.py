"""The retrain on a real pipeline, with real git, a real DVC remote and a real store."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from remint.adapters.frames import read_rows
from remint.adapters.git import Git
from remint.adapters.ledger import Ledger
from remint.adapters.lock import hold
from remint.cli import main
from remint.config import load_params
from remint.core.document import DocumentKind, unseal
from remint.core.ledger import LedgerEntry, LedgerEvent
from remint.errors import ConfigError, LockedError, RemintError, ServiceError, UsageError
from remint.workflows.feedback import FeedbackSource, SourceKind
from remint.workflows.retrain import RetrainRequest, RetrainResult, retrain
from retrain_world import RUN_ID, World

BRANCH = "remint/retrain/churn"
FEEDBACK = "data/feedback.parquet.dvc"
LATER = datetime(2026, 11, 21, 12, 5, tzinfo=UTC)


pytestmark = pytest.mark.usefixtures("nobodys_home")


@pytest.fixture
def world(built: World, tmp_path: Path) -> World:
    shutil.copytree(built.root, tmp_path / "world", symlinks=True)
    return World(tmp_path / "world")


def request(world: World, decision: dict[str, Any] | None = None, **more: Any) -> RetrainRequest:
    source = FeedbackSource(kind=SourceKind.STORE, place=world.store_url)
    return RetrainRequest(decision=decision or world.decision(), source=lambda: source, clock=lambda: LATER, **more)


def ask(world: World, decision: dict[str, Any] | None = None, **more: Any) -> RetrainResult:
    return retrain(world.repo, request(world, decision, **more))


def ledger(world: World) -> Ledger:
    return Ledger(Git(world.repo), "churn")


def events(world: World) -> list[str]:
    return [entry.event.value for entry in ledger(world).entries()]


def state_of_checkout(world: World) -> tuple[str, str, str, str]:
    git = world.git
    return git("rev-parse", "HEAD"), git("branch", "--show-current"), git("status", "--porcelain"), git("stash", "list")


# -- the whole way ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def published(
    nobodys_home: None, built: World, tmp_path_factory: pytest.TempPathFactory
) -> tuple[World, RetrainResult, tuple[str, ...]]:
    """One retrain that nobody disturbed, with its checkout's state before."""
    root = tmp_path_factory.mktemp("published") / "world"
    shutil.copytree(built.root, root, symlinks=True)
    world = World(root)
    (world.repo / "notes.txt").write_text("mine\n")
    for hook in ("post-checkout", "prepare-commit-msg", "pre-commit", "pre-push"):  # a team's hooks are for people
        path = world.repo.parents[1] / ".git" / "hooks" / hook
        path.write_text("#!/bin/sh\nexit 1\n")
        path.chmod(0o755)
    before = state_of_checkout(world)
    return world, ask(world), before


def test_the_branch_holds_data_params_and_model_of_the_decision(
    published: tuple[World, RetrainResult, tuple[str, ...]],
) -> None:
    world, result, _ = published
    assert result.document["outcome"] == "published"
    origin = world.root / "origin.git"
    commit = world.git("rev-parse", BRANCH, at=origin)
    assert commit == result.document["commit"] == world.git("rev-parse", BRANCH)
    changed = set(world.git("diff", "--name-only", "--relative", f"HEAD..{BRANCH}").splitlines())
    assert {"params.yaml", "dvc.lock", "data/feedback.parquet.dvc", "artifacts/manifest.json"} <= changed
    assert all(
        path.startswith("artifacts/") for path in changed - {"params.yaml", "dvc.lock", "data/feedback.parquet.dvc"}
    )
    message = world.git("log", "-1", "--format=%B%n%aI", commit)
    assert f"Remint-Run: {RUN_ID}" in message
    assert f"Remint-Bundle: {result.document['bundle']}" in message
    assert "2026-11-21T12:00:00+00:00" in message  # the decision's time, so that the commit repeats
    manifest = json.loads(Git(world.repo).show(commit, "artifacts/manifest.json") or b"")
    assert manifest["id"] == result.document["bundle"]


def test_a_fresh_clone_gets_data_and_model_from_the_remotes(
    published: tuple[World, RetrainResult, tuple[str, ...]],
) -> None:
    world, _, _ = published
    world.git("clone", "-q", "--branch", BRANCH, "origin.git", "clone", at=world.root)
    clone = world.root / "clone" / "models" / "churn"
    world.run("dvc", "pull", "--quiet", at=clone)
    params = load_params(clone / "params.yaml")
    assert (params.prepare.until.sequence, params.prepare.until.arrived_at) == (150, "2026-11-21T11:59:00.000000Z")
    assert read_rows(clone / "data" / "feedback.parquet", params.task.features).rows == 150
    assert world.run(sys.executable, "-m", "dvc", "status", at=clone).startswith("Data and pipelines are up to date")
    assert (clone / "artifacts" / "bundle" / "model.skops").is_file()


def test_the_users_checkout_is_untouched(published: tuple[World, RetrainResult, tuple[str, ...]]) -> None:
    world, _, before = published
    assert state_of_checkout(world) == before
    assert len(world.git("worktree", "list").splitlines()) == 1
    assert world.run(sys.executable, "-m", "dvc", "status").startswith("Data and pipelines are up to date")


def test_the_evidence_is_in_the_ledger_and_beside_the_checkout(
    published: tuple[World, RetrainResult, tuple[str, ...]],
) -> None:
    world, result, _ = published
    run = unseal(json.loads((result.files / "run.json").read_text()), DocumentKind.RUN, pipeline="churn")
    gate = unseal(json.loads((result.files / "gate.json").read_text()), DocumentKind.GATE, pipeline="churn")
    assert run["parents"] == [world.decision()["id"], gate["id"]]
    assert world.decision()["id"] in gate["parents"]
    assert gate["champion"]["tag"] == "churn#stable#1"
    assert run["cpu_seconds"] > 0
    assert run["peak_memory_bytes"] > 10_000_000
    for name in ("decision.json", "gate.json", "changes.json", "run.json", "report.md"):
        assert ledger(world).attachment(RUN_ID, name) == (result.files / name).read_bytes()
    last = ledger(world).entries()[-1]
    assert last.event is LedgerEvent.RETRAIN_FINISHED
    assert last.data["gate"] == {"id": gate["id"], "verdict": gate["verdict"]}


def test_what_changed_and_what_was_re_run_is_told_with_the_evidence(
    published: tuple[World, RetrainResult, tuple[str, ...]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    world, result, _ = published
    found = unseal(json.loads((result.files / "changes.json").read_text()), DocumentKind.CHANGES, pipeline="churn")
    assert found["base"] == world.git("rev-parse", "HEAD")
    assert found["bundle"]["before"] != found["bundle"]["now"] == result.document["bundle"]
    added = {(c["side"], c["name"]): (c["before"], c["now"]) for c in found["rows"]}
    assert added["train", "feedback"] == (0, 105)  # the base's rows were read through DVC: git does not have them
    assert added["fresh", "feedback"] == (0, 45)
    assert {c["name"]: c["before"] for c in found["params"]} == {
        "prepare.until.sequence": "0",
        "prepare.until.arrived_at": "null",
    }
    assert [f["name"] for f in found["files"]] == ["data/feedback.parquet"]
    assert [(s["name"], s["action"]) for s in found["stages"]] == [
        (name, "ran") for name in ("prepare", "train", "evaluate")
    ]
    assert all(stage["seconds"] > 0 for stage in found["stages"])
    assert found["notes"] == []
    report = (result.files / "report.md").read_text()
    assert "- to train: +105 of feedback; labels: " in report
    assert "| prepare | ▶ ran | " in report
    assert not (result.files / "report-full.md").exists()  # nothing had to be left out
    monkeypatch.chdir(world.repo)
    for more in ([], ["--full"]):
        assert main(["report", "--run", str(result.files), *more]) == 0
        assert capsys.readouterr().out == report


def test_a_decision_is_dealt_with_once(published: tuple[World, RetrainResult, tuple[str, ...]], tmp_path: Path) -> None:
    world, result, _ = published
    before = events(world)
    again = ask(world, output_dir=tmp_path / "files")
    assert again.already
    assert again.document == result.document
    assert (tmp_path / "files" / "report.md").read_text() == (result.files / "report.md").read_text()
    assert events(world) == before


def test_ledger_and_registry_answer_on_the_command_line(
    published: tuple[World, RetrainResult, tuple[str, ...]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    world, result, _ = published
    monkeypatch.chdir(world.repo)

    def answer(*command: str) -> Any:
        assert main([*command, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    assert [e["event"] for e in answer("ledger")] == ["retrain_started", "retrain_finished"]
    assert [e["data"]["outcome"] for e in answer("ledger", "--last", "1")] == ["published"]
    assert answer("ledger", "--event", "canary") == []
    assert main(["ledger", "--run", RUN_ID, "--file", "report.md"]) == 0
    assert capsys.readouterr().out == (result.files / "report.md").read_text()
    assert main(["ledger", "--run", RUN_ID, "--file", "absent"]) == 3
    assert main(["ledger", "--run", RUN_ID, "--file", "../../ledger.jsonl"]) == 2
    assert answer("registry", "champion")["tag"] == "churn#stable#1"
    assert [v["tag"] for v in answer("registry", "show")["versions"]] == ["churn@v0.1.0"]
    assert answer("registry", "register", BRANCH, "--bump", "patch", "--dry-run")["tag"] == "churn@v0.1.1"
    assert answer("registry", "assign", BRANCH, "--dry-run")["tag"] == "churn#stable#2"
    assert main(["registry", "champion", "--stage", "canary"]) == 3


@pytest.mark.slow
def test_killed_twice_and_started_again_it_ends_with_the_same_commit(
    published: tuple[World, RetrainResult, tuple[str, ...]], world: World
) -> None:
    """First in the middle of training, then after the branch was pushed and before anything says so."""
    undisturbed = published[1].document
    _killed_at(world, "Running stage 'train'")
    assert events(world) == ["retrain_started"]
    assert world.git("branch", "--list", BRANCH) == ""

    hook = world.root / "origin.git" / "hooks" / "post-receive"
    hook.write_text(f'#!/bin/sh\ngrep -q {BRANCH} && kill -9 "$(cat {world.root}/pid)"\nexit 0\n')
    hook.chmod(0o755)
    _killed_at(world, None)
    hook.unlink()
    assert world.git("rev-parse", BRANCH, at=world.root / "origin.git") == undisturbed["commit"]
    assert world.git("branch", "--list", BRANCH) == ""
    assert "retrain_finished" not in events(world)

    result = ask(world)
    assert result.document["outcome"] == "published"
    assert (result.document["commit"], result.document["bundle"]) == (undisturbed["commit"], undisturbed["bundle"])
    assert events(world) == [*["retrain_started"] * 3, "retrain_finished"]
    assert len(world.git("worktree", "list").splitlines()) == 1


def _killed_at(world: World, line: str | None) -> None:
    """Start the command and kill it with all its children at ``line`` (None: wait until something else kills it)."""
    (world.root / "decision.json").write_text(json.dumps(world.decision()))
    command = [sys.executable, "-m", "remint", "-C", str(world.repo), "retrain", "--store", world.store_url]
    process = subprocess.Popen(
        [*command, "--decision", str(world.root / "decision.json")],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    (world.root / "pid").write_text(str(process.pid))
    with process:
        assert process.stderr is not None
        for said in process.stderr:
            if line is not None and line in said:
                os.killpg(process.pid, signal.SIGKILL)
                break
        assert process.wait(60) == -signal.SIGKILL


def test_nothing_new_is_unchanged_and_makes_no_commit(world: World) -> None:
    result = ask(world, world.decision(until=0))
    assert result.document["outcome"] == "unchanged"
    assert world.git("branch", "--list", BRANCH) == ""
    assert ask(world, world.decision(until=0)).already


def test_a_pipeline_that_fails_says_why_and_may_be_tried_again(world: World) -> None:
    path = world.repo / "stages" / "prepare.py"
    path.write_text("import sys\nprint('remint: error: the moon is full', file=sys.stderr)\nsys.exit(2)\n")
    world.git("commit", "-q", "-a", "-m", "Break it")
    with pytest.raises(RemintError, match="dvc repro failed: the moon is full") as caught:
        ask(world)
    assert caught.value.exit_code == 2
    last = ledger(world).entries()[-1]
    assert (last.data["outcome"], "the moon is full" in last.data["error"]) == ("failed", True)
    again = ask(world, dry_run=True)
    assert (again.already, again.document["outcome"]) == (False, "dry_run")


# -- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["HOLD", "INVESTIGATE", "NEED_LABELS", "INCONCLUSIVE"])
def test_only_retrain_retrains(world: World, answer: str) -> None:
    with pytest.raises(UsageError, match=f"the decision is {answer}, not RETRAIN"):
        ask(world, world.decision(answer=answer))
    plan = ask(world, world.decision(answer=answer), allow=(answer,), dry_run=True)
    assert plan.document["outcome"] == "dry_run"
    assert events(world) == []


def test_a_changed_decision_is_no_decision(world: World) -> None:
    with pytest.raises(RemintError, match="changed after it was written"):
        ask(world, {**world.decision(answer="HOLD"), "answer": "RETRAIN"})


def test_without_a_remote_nobody_else_would_get_the_model(world: World) -> None:
    world.run("dvc", "config", "--unset", "core.remote")
    with pytest.raises(ConfigError, match="no default remote"):
        ask(world)
    assert ask(world, push=False, dry_run=True).document["push"] is False


def test_a_persons_commit_on_the_branch_is_never_overwritten(world: World) -> None:
    world.git("switch", "-q", "-c", BRANCH)
    world.git("commit", "-q", "--allow-empty", "-m", "Fix the threshold")
    with pytest.raises(ConfigError, match="is checked out"):
        ask(world)
    world.git("push", "-q", "origin", BRANCH)
    world.git("switch", "-q", "main")
    with pytest.raises(ConfigError, match=r"a commit that is not Remint's: .* 'Fix the threshold'"):
        ask(world)
    world.git("branch", "-q", "-D", BRANCH)
    with pytest.raises(ConfigError, match="a commit that is not Remint's"):
        ask(world)
    assert events(world) == []


def test_the_second_of_two_says_so_and_stops(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world.repo)
    decision = world.root / "decision.json"
    decision.write_text(json.dumps(world.decision()))
    with hold(Git(world.repo).common_dir / "remint" / "retrain-churn.lock", what="a retrain"):
        assert main(["retrain", "--decision", str(decision), "--store", world.store_url, "--json"]) == 4
    assert json.loads(capsys.readouterr().out)["error"] == "locked"


def test_a_retrain_on_another_machine_holds_this_one_off_until_it_is_dead(world: World) -> None:
    other = "churn-20261121T110000Z-ffffff"
    at = LATER - timedelta(hours=1)
    ledger(world).append(LedgerEntry(at=at, event=LedgerEvent.RETRAIN_STARTED, run_id=other, data={}))
    with pytest.raises(LockedError, match=f"retrain {other} has been running since"):
        ask(world)
    assert events(world) == ["retrain_started"]


def test_an_origin_that_is_down_stops_it_before_the_training(world: World) -> None:
    shutil.rmtree(world.root / "origin.git")
    with pytest.raises(ServiceError, match="git ls-remote failed"):
        ask(world)


def test_a_dry_run_changes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(world.repo)
    Path("../../../decision.json").write_text(json.dumps(world.decision()))
    assert main(["retrain", "--decision", "../../../decision.json", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["branch"] == BRANCH
    assert events(world) == []
    assert not (world.repo / ".remint" / "runs" / RUN_ID).exists()


# -- bundles ---------------------------------------------------------------------------------------------------------


def test_a_commits_bundle_comes_from_the_remote_and_is_verified(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(world.repo)
    shutil.rmtree(".dvc/cache")
    wanted = json.loads(Path("artifacts/manifest.json").read_text())["id"]
    command = ["bundle", "export", "--rev", "churn@v0.1.0", "--bundles", "bundles", "--json"]
    assert main(command) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["id"], answer["present"]) == (wanted, False)
    assert [p.name for p in Path("bundles").iterdir()] == [wanted.removeprefix("sha256:")]
    assert main(["bundle", "verify", answer["path"], "--id", wanted]) == 0
    model = Path(answer["path"]) / "model.skops"
    model.chmod(0o644)
    model.write_bytes(model.read_bytes() + b"\0")
    assert main(["bundle", "verify", answer["path"]]) == 2
    assert main(command) == 2
