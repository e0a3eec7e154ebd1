"""`remint canary` on a real repository with an origin, a real store and a real Prometheus."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from prometheus_server import prometheus_server
from remint.adapters.feedback_store import open_store
from remint.adapters.git import Git
from remint.adapters.ledger import Ledger
from remint.adapters.registry import assign, champion, register
from remint.adapters.state import read_state
from remint.cli.main import main
from remint.core.document import DocumentKind, unseal
from remint.core.judge import BUCKETS, Signal
from remint.core.ledger import LedgerEvent
from remint.core.release import ReleaseState, Track, track_of

PARAMS = Path(__file__).parents[2] / "params.yaml"
PIPELINE = "breast-cancer"
A, B, C = (f"sha256:{digit * 64}" for digit in "abc")
STATE = Path("deploy/state.yaml")


def git(*args: str) -> str:
    return subprocess.run(["git", *args], check=True, capture_output=True, text=True).stdout.strip()


@dataclass
class World:
    store: Path
    capsys: pytest.CaptureFixture[str]
    users: int = 0

    @property
    def state(self) -> ReleaseState:
        return read_state(STATE)

    def run(self, *args: str) -> tuple[int, str, str]:
        """Exit code, stdout, stderr of ``remint canary ARGS``."""
        self.capsys.readouterr()
        code = main(["canary", *args])
        out, err = self.capsys.readouterr()
        return code, out, err

    def ok(self, *args: str) -> str:
        code, out, err = self.run(*args)
        assert code == 0, err
        return out

    def step(self, *args: str) -> dict[str, Any]:
        verdict = json.loads(self.ok("step", "--store", f"sqlite:///{self.store}", "--json", *args))
        return unseal(verdict, DocumentKind.VERDICT, pipeline=PIPELINE)

    def traffic(self, users: int, *, wrong: dict[Track, int] | None = None) -> None:
        """New users, each with one request and feedback; every n-th one of a track is told to be wrong."""
        every = {Track.STABLE: 20, Track.CANARY: 20} | (wrong or {})
        state, now = self.state, datetime.now(UTC)
        with (
            open_store(f"sqlite:///{self.store}", pipeline=PIPELINE, create=True) as store,
            store.transaction() as writes,
        ):
            for number in range(self.users, self.users + users):
                unit = f"user-{number}"
                track = track_of(state, unit)
                assert writes.add_unit(release=state.release, unit=unit, step=state.step, track=track, at=now)
                bad = {Signal.FEEDBACK: number % every[track] == 0}
                for signal, buckets in BUCKETS.items():
                    writes.add_outcome(
                        release=state.release, unit=unit, signal=signal, bucket=buckets[bad.get(signal, False)]
                    )
        self.users += users

    def ledger(self) -> list[str]:
        entries = Ledger(Git(Path()), PIPELINE).entries()
        return [e.data["action"] for e in entries if e.event is LedgerEvent.CANARY]

    def champion(self) -> str | None:
        found = champion(Git(Path()), PIPELINE)
        return None if found is None else json.loads(git("show", f"{found.commit}:artifacts/manifest.json"))["id"]


def release(bundle: str) -> None:
    """A commit whose manifest names the bundle, registered as the next version."""
    Path("artifacts").mkdir(exist_ok=True)
    Path("artifacts/manifest.json").write_text(json.dumps({"id": bundle}))
    git("add", "--all")
    git("commit", "--quiet", "--message", f"Model {bundle[7:12]}")
    register(Git(Path()), PIPELINE, "HEAD", now=datetime.now(UTC))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> World:
    subprocess.run(["git", "init", "--quiet", "--bare", str(tmp_path / "origin.git")], check=True)
    repository = tmp_path / "repository"
    repository.mkdir()
    monkeypatch.chdir(repository)
    git("init", "--quiet", "--initial-branch", "main")
    git("remote", "add", "origin", str(tmp_path / "origin.git"))
    shutil.copy(PARAMS, "params.yaml")
    Path(".gitignore").write_text("/.remint/\n")
    for bundle in (A, B):
        release(bundle)
    world = World(store=tmp_path / "feedback.db", capsys=capsys)
    world.ok("init", "--bundle", A)
    return world


def test_the_first_release_is_committed_and_champion(world: World) -> None:
    assert (world.state.stable, world.state.canary, world.state.release) == (A, None, "r1")
    assert world.champion() == A
    assert git("show", "--format=", "--name-only", "HEAD") == STATE.as_posix()
    assert world.ledger() == ["init"]
    world.ok("init", "--bundle", A)
    assert world.ledger() == ["init"], "run again it changes nothing"
    assert world.run("init", "--bundle", B)[0] == 2


def test_a_good_challenger_goes_through_the_steps_and_is_promoted(world: World) -> None:
    world.ok("start", "--bundle", B, "--rev", "HEAD~1")
    answers = []
    for _ in range(8):
        world.traffic(1_500)
        verdict = world.step()
        answers.append(verdict["answer"])
        if verdict["answer"] == "PROMOTE":
            break
    assert answers[:2] == ["ADVANCE", "ADVANCE"]
    assert answers[-1] == "PROMOTE"
    assert (world.state.stable, world.state.canary, world.state.step) == (B, None, -1)
    assert world.champion() == B
    assert world.ledger() == ["init", "start", "advance", "advance", "advance", "promote"]
    trailers = git("log", "-1", "--format=%(trailers:only,unfold)")
    assert "Remint-Release: r2" in trailers
    assert f"Remint-Verdict: {verdict['id']}" in trailers
    assert git("status", "--porcelain") == ""
    assert world.step()["answer"] == "HOLD", "afterwards there is nothing to judge"


def test_a_bad_canary_is_rolled_back_with_the_evidence_in_the_ledger(world: World) -> None:
    world.ok("start", "--bundle", B)
    world.traffic(1_500, wrong={Track.CANARY: 2})
    verdict = world.step()
    assert verdict["answer"] == "ROLLBACK"
    assert (world.state.stable, world.state.canary) == (A, None)
    assert world.champion() == A
    entry = Ledger(Git(Path()), PIPELINE).entries()[-1]
    assert entry.data["verdict"] == verdict["id"]
    kept = Ledger(Git(Path()), PIPELINE).attachment(entry.run_id, "verdict-r2-rollback-0.json")
    assert kept is not None
    assert json.loads(kept) == verdict


def test_judging_changes_nothing_and_says_it_by_the_exit_code(world: World, tmp_path: Path) -> None:
    world.ok("start", "--bundle", B)
    world.traffic(1_500, wrong={Track.CANARY: 2})
    before, head = STATE.read_bytes(), git("rev-parse", "HEAD")
    target = tmp_path / "verdict.json"
    store = f"sqlite:///{world.store}"
    code, out, err = world.run("judge", "--store", store, "--output", str(target), "--exit-code")
    assert (code, out) == (12, "")
    assert "ROLLBACK" in err
    assert "feedback" in err
    assert (STATE.read_bytes(), git("rev-parse", "HEAD")) == (before, head)
    world.ok("step", "--verdict", str(target), "--dry-run")
    assert STATE.read_bytes() == before
    world.ok("step", "--verdict", str(target))
    assert world.state.canary is None
    world.ok("step", "--verdict", str(target))
    assert world.ledger() == ["init", "start", "rollback"], "the same verdict again changes nothing"


def test_a_verdict_of_another_release_or_step_is_refused(world: World, tmp_path: Path) -> None:
    world.ok("start", "--bundle", B)
    world.traffic(1_500)
    target = tmp_path / "verdict.json"
    world.ok("judge", "--store", f"sqlite:///{world.store}", "--output", str(target))
    world.ok("step", "--verdict", str(target))
    world.traffic(1_500)
    world.step()
    assert world.run("step", "--verdict", str(target))[0] == 2
    world.ok("rollback", "--reason", "test")
    world.ok("start", "--bundle", B)
    code, _, err = world.run("step", "--verdict", str(target))
    assert code == 2
    assert "r3, not r2" in err
    changed = json.loads(target.read_text()) | {"answer": "PROMOTE"}
    target.write_text(json.dumps(changed))
    assert world.run("step", "--verdict", str(target))[0] == 2


def test_a_brake_stops_every_step_forward_and_no_rollback(world: World) -> None:
    def brake(*command: str) -> None:
        assert main([*command, "--reason", "swapped labels", "--by", "Ada"]) == 0

    brake("freeze")
    code, _, err = world.run("start", "--bundle", B)
    assert code == 4
    assert "no start of a release: frozen by Ada since" in err
    assert "swapped labels" in err
    brake("unfreeze")
    world.ok("start", "--bundle", B)
    brake("freeze")
    world.traffic(1_500)
    before = STATE.read_bytes()
    assert world.run("step", "--store", f"sqlite:///{world.store}")[0] == 4
    assert world.run("promote")[0] == 4
    assert STATE.read_bytes() == before
    world.ok("rollback", "--reason", "complaints")
    assert world.state.canary is None


def test_traffic_goes_back_although_origin_is_down_and_the_record_follows(world: World, tmp_path: Path) -> None:
    world.ok("start", "--bundle", B)
    (tmp_path / "origin.git").rename(tmp_path / "gone.git")
    code, _, err = world.run("rollback", "--reason", "complaints")
    assert code == 4
    assert "run the same command again" in err
    assert world.state.canary is None
    (tmp_path / "gone.git").rename(tmp_path / "origin.git")
    world.ok("rollback", "--reason", "complaints")
    assert world.ledger() == ["init", "start", "rollback"]
    code, _, err = world.run("promote")
    assert code == 2
    assert "was rolled back" in err


def test_a_promotion_killed_after_the_traffic_is_recorded_by_the_next_step(world: World) -> None:
    world.ok("start", "--bundle", B)
    world.ok("status")
    text = STATE.read_text().replace(f"canary: {B}", "canary: null").replace(f"stable: {A}", f"stable: {B}")
    STATE.write_text(text.replace("step: 0", "step: -1"))
    assert world.champion() == A
    assert world.step()["answer"] == "HOLD"
    assert world.champion() == B
    assert world.ledger()[-1] == "promote"
    assert git("status", "--porcelain") == ""
    assert world.run("rollback", "--reason", "too late")[0] == 2


def test_a_promotion_recorded_before_does_not_take_the_stage_back(world: World) -> None:
    world.ok("start", "--bundle", B)
    world.ok("promote", "--reason", "by hand")
    assert world.champion() == B
    first = git("rev-list", "--max-parents=0", "HEAD")
    assign(Git(Path()), PIPELINE, first, now=datetime.now(UTC))
    world.step()
    world.ok("promote")
    assert world.champion() == A


def test_a_bundle_without_a_version_is_not_promoted_and_traffic_stays(world: World) -> None:
    world.ok("start", "--bundle", C)
    code, _, err = world.run("promote")
    assert code == 2
    assert "registry register" in err
    assert world.state.canary == C


def test_refusals_name_what_to_do(world: World) -> None:
    for args, words in (
        (("start", "--bundle", "sha256:abc"), "not a bundle id"),
        (("start", "--bundle", A), "already serves"),
        (("start", "--bundle", B, "--rev", "HEAD~2"), "is not of bundle"),
        (("promote",), "has no canary"),
        (("rollback", "--reason", "x"), "has no canary"),
        (("status", "--state", "deploy/other.yaml"), "canary init"),
        (("step", "--verdict", "missing.json"), "missing.json"),
    ):
        code, _, err = world.run(*args)
        assert (code, words in err) == (2, True), err


def test_a_canary_that_nobody_uses_holds_until_the_clock_ends_it(world: World) -> None:
    world.ok("start", "--bundle", B)
    world.traffic(0)
    assert world.step()["answer"] == "HOLD"
    text = Path("params.yaml").read_text().replace("max_duration: 3d", "max_duration: 0.001s")
    Path("params.yaml").write_text(text)
    assert world.step()["answer"] == "ROLLBACK"


def test_without_a_repository_only_the_state_file_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(PARAMS, "params.yaml")
    world = World(store=tmp_path / "feedback.db", capsys=capsys)
    world.ok("init", "--bundle", A)
    world.ok("start", "--bundle", B)
    world.traffic(1_500)
    assert world.step()["answer"] == "ADVANCE"
    world.ok("rollback", "--reason", "test")
    assert (world.state.stable, world.state.canary) == (A, None)


def test_a_state_that_somebody_else_commits_is_left_to_them(world: World) -> None:
    git("add", "--all")
    head = git("rev-parse", "HEAD")
    world.ok("start", "--bundle", B, "--no-commit")
    assert git("rev-parse", "HEAD") == head
    assert git("status", "--porcelain") == f"M {STATE.as_posix()}"
    assert world.ledger() == ["init", "start"]


def test_only_the_state_file_is_committed_whatever_else_is_staged(world: World) -> None:
    Path("notes.txt").write_text("mine")
    git("add", "notes.txt")
    world.ok("start", "--bundle", B)
    assert git("show", "--format=", "--name-only", "HEAD") == STATE.as_posix()
    assert git("status", "--porcelain") == "A  notes.txt"


def test_prometheus_gives_the_same_verdict_as_the_store(world: World, tmp_path: Path) -> None:
    world.ok("start", "--bundle", B)
    world.traffic(1_500)
    with open_store(f"sqlite:///{world.store}", pipeline=PIPELINE) as store:
        counts = store.unit_outcomes("r2")
    lines = [
        f'remint_unit_outcomes_total{{pipeline="{PIPELINE}",release="r2",step="{step}",track="{track}",'
        f'signal="{signal}",bucket="{bucket}"}} '
        for step, track, signal, bucket, _ in counts
    ]
    folder = tmp_path / "prometheus"
    folder.mkdir()
    with prometheus_server(folder) as server:
        text = Path("params.yaml").read_text().replace("http://127.0.0.1:9090", server.url)
        Path("params.yaml").write_text(text)
        empty = json.loads(world.ok("judge", "--source", "prometheus", "--json"))
        assert empty["answer"] == "HOLD", "nothing was scraped yet"
        halves = [[count // 2, count - count // 2] for *_, count in counts]
        server.show(
            {pod: "\n".join(x + str(h[i]) for x, h in zip(lines, halves, strict=True)) for i, pod in enumerate("ab")}
        )
        seen = json.loads(world.ok("judge", "--source", "prometheus", "--json"))
    stored = json.loads(world.ok("judge", "--store", f"sqlite:///{world.store}", "--json"))
    assert seen["source"] == "prometheus"
    assert seen["evidence"] == stored["evidence"]
    assert seen["answer"] == stored["answer"] == "ADVANCE"


def test_without_the_ledger_the_commit_says_since_when(world: World) -> None:
    world.ok("start", "--bundle", B)
    Git(Path()).run("push", "--quiet", "origin", "--delete", f"remint/ledger/{PIPELINE}")
    Git(Path()).run("update-ref", "-d", f"refs/heads/remint/ledger/{PIPELINE}")
    since = json.loads(world.ok("status", "--json"))["started_at"]
    assert abs(datetime.fromisoformat(since) - datetime.now(UTC)) < timedelta(minutes=1)
