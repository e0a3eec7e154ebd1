"""GitHub by its REST API (github.com and GHES), as one repository. Each request is in GitHub's published description.

GraphQL is asked what REST has not: auto-merge, and ``whoami`` (``GET /user`` is closed to the token of a workflow).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Final
from urllib.parse import quote

from remint.adapters.forge import answers as read
from remint.adapters.forge import graphql
from remint.adapters.forge.auto_merge import auto_merge_refusal, check_auto_merge
from remint.adapters.forge.protocol import (
    Approval,
    Comment,
    CommitStatus,
    ForgeKind,
    Permission,
    Protection,
    PullRequest,
    Repository,
    WorkflowRun,
)
from remint.adapters.forge.rest import Access, MissingError, RefusedError, Rest
from remint.errors import LockedError, PermissionDeniedError

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
MERGE: Final = "contents: write and pull-requests: write"
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
    page_size: str = "per_page"  # the name of that parameter

    @property
    def kind(self) -> ForgeKind:
        return ForgeKind.GITHUB

    # -- the repository ----------------------------------------------------------------------------------------------

    def whoami(self) -> str:
        if self._me is None:
            self._me = self._ask_whoami()
        return self._me

    def _ask_whoami(self) -> str:
        return str(self._graphql(graphql.VIEWER, needs=READ)["viewer"]["login"])

    def _graphql(self, document: str, variables: Mapping[str, str] | None = None, *, needs: str) -> Any:
        return graphql.ask(self._rest, self._graphql_url or "/graphql", document, variables, needs=needs)

    def repository(self) -> Repository:
        return self._rest.get(self.root, read.repository, needs=READ)

    def protection(self, branch: str) -> Protection | None:
        """Of the branch's own protection and of rulesets. Administrators alone see which reviews the first asks for."""
        path = f"{self.root}/branches/{quote(branch, safe='')}"
        enabled, checks = self._rest.get(path, read.classic_checks, needs=READ)
        rules = self._rules(branch)
        if not (enabled or rules):
            return None
        reviews = [asked for _, asked in rules] + ([self._classic_reviews(path)] if enabled else [])
        return read.protection(checks.union(*(asked for asked, _ in rules)), reviews)

    def _classic_reviews(self, branch: str) -> read.Reviews:
        try:
            found = self._rest.find(f"{branch}/protection", read.classic_reviews, needs="administration: read")
        except PermissionDeniedError:
            found = None
        return found or read.UNSEEN

    def _rules(self, branch: str) -> list[tuple[frozenset[str], read.Reviews]]:
        """None where the server, an older GHES, knows no rulesets."""
        path = f"{self.root}/rules/branches/{quote(branch, safe='')}"
        try:
            return [rule for rule in self._rest.pages(path, read.rule, needs=READ) if rule is not None]
        except MissingError:
            return []

    def permission(self, user: str) -> Permission:
        path = f"{self.root}/collaborators/{quote(user, safe='')}/permission"
        found = self._rest.find(path, lambda body: _PERMISSIONS[body["permission"]], needs=READ)
        return Permission.NONE if found is None else found

    # -- pull requests -----------------------------------------------------------------------------------------------

    def pulls(self, head: str) -> Sequence[PullRequest]:
        owner = self.root.split("/")[2]
        asked = {"state": "all", "head": f"{owner}:{head}", "sort": "created", "direction": "desc"}
        every = self._rest.pages(f"{self.root}/pulls", read.pull_request, needs=PULLS_READ, params=asked)
        return [pull for pull in every if not pull.fork and pull.head == head]

    def pull(self, number: int) -> PullRequest:
        return self._rest.get(f"{self.root}/pulls/{number}", read.pull_request, needs=PULLS_READ)

    def open_pulls_at(self, commit: str) -> Sequence[PullRequest]:
        """All that are open are looked through: GitHub's list of a commit's pull requests leaves those of forks out."""
        every = self._rest.pages(
            f"{self.root}/pulls", read.pull_request, needs=PULLS_READ, params={"state": "open"}, page=self.page_size
        )
        return [pull for pull in every if pull.commit == commit]

    def create_pull(self, *, head: str, base: str, title: str, body: str) -> PullRequest:
        asked = {"head": head, "base": base, "title": title, "body": body}
        try:
            return self._rest.send("POST", f"{self.root}/pulls", asked, read.pull_request, needs=PULLS)
        except (RefusedError, LockedError) as error:
            if _EXISTS in error.message:
                raise LockedError(
                    "somebody opened a pull request of this branch just now", where=head, hint="try again"
                ) from None
            raise

    def update_pull(self, number: int, *, body: str | None = None, title: str | None = None) -> PullRequest:
        asked = {key: value for key, value in (("body", body), ("title", title)) if value is not None}
        return self._rest.send("PATCH", f"{self.root}/pulls/{number}", asked, read.pull_request, needs=PULLS)

    def close_pull(self, number: int) -> PullRequest:
        return self._rest.send(
            "PATCH", f"{self.root}/pulls/{number}", {"state": "closed"}, read.pull_request, needs=PULLS
        )

    def enable_auto_merge(self, number: int, *, commit: str) -> None:
        """GitHub refuses it where it would merge at once ("clean status"): ask while a required check is pending."""
        pull, repository = self.pull(number), self.repository()
        wrong = check_auto_merge(pull, commit, protection=self.protection(pull.base), repository=repository)
        if wrong is not None:
            raise wrong
        node, enabled = self._rest.get(f"{self.root}/pulls/{number}", read.auto_merge, needs=PULLS_READ)
        if enabled:
            return
        method = self._rest.get(self.root, read.merge_method, needs=READ)
        try:
            self._graphql(graphql.ENABLE, {"pull": node, "commit": commit, "method": method}, needs=MERGE)
        except RefusedError as error:
            raise auto_merge_refusal(pull, repository, error.message) from None

    def disable_auto_merge(self, number: int) -> None:
        node, enabled = self._rest.get(f"{self.root}/pulls/{number}", read.auto_merge, needs=PULLS_READ)
        if enabled:
            self._graphql(graphql.DISABLE, {"pull": node}, needs=MERGE)

    def approvals(self, number: int) -> Sequence[Approval]:
        """The last word of each reviewer, where it is an approval: a plain comment takes none back."""
        last: dict[str, tuple[str, str]] = {}
        for author, state, commit in self._rest.pages(
            f"{self.root}/pulls/{number}/reviews", read.review, needs=PULLS_READ
        ):
            if state in {"APPROVED", "CHANGES_REQUESTED", "REQUEST_CHANGES", "DISMISSED"}:
                last[author] = (state, commit)
        return [Approval(author=who, commit=commit) for who, (state, commit) in last.items() if state == "APPROVED"]

    # -- comments and statuses ---------------------------------------------------------------------------------------

    def comments(self, number: int) -> Sequence[Comment]:
        return list(self._rest.pages(f"{self.root}/issues/{number}/comments", read.comment, needs=PULLS_READ))

    def comment(self, comment: int) -> Comment:
        return self._rest.get(f"{self.root}/issues/comments/{comment}", read.comment, needs=PULLS_READ)

    def create_comment(self, number: int, body: str) -> Comment:
        return self._rest.send(
            "POST", f"{self.root}/issues/{number}/comments", {"body": body}, read.comment, needs=PULLS
        )

    def update_comment(self, comment: int, body: str) -> Comment:
        path = f"{self.root}/issues/comments/{comment}"
        return self._rest.send("PATCH", path, {"body": body}, read.comment, needs=PULLS)

    def status(self, commit: str, context: str) -> CommitStatus | None:
        found = self._rest.pages(f"{self.root}/commits/{commit}/statuses", read.commit_status, needs="statuses: read")
        return next((status for status in found if status.context == context), None)

    def set_status(self, commit: str, status: CommitStatus) -> None:
        body = {"state": status.state.value, "context": status.context, "description": status.description}
        if status.url is not None:
            body["target_url"] = status.url
        self._rest.send("POST", f"{self.root}/statuses/{commit}", body, read.commit_status, needs=STATUSES)

    # -- workflows ---------------------------------------------------------------------------------------------------

    def dispatch(self, workflow: str, *, ref: str, inputs: Mapping[str, str]) -> str | None:
        path = f"{self.root}/actions/workflows/{quote(workflow, safe='')}/dispatches"
        body = {"ref": ref, "inputs": dict(inputs)}
        try:
            return self._rest.send("POST", path, {**body, "return_run_details": True}, read.run_url, needs=ACTIONS)
        except RefusedError as error:
            if "return_run_details" not in error.message:
                raise
            return self._rest.send("POST", path, body, read.run_url, needs=ACTIONS)  # GHES that does not know the field

    def runs(self, workflow: str, *, most: int = 50) -> Sequence[WorkflowRun]:
        path = f"{self.root}/actions/workflows/{quote(workflow, safe='')}/runs"
        pages = self._rest.pages(
            path, read.workflow_run, needs="actions: read", within="workflow_runs", params={"per_page": most}
        )
        return list(islice(pages, most))
