"""What GitHub's answers say, in the protocol's words; Gitea's, where it speaks as GitHub does."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from remint.adapters.forge.protocol import (
    Comment,
    CommitStatus,
    Protection,
    PullRequest,
    PullState,
    Repository,
    RunState,
    StatusState,
    WorkflowRun,
)
from remint.core.document import parse_time

_PULL_PAGE: Final = re.compile(r"/pulls?/(\d+)(?:#|$)")


def pull_request(body: Any) -> PullRequest:
    merged, home = body.get("merged_at") is not None, body["head"]["repo"]
    return PullRequest(
        number=int(body["number"]),
        url=str(body["html_url"]),
        title=str(body["title"]),
        body=body["body"] or "",
        author=login(body["user"]),
        head=str(body["head"]["ref"]),
        commit=str(body["head"]["sha"]),
        base=str(body["base"]["ref"]),
        state=PullState.MERGED if merged else PullState(body["state"]),
        fork=home is None or home["id"] != body["base"]["repo"]["id"],  # None: the fork is gone, its pull request not
    )


def review(body: Any) -> tuple[str, str, str]:
    return login(body["user"]), str(body["state"]), str(body["commit_id"] or "")


def commit_status(body: Any) -> CommitStatus:
    return CommitStatus(
        context=str(body["context"]),
        state=StatusState(body["state"]),
        description=body["description"] or "",
        url=body["target_url"] or None,
    )


def repository(body: Any) -> Repository:
    return Repository(
        name=str(body["full_name"]),
        url=str(body["html_url"]),
        default_branch=str(body["default_branch"]),
        auto_merge=body.get("allow_auto_merge"),
    )


def comment(body: Any) -> Comment:
    """The address of its page says whether it is of a pull request: an issue has comments of the same kind."""
    url = str(body["html_url"])
    page = _PULL_PAGE.search(url)
    text = body["body"] or ""
    return Comment(
        id=int(body["id"]), author=login(body["user"]), body=text, url=url, pull=None if page is None else int(page[1])
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviews:
    """What one rule asks of reviews; both None: our token may not see it."""

    approvals: int | None
    dismisses_stale: bool | None


UNSEEN: Final = Reviews(approvals=None, dismisses_stale=None)


def classic_reviews(body: Any) -> Reviews:
    """Of a branch's protection, which only administrators may see."""
    reviews = body.get("required_pull_request_reviews") or {}
    return Reviews(
        approvals=int(reviews.get("required_approving_review_count", 0)),
        dismisses_stale=bool(reviews.get("dismiss_stale_reviews", False)),
    )


def classic_checks(body: Any) -> tuple[bool, frozenset[str]]:
    """Of a branch, which everybody may see: whether a protection of the older kind is on, and the checks it asks."""
    protection = body.get("protection") or {}
    checks = protection.get("required_status_checks") or {}
    return bool(protection.get("enabled", body["protected"])), frozenset(checks.get("contexts", []))


def rule(body: Any) -> tuple[frozenset[str], Reviews] | None:
    """One rule of a ruleset: the checks and reviews it asks; None for a rule that is not about merging."""
    parameters = body.get("parameters") or {}
    match body["type"]:
        case "required_status_checks":
            checks = frozenset(str(check["context"]) for check in parameters["required_status_checks"])
            return checks, Reviews(approvals=0, dismisses_stale=False)
        case "pull_request":
            return frozenset(), Reviews(
                approvals=int(parameters["required_approving_review_count"]),
                dismisses_stale=bool(parameters["dismiss_stale_reviews_on_push"]),
            )
        case _:
            return None


def protection(checks: frozenset[str], reviews: Iterable[Reviews]) -> Protection:
    """Every rule counts, so the strictest does; of what one rule hides nothing is known at all."""
    approvals, dismisses = 0, False
    for asked in reviews:
        if asked.approvals is None or asked.dismisses_stale is None:
            return Protection(checks=checks, approvals=None, dismisses_stale=None)
        approvals, dismisses = max(approvals, asked.approvals), dismisses or asked.dismisses_stale
    return Protection(checks=checks, approvals=approvals, dismisses_stale=dismisses)


def merge_method(body: Any) -> str:
    """Of those that the repository allows, the one that keeps our commit; not every token may see them."""
    for method, key in (("MERGE", "allow_merge_commit"), ("SQUASH", "allow_squash_merge")):
        if body.get(key, True):
            return method
    return "REBASE"


def auto_merge(body: Any) -> tuple[str, bool]:
    """The pull request's id in GraphQL, and whether its auto-merge is on."""
    return str(body["node_id"]), body["auto_merge"] is not None


def run_url(body: Any) -> str | None:
    return None if body is None else str(body["html_url"])


def workflow_run(body: Any) -> WorkflowRun:
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


def login(user: Any) -> str:
    """Of a person who has left, nothing is known."""
    return "" if user is None else str(user["login"])
