"""Retrains become one pull request: real git, real DVC, GitHub played from its description, or the local forge."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from typing import Any

import pytest

from github_server import ME, Answer, GitHub
from pull_world import HEAD, LATER, SECOND_ID, Trained, ask, train
from remint.adapters.forge import PullState
from remint.adapters.forge.github import GitHubForge
from remint.adapters.forge.local import LocalForge
from remint.adapters.git import Git
from remint.adapters.ledger import Ledger
from remint.cli import main
from remint.core.document import DocumentKind, format_time, seal
from remint.core.ledger import LedgerEvent
from remint.core.report import MAX_CHARACTERS
from remint.errors import (
    ApprovedError,
    ConfigError,
    DataError,
    LockedError,
    PermissionDeniedError,
    RemintError,
    ServiceError,
)
from remint.workflows.approval import refuse_to_replace_approved
from remint.workflows.freeze import freeze
from remint.workflows.publish import Action
from retrain_world import RUN_ID

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("nobodys_home")]


# -- the whole way ---------------------------------------------------------------------------------------------------


def test_a_retrain_becomes_a_pull_request_with_report_comment_and_status(
    two: Trained, github: GitHub, forge: GitHubForge
) -> None:
    result = ask(two, forge, run_url="https://ci.example.org/7")
    assert (result.action, result.number, result.commit) == (Action.CREATED, 1, two.first)
    (pull,) = github.pulls.values()
    assert (pull["head"], pull["base"]) == (HEAD, "main")
    assert pull["title"] == "Retrain churn: failed by gate accuracy (150 new labels)"
    assert pull["body"].startswith((two.run(1) / "report.md").read_text().rstrip())
    assert len(pull["body"]) <= MAX_CHARACTERS
    (comment,) = github.comments.values()
    assert RUN_ID in comment["body"]
    (status,) = github.statuses
    gate = json.loads((two.run(1) / "gate.json").read_text())
    assert (status["context"], status["sha"]) == ("remint/gate/churn", two.first)
    assert status["state"] == {"pass": "success", "fail": "failure", "inconclusive": "error"}[gate["verdict"]]
    assert status["target_url"] == "https://ci.example.org/7"
    (entry,) = two.events(LedgerEvent.PULL_REQUEST)
    assert (entry["number"], entry["bundle"]) == (1, result.bundle)
    writes = len(github.writes)
    assert ask(two, forge).action is Action.UNCHANGED
    assert len(github.writes) == writes  # repeated, it says nothing again


def test_new_data_with_the_same_code_refreshes_the_same_pull_request(
    two: Trained, github: GitHub, forge: GitHubForge, data_is_there: None
) -> None:
    ask(two, forge)
    github.comments[7] = {"id": 7, "number": 1, "author": "ann", "body": "<!-- remint:story pipeline=churn --> mine"}
    github.comments[8] = {"id": 8, "number": 1, "author": ME, "body": "<!-- remint:story pipeline=fraud --> theirs"}
    two.shows(2)
    result = ask(two, forge, 2)
    assert (result.action, result.number) == (Action.UPDATED, 1)
    assert len(github.pulls) == 1
    assert result.bundle is not None
    assert result.bundle in github.pulls[1]["body"]
    assert len(github.comments) == 3
    assert "mine" in github.comments[7]["body"]
    assert "theirs" in github.comments[8]["body"]
    rows = [line for line in github.comments[1]["body"].splitlines() if "churn-2026" in line]
    assert [SECOND_ID in rows[0], RUN_ID in rows[1], len(rows)] == [True, True, 2]
    assert {status["sha"] for status in github.statuses} == {two.first, two.second}


@pytest.mark.parametrize("lost", range(3))
def test_killed_after_any_call_and_repeated_there_is_one_of_each(
    two: Trained, github: GitHub, forge: GitHubForge, data_is_there: None, lost: int
) -> None:
    github.lose = {lost}  # done by the server, and nobody hears of it
    with pytest.raises(ServiceError):
        ask(two, forge)
    ask(two, forge)
    assert (len(github.pulls), len(github.comments), len(github.statuses)) == (1, 1, 1)
    assert len(two.events(LedgerEvent.PULL_REQUEST)) == 1
    assert RUN_ID in github.comments[1]["body"]


def test_killed_between_pull_request_and_ledger_and_repeated_there_is_one_of_each(
    two: Trained, github: GitHub, forge: GitHubForge, data_is_there: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = Ledger.append

    def killed(self: Ledger, *arguments: Any, **more: Any) -> None:
        append(self, *arguments, **more)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "append", killed)
        with pytest.raises(KeyboardInterrupt):
            ask(two, forge)
    ask(two, forge)
    assert (len(github.pulls), len(github.comments), len(github.statuses)) == (1, 1, 1)
    assert len(two.events(LedgerEvent.PULL_REQUEST)) == 1


# -- data before git, git before the pull request --------------------------------------------------------------------


def test_data_that_the_remote_lacks_is_pushed_from_the_cache_or_nothing_is_opened(
    two: Trained, github: GitHub, forge: GitHubForge
) -> None:
    cache = two.world.repo.parents[1] / ".dvc" / "cache"
    cache = cache if cache.is_dir() else two.world.repo / ".dvc" / "cache"
    shutil.rmtree(two.world.root / "dvc-remote")
    shutil.move(cache, two.world.root / "cache-elsewhere")
    with pytest.raises(ServiceError):
        ask(two, forge)
    assert github.seen == []
    shutil.move(two.world.root / "cache-elsewhere", cache)
    assert ask(two, forge).action is Action.CREATED
    assert any((two.world.root / "dvc-remote").rglob("*"))


def test_a_runner_without_a_cache_can_prove_the_data_too(two: Trained, github: GitHub, forge: GitHubForge) -> None:
    for cache in two.world.root.rglob(".dvc/cache"):
        shutil.rmtree(cache)
    assert ask(two, forge).action is Action.CREATED


def test_a_branch_that_moved_on_is_not_this_runs_to_publish(
    two: Trained, github: GitHub, forge: GitHubForge, data_is_there: None
) -> None:
    two.shows(2)
    with pytest.raises(ConfigError, match="newer retrain"):
        ask(two, forge, 1)
    assert github.seen == []


def test_a_persons_commit_on_the_branch_stops_it(two: Trained, github: GitHub, forge: GitHubForge) -> None:
    git = Git(two.world.repo)
    tree = git.run("rev-parse", f"{two.first}^{{tree}}")
    theirs = git.run("commit-tree", tree, "-p", two.first, "-m", "My own fix")
    git.push(theirs, f"refs/heads/{HEAD}", lease=two.first, force=True)
    with pytest.raises(ConfigError, match="not Remint's"):
        ask(two, forge)
    assert github.seen == []


def test_files_of_two_runs_are_not_mixed(two: Trained, forge: GitHubForge) -> None:
    shutil.copy(two.run(2) / "gate.json", two.run(1) / "gate.json")
    with pytest.raises(DataError, match="different runs"):
        ask(two, forge)


def test_the_brake_stops_it(two: Trained, github: GitHub, forge: GitHubForge) -> None:
    freeze(Git(two.world.repo), "churn", reason="incident", by="ann", now=LATER)
    with pytest.raises(RemintError, match="incident"):
        ask(two, forge)
    assert github.writes == []


# -- people ----------------------------------------------------------------------------------------------------------


def test_closed_by_a_person_the_same_data_never_opens_it_again_and_new_data_does(
    two: Trained, github: GitHub, forge: GitHubForge, data_is_there: None
) -> None:
    ask(two, forge)
    github.pulls[1]["state"] = "closed"
    for _ in range(2):
        assert ask(two, forge).action is Action.REFUSED
    (refusal,) = two.events(LedgerEvent.REFUSAL)
    assert refusal["number"] == 1
    github.pulls.clear()  # the forge forgets; the ledger does not
    assert ask(two, forge).action is Action.REFUSED
    two.shows(2)
    assert ask(two, forge, 2).action is Action.CREATED


def test_reopened_by_a_person_it_goes_on(two: Trained, github: GitHub, forge: GitHubForge, data_is_there: None) -> None:
    ask(two, forge)
    github.pulls[1]["state"] = "closed"
    ask(two, forge)
    github.pulls[1]["state"] = "open"
    assert ask(two, forge).action is Action.UNCHANGED


def test_a_strangers_pull_request_cannot_refuse_in_our_name(
    two: Trained, github: GitHub, forge: GitHubForge, data_is_there: None
) -> None:
    ask(two, forge)
    github.pulls[1] |= {"state": "closed", "author": "mallory"}
    assert ask(two, forge).action is Action.CREATED


def test_what_a_person_approved_is_not_replaced_under_their_name(
    two: Trained, github: GitHub, forge: GitHubForge, data_is_there: None
) -> None:
    ask(two, forge)
    github.reviews[1] = [{"user": "stranger", "state": "APPROVED", "commit_id": two.first}]
    newer = two.world.decision(until=150, run_id="churn-20261123T115900Z-7a8b9c")
    github.reviews[1].append({"user": "ann", "state": "APPROVED", "commit_id": two.first})
    github.permissions["ann"] = "write"
    for _ in range(2):
        with pytest.raises(ApprovedError, match="approved by ann and frozen"):
            train(two.world, newer, forge)
    assert two.world.git("rev-parse", HEAD, at=two.world.root / "origin.git") == two.first
    (comment,) = github.comments.values()
    assert "is frozen" in comment["body"]
    assert RUN_ID in comment["body"]
    github.permissions.clear()  # a stranger's word means nothing: the way is free
    refuse_to_replace_approved(forge, two.ledger(), HEAD)


def test_a_snooze_leaves_the_open_pull_request_to_its_reader_unless_asked_for_later(
    two: Trained, github: GitHub, forge: GitHubForge, data_is_there: None
) -> None:
    ask(two, forge)
    before, after = LATER - timedelta(hours=1), LATER + timedelta(hours=1)
    said = {"until": format_time(LATER + timedelta(days=7)), "by": "ann", "reason": "holidays"}
    two.record(LedgerEvent.SNOOZE, **said)
    with pytest.raises(LockedError, match=r"snoozed until .* by ann: holidays"):
        refuse_to_replace_approved(forge, two.ledger(), HEAD, asked_at=before, now=LATER)
    refuse_to_replace_approved(forge, two.ledger(), HEAD, asked_at=after, now=LATER)  # by hand, since
    refuse_to_replace_approved(forge, two.ledger(), HEAD, asked_at=before, now=LATER + timedelta(days=8))
    github.pulls[1]["state"] = "closed"
    refuse_to_replace_approved(forge, two.ledger(), HEAD, asked_at=before, now=LATER)


def test_a_pull_request_that_a_person_opened_keeps_its_text(
    two: Trained, github: GitHub, forge: GitHubForge, data_is_there: None
) -> None:
    facts = {"number": 1, "state": "open", "merged_at": None, "author": "ann", "commit": two.first}
    github.pulls[1] = {"head": HEAD, "base": "main", "title": "Let me see", "body": "My words", **facts}
    result = ask(two, forge)
    assert (result.action, result.number) == (Action.UNCHANGED, 1)
    assert github.pulls[1]["body"] == "My words"
    assert len(github.comments) == len(github.statuses) == 1


# -- when it is not needed -------------------------------------------------------------------------------------------


def test_when_the_base_has_the_model_it_is_closed_and_that_is_no_refusal(
    two: Trained, github: GitHub, forge: GitHubForge, data_is_there: None
) -> None:
    ask(two, forge)
    old = two.world.git("rev-parse", "main", at=two.world.root / "origin.git")
    two.world.git("update-ref", "refs/heads/main", two.first, at=two.world.root / "origin.git")
    result = ask(two, forge)
    assert (result.action, github.pulls[1]["state"]) == (Action.CLOSED, "closed")
    assert "has this model" in github.comments[1]["body"]
    assert ask(two, forge).action is Action.NONE
    two.world.git("update-ref", "refs/heads/main", old, at=two.world.root / "origin.git")  # the merge was reverted
    assert ask(two, forge).action is Action.CREATED
    assert two.events(LedgerEvent.REFUSAL) == []


def test_older_data_than_the_base_has_is_not_proposed(
    two: Trained, github: GitHub, forge: GitHubForge, data_is_there: None
) -> None:
    two.world.git("update-ref", "refs/heads/main", two.second, at=two.world.root / "origin.git")
    assert ask(two, forge, 1).action is Action.NONE
    assert github.writes == []


def test_an_unchanged_lock_opens_nothing_and_leaves_what_is_open(
    two: Trained, github: GitHub, forge: GitHubForge, data_is_there: None
) -> None:
    run = json.loads((two.run(1) / "run.json").read_text())
    body = {key: run[key] for key in ("command", "run_id", "started_at", "finished_at", "decision", "base")}
    facts = {"outcome": "unchanged", "cpu_seconds": 1.0, "peak_memory_bytes": 1}
    (two.run(2) / "run.json").write_text(json.dumps(seal(DocumentKind.RUN, "churn", {**body, **facts})))
    assert ask(two, forge, 2).action is Action.NONE
    ask(two, forge, 1)
    assert ask(two, forge, 2).action is Action.UNCHANGED
    assert github.pulls[1]["state"] == "open"


# -- what goes wrong -------------------------------------------------------------------------------------------------


def test_a_report_over_the_limit_is_cut_and_not_lost(
    two: Trained, github: GitHub, forge: GitHubForge, data_is_there: None
) -> None:
    two.judged(1, "pass", report="## Judged\n" + "| a | b |\n" * 10_000)
    assert ask(two, forge).action is Action.CREATED
    assert MAX_CHARACTERS - 1_000 < len(github.pulls[1]["body"]) <= MAX_CHARACTERS
    assert ask(two, forge).action is Action.UNCHANGED


def test_a_missing_permission_is_named_and_the_rest_is_done_when_it_is_given(
    two: Trained, github: GitHub, forge: GitHubForge, data_is_there: None
) -> None:
    answer = Answer(403, {"message": "Resource not accessible by integration"})
    github.refuse = lambda method, path: answer if method == "POST" and "/statuses/" in path else None
    with pytest.raises(PermissionDeniedError, match="statuses: write"):
        ask(two, forge)
    github.refuse = lambda method, path: None
    assert ask(two, forge).action is Action.UNCHANGED
    assert (len(github.pulls), len(github.comments), len(github.statuses)) == (1, 1, 1)


def test_a_dry_run_shows_what_would_be_sent_and_sends_nothing(
    two: Trained, github: GitHub, forge: GitHubForge, data_is_there: None
) -> None:
    result = ask(two, forge, dry_run=True)
    assert [call["call"] for call in result.calls] == ["create_pull", "create_comment", "set_status"]
    assert github.writes == []
    assert two.events(LedgerEvent.PULL_REQUEST) == []


# -- the local forge, by the command line ----------------------------------------------------------------------------


def test_the_command_walks_the_same_path_against_a_bare_repository(
    two: Trained, data_is_there: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(two.world.repo)
    command = ["publish", "--run", str(two.run(1)), "--forge", "local", "--json"]
    outcomes = []
    for _ in range(2):
        assert main(command) == 0
        outcomes.append(json.loads(capsys.readouterr().out))
    assert [outcome["action"] for outcome in outcomes] == ["created", "unchanged"]
    local = LocalForge(Git(two.world.repo), clock=lambda: LATER)
    (pull,) = local.pulls(HEAD)
    assert (pull.state, len(local.comments(pull.number))) == (PullState.OPEN, 1)
    merged = local.merge(pull.number)
    assert two.world.git("rev-parse", "main", at=two.world.root / "origin.git") == merged
    assert local.pulls(HEAD)[0].state is PullState.MERGED
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["action"] == "none"
