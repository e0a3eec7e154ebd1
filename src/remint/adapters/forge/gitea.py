"""Gitea and Forgejo: GitHub's dialect where nothing else is said. What differs is what stands here."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import Any, Final
from urllib.parse import quote

from remint.adapters.forge.github import (
    ACTIONS,
    PULLS_READ,
    READ,
    GitHubForge,
    commit_status,
    own_pull,
    review,
    run_state,
)
from remint.adapters.forge.protocol import (
    Approval,
    CommitStatus,
    ForgeKind,
    Protection,
    PullRequest,
    StatusState,
    WorkflowRun,
)
from remint.adapters.forge.rest import MissingError
from remint.core.document import parse_time

_TRIES: Final = 4
_PAUSE_SECONDS: Final = 0.5
_STATES: Final = {"warning": "success", "skipped": "success"}  # of those that GitHub lacks; neither blocks a merge
_SIZE: Final = "limit"


class GiteaForge(GitHubForge):
    headers: Mapping[str, str] = {}

    @property
    def kind(self) -> ForgeKind:
        return ForgeKind.GITEA

    def _ask_whoami(self) -> str:
        return self._rest.get("/user", lambda body: str(body["login"]), needs="read:user")

    def pulls(self, head: str) -> Sequence[PullRequest]:
        """``head`` is no filter here."""
        every = self._rest.pages(f"{self.root}/pulls", own_pull, needs=PULLS_READ, params={"state": "all"}, page=_SIZE)
        return sorted((p for p in every if p and p.head == head), key=lambda pull: -pull.number)

    def create_pull(self, *, head: str, base: str, title: str, body: str) -> PullRequest:
        """A branch that was pushed a moment ago may not be found yet: nothing was made then, so it may be repeated."""
        for _ in range(_TRIES - 1):
            with suppress(MissingError):
                return super().create_pull(head=head, base=base, title=title, body=body)
            time.sleep(_PAUSE_SECONDS)
        return super().create_pull(head=head, base=base, title=title, body=body)

    def approvals(self, number: int) -> Sequence[Approval]:
        """``stale`` is an approval of an older commit, which counts no more; a dismissed one keeps its state."""
        last: dict[str, tuple[str, str]] = {}
        path = f"{self.root}/pulls/{number}/reviews"
        for (author, state, commit), counts in self._rest.pages(path, _review, needs=PULLS_READ, page=_SIZE):
            if state in {"APPROVED", "REQUEST_CHANGES"}:
                last[author] = (state if counts else "DISMISSED", commit)
        return [Approval(author=who, commit=commit) for who, (state, commit) in last.items() if state == "APPROVED"]

    def status(self, commit: str, context: str) -> CommitStatus | None:
        """The highest id is the newest: its own sorting by time leaves two of one second in any order."""
        found = self._rest.pages(f"{self.root}/commits/{commit}/statuses", _numbered, needs=READ, page=_SIZE)
        mine = [(number, status) for number, status in found if status.context == context]
        return max(mine, key=lambda known: known[0])[1] if mine else None

    def set_status(self, commit: str, status: CommitStatus) -> None:
        body = {"state": status.state.value, "context": status.context, "description": status.description}
        if status.url is not None:
            body["target_url"] = status.url
        self._rest.send("POST", f"{self.root}/statuses/{commit}", body, _status, needs="write:repository")

    def dispatch(self, workflow: str, *, ref: str, inputs: Mapping[str, str]) -> str | None:
        path = f"{self.root}/actions/workflows/{quote(workflow, safe='')}/dispatches"
        body = {"ref": ref, "inputs": dict(inputs)}
        # Forgejo and older Gitea answer with nothing
        return self._rest.send(
            "POST",
            path,
            body,
            lambda answer: (answer or {}).get("html_url"),
            needs=ACTIONS,
            params={"return_run_details": "true"},
        )

    def runs(self, workflow: str, *, most: int = 50) -> Sequence[WorkflowRun]:
        """All workflows' runs are in one list."""
        pages = self._rest.pages(
            f"{self.root}/actions/runs", _run, needs="read:repository", within="workflow_runs", page=_SIZE
        )
        return list(islice((run for name, run in pages if name == workflow), most))

    def protection(self, branch: str) -> Protection | None:
        path = f"{self.root}/branch_protections/{quote(branch, safe='')}"
        return self._rest.find(path, _protection, needs="write:repository")


def _review(body: Any) -> tuple[tuple[str, str, str], bool]:
    return review(body), not (body.get("stale") or body.get("dismissed"))


def _status(body: Any) -> CommitStatus:
    state = body["status"]
    if state in _STATES:
        return replace(commit_status({**body, "state": "success"}), state=StatusState(_STATES[state]))
    return commit_status({**body, "state": state})


def _numbered(body: Any) -> tuple[int, CommitStatus]:
    return int(body["id"]), _status(body)


def _run(body: Any) -> tuple[str, WorkflowRun]:
    """The workflow's file, and the run. ``started_at`` is the year 0001 before it starts."""
    path = str(body["path"]).split("@")[0].rpartition("/")[2]
    return path, WorkflowRun(
        id=int(body["id"]),
        url=str(body["html_url"]),
        title=str(body["display_title"]),
        state=run_state(body["status"], body.get("conclusion")),
        created_at=parse_time(body.get("created_at") or body["started_at"]),
    )


def _protection(body: Any) -> Protection:
    checks = body.get("status_check_contexts") if body.get("enable_status_check") else None
    return Protection(
        checks=frozenset(checks or []),
        approvals=int(body.get("required_approvals") or 0),
        dismisses_stale=bool(body.get("dismiss_stale_approvals")),
    )
