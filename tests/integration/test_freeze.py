"""The brake on a real pipeline: recorded in git, seen from every clone, in front of a retrain and its publishing."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from remint.adapters.git import Git
from remint.adapters.ledger import Ledger
from remint.cli import main
from remint.core.ledger import LedgerEvent
from remint.errors import FrozenError, LockedError, UsageError
from remint.workflows.feedback import FeedbackSource, SourceKind
from remint.workflows.freeze import freeze, unfreeze
from remint.workflows.retrain import RetrainRequest, retrain
from retrain_world import World

NOW = datetime(2026, 11, 21, 12, 5, tzinfo=UTC)
WHY = "labels of the new call centre are swapped"

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("nobodys_home")]


@pytest.fixture
def world(built: World, tmp_path: Path) -> World:
    shutil.copytree(built.root, tmp_path / "world", symlinks=True)
    return World(tmp_path / "world")


def request(world: World, **more: Any) -> RetrainRequest:
    source = FeedbackSource(kind=SourceKind.STORE, place=world.store_url)
    return RetrainRequest(decision=world.decision(), source=lambda: source, clock=lambda: NOW, **more)


def events(world: World) -> list[LedgerEvent]:
    return [entry.event for entry in Ledger(Git(world.repo), "churn").entries()]


def test_a_brake_is_pulled_once_seen_from_another_clone_and_released_by_anybody(world: World) -> None:
    pulled = freeze(Git(world.repo), "churn", reason=WHY, by=None, now=NOW)
    assert (pulled.changed, [b.by for b in pulled.standing]) == (True, ["Test"]), "git knows who it is"
    assert not freeze(Git(world.repo), "churn", reason=f"  {WHY}\n", by=None, now=NOW).changed
    assert events(world) == [LedgerEvent.FREEZE]
    world.git("clone", "-q", "origin.git", "clone", at=world.root)
    clone = Git(world.root / "clone" / "models" / "churn")
    with pytest.raises(FrozenError, match=f"no retrain: frozen by Test since .*: {WHY}"):
        retrain(world.repo, request(world, dry_run=True))
    assert unfreeze(clone, "churn", reason="repaired", by="Kim", now=NOW).released == pulled.standing
    assert not unfreeze(clone, "churn", reason="repaired", by="Kim", now=NOW).changed
    assert events(world) == [LedgerEvent.FREEZE, LedgerEvent.UNFREEZE]
    assert retrain(world.repo, request(world, dry_run=True)).document["outcome"] == "dry_run"


def test_a_brake_needs_a_reason_and_a_name(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="empty reason"):
        freeze(Git(world.repo), "churn", reason=" ", by="Ada", now=NOW)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    with pytest.raises(UsageError, match="--by NAME"):
        freeze(Git(world.repo), "churn", reason=WHY, by=None, now=NOW)
    assert events(world) == []


def test_a_release_of_the_brake_releases_only_what_was_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    freeze(Git(world.repo), "churn", reason=WHY, by="Ada", now=NOW)
    append = Ledger.append

    def meanwhile(self: Ledger, *args: Any, **more: Any) -> Any:
        monkeypatch.setattr(Ledger, "append", append)
        freeze(Git(world.repo), "churn", reason="audit", by="Kim", now=NOW)
        return append(self, *args, **more)

    monkeypatch.setattr(Ledger, "append", meanwhile)
    with pytest.raises(LockedError, match="changed meanwhile"):
        unfreeze(Git(world.repo), "churn", reason="repaired", by="Ada", now=NOW)
    assert events(world) == [LedgerEvent.FREEZE, LedgerEvent.FREEZE]


def test_a_brake_pulled_while_the_model_trains_stops_the_branch(world: World) -> None:
    def pull(line: str) -> None:
        if line.startswith("gate: "):
            freeze(Git(world.repo), "churn", reason=WHY, by="Ada", now=NOW)

    with pytest.raises(FrozenError, match="no publishing: frozen by Ada"):
        retrain(world.repo, request(world, progress=pull))
    assert world.git("ls-remote", "origin", "refs/heads/remint/retrain/churn") == ""
    assert events(world) == [LedgerEvent.RETRAIN_STARTED, LedgerEvent.FREEZE, LedgerEvent.RETRAIN_FINISHED]
    assert Ledger(Git(world.repo), "churn").entries()[-1].data["outcome"] == "failed", "so it may be tried again"


def test_the_commands_say_what_they_did(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(world.repo)
    assert main(["freeze", "--reason", "[red]x", "--dry-run"]) == 0
    assert "Would freeze churn" in capsys.readouterr().err
    assert main(["freeze", "--reason", "[red]x", "--json"]) == 0
    said = capsys.readouterr()
    assert "Test: [red]x" in said.err
    assert json.loads(said.out)["frozen"] is True
    assert main(["unfreeze", "--reason", "done", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["frozen"] is False
    assert events(world) == [LedgerEvent.FREEZE, LedgerEvent.UNFREEZE]
