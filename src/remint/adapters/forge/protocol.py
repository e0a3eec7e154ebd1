"""What Remint asks of a forge, in words that GitHub, Gitea, Forgejo and a bare repository can all answer.

Only single calls are here. What makes a run repeatable (look first, then create or update) is written once, on top of
them, in ``workflows.publish`` and ``workflows.dispatch``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from fnmatch import fnmatchcase
from typing import Protocol


class ForgeKind(StrEnum):
    GITHUB = "github"
    GITEA = "gitea"  # and Forgejo, which speaks the same
    LOCAL = "local"


class PullState(StrEnum):
    OPEN = "open"
    MERGED = "merged"
    CLOSED = "closed"  # without being merged


class StatusState(StrEnum):
    PENDING = "pending"
    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"


class RunState(StrEnum):
    """Of a workflow's run. SUCCESS and UNFINISHED stand in the way of a second dispatch, FAILURE does not."""

    UNFINISHED = "unfinished"
    SUCCESS = "success"
    FAILURE = "failure"  # failed, cancelled, timed out, skipped: whatever ended without having done the work


class Permission(IntEnum):
    """What a person may do with the repository; ordered."""

    NONE = 0
    READ = 1
    WRITE = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    name: str  # owner/name, as the forge calls it today
    url: str
    default_branch: str
    auto_merge: bool | None = None  # whether its setting allows auto-merge; None: the token may not see it


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequest:
    number: int
    url: str
    title: str
    body: str
    author: str
    head: str  # the branch's name; in this repository unless ``fork``
    commit: str  # that the branch pointed at
    base: str
    state: PullState
    fork: bool = False  # the branch is in another repository: never ours, and its code is not to be trusted


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    id: int
    author: str
    body: str
    url: str
    pull: int | None = None  # of which pull request; None for an issue's


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A review that approves and still stands; ``commit`` is what was looked at."""

    author: str
    commit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitStatus:
    context: str
    state: StatusState
    description: str  # at most 140 characters
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowRun:
    id: int
    url: str
    title: str
    state: RunState
    created_at: datetime | None  # Gitea knows when a run started: None while it waits for a runner


@dataclass(frozen=True, slots=True, kw_only=True)
class Protection:
    """What a branch asks before it takes a merge. ``dismisses_stale``: a new commit takes approvals back.

    None is what only administrators may see, and our token is none's.
    """

    checks: frozenset[str] = frozenset()  # contexts, which may be patterns on Gitea
    approvals: int | None = 0
    dismisses_stale: bool | None = False

    def requires(self, context: str) -> bool:
        return any(fnmatchcase(context, check) for check in self.checks)


class Forge(Protocol):
    """One repository on a forge, as the holder of our token.

    Every call may raise ServiceError (down, rate limit: the same call may succeed later), PermissionDeniedError (which
    permission and where it is given), ConfigError (no such repository, a request that the forge refuses) and
    LockedError (somebody changed the same thing). Reads are tried again, writes never: after a lost answer, look.
    """

    @property
    def kind(self) -> ForgeKind: ...
    def whoami(self) -> str:
        """The name under which our comments appear."""
        ...

    def repository(self) -> Repository: ...
    def pulls(self, head: str) -> Sequence[PullRequest]:
        """All pull requests of the branch ``head`` of this repository, whatever their state, newest first."""
        ...

    def pull(self, number: int) -> PullRequest:
        """Raises ConfigError where there is none of that number."""
        ...

    def open_pulls_at(self, commit: str) -> Sequence[PullRequest]:
        """Open pull requests whose head is ``commit``, those of forks too."""
        ...

    def create_pull(self, *, head: str, base: str, title: str, body: str) -> PullRequest: ...
    def update_pull(self, number: int, *, body: str | None = None, title: str | None = None) -> PullRequest:
        """What is None stays."""
        ...

    def enable_auto_merge(self, number: int, *, commit: str) -> None:
        """The forge merges by itself once its required checks are green. Nothing happens where it is enabled already.

        To be asked while the head is ``commit`` and a required check of it is still pending: GitHub refuses where it
        would merge at once, Gitea merges. Raises ConfigError, naming the setting to switch on, where the forge cannot
        or the base requires no check, LockedError where the head has moved.
        """
        ...

    def disable_auto_merge(self, number: int) -> None:
        """Nothing happens where it is not enabled."""
        ...

    def close_pull(self, number: int) -> PullRequest: ...
    def approvals(self, number: int) -> Sequence[Approval]: ...
    def comments(self, number: int) -> Sequence[Comment]:
        """Oldest first, all of them."""
        ...

    def comment(self, comment: int) -> Comment:
        """One comment by its id; ``pull`` is None where it is of an issue. Raises ConfigError where there is none."""
        ...

    def create_comment(self, number: int, body: str) -> Comment: ...
    def update_comment(self, comment: int, body: str) -> Comment: ...
    def status(self, commit: str, context: str) -> CommitStatus | None:
        """The newest status of that context, or None."""
        ...

    def set_status(self, commit: str, status: CommitStatus) -> None: ...
    def dispatch(self, workflow: str, *, ref: str, inputs: Mapping[str, str]) -> str | None:
        """Start the workflow file ``workflow`` as the branch ``ref`` has it; the run's address where the forge says."""
        ...

    def runs(self, workflow: str, *, most: int = 50) -> Sequence[WorkflowRun]:
        """The newest runs of a workflow file, newest first; none where it never ran."""
        ...

    def protection(self, branch: str) -> Protection | None:
        """None where the branch is not protected."""
        ...

    def permission(self, user: str) -> Permission: ...
