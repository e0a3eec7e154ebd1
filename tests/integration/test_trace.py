"""A run followed through real git: ledger, trailers, merge, tags."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from remint.adapters.git import Git
from remint.adapters.ledger import Ledger
from remint.adapters.registry import assign, register
from remint.cli.main import main
from remint.core.ledger import LedgerEntry, LedgerEvent
from remint.errors import NoDataError, UsageError
from remint.workflows.trace import trace
from retrain_world import RUN_ID, World

pytestmark = pytest.mark.usefixtures("nobodys_home")


@pytest.fixture
def world(built: World, tmp_path: Path) -> World:
    shutil.copytree(built.root, tmp_path / "world", symlinks=True)
    return World(tmp_path / "world")


def retrained(world: World) -> str:
    """What a retrain leaves behind, without the training; its commit is merged."""
    git, ledger = Git(world.repo), Ledger(Git(world.repo), "churn")
    begun_at = datetime.now(UTC) - timedelta(hours=1)  # git dates the merge by itself, and comes after

    def record(event: LedgerEvent, **data: object) -> None:
        attached = {"decision.json": b"{}"} if event is LedgerEvent.DECISION else None
        ledger.append(LedgerEntry(at=begun_at, event=event, run_id=RUN_ID, data=data), attachments=attached)

    record(LedgerEvent.DECISION, summary="Retrain: 150 new labels", answer="RETRAIN")
    main_branch = world.git("branch", "--show-current")
    world.git("switch", "-q", "--create", "remint/retrain/churn")
    manifest = world.repo / "artifacts" / "manifest.json"
    manifest.write_text(json.dumps({"id": "sha256:new"}))
    message = f"Retrain churn\n\nwhy\n\nRemint-Run: {RUN_ID}\nRemint-Decision: sha256:d\nRemint-Bundle: sha256:new\n"
    world.git("commit", "-q", "--all", "--message", message)
    commit = git.head()
    record(
        LedgerEvent.RETRAIN_FINISHED, outcome="published", commit=commit, bundle="sha256:new", gate={"verdict": "pass"}
    )
    world.git("switch", "-q", main_branch)
    world.git("merge", "-q", "--no-ff", "--no-edit", "remint/retrain/churn")
    world.git("commit", "-q", "--allow-empty", "--message", f"On run\n\nSee Remint-Run: {RUN_ID} for this")
    return commit


def test_the_thread_runs_through_ledger_commit_merge_and_tags(world: World) -> None:
    commit = retrained(world)
    git, now = Git(world.repo), datetime.now(UTC)
    register(git, "churn", "HEAD", now=now)
    assign(git, "churn", "HEAD", now=now)
    story = trace(git, "churn", RUN_ID)
    found = [(moment.what, moment.where) for moment in story.moments]
    assert [what for what, _ in found] == ["decision", "commit", "retrain_finished", "merge", "version", "stage"]
    where = dict(found)
    assert where["commit"] == commit[:12]
    assert where["merge"] == world.git("rev-parse", "HEAD~1")[:12]
    assert (where["version"], where["stage"]) == ("churn@v0.2.0", "churn#stable#2")
    assert story.files == ("decision.json",)
    assert story.bundles == ("sha256:new",)


def test_an_unknown_run_names_the_ones_that_are_there(world: World) -> None:
    with pytest.raises(NoDataError, match="nothing is recorded yet"):
        trace(Git(world.repo), "churn", RUN_ID)
    retrained(world)
    with pytest.raises(UsageError, match=f"did you mean {RUN_ID}"):
        trace(Git(world.repo), "churn", RUN_ID[:-1] + "d")
    for wrong in ("--all", "../x", ".*"):
        with pytest.raises(UsageError, match="the newest: "):
            trace(Git(world.repo), "churn", wrong)


def test_the_command_tells_it(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    retrained(world)
    monkeypatch.chdir(world.repo)
    assert main(["trace", RUN_ID, "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["run_id"] == RUN_ID
    assert "published, the gate says pass" in said.err
    assert main(["trace", "nonsense"]) == 2
    assert RUN_ID in capsys.readouterr().err
