"""`remint release`: a merged model is registered and brought to the environments that take it; killed anywhere."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from remint.adapters.git import Git
from remint.adapters.ledger import Ledger
from remint.adapters.registry import load_registry
from remint.adapters.state import read_state
from remint.cli.main import main
from remint.core.ledger import LedgerEvent
from remint.errors import ExitCode
from remint.workflows import canary, environment, release
from remint.workflows.recheck import Rechecked, RecheckRequest, Standing

PARAMS = Path(__file__).parents[2] / "params.yaml"
PIPELINE = "breast-cancer"
A, B, C = (f"sha256:{digit * 64}" for digit in "abc")
RUN = "breast-cancer-20260301T000000Z-abcdef"
PROD, STAGING = Path("deploy/state.yaml"), Path("deploy/staging/state.yaml")
TWO = {
    "staging": {"stage": "staging", "state": str(STAGING)},
    "prod": {"stage": "stable", "state": str(PROD), "after": "staging", "approval": "review"},
}


class Killed(BaseException):
    """The process is gone."""


def git(*args: str) -> str:
    return subprocess.run(["git", *args], check=True, capture_output=True, text=True).stdout.strip()


def model(bundle: str) -> str:
    """A merged commit that brings a bundle."""
    Path("artifacts").mkdir(exist_ok=True)
    Path("artifacts/manifest.json").write_text(json.dumps({"id": bundle}))
    git("add", "--all")
    git("commit", "--quiet", "--message", f"Retrain\n\nRemint-Run: {RUN}\nRemint-Bundle: {bundle}")
    return git("rev-parse", "HEAD")


@dataclass
class World:
    capsys: pytest.CaptureFixture[str]

    def release(self, *args: str, code: int = 0) -> dict[str, Any]:
        self.capsys.readouterr()
        answer = main(["release", "--json", *args])
        out, err = self.capsys.readouterr()
        assert answer == code, err
        return dict(json.loads(out))

    def actions(self, *args: str) -> dict[str, str]:
        return {e["name"]: e["action"] for e in self.release(*args)["environments"]}

    def canaries(self) -> list[str]:
        entries = Ledger(Git(Path()), PIPELINE).entries()
        return [e.data["action"] for e in entries if e.event is LedgerEvent.CANARY]

    def versions(self) -> list[str]:
        return [str(v.version) for v in load_registry(Git(Path()), PIPELINE).versions]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> World:
    subprocess.run(["git", "init", "--quiet", "--bare", str(tmp_path / "origin.git")], check=True)
    (tmp_path / "repository").mkdir()
    monkeypatch.chdir(tmp_path / "repository")
    git("init", "--quiet", "--initial-branch", "main")
    git("remote", "add", "origin", str(tmp_path / "origin.git"))
    shutil.copy(PARAMS, "params.yaml")
    Path(".gitignore").write_text("/.remint/\n")
    gate_says(monkeypatch, "pass")
    model(A)
    return World(capsys)


def gate_says(patch: pytest.MonkeyPatch, verdict: str | None, standing: Standing = Standing.CURRENT) -> list[str]:
    """The gate's own tests are elsewhere; here it only answers. Returns the commits that it was asked about."""
    asked: list[str] = []

    def answer(_: Path, request: RecheckRequest) -> Rechecked:
        asked.append(request.rev)
        gate = None if verdict is None else {"verdict": verdict, "id": "sha256:gate"}
        return Rechecked(standing=standing, pipeline=PIPELINE, gate=gate)

    patch.setattr(release, "recheck", answer)
    return asked


def declare(environments: dict[str, Any]) -> None:
    params = yaml.safe_load(PARAMS.read_text()) | {"environments": environments}
    Path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    git("commit", "--quiet", "--all", "--message", "Environments")


# -- one environment, as where nothing is declared --------------------------------------------------------------------


def test_the_first_model_serves_and_the_next_one_is_a_canary(world: World) -> None:
    first = world.release()
    assert (first["version"], first["tag"], first["run_id"]) == ("v0.1.0", f"{PIPELINE}@v0.1.0", RUN)
    (prod,) = first["environments"]
    assert (prod["action"], prod["release"], prod["stable"], prod["previous"]) == ("init", "r1", A, None)
    assert read_state(PROD).stable == A
    model(B)
    second = world.release()
    (prod,) = second["environments"]
    assert (prod["action"], prod["release"], prod["previous"], prod["canary"]) == ("start", "r2", A, B)
    assert prod["bundles"] == [A, B], "an image without the way back is a trap"
    assert {entry["bundle"] for entry in second["image"]} == {A, B}
    assert read_state(PROD).canary == B
    assert world.versions() == ["v0.1.0", "v0.2.0"]


def test_repeated_it_changes_nothing_and_asks_no_gate(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.release()
    model(B)
    world.release()
    before = (git("rev-parse", "HEAD"), git("tag"), world.canaries())
    asked = gate_says(monkeypatch, "fail")
    again = world.release()
    assert ([e["action"] for e in again["environments"]], again["gate"], asked) == (["none"], None, [])
    assert (git("rev-parse", "HEAD"), git("tag"), world.canaries()) == before
    assert again["version"] == "v0.2.0", "HEAD is the state's commit by now: no new version of the same bundle"


def test_a_dry_run_names_version_moves_and_bundles_and_changes_nothing(world: World) -> None:
    world.release()
    model(B)
    before = (git("rev-parse", "HEAD"), git("tag"), read_state(PROD), world.canaries())
    for option in ("--dry-run", "--plan"):
        plan = world.release(option)
        assert (plan["version"], plan["dry_run"]) == ("v0.2.0", True)
        assert [e["action"] for e in plan["environments"]] == ["start"]
        commits = {entry["bundle"]: entry["commit"] for entry in plan["image"]}
        assert commits == {A: git("rev-list", "-n", "1", f"{PIPELINE}@v0.1.0"), B: git("rev-parse", "HEAD")}
        assert (git("rev-parse", "HEAD"), git("tag"), read_state(PROD), world.canaries()) == before


@pytest.mark.parametrize(("verdict", "code"), [("fail", ExitCode.GATE_FAILED), ("inconclusive", ExitCode.INCONCLUSIVE)])
def test_a_gate_that_did_not_pass_stops_it_before_any_tag(
    world: World, monkeypatch: pytest.MonkeyPatch, verdict: str, code: ExitCode
) -> None:
    gate_says(monkeypatch, verdict, Standing.STALE)
    answer = world.release(code=code)
    assert (answer["refused"], answer["gate"]["verdict"], answer["version"]) == (True, verdict, None)
    assert (git("tag"), PROD.exists()) == ("", False)
    world.release("--dry-run", code=code)


def test_a_recheck_without_an_answer_is_no_pass(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    gate_says(monkeypatch, None, Standing.CURRENT)
    world.release(code=ExitCode.INCONCLUSIVE)
    gate_says(monkeypatch, None, Standing.NONE)
    world.release("--dry-run", code=ExitCode.INCONCLUSIVE)
    gate_says(monkeypatch, None, Standing.STALE)  # in a dry run it has not run anew: what it will say is open
    assert world.release("--dry-run")["gate"]["standing"] == "stale"
    world.release(code=ExitCode.INCONCLUSIVE)


def test_under_the_brake_nothing_moves_but_a_rollback(world: World) -> None:
    world.release()
    model(B)
    world.release()
    assert main(["freeze", "--reason", "audit", "--by", "Ann"]) == 0
    model(C)
    refused = world.release(code=ExitCode.SERVICE)
    assert refused["error"] == "frozen"
    assert world.versions() == ["v0.1.0", "v0.2.0"]
    assert main(["canary", "rollback", "--reason", "complaints"]) == 0
    assert read_state(PROD).canary is None


def test_another_running_canary_is_waited_for(world: World) -> None:
    world.release()
    model(B)
    world.release()
    model(C)
    assert world.actions() == {"prod": "waits"}
    assert world.versions()[-1] == "v0.3.0", "it has its version meanwhile"
    assert main(["canary", "promote", "--reason", "good"]) == 0
    assert world.actions() == {"prod": "start"}


def test_what_was_rolled_back_never_comes_back_by_itself(world: World) -> None:
    world.release()
    model(B)
    world.release()
    assert main(["canary", "rollback", "--reason", "complaints"]) == 0
    answer = world.release()
    (prod,) = answer["environments"]
    assert (prod["action"], prod["stable"]) == ("none", A)
    assert "remint canary start brings it by hand" in prod["reason"]
    assert main(["canary", "start", "--bundle", B]) == 0


def test_a_revert_on_main_does_not_move_traffic_backwards(world: World) -> None:
    world.release()
    model(B)
    world.release()
    assert main(["canary", "promote", "--reason", "good"]) == 0
    model(A)
    (prod,) = world.release()["environments"]
    assert (prod["action"], prod["stable"]) == ("none", B)


def test_a_state_that_was_lost_with_its_runner_is_made_again(world: World) -> None:
    world.release()
    commit = model(B)
    world.release()
    git("reset", "--quiet", "--hard", commit)  # the next runner checks out main, where nothing was pushed
    assert read_state(PROD).canary is None
    (prod,) = world.release()["environments"]
    assert (prod["action"], prod["release"]) == ("start", "r2")
    assert world.canaries() == ["init", "start"], "it is the same release, recorded once"


@pytest.mark.parametrize("module", [canary, environment])
@pytest.mark.parametrize("where", ["swap", "commit_state", "assign"])
@pytest.mark.parametrize("after", [False, True])
def test_killed_anywhere_and_repeated_there_is_one_of_each(
    world: World, monkeypatch: pytest.MonkeyPatch, module: Any, where: str, after: bool
) -> None:
    if module is environment:
        declare({"prod": {"stage": "stable", "state": str(PROD)}})
    original: Callable[..., Any] = getattr(module, where)

    def kill(*arguments: Any, **more: Any) -> None:
        if after:
            original(*arguments, **more)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(module, where, kill)
        with pytest.raises(Killed):
            main(["release"])
    world.release()
    assert world.actions() == {"prod": "none"}
    assert git("tag").splitlines() == [f"{PIPELINE}#stable#1", f"{PIPELINE}@v0.1.0"]
    assert (read_state(PROD).stable, git("status", "--porcelain")) == (A, "")
    moves = [e for e in Ledger(Git(Path()), PIPELINE).entries() if e.event is not LedgerEvent.GATE]
    assert len(moves) == 1


# -- several environments ---------------------------------------------------------------------------------------------


def test_prod_takes_only_what_staging_passed(world: World) -> None:
    declare(TWO)
    model(B)
    assert world.actions("--dry-run") == {"staging": "init", "prod": "waits"}
    main(["release", "--environment", "prod", "--by", "Ann"])
    assert "passed nothing" in world.capsys.readouterr().err
    assert world.actions() == {"staging": "init", "prod": "waits"}
    assert (read_state(STAGING).stable, PROD.exists()) == (B, False)
    main(["release", "--environment", "prod"])
    assert "asks for a review" in world.capsys.readouterr().err
    prod = world.release("--environment", "prod", "--by", "Ann")
    assert [(e["name"], e["action"]) for e in prod["environments"]] == [("prod", "init")]
    model(C)
    plan = world.release("--dry-run")
    assert {e["name"]: e["action"] for e in plan["environments"]} == {"staging": "promote", "prod": "waits"}
    assert {entry["bundle"] for entry in plan["image"]} == {B, C}, "one image, for what prod serves as well"
    staging = plan["environments"][0]
    assert (staging["stage"], staging["state"], staging["previous"]) == ("staging", str(STAGING), B)


def test_a_matrix_of_the_environments_whose_canary_runs(world: World) -> None:
    declare({name: dict(more, canary=True) for name, more in TWO.items()})
    world.release()
    capsys = world.capsys
    capsys.readouterr()
    assert main(["canary", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    model(B)
    world.release()
    capsys.readouterr()
    assert main(["canary", "list", ".", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    wanted = {"directory": ".", "environment": "staging", "state": str(STAGING), "release": "r2", "canary": B}
    assert wanted.items() <= found.items()
