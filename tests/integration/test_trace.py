"""A run followed through real git: ledger, trailers, merge, tags."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pull_world import Trained
from remint.adapters.git import Git
from remint.adapters.ledger import Ledger
from remint.adapters.registry import assign, register, trailer
from remint.adapters.state import read_state
from remint.cli.main import main
from remint.config import load_params
from remint.core.ledger import LedgerEntry, LedgerEvent
from remint.core.trace import took
from remint.errors import NoDataError, UsageError
from remint.workflows.bundle import image_labels
from remint.workflows.canary import initialise, roll_back, start
from remint.workflows.place import Place
from remint.workflows.registry import number
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


def test_one_run_id_from_the_decision_to_the_image_and_the_state_file(two: Trained) -> None:
    """Two real retrains; the first is merged, registered and released."""
    world = two.world
    git, now = Git(world.repo), datetime.now(UTC)
    world.git("merge", "-q", "--no-ff", "--no-edit", two.first)
    params = load_params(world.repo / "params.yaml")
    place = Place(params=params, now=now, directory=world.repo)
    made = number(place, "HEAD").made
    bundle = two.gate(1)["challenger"]["bundle"]
    assert trailer(git, made.tag, "Remint-Run") == RUN_ID
    assert image_labels(params, world.repo, rev=made.tag) == {
        "dev.remint.pipeline": "churn",
        "dev.remint.version": str(made.version),
        "dev.remint.bundle": bundle,
        "dev.remint.run": RUN_ID,
        "org.opencontainers.image.revision": git.head(),
    }
    initialise(place, bundle)
    assert read_state(place.state_file).runs == {bundle: RUN_ID}
    canary = two.gate(2)["challenger"]["bundle"]
    start(place, canary)
    assert set(read_state(place.state_file).runs) == {bundle, canary}
    roll_back(place, reason="worse")
    assert read_state(place.state_file).runs == {bundle: RUN_ID}

    story = trace(git, "churn", RUN_ID)
    what = sorted({moment.what for moment in story.moments})  # the retrains' clock is not the merge's
    assert what == ["canary", "commit", "merge", "retrain_finished", "retrain_started", "stage", "version"]
    assert next(m for m in story.moments if m.what == "canary").line.startswith("release r1: init")
    assert story.usage is not None
    assert story.usage["cpu_seconds"] > 0
    assert story.to_json()["usage"]["cost"] is None  # no factor is declared


def test_an_old_state_names_no_runs_and_a_model_that_no_retrain_made_has_no_label(world: World) -> None:
    params = load_params(world.repo / "params.yaml")
    labels = image_labels(params, world.repo, rev="churn@v0.1.0")
    assert (labels["dev.remint.version"], labels["dev.remint.run"]) == ("v0.1.0", None)
    place = Place(params=params, now=datetime.now(UTC), directory=world.repo)
    bundle = labels["dev.remint.bundle"]
    assert bundle is not None
    initialise(place, bundle)
    assert "runs" not in place.state_file.read_text()


def test_the_labels_are_one_a_line_and_leave_out_what_is_not_known(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(world.repo)
    assert main(["bundle", "labels"]) == 0
    lines = dict(line.split("=", 1) for line in capsys.readouterr().out.splitlines())
    assert lines["dev.remint.pipeline"] == "churn"
    assert lines["org.opencontainers.image.revision"] == world.git("rev-parse", "HEAD")
    assert "dev.remint.run" not in lines
    manifest = world.repo / "artifacts" / "manifest.json"
    manifest.write_text(json.dumps({"id": "sha256:x\nevil=1"}))
    world.git("commit", "-q", "-a", "-m", "Hostile")
    assert main(["bundle", "labels"]) == 2
    assert "is not a bundle id" in capsys.readouterr().err


def test_what_it_took_leaves_out_what_has_no_factor() -> None:
    used = {"cpu_seconds": 12.54, "peak_memory_bytes": 400_000_000}
    assert took(used) == "12.5 s of CPU, 400 MB of memory"
    full = {**used, "cost": {"amount": 0.0213, "currency": "EUR"}, "co2e_grams": 1.44}
    assert took(full) == "12.5 s of CPU, 400 MB of memory, 0.021 EUR, 1.4 gCO2e"


def test_what_people_and_the_forge_did_is_told(world: World) -> None:
    retrained(world)
    ledger, at = Ledger(Git(world.repo), "churn"), datetime.now(UTC)
    url = "https://git.example/acme/churn/pulls/3"
    said = {
        LedgerEvent.RETRAIN_STARTED: {"base": "f" * 40, "answer": "RETRAIN", "workflow": "https://git.example/runs/7"},
        LedgerEvent.GATE: {"bundle": "sha256:new", "verdict": "fail"},
        LedgerEvent.SNOOZE: {"until": "2026-12-05", "reason": "holidays", "by": "ada", "number": 3, "url": url},
        LedgerEvent.COMMAND: {
            "comment": 1,
            "command": "/retrain",
            "by": "ada",
            "number": 3,
            "url": url,
            "answer": "ok",
        },
        LedgerEvent.AUTO_MERGE: {"number": 3, "commit": "d" * 40, "bundle": "sha256:new", "url": url},
    }
    for event, data in said.items():
        ledger.append(LedgerEntry(at=at, event=event, run_id=RUN_ID, data=data))
    story = {moment.what: moment for moment in trace(Git(world.repo), "churn", RUN_ID).moments}
    assert story["retrain_started"].where == "https://git.example/runs/7"
    assert story["gate"].line == "the gate says fail"
    assert story["snooze"].line == "ada wants no retrain until 2026-12-05: holidays"
    assert story["command"].line == "ada: /retrain: ok"
    assert story["auto_merge"].where == url


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
