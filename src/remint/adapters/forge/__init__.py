"""The forge, through one thin client: GitHub, Gitea and Forgejo, or files in a bare repository."""

from remint.adapters.forge.choose import choose_forge, kind_of_environment
from remint.adapters.forge.protocol import (
    Approval,
    Comment,
    CommitStatus,
    Forge,
    ForgeKind,
    Permission,
    Protection,
    PullRequest,
    PullState,
    Repository,
    RunState,
    StatusState,
    WorkflowRun,
)
from remint.adapters.forge.rehearsal import Rehearsal
from remint.adapters.usage import workflow_run_url

__all__ = [
    "Approval",
    "Comment",
    "CommitStatus",
    "Forge",
    "ForgeKind",
    "Permission",
    "Protection",
    "PullRequest",
    "PullState",
    "Rehearsal",
    "Repository",
    "RunState",
    "StatusState",
    "WorkflowRun",
    "choose_forge",
    "kind_of_environment",
    "workflow_run_url",
]
