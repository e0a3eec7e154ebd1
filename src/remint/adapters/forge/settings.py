"""Settings of GitHub that only `remint doctor` looks at; other forges have none of that name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from remint.adapters.forge.github import GitHubForge
from remint.adapters.forge.protocol import Forge, ForgeKind

_ADMINISTRATION: Final = "administration: read"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionsSettings:
    """Of "Settings, Actions, General": may a workflow open pull requests, and what its token may do by default."""

    creates_pulls: bool
    token_writes: bool


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
