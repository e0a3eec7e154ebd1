"""Gitea and Forgejo: GitHub's dialect where nothing else is said. What differs is what stands here."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import Any, Final
from urllib.parse import quote

from remint.adapters.forge.answers import (
    UNSEEN,
    Reviews,
    commit_status,
    protection,
    pull_request,
    review,
    run_state,
)
from remint.adapters.forge.auto_merge import auto_merge_refusal, check_auto_merge
from remint.adapters.forge.github import ACTIONS, PULLS_READ, READ, GitHubForge
from remint.adapters.forge.protocol import (
    Approval,
    CommitStatus,
    ForgeKind,
    Protection,
    PullRequest,
    StatusState,
    WorkflowRun,
)
from remint.adapters.forge.rest import MissingError, RefusedError
from remint.core.document import parse_time
from remint.errors import LockedError, PermissionDeniedError

_TRIES: Final = 4
_PAUSE_SECONDS: Final = 0.5
_MERGE_TRIES: Final = 20  # on a busy machine the search for conflicts takes seconds
_STATES: Final = {"warning": "success", "skipped": "success"}  # of those that GitHub lacks; neither blocks a merge
_SIZE: Final = "limit"
_FIRST_YEAR: Final = 2000
_WRITE: Final = "write:repository"
_LATER: Final = "try again later"


class GiteaForge(GitHubForge):
    headers: Mapping[str, str] = {}
    page_size: str = _SIZE

    @property
    def kind(self) -> ForgeKind:
        return ForgeKind.GITEA

    def _ask_whoami(self) -> str:
        return self._rest.get("/user", lambda body: str(body["login"]), needs="read:user")

    def pulls(self, head: str) -> Sequence[PullRequest]:
        """``head`` is no filter here."""
        asked = {"state": "all"}
        every = self._rest.pages(f"{self.root}/pulls", pull_request, needs=PULLS_READ, params=asked, page=_SIZE)
        return sorted((p for p in every if p.head == head and not p.fork), key=lambda pull: -pull.number)

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
        """Administrators alone see whether a stale approval is dismissed, by the name of the rule that holds here."""
        asked = self._rest.get(f"{self.root}/branches/{quote(branch, safe='')}", _asked, needs=READ)
        if asked is None:
            return None
        checks, approvals, rule = asked
        reviews = UNSEEN
        if rule:
            path = f"{self.root}/branch_protections/{quote(rule, safe='')}"
            with suppress(PermissionDeniedError):
                dismisses = self._rest.get(path, _dismisses, needs="write:repository")
                reviews = Reviews(approvals=approvals, dismisses_stale=dismisses)
        return protection(checks, [reviews])

    def enable_auto_merge(self, number: int, *, commit: str) -> None:
        """Where all that the base requires is there, Gitea merges at once, which is its decision and not ours."""
        pull, repository = self.pull(number), self.repository()
        wrong = check_auto_merge(pull, commit, protection=self.protection(pull.base), repository=repository)
        if wrong is not None:
            raise wrong
        style = self._rest.get(self.root, _merge_style, needs=READ)
        asked = {"Do": style, "merge_when_checks_succeed": True, "head_commit_id": commit}
        for attempt in range(_MERGE_TRIES):
            try:
                self._rest.send("POST", f"{self.root}/pulls/{number}/merge", asked, lambda _: None, needs=_WRITE)
                return
            except LockedError:  # it is waiting for its checks already
                return
            except RefusedError as error:
                if _LATER not in error.message or attempt == _MERGE_TRIES - 1:
                    raise auto_merge_refusal(pull, repository, error.message) from None
            time.sleep(_PAUSE_SECONDS)  # it is still looking for conflicts, and has done nothing yet

    def disable_auto_merge(self, number: int) -> None:
        with suppress(MissingError):
            self._rest.send("DELETE", f"{self.root}/pulls/{number}/merge", None, lambda _: None, needs=_WRITE)


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
    """The workflow's file, and the run. ``started_at`` is long past before it starts: 1970, or the year 1."""
    path = str(body["path"]).split("@")[0].rpartition("/")[2]
    at = parse_time(body.get("created_at") or body["started_at"])  # Forgejo says the first as well
    return path, WorkflowRun(
        id=int(body["id"]),
        url=str(body["html_url"]),
        title=str(body["display_title"]),
        state=run_state(body["status"], body.get("conclusion")),
        created_at=at if at.year >= _FIRST_YEAR else None,
    )


def _asked(body: Any) -> tuple[frozenset[str], int, str] | None:
    """Of a branch: the checks and approvals that it asks for, and the name of the rule, which is empty for most."""
    if not body["protected"]:
        return None
    checks = body["status_check_contexts"] if body["enable_status_check"] else None
    return frozenset(checks or []), int(body["required_approvals"]), str(body["effective_branch_protection_name"])


def _dismisses(body: Any) -> bool:
    return bool(body["dismiss_stale_approvals"])


def _merge_style(body: Any) -> str:
    """Of those that the repository allows, the one that keeps our commit."""
    styles = {"merge": "allow_merge_commits", "squash": "allow_squash_merge", "rebase-merge": "allow_rebase_explicit"}
    return next((style for style, key in styles.items() if body.get(key, True)), "rebase")
