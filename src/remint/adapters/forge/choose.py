"""Which forge, and who we are to it: what a runner says in its environment, else origin's address."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, assert_never
from urllib.parse import urlsplit

from remint.adapters.forge.gitea import GiteaForge
from remint.adapters.forge.github import GitHubForge
from remint.adapters.forge.local import LocalForge
from remint.adapters.forge.protocol import Forge, ForgeKind
from remint.adapters.forge.rest import Access
from remint.adapters.git import ORIGIN, Git
from remint.errors import ConfigError, UsageError

#: The first that is set is our token: one made for Remint before the runner's own.
TOKENS: Final = ("REMINT_TOKEN", "GITHUB_TOKEN", "GITEA_TOKEN", "GH_TOKEN")
_DOT_COM: Final = "https://github.com"
_SSH: Final = re.compile(r"(?:ssh://)?(?:[^@/]+@)(?P<host>[^:/]+)(?::\d+)?[:/](?P<path>.+)")
_REPOSITORY: Final = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    server: str  # https://github.com
    repository: str  # owner/name


def choose_forge(
    git: Git, environ: Mapping[str, str], *, clock: Callable[[], datetime], kind: ForgeKind | None = None
) -> Forge:
    """The forge of ``git``'s repository; ``kind`` (``--forge``) where the environment does not say which it is.

    Raises UsageError where nothing says which forge it is, ConfigError without a token or for an address that is none.
    """
    kind = kind or kind_of_environment(environ)
    if kind is None:
        raise UsageError("which forge?", hint="--forge github, gitea or local; a workflow's runner says it by itself")
    match kind:
        case ForgeKind.LOCAL:
            return LocalForge(git, clock=clock)
        case ForgeKind.GITHUB:
            place = _place(git, environ)
            url = environ.get("GITHUB_API_URL") or _github_api(place.server)
            graphql = environ.get("GITHUB_GRAPHQL_URL") or f"{url.rstrip('/').removesuffix('/v3')}/graphql"
            return GitHubForge(_access(url, environ), place.repository, graphql_url=graphql)
        case ForgeKind.GITEA:
            place = _place(git, environ)
            url = environ.get("GITHUB_API_URL") or f"{place.server}/api/v1"
            return GiteaForge(_access(url, environ), place.repository)
        case _:
            assert_never(kind)


def kind_of_environment(environ: Mapping[str, str]) -> ForgeKind | None:
    """What the runner of a workflow says; None elsewhere."""
    if "true" in (environ.get("GITEA_ACTIONS"), environ.get("FORGEJO_ACTIONS")):
        return ForgeKind.GITEA
    return ForgeKind.GITHUB if environ.get("GITHUB_ACTIONS") == "true" else None


def _access(url: str, environ: Mapping[str, str]) -> Access:
    for name in TOKENS:
        token = environ.get(name, "").strip()
        if token:
            if not (token.isascii() and token.isprintable()):
                raise ConfigError("holds a line break or another character that no token has", where=name)
            return Access(url=_http(url, "GITHUB_API_URL"), token=token, variable=name)
    raise ConfigError("there is no token for the forge", where=TOKENS[0], hint="GITHUB_TOKEN: ${{ github.token }}")


def _place(git: Git, environ: Mapping[str, str]) -> _Place:
    repository = environ.get("GITHUB_REPOSITORY", "")
    if repository:
        server, where = environ.get("GITHUB_SERVER_URL") or _DOT_COM, "GITHUB_REPOSITORY"
    else:
        if not git.has_origin:
            raise ConfigError("no origin: which repository is it on the forge?", where=str(git.path))
        server, repository = _of_remote(git.run("remote", "get-url", ORIGIN))
        where = ORIGIN
    if _REPOSITORY.fullmatch(repository) is None:
        raise ConfigError(f"{repository!r} is not owner/name", where=where)
    return _Place(server=_http(server, "GITHUB_SERVER_URL"), repository=repository)


def _of_remote(address: str) -> tuple[str, str]:
    """Server and owner/name of a remote's address: https, ssh or git@host:owner/name."""
    if address.startswith(("http://", "https://")):
        parts = urlsplit(address)
        server, path = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", parts.path
    elif match := _SSH.fullmatch(address):
        server, path = f"https://{match['host']}", match["path"]
    else:
        raise ConfigError("origin is on no forge that speaks HTTP", where=ORIGIN, hint="--forge local")
    return server, path.strip("/").removesuffix(".git")


def _github_api(server: str) -> str:
    return "https://api.github.com" if server == _DOT_COM else f"{server}/api/v3"


def _http(url: str, where: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        raise ConfigError("not an http or https address without a user", where=where)
    return url.rstrip("/")
