"""Which forge it is, and with which token, is read from the environment and nowhere else."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from remint.adapters.forge import ForgeKind, choose_forge, kind_of_environment, workflow_run_url
from remint.adapters.forge.gitea import GiteaForge
from remint.adapters.forge.github import GitHubForge
from remint.adapters.git import Git
from remint.errors import ConfigError, UsageError

ACTIONS = {"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "acme/churn", "GITHUB_TOKEN": "secret-1"}


@pytest.fixture
def git(tmp_path: Path) -> Git:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    return Git(tmp_path)


def choose(git: Git, environ: dict[str, str], kind: ForgeKind | None = None) -> object:
    return choose_forge(git, environ, clock=lambda: datetime(2026, 1, 1, tzinfo=UTC), kind=kind)


def api(forge: object) -> tuple[str, str]:
    assert isinstance(forge, GitHubForge)
    return forge._rest._access.url, forge.root


def test_a_runner_says_which_forge_it_is() -> None:
    assert kind_of_environment(ACTIONS) is ForgeKind.GITHUB
    assert kind_of_environment({**ACTIONS, "GITEA_ACTIONS": "true"}) is ForgeKind.GITEA
    assert kind_of_environment({**ACTIONS, "FORGEJO_ACTIONS": "true"}) is ForgeKind.GITEA
    assert kind_of_environment({"GITHUB_TOKEN": "of a person"}) is None


def test_without_a_runner_or_an_option_nothing_is_guessed(git: Git) -> None:
    with pytest.raises(UsageError, match="--forge"):
        choose(git, {"GITHUB_TOKEN": "x"})


def test_the_runners_addresses_are_taken(git: Git) -> None:
    assert api(choose(git, ACTIONS)) == ("https://api.github.com", "/repos/acme/churn")
    server = {"GITHUB_API_URL": "https://git.acme.example/api/v3/"}
    assert api(choose(git, {**ACTIONS, **server})) == ("https://git.acme.example/api/v3", "/repos/acme/churn")
    gitea = {"GITEA_ACTIONS": "true", "GITHUB_SERVER_URL": "http://127.0.0.1:3000"}
    forge = choose(git, {**ACTIONS, **gitea})
    assert isinstance(forge, GiteaForge)
    assert api(forge) == ("http://127.0.0.1:3000/api/v1", "/repos/acme/churn")


@pytest.mark.parametrize(
    ("origin", "url"),
    [
        ("https://github.com/acme/churn.git", "https://api.github.com"),
        ("https://ann:hunter2@github.com/acme/churn", "https://api.github.com"),
        ("git@github.com:acme/churn.git", "https://api.github.com"),
        ("ssh://git@git.acme.example:2222/acme/churn.git", "https://git.acme.example/api/v3"),
    ],
)
def test_on_a_laptop_origin_says_which_repository_it_is(git: Git, origin: str, url: str) -> None:
    git.run("remote", "add", "origin", origin)
    assert api(choose(git, {"GITHUB_TOKEN": "x"}, ForgeKind.GITHUB)) == (url, "/repos/acme/churn")


def test_a_token_made_for_remint_goes_before_the_runners_own(git: Git) -> None:
    forge = choose(git, {**ACTIONS, "REMINT_TOKEN": "secret-2"})
    assert isinstance(forge, GitHubForge)
    assert forge._rest._access.token == "secret-2"
    assert "secret" not in repr(forge._rest._access)


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"GITHUB_TOKEN": ""}, "no token"),
        ({"GITHUB_TOKEN": "a\nb"}, "line break"),
        ({"GITHUB_REPOSITORY": "acme/churn/../../x"}, "owner/name"),
        ({"GITHUB_REPOSITORY": ""}, "no origin"),
        ({"GITHUB_API_URL": "ftp://x"}, "http"),
    ],
)
def test_an_environment_that_cannot_be_is_one_line_without_the_token(
    git: Git, environ: dict[str, str], says: str
) -> None:
    with pytest.raises(ConfigError, match=says) as failure:
        choose(git, {**ACTIONS, **environ})
    assert "secret" not in str(failure.value)


def test_a_path_as_origin_is_no_forge_but_the_local_one(git: Git, tmp_path: Path) -> None:
    git.run("remote", "add", "origin", str(tmp_path / "origin.git"))
    with pytest.raises(ConfigError, match="--forge local"):
        choose(git, {"GITHUB_TOKEN": "x"}, ForgeKind.GITHUB)


def test_the_workflows_run_has_a_page() -> None:
    environ = {**ACTIONS, "GITHUB_SERVER_URL": "https://github.com", "GITHUB_RUN_ID": "7"}
    assert workflow_run_url(environ) == "https://github.com/acme/churn/actions/runs/7"
    assert workflow_run_url({}) is None
