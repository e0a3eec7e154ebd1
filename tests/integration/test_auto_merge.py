"""Auto-merge on GitHub, played from its published descriptions: it refuses what is clean, and merges what waits."""

from __future__ import annotations

from typing import Any

import pytest

from github_server import GitHub
from pull_world import CONTEXT, HEAD, LATER, Trained, ask, look_again
from remint.adapters.forge.github import GitHubForge
from remint.adapters.forge.local import LocalForge
from remint.adapters.git import Git
from remint.adapters.ledger import Ledger
from remint.cli import main
from remint.core.ledger import LedgerEvent
from remint.errors import FrozenError, ServiceError
from remint.workflows.freeze import freeze, unfreeze

pytestmark = pytest.mark.usefixtures("nobodys_home", "served_at_once", "data_is_there")

ON_PASS = ("auto_merge: never", "auto_merge: on_pass")


def protected(*checks: str, approvals: int = 0) -> dict[str, Any]:
    asked: dict[str, Any] = {"required_status_checks": {"contexts": list(checks), "strict": False, "checks": []}}
    wanted = {"required_approving_review_count": approvals, "dismiss_stale_reviews": True}
    reviews = {"required_pull_request_reviews": {**wanted, "require_code_owner_reviews": False}}
    return {**asked, **(reviews if approvals else {})}


@pytest.fixture
def passed(two: Trained, github: GitHub) -> Trained:
    """The policy is on_pass, the branch protected as it should be, and the first retrain's gate passed."""
    two.on_main(policy=ON_PASS)
    two.judged(1, "pass")
    github.protection = protected(CONTEXT)
    return two


def handed_over(two: Trained) -> list[bool]:
    return [bool(entry["enabled"]) for entry in two.events(LedgerEvent.AUTO_MERGE)]


def test_what_passed_is_left_to_the_forge_which_merges_it_when_its_checks_are_green(
    passed: Trained, github: GitHub, forge: GitHubForge
) -> None:
    github.protection = protected(CONTEXT, "ci")
    result = ask(passed, forge)
    assert (result.auto_merge, result.blocked) == ("asked", None)
    assert github.pulls[1]["auto_merge"] is not None
    (entry,) = passed.events(LedgerEvent.AUTO_MERGE)
    assert (entry["number"], entry["commit"], entry["bundle"]) == (1, passed.first, result.bundle)
    assert "Left to the forge" in github.comments[1]["body"]
    writes = len(github.writes)
    assert ask(passed, forge).auto_merge == "already"
    assert len(github.writes) == writes
    github.settle()
    assert github.pulls[1]["merged_at"] is None  # ci has not said anything yet
    github.statuses.append({"sha": passed.first, "context": "ci", "state": "success", "description": ""})
    github.settle()
    assert github.pulls[1]["merged_at"] is not None


def test_with_no_other_check_it_is_asked_for_before_the_status_is_green(
    passed: Trained, github: GitHub, forge: GitHubForge
) -> None:
    assert ask(passed, forge).auto_merge == "asked"
    github.settle()
    assert github.pulls[1]["merged_at"] is not None


def test_an_approval_that_the_base_asks_for_is_the_forges_to_wait_for(
    passed: Trained, github: GitHub, forge: GitHubForge
) -> None:
    github.protection = protected(CONTEXT, approvals=1)
    ask(passed, forge)
    github.settle()
    assert github.pulls[1]["merged_at"] is None
    github.reviews[1] = [{"user": "ann", "state": "APPROVED", "commit_id": passed.first}]
    github.settle()
    assert github.pulls[1]["merged_at"] is not None


def test_where_a_setting_is_missing_all_else_is_done_and_the_setting_is_named(
    passed: Trained, github: GitHub, forge: GitHubForge
) -> None:
    right, missing = protected(CONTEXT), [(None, True, "settings/branches"), (protected("ci"), True, CONTEXT)]
    for protection, allowed, hint in [*missing, (right, False, "Allow auto-merge")]:
        github.protection, github.allow_auto_merge = protection, allowed
        result = ask(passed, forge)
        assert (result.auto_merge, handed_over(passed)) == ("refused", [])
        assert hint in str(result.blocked)
        assert "cannot be" in github.comments[1]["body"]
        assert github.pulls[1].get("auto_merge") is None
        assert github.statuses[-1]["state"] == "success"
    writes = len(github.writes)
    ask(passed, forge)
    assert len(github.writes) == writes  # it was said already
    github.allow_auto_merge = True
    found = look_again(passed, forge)  # the status is green by now: it is taken back for the asking
    assert (found.auto_merge, found.blocked, github.pulls[1]["auto_merge"] is not None) == ("asked", None, True)
    assert [status["state"] for status in github.statuses] == ["success", "pending", "success"]


def test_what_did_not_pass_is_never_handed_over(passed: Trained, github: GitHub, forge: GitHubForge) -> None:
    for verdict in ("fail", "inconclusive"):
        passed.judged(1, verdict)
        assert ask(passed, forge).auto_merge == "off"
    assert github.pulls[1].get("auto_merge") is None


def test_without_the_policy_nothing_is_asked(two: Trained, github: GitHub, forge: GitHubForge) -> None:
    two.judged(1, "pass")
    github.protection = protected(CONTEXT)
    assert ask(two, forge).auto_merge == "off"
    assert not any(path.startswith("/graphql") for _, path in github.writes)


@pytest.mark.parametrize("why", ["gate", "policy", "freeze", "commit", "person"])
def test_it_is_taken_back_once_when(passed: Trained, github: GitHub, forge: GitHubForge, why: str) -> None:
    github.protection = protected(CONTEXT, "ci")
    ask(passed, forge)
    assert github.pulls[1]["auto_merge"] is not None
    git, after = Git(passed.world.repo), "taken_back"
    match why:
        case "gate":
            passed.judged(1, "fail")
        case "policy":
            passed.on_main(policy=ON_PASS[::-1])
        case "freeze":
            freeze(git, "churn", reason="incident", by="ann", now=LATER)
        case "commit":  # newer data, which passed as well
            passed.shows(2)
            passed.judged(2, "pass")
            after = "asked"
        case "person":
            tree = git.run("rev-parse", f"{passed.first}^{{tree}}")
            theirs = git.run("commit-tree", tree, "-p", passed.first, "-m", "My own fix")
            git.push(theirs, f"refs/heads/{HEAD}", lease=passed.first, force=True)
    result = ask(passed, forge, 2) if why == "commit" else look_again(passed, forge)
    assert result.auto_merge == after
    assert (github.pulls[1]["auto_merge"] is None) == (why != "commit")
    if why == "commit":
        assert passed.events(LedgerEvent.AUTO_MERGE)[-1]["commit"] == passed.second
        return
    assert handed_over(passed) == [True, False]
    assert look_again(passed, forge).auto_merge == "off"
    assert handed_over(passed) == [True, False]
    if why == "freeze":
        unfreeze(git, "churn", reason="mended", by="ann", now=LATER)
        assert look_again(passed, forge).auto_merge == "asked"


def test_publishing_into_a_brake_takes_it_back_at_once(passed: Trained, github: GitHub, forge: GitHubForge) -> None:
    github.protection = protected(CONTEXT, "ci")
    ask(passed, forge)
    freeze(Git(passed.world.repo), "churn", reason="incident", by="ann", now=LATER)
    with pytest.raises(FrozenError):
        ask(passed, forge)
    assert (github.pulls[1]["auto_merge"], github.statuses[-1]["state"]) == (None, "pending")


def test_killed_between_asking_and_the_ledger_it_is_asked_for_once(
    passed: Trained, github: GitHub, forge: GitHubForge, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = Ledger.append

    def killed(self: Ledger, entry: Any, **more: Any) -> Any:
        if entry.event is LedgerEvent.AUTO_MERGE:
            raise KeyboardInterrupt
        return append(self, entry, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "append", killed)
        with pytest.raises(KeyboardInterrupt):
            ask(passed, forge)
    assert ask(passed, forge).auto_merge == "asked"
    assert handed_over(passed) == [True]
    assert [path for _, path in github.writes if "AutoMerge" in path] == ["/graphql enablePullRequestAutoMerge"]


@pytest.mark.parametrize("lost", range(4))  # pull request, auto-merge, comment, status
def test_killed_after_any_write_and_repeated_there_is_one_of_each(
    passed: Trained, github: GitHub, forge: GitHubForge, lost: int
) -> None:
    github.protection = protected(CONTEXT, "ci")
    github.lose = {lost}
    for _ in range(2):
        try:
            ask(passed, forge)
        except ServiceError:
            continue
    assert github.pulls[1]["auto_merge"] is not None
    assert (len(github.pulls), len(github.comments), len(handed_over(passed))) == (1, 1, 1)
    assert github.statuses[-1]["state"] == "success"


def test_the_local_forge_cannot_and_says_so_with_the_rest_done(
    two: Trained, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    two.on_main(policy=ON_PASS)
    two.judged(1, "pass")
    monkeypatch.chdir(two.world.repo)
    assert main(["publish", "--run", str(two.run(1)), "--forge", "local", "--json"]) == 2
    printed = capsys.readouterr()
    assert "merges nothing by itself" in printed.err
    assert '"action": "created"' in printed.out
    local = LocalForge(Git(two.world.repo), clock=lambda: LATER)
    assert "cannot be" in local.comments(1)[0].body
    status = local.status(two.first, CONTEXT)
    assert status is not None
    assert status.state == "success"
