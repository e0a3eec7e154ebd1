"""`remint loop --forge local`: from an answer in the store to a promoted model, with no forge but a bare repository."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from remint.adapters.feedback_store import StoredPrediction, open_store
from remint.adapters.forge import PullState
from remint.adapters.forge.local import LocalForge
from remint.adapters.git import Git
from remint.adapters.ledger import Ledger
from remint.adapters.registry import load_registry
from remint.adapters.state import read_state
from remint.cli import main
from remint.config import Source
from remint.core.feedback import Answer
from remint.core.judge import BUCKETS
from remint.core.ledger import LedgerEvent
from remint.core.loop import Line, Outcome
from remint.core.release import Track, track_of
from remint.errors import ExitCode
from remint.workflows.feedback import FeedbackSource, SourceKind
from remint.workflows.freeze import freeze, unfreeze
from remint.workflows.loop import LoopRequest, open_loop
from retrain_world import NOW, World, person

HEAD = "remint/retrain/churn"
ONE_TICK = """
import sys
sys.path[:0] = [{here!r}, {tests!r}]
from pathlib import Path
import pytest
import conftest, test_loop
from remint.adapters.dvc import Dvc
conftest._serve_at_once(pytest.MonkeyPatch())
Dvc.not_in_remote = lambda self, *, cached=True: []
test_loop.tick(test_loop.World(Path({root!r})), test_loop.NOW)
"""

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("nobodys_home", "served_at_once", "data_is_there")]


def answers(world: World, first: int, count: int) -> None:
    """People's answers by the rule that the model was trained on."""
    draw = random.Random(first)
    with open_store(world.store_url, pipeline="churn", create=True) as store:
        store.register_bundle("sha256:b", reference="sha256:r", classes=["no", "yes"], at=NOW)
        with store.transaction() as transaction:
            for number in range(first, first + count):
                row, label = person(draw)
                at, name = NOW - timedelta(minutes=400 - number), f"q_{number}"
                predicted = draw.choice(["yes", "no"])
                transaction.add_predictions(
                    [
                        StoredPrediction(
                            prediction_id=name,
                            made_at=at,
                            bundle="sha256:b",
                            reference="sha256:r",
                            release="r1",
                            track=Track.STABLE,
                            unit=None,
                            counts=False,
                            subject=None,
                            row=row,
                            predicted=predicted,
                            confidence=0.8,
                        )
                    ]
                )
                answer = Answer.CORRECT if predicted == label else Answer.WRONG
                transaction.add_feedback(prediction_id=name, answer=answer, label=label, reporter=None, at=at)


def traffic(world: World, first: int, users: int) -> None:
    """New users of the running canary, who find both models as good."""
    state = read_state(state_file(world))
    with open_store(world.store_url, pipeline="churn") as store, store.transaction() as writes:
        for number in range(first, first + users):
            unit = f"user-{number}"
            writes.add_unit(release=state.release, unit=unit, step=state.step, track=track_of(state, unit), at=NOW)
            for signal_, buckets in BUCKETS.items():
                writes.add_outcome(release=state.release, unit=unit, signal=signal_, bucket=buckets[False])


@pytest.fixture
def world(built: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    shutil.copytree(built.root, tmp_path / "world", symlinks=True)
    world = World(tmp_path / "world")
    (world.root / "store.db").unlink()
    answers(world, 0, 150)
    params = yaml.safe_load((world.repo / "params.yaml").read_text())
    params["canary"] |= {"steps": [0.5, 1.0], "min_units": 100}
    (world.repo / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    world.git("commit", "-qam", "One step is enough here")
    world.git("push", "-q", "origin", "HEAD:refs/heads/main")
    monkeypatch.chdir(world.repo)
    return world


def asked(world: World, at: datetime, **more: Any) -> LoopRequest:
    source = FeedbackSource(kind=SourceKind.STORE, place=world.store_url)
    return LoopRequest(
        clock=lambda: at,
        feedback=lambda: source,
        environ={},
        source=Source.LOG,
        store_url=world.store_url,
        bundles=world.root / "bundles",
        **more,
    )


def tick(world: World, at: datetime) -> dict[str, Line]:
    with open_loop(world.repo, asked(world, at)) as loop:
        lines = loop.tick()
    return {line.step: line for line in lines}


def state_file(world: World) -> Path:
    return world.repo / ".remint" / "loop" / "churn" / "models" / "churn" / "deploy" / "state.yaml"


def forge(world: World) -> LocalForge:
    return LocalForge(Git(world.repo), clock=lambda: NOW)


def events(world: World, event: LedgerEvent) -> list[dict[str, Any]]:
    entries = Ledger(Git(world.repo), "churn").entries()
    return [dict(entry.data) for entry in entries if entry.event is event]


def all_but_ledger(world: World) -> str:
    refs = ("refs/heads/main", f"refs/heads/{HEAD}", "refs/tags", "refs/remint")
    return world.git("for-each-ref", *refs, at=world.root / "origin.git")


def killed_in_publish(world: World) -> None:
    """A tick in a process of its own, killed as soon as the pull request is there: before its comment and status."""
    script = ONE_TICK.format(
        tests=str(Path(__file__).parents[1]), here=str(Path(__file__).parent), root=str(world.root)
    )
    process = subprocess.Popen([sys.executable, "-c", script], cwd=world.repo)
    show = ["git", "show", "refs/remint/forge:forge.json"]
    while process.poll() is None:
        known = subprocess.run(show, cwd=world.root / "origin.git", capture_output=True, check=False)
        if known.returncode == 0 and json.loads(known.stdout)["pulls"]:
            process.kill()
            break
        time.sleep(0.02)
    assert process.wait() == -signal.SIGKILL, "it was over before it could be killed"


def test_from_answers_to_a_promoted_model(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    checkout = (world.git("rev-parse", "HEAD"), world.git("status", "--porcelain"))
    killed_in_publish(world)

    # The next tick ends what the killed one began: one pull request, one comment, one version
    lines = tick(world, NOW)
    assert lines["check"].facts["answer"] == "HOLD", "the decision is in the ledger, so the cooldown runs"
    assert lines["retrain"].outcome is Outcome.DONE, lines["retrain"].text
    (pull,) = forge(world).pulls(HEAD)
    assert len(forge(world).comments(1)) == 1
    assert read_state(state_file(world)).release == "r1"
    bundles = {path.name for path in (world.root / "bundles").iterdir()}
    assert read_state(state_file(world)).stable.removeprefix("sha256:") in bundles
    assert (checkout[0], checkout[1]) == (world.git("rev-parse", "HEAD"), world.git("status", "--porcelain"))

    # Nothing is new, nothing happens
    before = all_but_ledger(world)
    lines = tick(world, NOW + timedelta(minutes=1))
    assert {step for step, line in lines.items() if line.outcome is Outcome.DONE} == {"sync"}
    assert all_but_ledger(world) == before

    # A person wants no retrain, whatever the data says; then asks for one all the same: it refreshes the same one
    answers(world, 150, 60)
    assert main(["pull-request", "comment", "/snooze 7d after the fair", "--forge", "local", "--by", "Ann"]) == 0
    lines = tick(world, NOW + timedelta(days=2))
    assert "/snooze" in lines["commands"].text
    assert lines["check"].facts["answer"] == "HOLD", lines["check"].text
    assert main(["pull-request", "comment", "/retrain the fair is over", "--forge", "local", "--by", "Ann"]) == 0
    lines = tick(world, NOW + timedelta(days=2, minutes=1))
    assert lines["retrain"].facts["number"] == 1, lines["retrain"].text
    (refreshed,) = forge(world).pulls(HEAD)
    assert refreshed.commit != pull.commit
    assert len(forge(world).comments(1)) == 3, "Remint's one, and Ann's two"

    # A person approves and merges; while the brake is on nothing is merged or released
    brake = freeze(Git(world.repo), "churn", reason="audit", by="Ann", now=NOW)
    assert brake.standing
    assert main(["pull-request", "merge", "--forge", "local", "--by", "Ann"]) == ExitCode.SERVICE
    unfreeze(Git(world.repo), "churn", reason="done", by="Ann", now=NOW)
    capsys.readouterr()
    assert main(["pull-request", "merge", "--approvals", "1", "--forge", "local", "--by", "Ann"]) == ExitCode.USAGE
    assert "0 of 1 approvals" in capsys.readouterr().err
    assert main(["pull-request", "approve", "--forge", "local", "--by", "Ben"]) == 0
    assert main(["pull-request", "merge", "--approvals", "1", "--forge", "local", "--by", "Ann"]) == 0
    assert forge(world).pull(1).state is PullState.MERGED

    # It is registered, and its canary starts
    later = NOW + timedelta(days=2, minutes=2)
    lines = tick(world, later)
    assert lines["release"].facts["tag"] == "churn@v0.2.0", lines["release"].text
    state = read_state(state_file(world))
    assert (state.release, state.step, state.canary) == ("r2", 0, lines["release"].facts["bundle"])
    assert (world.root / "bundles" / state.canary.removeprefix("sha256:")).is_dir()
    pushed = world.git("show", "main:models/churn/deploy/state.yaml", at=world.root / "origin.git")
    assert yaml.safe_load(pushed)["canary"] == state.canary
    assert tick(world, later)["canary"].outcome is Outcome.WAITS, "nobody has met it yet"

    # Its users find it as good: promoted
    said = []
    for minute in range(1, 4):
        traffic(world, 1000 * minute, 1000)
        said.append(tick(world, later + timedelta(minutes=minute))["canary"].facts["answer"])
        if said[-1] == "PROMOTE":
            break
    assert said == ["ADVANCE", "PROMOTE"]
    registry = load_registry(Git(world.repo), "churn")
    standing = registry.champion()
    assert standing is not None
    assert standing.version == "v0.2.0"
    assert [str(v.version) for v in registry.versions] == ["v0.1.0", "v0.2.0"]
    assert [e["action"] for e in events(world, LedgerEvent.CANARY)] == ["init", "start", "advance", "promote"]
    assert read_state(state_file(world)).canary is None
    assert (checkout[0], checkout[1]) == (world.git("rev-parse", "HEAD"), world.git("status", "--porcelain"))


def test_a_second_loop_on_the_same_repository_refuses(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    with open_loop(world.repo, asked(world, NOW)):
        assert main(["loop", "--forge", "local", "--once"]) == ExitCode.SERVICE
    assert "a loop is running already" in capsys.readouterr().err


def test_a_step_that_fails_is_said_and_does_not_end_the_tick(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("remint.workflows.loop.release", lambda *_: 1 // 0)
    (world.root / "store.db").unlink()
    arguments = ("loop", "--forge", "local", "--once", "--source", "log", "--store", world.store_url, "--json")
    assert main(arguments) == ExitCode.BUG
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["step"] for line in said] == ["sync", "commands", "canary", "release", "check", "retrain", "recheck"]
    assert (said[3]["outcome"], said[3]["error"]) == ("failed", "internal")
    assert said[4]["outcome"] == "failed", "no store: nothing to decide by"


def test_where_origin_is_silent_nothing_but_a_canary_is_looked_at(world: World) -> None:
    tick_of = ("loop", "--forge", "local", "--once", "--source", "log", "--store", world.store_url)
    (world.root / "origin.git").rename(world.root / "away.git")
    assert main(tick_of) == ExitCode.SERVICE


def test_sigterm_ends_the_wait_cleanly(world: World) -> None:
    (world.root / "store.db").unlink()
    command = [sys.executable, "-m", "remint", "loop", "--forge", "local", "--every", "1h", "--source", "log"]
    with subprocess.Popen(
        [*command, "--store", world.store_url], cwd=world.repo, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("next tick"):
                break
        process.terminate()
        said = process.stderr.read()
        assert process.wait() == ExitCode.ANSWERED, said
    assert "Stopped by SIGTERM" in said
