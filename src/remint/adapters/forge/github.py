"""GitHub by its REST API (github.com and GHES), as one repository. Each request is in GitHub's published description.

The one exception is ``whoami``: ``GET /user`` is closed to the token of a workflow, the GraphQL viewer is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Final
from urllib.parse import quote

from remint.adapters.forge.protocol import (
    Approval,
    Comment,
    CommitStatus,
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
from remint.adapters.forge.rest import Access, RefusedError, Rest
from remint.core.document import parse_time
from remint.errors import LockedError

_HEADERS: Final = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
_PERMISSIONS: Final = {
    "none": Permission.NONE,
    "read": Permission.READ,
    "write": Permission.WRITE,
    "admin": Permission.ADMIN,
    "owner": Permission.ADMIN,  # Gitea
}
_EXISTS: Final = "already exists"

READ: Final = "contents: read"
PULLS_READ: Final = "pull-requests: read"
PULLS: Final = "pull-requests: write"
STATUSES: Final = "statuses: write"
ACTIONS: Final = "actions: write"


class GitHubForge:
    """``repository`` is owner/name; ``graphql_url`` is where the viewer is asked for."""

    def __init__(self, access: Access, repository: str, *, graphql_url: str | None = None) -> None:
        self._rest = Rest(access, self.headers)
        self._graphql_url = graphql_url
        self._me: str | None = None
        self.root = f"/repos/{quote(repository)}"

    headers: Mapping[str, str] = _HEADERS

    @property
    def kind(self) -> ForgeKind:
        return ForgeKind.GITHUB

    # -- the repository ----------------------------------------------------------------------------------------------

    def whoami(self) -> str:
        if self._me is None:
            self._me = self._ask_whoami()
        return self._me

    def _ask_whoami(self) -> str:
        query = {"query": "query { viewer { login } }"}
        return self._rest.send("POST", self._graphql_url or "/graphql", query, _viewer, needs=READ)

    def repository(self) -> Repository:
        return self._rest.get(self.root, _repository, needs=READ)

    def protection(self, branch: str) -> Protection | None:
        return self._rest.find(
            f"{self.root}/branches/{quote(branch, safe='')}/protection", _protection, needs="administration: read"
        )

    def permission(self, user: str) -> Permission:
        path = f"{self.root}/collaborators/{quote(user, safe='')}/permission"
        found = self._rest.find(path, lambda body: _PERMISSIONS[body["permission"]], needs=READ)
        return Permission.NONE if found is None else found

    # -- pull requests -----------------------------------------------------------------------------------------------

    def pulls(self, head: str) -> Sequence[PullRequest]:
        owner = self.root.split("/")[2]
        asked = {"state": "all", "head": f"{owner}:{head}", "sort": "created", "direction": "desc"}
        every = self._rest.pages(f"{self.root}/pulls", own_pull, needs=PULLS_READ, params=asked)
        return [pull for pull in every if pull is not None and pull.head == head]

    def create_pull(self, *, head: str, base: str, title: str, body: str) -> PullRequest:
        asked = {"head": head, "base": base, "title": title, "body": body}
        try:
            return self._rest.send("POST", f"{self.root}/pulls", asked, pull_request, needs=PULLS)
        except (RefusedError, LockedError) as error:
            if _EXISTS in error.message:
                raise LockedError(
                    "somebody opened a pull request of this branch just now", where=head, hint="try again"
                ) from None
            raise

    def update_pull(self, number: int, *, body: str) -> PullRequest:
        return self._rest.send("PATCH", f"{self.root}/pulls/{number}", {"body": body}, pull_request, needs=PULLS)

    def close_pull(self, number: int) -> PullRequest:
        return self._rest.send("PATCH", f"{self.root}/pulls/{number}", {"state": "closed"}, pull_request, needs=PULLS)

    def approvals(self, number: int) -> Sequence[Approval]:
        """The last word of each reviewer, where it is an approval: a plain comment takes none back."""
        last: dict[str, tuple[str, str]] = {}
        for author, state, commit in self._rest.pages(f"{self.root}/pulls/{number}/reviews", review, needs=PULLS_READ):
            if state in {"APPROVED", "CHANGES_REQUESTED", "REQUEST_CHANGES", "DISMISSED"}:
                last[author] = (state, commit)
        return [Approval(author=who, commit=commit) for who, (state, commit) in last.items() if state == "APPROVED"]

    # -- comments and statuses ---------------------------------------------------------------------------------------

    def comments(self, number: int) -> Sequence[Comment]:
        return list(self._rest.pages(f"{self.root}/issues/{number}/comments", _comment, needs=PULLS_READ))

    def create_comment(self, number: int, body: str) -> Comment:
        return self._rest.send("POST", f"{self.root}/issues/{number}/comments", {"body": body}, _comment, needs=PULLS)

    def update_comment(self, comment: int, body: str) -> Comment:
        path = f"{self.root}/issues/comments/{comment}"
        return self._rest.send("PATCH", path, {"body": body}, _comment, needs=PULLS)

    def status(self, commit: str, context: str) -> CommitStatus | None:
        found = self._rest.pages(f"{self.root}/commits/{commit}/statuses", commit_status, needs="statuses: read")
        return next((status for status in found if status.context == context), None)

    def set_status(self, commit: str, status: CommitStatus) -> None:
        body = {"state": status.state.value, "context": status.context, "description": status.description}
        if status.url is not None:
            body["target_url"] = status.url
        self._rest.send("POST", f"{self.root}/statuses/{commit}", body, commit_status, needs=STATUSES)

    # -- workflows ---------------------------------------------------------------------------------------------------

    def dispatch(self, workflow: str, *, ref: str, inputs: Mapping[str, str]) -> str | None:
        path = f"{self.root}/actions/workflows/{quote(workflow, safe='')}/dispatches"
        body = {"ref": ref, "inputs": dict(inputs)}
        try:
            return self._rest.send("POST", path, {**body, "return_run_details": True}, _run_url, needs=ACTIONS)
        except RefusedError as error:
            if "return_run_details" not in error.message:
                raise
            return self._rest.send("POST", path, body, _run_url, needs=ACTIONS)  # GHES that does not know the field

    def runs(self, workflow: str, *, most: int = 50) -> Sequence[WorkflowRun]:
        path = f"{self.root}/actions/workflows/{quote(workflow, safe='')}/runs"
        pages = self._rest.pages(path, _run, needs="actions: read", within="workflow_runs", params={"per_page": most})
        return list(islice(pages, most))


# -- reading -----------------------------------------------------------------------------------------------------------


def pull_request(body: Any) -> PullRequest:
    merged = body.get("merged_at") is not None
    return PullRequest(
        number=int(body["number"]),
        url=str(body["html_url"]),
        title=str(body["title"]),
        body=body["body"] or "",
        author=_login(body["user"]),
        head=str(body["head"]["ref"]),
        commit=str(body["head"]["sha"]),
        base=str(body["base"]["ref"]),
        state=PullState.MERGED if merged else PullState(body["state"]),
    )


def own_pull(body: Any) -> PullRequest | None:
    """None for a fork's, whose branch may be called like ours."""
    home = body["head"]["repo"]
    return pull_request(body) if home is not None and home["id"] == body["base"]["repo"]["id"] else None


def review(body: Any) -> tuple[str, str, str]:
    return _login(body["user"]), str(body["state"]), str(body["commit_id"] or "")


def commit_status(body: Any) -> CommitStatus:
    return CommitStatus(
        context=str(body["context"]),
        state=StatusState(body["state"]),
        description=body["description"] or "",
        url=body["target_url"] or None,
    )


def _repository(body: Any) -> Repository:
    return Repository(
        name=str(body["full_name"]),
        url=str(body["html_url"]),
        default_branch=str(body["default_branch"]),
        auto_merge=body.get("allow_auto_merge"),
    )


def _comment(body: Any) -> Comment:
    return Comment(id=int(body["id"]), author=_login(body["user"]), body=body["body"] or "", url=str(body["html_url"]))


def _protection(body: Any) -> Protection:
    checks = body.get("required_status_checks") or {}
    reviews = body.get("required_pull_request_reviews") or {}
    return Protection(
        checks=frozenset(checks.get("contexts", [])),
        approvals=int(reviews.get("required_approving_review_count", 0)),
        dismisses_stale=bool(reviews.get("dismiss_stale_reviews", False)),
    )


def _viewer(body: Any) -> str:
    return str(body["data"]["viewer"]["login"])


def _run_url(body: Any) -> str | None:
    return None if body is None else str(body["html_url"])


def _run(body: Any) -> WorkflowRun:
    return WorkflowRun(
        id=int(body["id"]),
        url=str(body["html_url"]),
        title=str(body.get("display_title") or ""),
        state=run_state(body["status"], body.get("conclusion")),
        created_at=parse_time(body["created_at"]),
    )


def run_state(status: str | None, conclusion: str | None) -> RunState:
    if status != "completed":
        return RunState.UNFINISHED
    return RunState.SUCCESS if conclusion == "success" else RunState.FAILURE


def _login(user: Any) -> str:
    """Of a person who has left, nothing is known."""
    return "" if user is None else str(user["login"])
