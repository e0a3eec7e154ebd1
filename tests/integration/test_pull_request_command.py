"""`remint pull-request` on a bare repository: what a person does where there are no pages."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from remint.adapters.forge import CommitStatus, PullState, StatusState
from remint.adapters.forge.local import LocalForge
from remint.adapters.git import Git
from remint.adapters.ledger import Ledger
from remint.cli.main import main
from remint.core.ledger import LedgerEvent
from remint.errors import ExitCode

PARAMS = Path(__file__).parents[2] / "params.yaml"
HEAD = "remint/retrain/breast-cancer"
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def git(*args: str) -> str:
    return subprocess.run(["git", *args], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def forge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalForge:
    """One open pull request of the pipeline's branch, with a hostile body."""
    subprocess.run(["git", "init", "--quiet", "--bare", str(tmp_path / "origin.git")], check=True)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    git("init", "--quiet", "--initial-branch", "main")
    git("remote", "add", "origin", "../origin.git")
    shutil.copy(PARAMS, "params.yaml")
    git("add", "--all")
    git("commit", "--quiet", "--message", "First")
    git("push", "--quiet", "origin", "HEAD:refs/heads/main")
    git("commit", "--quiet", "--allow-empty", "--message", "Retrain")
    git("push", "--quiet", "origin", f"HEAD:refs/heads/{HEAD}")
    git("reset", "--quiet", "--hard", "HEAD~1")
    forge = LocalForge(Git(Path()), clock=lambda: NOW)
    forge.create_pull(head=HEAD, base="main", title="Retrain \x1b[31mred", body="<!-- mark -->\n# Passed\x1b]0;x\x07\n")
    return forge


def gate_is(forge: LocalForge, state: StatusState) -> None:
    commit = forge.pull(1).commit
    status = CommitStatus(context="remint/gate/breast-cancer", state=state, description="said by the gate")
    forge.set_status(commit, status)


def run(capsys: pytest.CaptureFixture[str], *args: str, code: int = 0) -> tuple[str, str]:
    capsys.readouterr()
    assert main(["pull-request", *args, "--forge", "local"]) == code
    found = capsys.readouterr()
    return found.out, found.err


def forced(forge: LocalForge) -> list[dict[str, Any]]:
    entries = Ledger(Git(Path()), "breast-cancer").entries()
    return [dict(entry.data) for entry in entries if entry.event is LedgerEvent.MANUAL]


def test_show_says_all_and_no_control_character_of_it(forge: LocalForge, capsys: pytest.CaptureFixture[str]) -> None:
    gate_is(forge, StatusState.FAILURE)
    run(capsys, "comment", "looks \x1b[2Jodd to me")
    out, _ = run(capsys, "show")
    assert all(words in out for words in ("# Passed", "failure: said by the gate", "approved by: nobody", "odd to me"))
    assert not any(mark in out for mark in ("\x1b", "\x07", "<!--"))
    shown = json.loads(run(capsys, "show", "1", "--json")[0])
    assert (shown["number"], shown["gate"]["state"], shown["comments"][0]["author"]) == (1, "failure", "Test")
    assert json.loads(run(capsys, "list", "--json")[0])[0]["state"] == "open"


@pytest.mark.parametrize("state", [None, StatusState.PENDING, StatusState.FAILURE, StatusState.ERROR])
def test_without_a_gate_that_passed_only_a_reason_merges_and_it_is_recorded(
    forge: LocalForge, capsys: pytest.CaptureFixture[str], state: StatusState | None
) -> None:
    if state is not None:
        gate_is(forge, state)
    _, said = run(capsys, "merge", code=ExitCode.USAGE)
    assert "its gate" in said
    run(capsys, "merge", "--force", "  ", code=ExitCode.USAGE)
    run(capsys, "merge", "--force", "the fair is tomorrow", "--dry-run")
    assert (forge.pull(1).state, forced(forge)) == (PullState.OPEN, [])
    run(capsys, "merge", "--force", "the fair is tomorrow", "--by", "Ann")
    assert forge.pull(1).state is PullState.MERGED
    (entry,) = forced(forge)
    assert (entry["by"], entry["reason"], len(entry["against"])) == ("Ann", "the fair is tomorrow", 1)


def test_approvals_are_counted_for_what_the_branch_is_now(
    forge: LocalForge, capsys: pytest.CaptureFixture[str]
) -> None:
    gate_is(forge, StatusState.SUCCESS)
    for name in ("Ann", "Ann", "Ben"):
        run(capsys, "approve", "--by", name)
    assert "2 of 3 approvals" in run(capsys, "merge", "--approvals", "3", code=ExitCode.USAGE)[1]
    git("fetch", "--quiet", "origin", HEAD)
    newer = git("commit-tree", "FETCH_HEAD^{tree}", "-p", "FETCH_HEAD", "-m", "Retrain again")
    git("push", "--quiet", "origin", f"{newer}:refs/heads/{HEAD}")
    gate_is(forge, StatusState.SUCCESS)
    assert "0 of 1 approvals" in run(capsys, "merge", "--approvals", "1", code=ExitCode.USAGE)[1]
    run(capsys, "merge")
    assert forced(forge) == []
    run(capsys, "merge", "1", code=ExitCode.USAGE)


def test_nothing_overrules_the_brake(forge: LocalForge, capsys: pytest.CaptureFixture[str]) -> None:
    gate_is(forge, StatusState.SUCCESS)
    assert main(["freeze", "--reason", "audit", "--by", "Ann"]) == 0
    assert "audit" in run(capsys, "merge", "--force", "I insist", code=ExitCode.SERVICE)[1]
    assert forge.pull(1).state is PullState.OPEN


def test_nobody_acts_under_remints_own_name_or_under_none(
    forge: LocalForge, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "Remint's own name" in run(capsys, "approve", "--by", "remint", code=ExitCode.USAGE)[1]
    assert "nobody is named" in run(capsys, "comment", "/retrain", "--by", " ", code=ExitCode.USAGE)[1]
    assert forge.comments(1) == []


def test_a_closed_one_is_not_found_as_the_open_one(forge: LocalForge, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "close")
    assert forge.pull(1).state is PullState.CLOSED
    assert "no pull request is open" in run(capsys, "show", code=ExitCode.USAGE)[1]
    assert "closed" in run(capsys, "show", "1")[0]


def test_on_a_real_forge_its_own_pages_are_named(
    forge: LocalForge, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "t0ken")
    monkeypatch.setenv("GITHUB_REPOSITORY", "acme/churn")
    for words in (["approve"], ["merge"], ["close"], ["comment", "hello"]):
        assert main(["pull-request", *words, "--forge", "github"]) == ExitCode.USAGE
        assert "use the pull request's page" in capsys.readouterr().err
