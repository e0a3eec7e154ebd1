"""Each setting broken on purpose, on a real pipeline with a real origin and a real DVC remote."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from github_server import TOKEN, GitHub, serve
from remint.adapters.forge import Forge
from remint.adapters.forge.github import GitHubForge
from remint.adapters.forge.local import LocalForge
from remint.adapters.forge.rest import Access
from remint.adapters.git import Git
from remint.cli.main import main
from remint.core.checkup import Checkup, Level
from remint.workflows.doctor import Patient, examine
from remint.workflows.freeze import freeze
from retrain_world import World

pytestmark = pytest.mark.usefixtures("nobodys_home")
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def sound(nobodys_home: None, built: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("sound") / "world"
    shutil.copytree(built.root, root, symlinks=True)
    world = World(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(world.repo)
        assert main(["lock", "install"]) == 0
    return world


@pytest.fixture
def world(sound: World, tmp_path: Path) -> World:
    shutil.copytree(sound.root, tmp_path / "world", symlinks=True)
    return World(tmp_path / "world")


def look(world: World, *, forge: Forge | None = None, now: datetime = NOW, **environ: str) -> dict[str, Checkup]:
    patient = Patient(directory=world.repo, environ=environ, now=now, forge=forge)
    return {checkup.name: checkup for checkup in examine(patient).checkups}


def test_a_pipeline_that_is_set_up_has_nothing_to_mend_and_what_was_not_asked_is_said(world: World) -> None:
    found = look(world, REMINT_STORE_URL=world.store_url)
    levels = {name: checkup.level for name, checkup in found.items() if checkup.level is not Level.OK}
    assert levels.pop("prometheus") is Level.ERROR, "nothing listens there"
    assert set(levels.values()) == {Level.NOT_ASKED}
    assert set(levels) == {"git.ledger", *(name for name in found if name.startswith("forge."))}
    assert found["forge.checks"].line == "no forge in the environment: --forge names one"
    assert found["dvc.data"].line.startswith("the remote answers and has all")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


BREAKS: dict[str, tuple[Callable[[World], object], Level, str, str]] = {
    "params": (lambda w: edit(w.repo / "params.yaml", "check:", "chek:"), Level.ERROR, "chek", "check"),
    "requirements": (
        lambda w: edit(w.repo / "requirements.txt", "==", "==9."),
        Level.ERROR,
        "pins remint==9.",
        "install the pinned one",
    ),
    "git.origin": (
        lambda w: (w.root / "origin.git").rename(w.root / "gone"),
        Level.ERROR,
        "does not answer",
        "git ls-remote origin",
    ),
    "git.tags": (
        lambda w: w.git("tag", "-d", "churn@v0.1.0"),
        Level.WARNING,
        "such as churn@v0.1.0",
        "git fetch --tags",
    ),
    "git.brake": (
        lambda w: freeze(Git(w.repo), "churn", reason="audit", by="Ada", now=NOW),
        Level.WARNING,
        "frozen by Ada since",
        "remint unfreeze",
    ),
    "git.merge_driver": (
        lambda w: w.git("config", "--remove-section", "merge.remint-lock"),
        Level.WARNING,
        "lacks the driver",
        "remint lock install",
    ),
    "dvc.ignore": (
        lambda w: (w.repo / ".dvcignore").write_text("*.log\n"),
        Level.WARNING,
        "does not name __pycache__",
        "echo '__pycache__/' >>",
    ),
    "dvc.remote": (
        lambda w: w.run("dvc", "remote", "remove", "shared"),
        Level.ERROR,
        "no default remote",
        "dvc remote add --default",
    ),
    "dvc.data": (
        lambda w: shutil.rmtree(w.root / "dvc-remote"),
        Level.ERROR,
        "the remote lacks",
        "dvc push",
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_each_break_is_found_with_its_mend(world: World, name: str) -> None:
    damage, level, line, mend = BREAKS[name]
    damage(world)
    found = look(world)[name]
    assert found.level is level
    assert line in found.line
    assert found.mend is not None
    assert mend in found.mend


def test_what_depends_on_a_broken_setting_is_not_asked_and_never_ok(world: World) -> None:
    (world.repo / "params.yaml").write_text("nonsense: [")
    found = look(world)
    for name in ("git.tags", "git.ledger", "registry.champion", "prometheus", "store"):
        assert (name, found[name].level) == (name, Level.NOT_ASKED)
    shutil.rmtree(world.root / "repo" / ".git")
    found = look(world)
    assert found["git"].level is Level.ERROR
    assert found["git.history"].level is Level.NOT_ASKED


def test_a_shallow_clone_is_found(world: World) -> None:
    world.git("commit", "-q", "--allow-empty", "-m", "x")
    world.git("push", "-q", "origin", "HEAD:refs/heads/main")
    world.git(
        "clone",
        "-q",
        "--depth",
        "1",
        "--branch",
        "main",
        f"file://{world.root}/origin.git",
        "shallow/repo",
        at=world.root,
    )
    found = look(World(world.root / "shallow"))["git.history"]
    assert (found.level, found.mend) == (Level.ERROR, "git fetch --unshallow")


def test_a_module_that_a_stage_imports_and_does_not_list_is_found(world: World) -> None:
    """DVC would say "up to date" over a stale model."""
    (world.repo / "own.py").write_text("import helpers\n")
    (world.repo / "helpers.py").write_text("")
    edit(world.repo / "params.yaml", "estimator: remint.estimators:", "estimator: own:")
    found = look(world)["dvc.imports"]
    assert found.level is Level.ERROR
    assert "train runs helpers.py, own.py: not among its deps" in found.line
    assert found.mend == "in dvc.yaml, add helpers.py, own.py to stages.train.deps"
    text = (world.repo / "dvc.yaml").read_text()
    listed = text.replace("      - stages/train.py\n", "      - stages/train.py\n      - own.py\n      - helpers.py\n")
    (world.repo / "dvc.yaml").write_text(listed)
    assert look(world)["dvc.imports"].level is Level.OK
    edit(world.repo / "dvc.yaml", "cmd: python stages/evaluate.py", "cmd: ./evaluate.sh")
    assert look(world)["dvc.imports"].level is Level.NOT_ASKED


def test_the_commands_exit_code_is_only_for_errors(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(world.repo)
    assert main(["doctor", "--json"]) == 0
    said = capsys.readouterr()
    document: dict[str, Any] = json.loads(said.out)
    assert document["sound"] is False, "Prometheus is not there"
    assert document["counts"]["error"] == 1
    assert "-> is Prometheus running there?" in said.err
    assert main(["doctor", "--exit-code"]) == 2
    assert main(["doctor", "--forge", "github"]) == 0, "a wrong forge is a finding"
    assert "error      forge.repository" in capsys.readouterr().err


# -- the forge ---------------------------------------------------------------------------------------------------------


def client(server: GitHub) -> GitHubForge:
    access = Access(url=server.url, token=TOKEN, variable="GITHUB_TOKEN")
    return GitHubForge(access, server.name, graphql_url=f"{server.url}/graphql")


def asked(world: World, server: GitHub, *, now: datetime = NOW) -> dict[str, Checkup]:
    with serve(server):
        found = look(world, forge=client(server), now=now)
    return {name: checkup for name, checkup in found.items() if name.startswith("forge.")}


def protection(*, checks: list[str], approvals: int = 1, stale: bool = True) -> dict[str, Any]:
    url = "https://forge.invalid/"
    return {
        "url": url,
        "required_status_checks": {
            "url": url,
            "contexts": checks,
            "checks": [{"context": c, "app_id": None} for c in checks],
            "contexts_url": url,
            "strict": True,
        },
        "required_pull_request_reviews": {
            "url": url,
            "dismiss_stale_reviews": stale,
            "require_code_owner_reviews": False,
            "required_approving_review_count": approvals,
        },
    }


RUN = {"id": 1, "display_title": "watch", "status": "completed", "conclusion": "success", "html_url": "https://x"}


def watched(world: World) -> None:
    place = world.root / "repo" / ".github" / "workflows"
    place.mkdir(parents=True, exist_ok=True)
    (place / "watch.yml").write_text("on: schedule\n")
    (place / "command.yml").write_text("on: {issue_comment: {types: [created]}}\n")


NOBODY: dict[str, Any] = {"id": 1, "node_id": "", "type": "required_reviewers", "reviewers": []}
PROD = """
environments:
  prod:
    stage: stable
    state: deploy/state.yaml
    approval: review
"""


def test_a_forge_that_is_set_up_has_nothing_to_mend(world: World) -> None:
    watched(world)
    server = GitHub(protection=protection(checks=["remint/gate/churn"]), runs=[RUN], user="remint-app[bot]")
    found = asked(world, server, now=NOW + timedelta(hours=5))
    not_ok = {name: c.line for name, c in found.items() if c.level is not Level.OK}
    assert not_ok == {
        "forge.auto_merge": "params.pull_request.auto_merge is never: a person merges",
        "forge.environments": "no environment in params.yaml has approval: review",
    }


def test_each_setting_of_the_forge_is_found_with_its_mend(world: World) -> None:
    watched(world)
    checks = protection(checks=["ci"], stale=False)
    server = GitHub(protection=checks, runs=[RUN], may_create_pulls=False, user="remint-app[bot]")
    found = asked(world, server, now=NOW + timedelta(days=3))
    assert {name for name, c in found.items() if c.level is Level.ERROR} == {
        "forge.pull_requests",
        "forge.checks",
        "forge.approvals",
        "forge.schedule",
    }
    assert "does not require remint/gate/churn" in found["forge.checks"].line
    assert "gh api --method PUT repos/acme/churn/actions/permissions/workflow" in str(found["forge.pull_requests"].mend)
    assert "ran 3 d ago, and check.every is 6 h" in found["forge.schedule"].line
    found = asked(world, GitHub(token_writes=True, workflow_state="disabled_inactivity"))
    assert "is not protected" in found["forge.checks"].line
    assert found["forge.pull_requests"].level is Level.WARNING
    assert "watch.yml is disabled_inactivity" in found["forge.schedule"].line
    assert "waits for a click" in found["forge.token"].line


def test_what_auto_merge_and_reviews_lean_on_is_looked_at_where_params_ask_for_them(world: World) -> None:
    watched(world)
    (world.root / "repo" / ".github" / "workflows" / "command.yml").unlink()
    params = world.repo / "params.yaml"
    params.write_text(params.read_text().replace("auto_merge: never", "auto_merge: on_pass") + PROD)
    prod = {"name": "prod", "protection_rules": [NOBODY]}
    server = GitHub(protection=protection(checks=["ci"]), allow_auto_merge=False, environments=[prod])
    found = asked(world, server)
    assert found["forge.auto_merge"].mend == "gh api --method PATCH repos/acme/churn -F allow_auto_merge=true"
    assert "the forge asks nobody" in found["forge.environments"].line  # the rule is there, and names no one
    assert "settings/environments: prod, required reviewers" in str(found["forge.environments"].mend)
    assert found["forge.commands"].level is Level.WARNING
    server.allow_auto_merge = True
    assert "does not require remint/gate/churn" in asked(world, server)["forge.auto_merge"].line
    someone = {"type": "User", "reviewer": {"login": "ann"}}
    rule = {**NOBODY, "reviewers": [someone]}
    server.environments = [{"name": "prod", "protection_rules": [rule]}]
    server.protection = protection(checks=["remint/gate/churn"])
    found = asked(world, server)
    assert {found["forge.auto_merge"].level, found["forge.environments"].level} == {Level.OK}


def test_what_only_administrators_see_is_not_asked_and_the_required_checks_are(world: World) -> None:
    server = GitHub(protection=protection(checks=["remint/gate/churn"]), administrator=False)
    found = asked(world, server)
    for name in ("forge.pull_requests", "forge.approvals"):
        assert found[name].level is Level.NOT_ASKED
        assert "administration: read" in found[name].line
    assert found["forge.checks"].level is Level.OK


def test_outside_a_dvc_repository_every_check_of_dvc_says_the_same_mend(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    patient = Patient(directory=tmp_path, environ={}, now=NOW)
    found = {checkup.name: checkup for checkup in examine(patient).checkups}
    mends = {found[f"dvc.{name}"].mend for name in ("ignore", "imports", "remote")}
    assert mends == {"dvc init, or remint init"}


def test_a_bare_repository_has_no_such_settings(world: World) -> None:
    subprocess.run(["git", "symbolic-ref", "HEAD", "refs/heads/main"], cwd=world.root / "origin.git", check=True)
    found = look(world, forge=LocalForge(Git(world.repo), clock=lambda: NOW))
    assert found["forge.repository"].level is Level.OK
    assert {found[f"forge.{n}"].level for n in ("pull_requests", "checks", "approvals", "schedule", "commands")} == {
        Level.NOT_ASKED
    }
