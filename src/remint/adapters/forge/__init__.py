"""The forge, through one thin client: GitHub, Gitea and Forgejo, or files in a bare repository."""

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
    "Repository",
    "RunState",
    "StatusState",
    "WorkflowRun",
]
