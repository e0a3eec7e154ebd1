"""Every forge answers the same questions in the same way: GitHub (played from its description), files, a real Gitea."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest

from gitea_server import Gitea, gitea
from github_server import ME, TOKEN, GitHub, serve
from remint.adapters.forge import (
    Comment,
    CommitStatus,
    Forge,
    Permission,
    PullState,
    RunState,
    StatusState,
)
from remint.adapters.forge.github import GitHubForge
from remint.adapters.forge.local import LocalForge
from remint.adapters.forge.rest import Access
from remint.adapters.git import Git
from remint.errors import ConfigError, LockedError

HEAD = "remint/retrain/churn"
_NUMBERS = count(1)
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@dataclass
class Case:
    forge: Forge
    push: Callable[[], str]  # a new commit on HEAD's branch; answers with its id
    approve: Callable[[int, str], None]
    me: str


def git(at: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=at, capture_output=True, text=True, check=True).stdout.strip()


def clone(at: Path, origin: str) -> Callable[[], str]:
    """A checkout with ``main`` on origin, and a function that puts one more commit on HEAD's branch there."""
    git(at.parent, "init", "--quiet", "--initial-branch=main", str(at))
    git(at, "remote", "add", "origin", origin)
    git(at, "commit", "--quiet", "--allow-empty", "--message=first")
    git(at, "push", "--quiet", "origin", "main")
    git(at, "switch", "--quiet", "--create", HEAD)

    def push() -> str:
        made = len(list(at.glob("*.txt")))
        (at / f"{made}.txt").write_text("model\n")
        git(at, "add", ".")
        git(at, "commit", "--quiet", "--message=model")
        git(at, "push", "--quiet", "origin", f"HEAD:{HEAD}")
        return git(at, "rev-parse", "HEAD")

    return push


@pytest.fixture(scope="module")
def one_gitea(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gitea]:
    with gitea(tmp_path_factory.mktemp("gitea")) as server:
        yield server


@pytest.fixture(params=["github", "local", "gitea"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    origin = tmp_path / "origin.git"
    if request.param == "gitea":
        server = request.getfixturevalue("one_gitea").another(f"churn-{next(_NUMBERS)}")
        push = clone(tmp_path / "clone", server.clone_url)
        server.settle()
        yield Case(server.forge, push, server.approve, server.user)
        return
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", str(origin))
    push = clone(tmp_path / "clone", str(origin))
    if request.param == "local":
        forge = LocalForge(Git(tmp_path / "clone"), clock=lambda: NOW)
        yield Case(forge, push, lambda number, who: forge.approve(number, by=who), "remint")
        return

    def commit_of(branch: str) -> str | None:
        return Git(tmp_path / "clone").remote_ref(f"refs/heads/{branch}")

    github = GitHub(commit_of=commit_of, permissions={"ann": "write"})

    def approve(number: int, who: str) -> None:
        review = {"state": "APPROVED", "user": who, "commit_id": commit_of(HEAD)}
        github.reviews.setdefault(number, []).append(review)

    with serve(github):
        access = Access(url=github.url, token=TOKEN, variable="GITHUB_TOKEN")
        yield Case(GitHubForge(access, github.name), push, approve, ME)


def test_a_pull_request_lives_from_its_opening_to_its_end(case: Case) -> None:
    forge, first = case.forge, case.push()
    assert forge.repository().default_branch == "main"
    assert forge.pulls(HEAD) == []
    made = forge.create_pull(head=HEAD, base="main", title="Retrain churn", body="First")
    assert (made.head, made.base, made.commit, made.state) == (HEAD, "main", first, PullState.OPEN)
    assert (made.author, forge.whoami()) == (case.me, case.me)
    with pytest.raises(LockedError, match="just now"):
        forge.create_pull(head=HEAD, base="main", title="Again", body="")
    forge.update_pull(made.number, body="Second ✓")
    (found,) = forge.pulls(HEAD)
    assert (found.number, found.body, found.title, found.url) == (made.number, "Second ✓", "Retrain churn", made.url)
    assert forge.pulls("another") == []
    forge.close_pull(made.number)
    assert [pull.state for pull in forge.pulls(HEAD)] == [PullState.CLOSED]
    again = forge.create_pull(head=HEAD, base="main", title="Retrain churn", body="Third")
    assert [(pull.number, pull.state) for pull in forge.pulls(HEAD)] == [
        (again.number, PullState.OPEN),
        (made.number, PullState.CLOSED),
    ]


def test_comments_come_in_their_order_with_their_authors(case: Case) -> None:
    case.push()
    number = case.forge.create_pull(head=HEAD, base="main", title="Retrain churn", body="").number
    assert case.forge.comments(number) == []
    one = case.forge.create_comment(number, "one")
    two = case.forge.create_comment(number, "two")
    case.forge.update_comment(one.id, "eins")
    assert [(c.id, c.body, c.author) for c in case.forge.comments(number)] == [
        (one.id, "eins", case.me),
        (two.id, "two", case.me),
    ]
    assert isinstance(two, Comment)


def test_the_newest_status_of_a_context_is_what_counts(case: Case) -> None:
    commit, context = case.push(), "remint/gate/churn"
    assert case.forge.status(commit, context) is None
    url = "https://ci.example.org/1"
    for state in (StatusState.PENDING, StatusState.FAILURE):
        case.forge.set_status(commit, CommitStatus(context=context, state=state, description="Gate", url=url))
    case.forge.set_status(commit, CommitStatus(context="other", state=StatusState.SUCCESS, description="Fine"))
    found = case.forge.status(commit, context)
    assert found == CommitStatus(context=context, state=StatusState.FAILURE, description="Gate", url=url)


def test_an_approval_is_of_one_commit(case: Case) -> None:
    first = case.push()
    number = case.forge.create_pull(head=HEAD, base="main", title="Retrain churn", body="").number
    assert list(case.forge.approvals(number)) == []
    case.approve(number, "ann")
    assert [(a.author, a.commit) for a in case.forge.approvals(number)] == [("ann", first)]
    assert case.forge.permission("ann") >= Permission.WRITE
    second = case.push()
    assert [a for a in case.forge.approvals(number) if a.commit == second] == []


def test_a_branch_nobody_protects_has_no_protection(case: Case) -> None:
    assert case.forge.protection("main") is None


def test_a_dispatched_workflow_is_found_again_by_its_title(case: Case, tmp_path: Path) -> None:
    workflow = tmp_path / "clone" / ".github" / "workflows" / "retrain.yml"
    git(tmp_path / "clone", "switch", "--quiet", "main")
    workflow.parent.mkdir(parents=True)
    workflow.write_text(
        "run-name: retrain ${{ inputs.directory }} ${{ inputs.run }}\n"
        "on: {workflow_dispatch: {inputs: {run: {type: string}, directory: {type: string}}}}\n"
        "jobs: {retrain: {runs-on: ubuntu-latest, steps: [{run: 'true'}]}}\n"
    )
    git(tmp_path / "clone", "add", ".")
    git(tmp_path / "clone", "commit", "--quiet", "--message=workflow")
    git(tmp_path / "clone", "push", "--quiet", "origin", "main")
    assert list(case.forge.runs("retrain.yml")) == []
    inputs = {"directory": ".", "run": "churn-20261121T115900Z-1a2b3c"}
    url = case.forge.dispatch("retrain.yml", ref="main", inputs=inputs)
    (run,) = case.forge.runs("retrain.yml")
    assert run.title == "retrain . churn-20261121T115900Z-1a2b3c"
    assert run.state is RunState.UNFINISHED
    assert url


def test_what_is_not_there_is_one_clear_line(case: Case) -> None:
    forge = case.forge
    calls: list[Callable[[], object]] = [
        lambda: forge.update_pull(99, body=""),
        lambda: forge.pull(99),
        lambda: forge.comment(99),
        lambda: forge.enable_auto_merge(99, commit="c" * 40),
    ]
    for call in calls:
        with pytest.raises(ConfigError) as failure:
            call()
        assert "\n" not in str(failure.value)


def test_one_pull_request_and_one_comment_are_found_by_number_and_by_commit(case: Case) -> None:
    forge, commit = case.forge, case.push()
    made = forge.create_pull(head=HEAD, base="main", title="Retrain churn", body="First")
    assert forge.update_pull(made.number, title="Retrain churn ✓").body == "First"
    found = forge.pull(made.number)
    assert (found.title, found.commit, found.fork) == ("Retrain churn ✓", commit, False)
    assert [pull.number for pull in forge.open_pulls_at(commit)] == [made.number]
    assert forge.open_pulls_at("d" * 40) == []
    said = forge.create_comment(made.number, "/snooze 14d")
    assert forge.comment(said.id) == said
    assert said.pull == made.number
    forge.close_pull(made.number)
    assert forge.open_pulls_at(commit) == []


def test_auto_merge_of_a_branch_that_requires_no_check_is_refused_with_what_to_do(case: Case) -> None:
    commit = case.push()
    number = case.forge.create_pull(head=HEAD, base="main", title="Retrain churn", body="").number
    with pytest.raises(ConfigError, match="no auto-merge") as failure:
        case.forge.enable_auto_merge(number, commit=commit)
    assert failure.value.hint is not None
    assert case.forge.pull(number).state is PullState.OPEN
    case.forge.disable_auto_merge(number)
