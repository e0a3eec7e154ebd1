"""The real `gto` command and Remint on one repository: what either writes, the other reads as the same."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from remint.adapters.git import Git
from remint.adapters.registry import assign, load_registry, register
from remint.core.registry import Registry, Version
from remint.errors import ConfigError

gto_command = pytest.importorskip("gto.cli", reason="no gto here; it comes with DVC").app

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Repository:
    """One with commits that hold nothing; ``gto`` and Remint work on the same clone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = START
        self.run("git", "init", "-q", "-b", "main")
        for key, value in (("user.name", "Ada"), ("user.email", "ada@example.org")):
            self.run("git", "config", key, value)  # here, not at home: libgit2 looks for a home once a process

    @property
    def git(self) -> Git:
        return Git(self.path)

    @property
    def registry(self) -> Registry:
        return load_registry(self.git, "churn")

    def run(self, *command: str, fails: bool = False) -> str:
        dates = {f"GIT_{who}_DATE": self.clock.isoformat() for who in ("AUTHOR", "COMMITTER")}
        done = subprocess.run(
            command, cwd=self.path, env={**os.environ, **dates}, capture_output=True, text=True, check=False
        )
        assert (done.returncode != 0) is fails, done.stdout + done.stderr
        return done.stdout.strip()

    def commit(self, name: str) -> str:
        self.run("git", "commit", "-q", "--allow-empty", "-m", name)
        return self.run("git", "rev-parse", "HEAD")

    def later(self) -> datetime:
        self.clock += timedelta(minutes=1)
        return self.clock

    def gto(self, *arguments: str, fails: bool = False) -> str:
        """The command itself, in this process: starting one takes half a second each. Its tags have today's date."""
        done = CliRunner().invoke(gto_command, [arguments[0], "--repo", str(self.path), *arguments[1:]])
        assert (done.exit_code != 0) is fails, done.output
        return done.output if fails else done.stdout

    def told(self, *arguments: str) -> Any:
        return json.loads(self.gto(*arguments, "--json"))

    def gto_stage(self, stage: str = "stable") -> str | None:
        """The version that gto finds in the stage."""
        shown = self.told("show", f"churn#{stage}")
        return shown[0]["version"] if shown else None

    def our_stage(self, stage: str = "stable") -> str | None:
        champion = self.registry.champion(stage)
        return None if champion is None else champion.version

    def agreed(self, stage: str = "stable") -> str | None:
        assert self.gto_stage(stage) == self.our_stage(stage)
        return self.our_stage(stage)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def test_gto_reads_what_remint_writes(repository: Repository) -> None:
    git = repository.git
    first = repository.commit("first")
    register(git, "churn", first, now=repository.later(), message="Register churn: the first version")
    assign(git, "churn", first, now=repository.later(), stage="staging")
    assign(git, "churn", first, now=repository.later())
    second = repository.commit("second")
    register(git, "churn", second, now=repository.later())
    assign(git, "churn", second, now=repository.later())
    assert repository.agreed() == "v0.2.0"
    assert repository.agreed("staging") == "v0.1.0"
    assign(git, "churn", first, now=repository.later())  # a rollback
    assert repository.agreed() == "v0.1.0"

    assert repository.told("show")["churn"] == {
        "version": "v0.2.0",
        "stage": {"stable": "v0.1.0", "staging": "v0.1.0"},
        "registered": True,
        "active": True,
    }
    events = [
        (e["event"], e["version"], e["stage"], e["ref"], e["commit"]) for e in repository.told("history", "--asc")
    ]
    assert events == [
        ("registration", "v0.1.0", None, "churn@v0.1.0", first),
        ("assignment", "v0.1.0", "staging", "churn#staging#1", first),
        ("assignment", "v0.1.0", "stable", "churn#stable#1", first),
        ("registration", "v0.2.0", None, "churn@v0.2.0", second),
        ("assignment", "v0.2.0", "stable", "churn#stable#2", second),
        ("assignment", "v0.1.0", "stable", "churn#stable#3", first),
    ]
    told = repository.told("check-ref", "churn@v0.1.0")
    assert (told["event"], told["version"], told["commit_hexsha"]) == ("registration", "v0.1.0", first)
    assert told["message"] == "Register churn: the first version"
    assert datetime.fromisoformat(told["created_at"]) == START + timedelta(minutes=1)
    assert repository.told("check-ref", "churn#stable#3")["event"] == "assignment"


def test_remint_reads_what_gto_writes(repository: Repository) -> None:
    first, second = repository.commit("first"), repository.commit("second")
    repository.gto("register", "churn", first)
    repository.gto("assign", "churn", "--version", "v0.0.1", "--stage", "stable")
    repository.gto("register", "churn", second, "--bump-minor")
    assert [(v.tag, v.commit) for v in repository.registry.versions] == [
        ("churn@v0.0.1", first),
        ("churn@v0.1.0", second),
    ]
    repository.gto("assign", "churn", "--version", "v0.1.0", "--stage", "staging")
    assert (repository.agreed(), repository.agreed("staging")) == ("v0.0.1", "v0.1.0")
    tags = [a.tag for a in repository.registry.assignments]
    assert tags == ["churn#stable#1", "churn#staging#2"], "gto counts over all stages, Remint within one"
    by = repository.registry.assignments[0].by
    assert by == repository.told("check-ref", "churn#stable#1")["author"]


def test_taking_back_by_gto_is_taking_back(repository: Repository) -> None:
    git = repository.git
    commits = [repository.commit(name) for name in ("first", "second")]
    for commit in commits:
        register(git, "churn", commit, now=repository.later())
        assign(git, "churn", commit, now=repository.later())
    repository.gto("deprecate", "churn", "v0.2.0", "stable")  # how gto spells unassign
    assert "churn#stable!#3" in repository.run("git", "tag")
    assert repository.agreed() == "v0.1.0"
    repository.gto("deprecate", "churn", "v0.1.0")  # and deregister
    assert "churn@v0.1.0!" in repository.run("git", "tag")
    assert repository.agreed() is None
    assert [v.current for v in repository.registry.versions] == [False, True]
    made = assign(git, "churn", commits[1], now=datetime.now(UTC))
    assert made.tag == "churn#stable#4", "a number that gto used is not used again"
    assert repository.agreed() == "v0.2.0"


def test_a_deprecated_pipeline_is_one_until_something_newer_is_said(repository: Repository) -> None:
    git = repository.git
    register(git, "churn", repository.commit("first"), now=repository.later())
    repository.gto("deprecate", "churn")
    assert "churn" not in repository.told("show")
    deprecated = repository.registry.deprecated
    assert deprecated is not None
    assert deprecated.name == "churn@deprecated"
    register(git, "churn", repository.commit("second"), now=deprecated.at + timedelta(seconds=2))
    assert repository.told("show")["churn"]["active"] is True
    assert repository.registry.deprecated is None


def test_every_way_in_which_gto_names_a_tag_is_understood(repository: Repository) -> None:
    first, second, third = (repository.commit(name) for name in ("first", "second", "third"))
    repository.gto("register", "churn", first, "--version", "v1.0.0-rc.1")
    repository.gto("register", "churn", second, "--version", "v1.0.0", "--simple", "false")
    repository.gto("register", "churn", third, "--version", "v1.1.0")
    repository.gto("assign", "churn", "--version", "v1.0.0", "--stage", "Prod/EU_1", "--simple", "true")
    assert repository.run("git", "tag").split() == [
        "churn#Prod/EU_1",
        "churn@v1.0.0#1",
        "churn@v1.0.0-rc.1",
        "churn@v1.1.0",
    ]
    assert [str(v.version) for v in repository.registry.versions] == ["v1.0.0-rc.1", "v1.0.0", "v1.1.0"]
    assert repository.agreed("Prod/EU_1") == "v1.0.0"
    shown = [v["version"] for v in repository.told("show", "churn")]
    assert shown == [str(v.version) for v in reversed(repository.registry.versions)]


def test_a_version_that_gto_registers_again_stands_again(repository: Repository) -> None:
    repository.gto("register", "churn", repository.commit("first"), "--version", "v1.0.0")
    repository.gto("deprecate", "churn", "v1.0.0")
    assert repository.registry.find(Version.parse("v1.0.0")) is None
    repository.clock = datetime.now(UTC) + timedelta(seconds=2)
    repository.run("git", "tag", "-a", "-m", "again", "churn@v1.0.0#2", "churn@v1.0.0^{commit}")
    assert [v["version"] for v in repository.told("show", "churn")] == ["v1.0.0"]
    assert repository.registry.find(Version.parse("v1.0.0")) is not None


def test_a_clock_that_is_behind_does_not_part_the_two(repository: Repository) -> None:
    git = repository.git
    first, second = repository.commit("first"), repository.commit("second")
    for commit in (first, second):
        register(git, "churn", commit, now=START)
    assign(git, "churn", first, now=START)
    assign(git, "churn", second, now=START)  # in the same second
    assert repository.agreed() == "v0.2.0"
    made = assign(git, "churn", first, now=START - timedelta(minutes=4))  # another machine
    assert made.assigned_at == START + timedelta(seconds=2)
    assert repository.agreed() == "v0.1.0"
    assert repository.registry.rival() is None


def test_a_clock_that_is_days_behind_is_said_and_not_followed(repository: Repository) -> None:
    git = repository.git
    first, second = repository.commit("first"), repository.commit("second")
    for commit in (first, second):
        register(git, "churn", commit, now=START)
    assign(git, "churn", first, now=START)
    made = assign(git, "churn", second, now=START - timedelta(days=3))
    assert made.assigned_at == START - timedelta(days=3)
    assert (repository.our_stage(), repository.gto_stage()) == ("v0.2.0", "v0.1.0")
    assert repository.registry.rival() == "churn#stable#1"


def test_a_light_tag_says_nothing_to_either(repository: Repository) -> None:
    git = repository.git
    first, second = repository.commit("first"), repository.commit("second")
    for commit in (first, second):
        register(git, "churn", commit, now=repository.later())
    assign(git, "churn", first, now=repository.later())
    repository.run("git", "tag", "churn#stable#2", second)
    assert repository.agreed() == "v0.1.0"
    assert repository.registry.ignored == ("churn#stable#2",)
    assert assign(git, "churn", second, now=repository.later()).tag == "churn#stable#3", "its name is gone all the same"


def test_one_commit_never_gets_two_versions_because_gto_could_read_nothing_any_more(repository: Repository) -> None:
    git = repository.git
    first = repository.commit("first")
    register(git, "churn", first, now=repository.later())
    with pytest.raises(ConfigError, match=r"commit .* is v0\.1\.0"):
        register(git, "churn", first, now=repository.later(), version=Version.parse("v2.0.0"))
    repository.gto("deprecate", "churn", "v0.1.0")
    with pytest.raises(ConfigError, match=r"was, and is no longer, v0\.1\.0"):
        register(git, "churn", first, now=repository.later())
    repository.run("git", "tag", "-a", "-m", "by hand", "churn@v2.0.0", first)
    repository.run("git", "tag", "-a", "-m", "by hand", "churn#stable#1", first)
    assert "v2.0.0" in repository.gto("show", fails=True)


def test_annotations_of_artifacts_yaml_change_nothing_for_either(repository: Repository) -> None:
    (repository.path / "artifacts.yaml").write_text("churn:\n  type: model\n  path: artifacts/bundle\n")
    repository.run("git", "add", "artifacts.yaml")
    first = repository.commit("first")
    register(repository.git, "churn", first, now=repository.later())
    assign(repository.git, "churn", first, now=repository.later())
    assert repository.agreed() == "v0.1.0"
    assert repository.told("show")["churn"]["version"] == "v0.1.0"
