"""`remint registry promote / rollback / show` on a real repository with an origin, and canaries in an environment."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from remint.adapters.git import Git
from remint.adapters.ledger import Ledger
from remint.adapters.registry import load_registry, register, trailer
from remint.adapters.state import read_state
from remint.cli.main import main
from remint.config import load_params
from remint.core.document import DocumentKind, seal
from remint.core.ledger import LedgerEntry, LedgerEvent
from remint.errors import ExitCode, ServiceError
from remint.workflows import environment as environments
from remint.workflows.environment import promote, roll_back
from remint.workflows.place import Place

PARAMS = Path(__file__).parents[2] / "params.yaml"
PIPELINE = "breast-cancer"
BUNDLES = {f"v0.{number}.0": f"sha256:{number:064x}" for number in range(1, 5)}
RUN = "breast-cancer-20260301T000000Z-abcdef"
PROD, STAGING = Path("deploy/state.yaml"), Path("deploy/staging/state.yaml")
TWO = {
    "staging": {"stage": "staging", "state": str(STAGING), "approval": "none"},
    "prod": {"stage": "stable", "state": str(PROD), "after": "staging", "approval": "review"},
}


def git(*args: str) -> str:
    return subprocess.run(["git", *args], check=True, capture_output=True, text=True).stdout.strip()


def declare(environments: dict[str, Any] | None, **registry: Any) -> None:
    params = yaml.safe_load(PARAMS.read_text())
    params |= {"environments": environments or {}} | ({"registry": registry} if registry else {})
    Path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def model(bundle: str, *, classes: tuple[str, ...] = ("no", "yes"), run_id: str = RUN) -> None:
    """A commit that brings a bundle, as `remint retrain` makes it."""
    Path("artifacts").mkdir(exist_ok=True)
    Path("artifacts/manifest.json").write_text(json.dumps({"id": bundle}))
    field = {"role": "feature", "column": "age", "measure": "value", "edges": [0.0, 1.0]}
    for kind, body in ((DocumentKind.REFERENCE, {"fields": [field]}), (DocumentKind.METADATA, {"classes": [*classes]})):
        Path(f"artifacts/{kind.value}.json").write_text(json.dumps(seal(kind, PIPELINE, body)))
    git("add", "--all")
    git("commit", "--quiet", "--message", f"Retrain\n\nRemint-Run: {run_id}\nRemint-Bundle: {bundle}")


@dataclass
class World:
    origin: Path
    capsys: pytest.CaptureFixture[str]

    def run(self, *args: str, code: int = 0) -> str:
        """Standard error of ``remint ARGS`` where it fails, else standard output."""
        self.capsys.readouterr()
        answer = main(args)
        out, err = self.capsys.readouterr()
        assert answer == code, f"{args}: {err}"
        return out if code == 0 else err

    def ask(self, *args: str) -> Any:
        return json.loads(self.run("registry", *args, "--json"))

    def move(self, verb: str, environment: str, *args: str) -> Any:
        return self.ask(verb, "--environment", environment, "--reason", "because", *args)

    def refused(self, verb: str, environment: str, *args: str, code: int = ExitCode.USAGE) -> str:
        before = (git("tag"), git("rev-parse", "HEAD"), self.serves(PROD), self.serves(STAGING), len(self.moves()))
        said = self.run("registry", verb, "--environment", environment, "--reason", "because", *args, code=code)
        after = (git("tag"), git("rev-parse", "HEAD"), self.serves(PROD), self.serves(STAGING), len(self.moves()))
        assert before == after, "what is refused changes nothing"
        return said

    def stands(self, stage: str = "stable") -> str | None:
        champion = load_registry(Git(Path()), PIPELINE).champion(stage)
        return None if champion is None else champion.version

    def serves(self, state: Path = PROD) -> str | None:
        names = {bundle: version for version, bundle in BUNDLES.items()}
        return names[read_state(state).stable] if state.exists() else None

    def moves(self) -> list[dict[str, Any]]:
        entries = Ledger(Git(Path()), PIPELINE).entries()
        return [dict(e.data) for e in entries if e.event is LedgerEvent.ENVIRONMENT]


@pytest.fixture(scope="module")
def prepared(nobodys_home: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository and its origin: three registered versions, none of which serves. Tests work on copies."""
    root = tmp_path_factory.mktemp("prepared")
    subprocess.run(["git", "init", "--quiet", "--bare", str(root / "origin.git")], check=True)
    (root / "repository").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root / "repository")
        git("init", "--quiet", "--initial-branch", "main")
        git("remote", "add", "origin", "../origin.git")
        Path(".gitignore").write_text("/.remint/\n")
        declare(TWO)
        for version in list(BUNDLES)[:3]:
            model(BUNDLES[version])
            assert str(register(Git(Path()), PIPELINE, "HEAD", now=datetime.now(UTC)).version) == version
    return root


@pytest.fixture
def world(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> World:
    shutil.copytree(prepared, tmp_path / "world")
    monkeypatch.chdir(tmp_path / "world" / "repository")
    return World(tmp_path / "world" / "origin.git", capsys)


def place(environment: str, **more: Any) -> Place:
    params = load_params()
    return Place(params=params, now=datetime.now(UTC), environment=params.places.find(environment), **more)


def test_a_version_goes_through_staging_to_prod(world: World) -> None:
    assert "was never there" in world.refused("promote", "prod", "--version", "v0.1.0", "--by", "Ada")
    world.move("promote", "staging", "--version", "v0.1.0")
    assert (world.serves(STAGING), world.serves(PROD)) == ("v0.1.0", None)
    assert "nobody is named" in world.refused("promote", "prod", "--version", "v0.1.0")
    moved = world.move("promote", "prod", "--by", "Ada")
    assert (moved["version"], moved["bundle"]) == ("v0.1.0", BUNDLES["v0.1.0"]), "what stands in staging"
    assert (moved["by"], moved["passed"]["tag"]) == ("Ada", f"{PIPELINE}#staging#1")
    assert world.serves(PROD) == world.stands() == "v0.1.0"
    world.move("promote", "staging", "--version", "v0.2.0")
    assert world.stands() == "v0.1.0", "staging is not prod"
    assert git("status", "--porcelain") == ""
    trailers = git("log", "-1", "--format=%(trailers:only,unfold)", "--", str(PROD))
    assert f"Remint-Run: {RUN}" in trailers, "the run that made the model, through to the release"
    assert trailer(Git(Path()), f"{PIPELINE}#stable#1", "Remint-Run") == RUN
    assert {e.run_id for e in Ledger(Git(Path()), PIPELINE).entries()} == {RUN}


def test_a_promotion_said_again_changes_nothing(world: World) -> None:
    for _ in range(2):
        moved = world.move("promote", "staging", "--version", "v0.2.0")
    assert moved["changed"] is False
    assert len(world.moves()) == 1
    assert git("tag", "--list", "*#*") == f"{PIPELINE}#staging#1"


def test_prod_does_not_take_what_was_rolled_back_from_staging(world: World) -> None:
    for version in ("v0.1.0", "v0.2.0"):
        world.move("promote", "staging", "--version", version)
    world.move("rollback", "staging")
    said = world.refused("promote", "prod", "--version", "v0.2.0", "--by", "Ada")
    assert "v0.2.0 was rolled back there: because" in said
    world.move("promote", "prod", "--version", "v0.1.0", "--by", "Ada")


def serving(world: World, *versions: str) -> None:
    for version in versions:
        world.move("promote", "staging", "--version", version)
        world.move("promote", "prod", "--version", version, "--by", "Ada")


def test_a_rollback_goes_one_step_back_however_often_it_is_said(world: World) -> None:
    serving(world, "v0.1.0", "v0.2.0", "v0.3.0")
    moved = world.move("rollback", "prod")
    assert (moved["version"], moved["from"]["version"], moved["tag"]) == ("v0.2.0", "v0.3.0", f"{PIPELINE}#stable#4")
    assert world.serves() == world.stands() == "v0.2.0"
    assert world.move("rollback", "prod")["changed"] is False
    assert world.serves() == world.stands() == "v0.2.0", "neither further back nor forward to what was bad"
    assert world.move("rollback", "prod", "--to", "v0.1.0")["changed"] is True
    assert world.serves() == world.stands() == "v0.1.0"
    assert [m["action"] for m in world.moves()].count("rollback") == 2


def test_a_rollback_after_a_new_promotion_goes_to_what_stood_before_it(world: World) -> None:
    serving(world, "v0.1.0", "v0.2.0")
    world.move("rollback", "prod")
    serving(world, "v0.3.0")
    assert world.move("rollback", "prod")["version"] == "v0.1.0"


def test_there_is_no_way_back_to_what_never_stood_there(world: World) -> None:
    assert "nothing stands there" in world.refused("rollback", "prod")
    serving(world, "v0.2.0")
    assert "nothing stood there before" in world.refused("rollback", "prod")
    assert "never served there" in world.refused("rollback", "prod", "--to", "v0.1.0")
    assert "not registered" in world.refused("rollback", "prod", "--to", "v9.0.0")
    assert "empty reason" in world.run("registry", "promote", "--environment", "staging", "--reason", " ", code=2)


def test_the_brake_stops_a_promotion_and_never_a_rollback(world: World) -> None:
    serving(world, "v0.1.0", "v0.2.0")
    world.run("freeze", "--reason", "audit")
    said = world.refused("promote", "staging", "--version", "v0.3.0", code=ExitCode.SERVICE)
    assert "no promotion to staging: frozen by" in said
    world.move("rollback", "prod")
    assert world.serves() == world.stands() == "v0.1.0"


def test_a_dry_run_says_what_would_be_tagged_and_written_and_does_nothing(world: World) -> None:
    serving(world, "v0.1.0", "v0.2.0")
    before = (git("tag"), git("rev-parse", "HEAD"), world.serves(), len(world.moves()))
    planned = world.move("rollback", "prod", "--dry-run")
    assert (planned["tag"], planned["after"]["stable"], planned["state_file"]) == (
        f"{PIPELINE}#stable#3",
        BUNDLES["v0.1.0"],
        str(PROD),
    )
    world.move("promote", "staging", "--version", "v0.3.0", "--dry-run")
    assert before == (git("tag"), git("rev-parse", "HEAD"), world.serves(), len(world.moves()))
    assert world.move("rollback", "prod")["tag"] == planned["tag"]


@pytest.mark.parametrize("killed_at", ["commit_state", "assign", "append"])
@pytest.mark.parametrize("verb", ["promote", "rollback"])
def test_killed_anywhere_and_said_again_it_is_done_once(
    world: World, monkeypatch: pytest.MonkeyPatch, killed_at: str, verb: str
) -> None:
    serving(world, "v0.1.0", "v0.2.0")
    world.move("promote", "staging", "--version", "v0.3.0")
    wanted = "v0.3.0" if verb == "promote" else "v0.1.0"

    def move() -> None:
        if verb == "promote":
            promote(place("prod"), version=None, reason="better", by="Ada")
        else:
            roll_back(place("prod"), to=None, reason="worse")

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Ledger if killed_at == "append" else environments, killed_at, killed)
        with pytest.raises(KeyboardInterrupt):
            move()
    assert world.serves() == wanted, "traffic first"
    move()
    move()
    assert world.serves() == world.stands() == wanted
    last = world.moves()[-1]
    assert (last["action"], last["version"], last["from"]["version"]) == (verb, wanted, "v0.2.0")
    assert len(world.moves()) == 6, "recorded once"
    assert git("tag", "--list", "*#stable#*").count("\n") == 2
    assert git("status", "--porcelain") == ""


def test_a_rollback_does_not_wait_for_an_origin_that_is_gone(world: World) -> None:
    serving(world, "v0.1.0", "v0.2.0")
    world.origin.rename(world.origin.with_name("gone.git"))
    with pytest.raises(ServiceError, match=r"state.yaml is written \(rollback of prod\), but it is not recorded"):
        roll_back(place("prod"), to=None, reason="worse")
    assert world.serves() == "v0.1.0"
    world.origin.with_name("gone.git").rename(world.origin)
    world.move("rollback", "prod")
    assert world.stands() == "v0.1.0"
    assert world.moves()[-1]["action"] == "rollback"


def test_what_gto_assigned_by_hand_is_taken_as_it_is(world: World) -> None:
    git("tag", "-a", "-m", "by hand", f"{PIPELINE}#staging#1", f"{PIPELINE}@v0.2.0^{{commit}}")
    git("push", "--quiet", "origin", f"{PIPELINE}#staging#1")
    world.move("promote", "prod", "--by", "Ada")
    assert world.stands() == "v0.2.0"


def test_without_a_declaration_the_champion_is_all_there_is(world: World) -> None:
    declare(None)
    git("commit", "--all", "--quiet", "--message", "No environments")
    moved = world.ask("promote", "--version", "v0.1.0", "--reason", "first")
    assert (moved["environment"], moved["tag"], moved["by"]) == ("prod", f"{PIPELINE}#stable#1", None)
    assert world.ask("promote", "--reason", "newest")["version"] == "v0.3.0"
    assert world.serves() == "v0.3.0"
    shown = world.ask("show")
    assert [(e["name"], e["declared"]) for e in shown["environments"]] == [("prod", False)]


def test_a_deprecated_pipeline_is_not_promoted(world: World) -> None:
    git("tag", "-a", "-m", "done", f"{PIPELINE}@deprecated", "HEAD")
    git("push", "--quiet", "origin", f"{PIPELINE}@deprecated")
    assert "is deprecated since" in world.refused("promote", "staging", "--version", "v0.1.0")


def test_show_says_what_serves_where_since_when_and_by_whom(world: World) -> None:
    serving(world, "v0.1.0")
    world.move("promote", "staging", "--version", "v0.2.0")
    world.run("canary", "start", "--environment", "staging", "--bundle", BUNDLES["v0.3.0"])
    shown = world.ask("show")
    assert [(v["version"], v["bundle"], v["stages"]) for v in shown["versions"]] == [
        ("v0.1.0", BUNDLES["v0.1.0"], ["stable"]),
        ("v0.2.0", BUNDLES["v0.2.0"], ["staging"]),
        ("v0.3.0", BUNDLES["v0.3.0"], []),
    ]
    staging, prod = shown["environments"]
    assert (prod["stands"]["version"], prod["serves"]["stable"], prod["agrees"]) == ("v0.1.0", BUNDLES["v0.1.0"], True)
    assert (prod["moved"]["by"], prod["moved"]["reason"], prod["moved"]["run_id"]) == ("Ada", "because", RUN)
    assert (staging["stands"]["version"], staging["serves"]["canary"]) == ("v0.2.0", BUNDLES["v0.3.0"])
    PROD.write_text(STAGING.read_text())
    world.capsys.readouterr()
    assert main(["registry", "show"]) == 0
    assert "deploy/state.yaml serves another bundle" in world.capsys.readouterr().err


def test_where_a_canary_is_declared_only_its_verdict_opens_the_way(world: World) -> None:
    declare(TWO | {"staging": TWO["staging"] | {"canary": True}})
    git("commit", "--all", "--quiet", "--message", "Staging has a canary")
    said = world.refused("promote", "staging", "--version", "v0.1.0")
    assert f"remint canary init --environment staging --bundle {BUNDLES['v0.1.0']}" in said
    canary = ("--environment", "staging")
    world.run("canary", "init", *canary, "--bundle", BUNDLES["v0.1.0"])
    world.run("canary", "start", *canary, "--bundle", BUNDLES["v0.2.0"])
    world.run("canary", "promote", *canary, "--reason", "in a hurry")
    assert (world.stands("staging"), world.serves(STAGING), world.stands()) == ("v0.2.0", "v0.2.0", None)
    assert "without a verdict" in world.refused("promote", "prod", "--version", "v0.2.0", "--by", "Ada")
    assert "without a verdict" in world.run("canary", "init", "--by", "Ada", "--bundle", BUNDLES["v0.2.0"], code=2)
    promoted = {"action": "promote", "release": "r2", "stable": BUNDLES["v0.2.0"], "verdict": "sha256:" + "f" * 64}
    entry = LedgerEntry(
        at=datetime.now(UTC), event=LedgerEvent.CANARY, run_id=RUN, data={**promoted, "environment": "staging"}
    )
    Ledger(Git(Path()), PIPELINE).append(entry)
    assert world.move("promote", "prod", "--by", "Ada")["passed"]["verdict"] == promoted["verdict"]


def test_releases_of_two_environments_do_not_mix(world: World) -> None:
    serving(world, "v0.1.0")
    world.move("promote", "staging", "--version", "v0.2.0")
    for environment in ("staging", "prod"):
        by = ("--by", "Kim") if environment == "prod" else ()
        bundle = BUNDLES["v0.3.0" if environment == "staging" else "v0.2.0"]
        world.run("canary", "start", "--environment", environment, "--bundle", bundle, *by)
    for environment, canary in (("staging", "v0.3.0"), ("prod", "v0.2.0")):
        told = json.loads(world.run("canary", "status", "--environment", environment, "--json"))
        assert [(h["action"], h["canary"]) for h in told["history"]] == [("start", BUNDLES[canary])]
    assert told["history"][0]["by"] == "Kim"
    assert "has a canary" in world.refused("promote", "prod", "--version", "v0.1.0", "--by", "Ada")
    serving_before = world.serves()
    assert world.move("rollback", "prod", "--to", "v0.1.0")["after"]["canary"] is None
    assert world.serves() == serving_before == "v0.1.0"


def gate(bundle: str, **verdicts: str) -> None:
    findings = [{"rule": f"gate:{rule}", "verdict": verdict} for rule, verdict in verdicts.items()]
    body = {
        "created_at": "2026-03-01T00:00:00Z",
        "challenger": {"bundle": bundle},
        "findings": findings,
        "accepted": [],
    }
    document = seal(DocumentKind.GATE, PIPELINE, body)
    run_id = f"{PIPELINE}-20260301T000000Z-{bundle[-6:]}"
    entry = LedgerEntry(at=datetime.now(UTC), event=LedgerEvent.GATE, run_id=run_id)
    Ledger(Git(Path()), PIPELINE).append(entry, attachments={"gate.json": json.dumps(document).encode()})


def test_the_version_follows_from_the_verdict(world: World) -> None:
    declare(TWO, version={"bump": "by_verdict"})
    bundles = [f"sha256:{number:064x}" for number in range(11, 14)]
    model(bundles[0])
    assert "no gate.json of this bundle" in world.run("registry", "register", code=2)
    gate(bundles[0], accuracy="pass")
    assert world.ask("register")["version"] == "v0.4.0"
    assert world.ask("register")["reason"] == "has its version"
    model(bundles[1], classes=("maybe", "no", "yes"))
    gate(bundles[1], accuracy="pass")
    numbered = world.ask("register")
    assert (numbered["version"], numbered["reason"]) == ("v1.0.0", "new class: maybe")
    model(bundles[2], classes=("maybe", "no", "yes"))
    gate(bundles[2], accuracy="fail")
    assert "its gate was not passed (gate:accuracy)" in world.run("registry", "register", code=2)
    data = {"rule": "gate:accuracy", "reason": "a new world", "by": "Ada", "bundle": bundles[2]}
    entry = LedgerEntry(at=datetime.now(UTC), event=LedgerEvent.ACCEPTANCE, run_id=RUN, data=data)
    Ledger(Git(Path()), PIPELINE).append(entry)
    assert world.ask("register", "--dry-run")["version"] == "v1.0.1"
    assert world.ask("register", "--bump", "minor")["version"] == "v1.1.0", "by hand wins"
    assert "Register breast-cancer: new class: maybe" in git("tag", "--list", "-n1", f"{PIPELINE}@v1.0.0")


def test_tags_reach_origin_one_by_one(world: World) -> None:
    """More than three in one push start no event on GitHub: nobody's hook on a tag is lost with ours."""
    hook = world.origin / "hooks" / "post-receive"
    hook.write_text(f"#!/bin/sh\ngrep -c refs/tags/ >> {world.origin}/pushed\nexit 0\n")
    hook.chmod(0o755)
    serving(world, "v0.1.0", "v0.2.0")
    world.move("rollback", "prod")
    pushed = (world.origin / "pushed").read_text().split()
    assert pushed.count("1") == 5
    assert set(pushed) <= {"0", "1"}, "0: the ledger"
