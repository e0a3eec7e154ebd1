"""Settings of GitHub that only `remint doctor` looks at; other forges have none of that name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from urllib.parse import quote

from remint.adapters.forge.github import GitHubForge
from remint.adapters.forge.protocol import Forge, ForgeKind

_ADMINISTRATION: Final = "administration: read"
_ACTIONS: Final = "github-actions[bot]"  # the viewer, for the token of a workflow


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionsSettings:
    """Of "Settings, Actions, General": may a workflow open pull requests, and what its token may do by default."""

    creates_pulls: bool
    token_writes: bool


class TokenKind(StrEnum):
    """As GitHub's tokens say by how they begin."""

    BUILT_IN = "the workflow's own token"
    APP = "a GitHub App's token"
    FINE_GRAINED = "a fine-grained token"
    CLASSIC = "a classic token"
    PERSON = "the token of a person's login"
    UNKNOWN = "a token of an unknown kind"


_BEGINNINGS: Final = {
    "ghs_": TokenKind.APP,
    "github_pat_": TokenKind.FINE_GRAINED,
    "ghp_": TokenKind.CLASSIC,
    "gho_": TokenKind.PERSON,
    "ghu_": TokenKind.PERSON,
}


def token_kind(forge: Forge) -> TokenKind | None:
    """None where tokens are all of one kind. A workflow's own token is an App's too: whom it belongs to tells."""
    if not isinstance(forge, GitHubForge) or forge.kind is not ForgeKind.GITHUB:
        return None
    kind = next((k for start, k in _BEGINNINGS.items() if forge._rest.token_begins(start)), TokenKind.UNKNOWN)
    built_in = kind in {TokenKind.APP, TokenKind.UNKNOWN} and forge.whoami() == _ACTIONS
    return TokenKind.BUILT_IN if built_in else kind


def reviewed(forge: Forge) -> Mapping[str, bool] | None:
    """Each environment, and whether its deployments wait for a reviewer; None where the forge has none."""
    if not isinstance(forge, GitHubForge) or forge.kind is not ForgeKind.GITHUB:
        return None
    pages = forge._rest.pages(f"{forge.root}/environments", _environment, needs="actions: read", within="environments")
    return dict(pages)


def _environment(body: Any) -> tuple[str, bool]:
    rules = body.get("protection_rules") or []
    return str(body["name"]), any(rule["type"] == "required_reviewers" and rule.get("reviewers") for rule in rules)


def actions_settings(forge: Forge) -> ActionsSettings | None:
    """None where the forge has no such settings. Raises PermissionDeniedError where our token may not see them."""
    if not isinstance(forge, GitHubForge) or forge.kind is not ForgeKind.GITHUB:
        return None
    return forge._rest.get(
        f"{forge.root}/actions/permissions/workflow",
        lambda body: ActionsSettings(
            creates_pulls=bool(body["can_approve_pull_request_reviews"]),
            token_writes=body["default_workflow_permissions"] == "write",
        ),
        needs=_ADMINISTRATION,
    )


def workflow_state(forge: Forge, workflow: str) -> str | None:
    """``active``, ``disabled_inactivity``, ``disabled_manually``, ...; None where the forge says nothing of it."""
    if not isinstance(forge, GitHubForge) or forge.kind is not ForgeKind.GITHUB:
        return None
    path = f"{forge.root}/actions/workflows/{quote(workflow, safe='')}"
    return forge._rest.find(path, lambda body: str(body["state"]), needs="actions: read")
