"""What Gitea does that GitHub does not, on a real one: protection, auto-merge, pull requests of forks."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from test_forge import HEAD, clone, git

from binaries import ROOT
from gitea_server import Gitea, gitea
from remint.adapters.forge import CommitStatus, PullRequest, PullState, RunState, StatusState
from remint.errors import ConfigError, LockedError
from remint.workflows.fork_report import ForkReportRequest, Said, report_fork
from report_examples import PIPELINE
from report_examples import gate as gate_document

GATE = "remint/gate/churn"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gitea]:
    with gitea(tmp_path_factory.mktemp("gitea")) as found:
        yield found


@pytest.fixture(scope="module")
def push(server: Gitea, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], str]:
    made = clone(tmp_path_factory.mktemp("work") / "clone", server.clone_url)
    server.settle()
    return made


@pytest.fixture
def pull(server: Gitea, push: Callable[[], str]) -> Iterator[PullRequest]:
    push()
    made = server.forge.create_pull(head=HEAD, base="main", title="Retrain churn", body="")
    yield made
    if server.forge.pull(made.number).state is PullState.OPEN:
        server.forge.close_pull(made.number)


@pytest.fixture
def protect(server: Gitea) -> Iterator[Callable[..., None]]:
    rules = f"/repos/{server.repository}/branch_protections"

    def make(name: str, *, checks: list[str], approvals: int = 0) -> None:
        asked = {"enable_status_check": bool(checks), "status_check_contexts": checks, "enable_push": True}
        server.call("POST", rules, {"rule_name": name, "required_approvals": approvals, **asked})

    yield make
    for rule in server.call("GET", rules, {}):
        server.call("DELETE", f"{rules}/{rule['rule_name']}", {})


def gate(server: Gitea, commit: str, state: StatusState) -> None:
    server.forge.set_status(commit, CommitStatus(context=GATE, state=state, description="Gate"))


def ends_up(server: Gitea, number: int, state: PullState) -> bool:
    deadline = time.monotonic() + 20
    while server.forge.pull(number).state is not state:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def test_it_waits_for_the_gate_and_an_approval_and_then_merges_by_itself(
    server: Gitea, pull: PullRequest, protect: Callable[..., None]
) -> None:
    protect("main", checks=["remint/*"], approvals=1)
    found = server.forge.protection("main")
    assert found is not None
    assert found.requires(GATE)
    assert (found.approvals, found.dismisses_stale) == (1, False)
    gate(server, pull.commit, StatusState.PENDING)
    for _ in range(2):  # a repeated run asks again, and nothing happens
        server.forge.enable_auto_merge(pull.number, commit=pull.commit)
    gate(server, pull.commit, StatusState.SUCCESS)
    assert server.forge.pull(pull.number).state is PullState.OPEN
    server.approve(pull.number, "ann")
    assert ends_up(server, pull.number, PullState.MERGED)


def test_what_was_taken_back_is_not_merged(server: Gitea, pull: PullRequest, protect: Callable[..., None]) -> None:
    protect("ma*", checks=[GATE])  # a rule whose name is not the branch's
    gate(server, pull.commit, StatusState.PENDING)
    server.forge.enable_auto_merge(pull.number, commit=pull.commit)
    for _ in range(2):
        server.forge.disable_auto_merge(pull.number)
    gate(server, pull.commit, StatusState.SUCCESS)
    time.sleep(1)  # longer than the merge above takes
    assert server.forge.pull(pull.number).state is PullState.OPEN


def test_a_newer_commit_is_not_merged_on_the_gate_of_an_older_one(
    server: Gitea, pull: PullRequest, protect: Callable[..., None], push: Callable[[], str]
) -> None:
    """Gitea keeps the request when somebody pushes; the required status, which is of one commit, holds it."""
    protect("main", checks=[GATE])
    gate(server, pull.commit, StatusState.PENDING)
    server.forge.enable_auto_merge(pull.number, commit=pull.commit)
    newer = push()
    gate(server, pull.commit, StatusState.SUCCESS)
    time.sleep(1)
    assert server.forge.pull(pull.number).state is PullState.OPEN
    with pytest.raises(LockedError, match="by now"):
        server.forge.enable_auto_merge(pull.number, commit=pull.commit)
    gate(server, newer, StatusState.SUCCESS)
    assert ends_up(server, pull.number, PullState.MERGED)


@pytest.mark.parametrize("approvals", [0, 1])
def test_without_a_required_check_nothing_is_asked_for(
    server: Gitea, pull: PullRequest, protect: Callable[..., None], approvals: int
) -> None:
    if approvals:
        protect("main", checks=[], approvals=approvals)
    with pytest.raises(ConfigError, match="requires no check, so it would be merged at once"):
        server.forge.enable_auto_merge(pull.number, commit=pull.commit)
    assert server.forge.pull(pull.number).state is PullState.OPEN


def test_a_forks_pull_request_of_our_branch_name_is_never_taken_for_ours(
    server: Gitea, push: Callable[[], str], tmp_path: Path
) -> None:
    push()
    server.call("POST", f"/repos/{server.repository}/forks", {}, user="ann")
    work = tmp_path / "ann"
    address = server.clone_url.replace(f"/{server.repository}", "/ann/churn").replace(f"//{server.user}:", "//ann:")
    git(tmp_path, "clone", "--quiet", address, str(work))
    git(work, "switch", "--quiet", "--force-create", HEAD, "origin/main")
    git(work, "commit", "--quiet", "--allow-empty", "--message=theirs")
    git(work, "push", "--quiet", "--force", "origin", HEAD)
    commit = git(work, "rev-parse", "HEAD")
    asked = {"head": f"ann:{HEAD}", "base": "main", "title": "Theirs", "body": ""}
    number = server.call("POST", f"/repos/{server.repository}/pulls", asked, user="ann")["number"]
    assert number not in {pull.number for pull in server.forge.pulls(HEAD)}
    (found,) = server.forge.open_pulls_at(commit)
    assert (found.number, found.fork, found.author) == (number, True, "ann")
    assert server.forge.pull(number).fork
    with pytest.raises(ConfigError, match="in a fork"):
        server.forge.enable_auto_merge(number, commit=commit)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text().replace("breast-cancer", PIPELINE))
    (tmp_path / "gate.json").write_text(json.dumps(gate_document()))
    request = ForkReportRequest(documents=tmp_path, commit=commit, forge=server.forge)
    assert [report_fork(tmp_path, request).action for _ in range(2)] == [Said.CREATED, Said.UNCHANGED]
    (comment,) = server.forge.comments(number)
    assert "no verdict" in comment.body.splitlines()[1]


def test_a_run_that_no_runner_has_taken_has_no_time(server: Gitea, push: Callable[[], str], tmp_path: Path) -> None:
    """Gitea answers 1970 for it, which would be a schedule that has been silent for decades."""
    work = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", server.clone_url, str(work))
    workflow = work / ".gitea" / "workflows" / "watch.yml"
    workflow.parent.mkdir(parents=True)
    workflow.write_text("on: workflow_dispatch\njobs: {a: {runs-on: ubuntu-latest, steps: [{run: 'true'}]}}\n")
    git(work, "add", ".")
    git(work, "commit", "--quiet", "--message=workflow")
    git(work, "push", "--quiet", "origin", "main")
    server.forge.dispatch("watch.yml", ref="main", inputs={})
    (run,) = server.forge.runs("watch.yml")
    assert (run.state, run.created_at) == (RunState.UNFINISHED, None)
