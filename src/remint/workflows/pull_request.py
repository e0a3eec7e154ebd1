"""What a person does on a forge's pages, for the forge that has none: look at a pull request, merge it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from remint.adapters.forge import Comment, CommitStatus, Forge, PullRequest, PullState, StatusState
from remint.adapters.forge.local import LocalForge
from remint.adapters.git import Git
from remint.adapters.ledger import Ledger
from remint.core.document import format_time
from remint.core.ledger import LedgerEntry, LedgerEvent, new_run_id, refuse_frozen
from remint.core.pull_request import read_proposal, status_context
from remint.errors import UsageError
from remint.workflows.approval import approvers


@dataclass(frozen=True, slots=True, kw_only=True)
class PullPage:
    """A pull request with all that its page would show. ``approvers`` approved what the branch is now."""

    pull: PullRequest
    status: CommitStatus | None
    approvers: tuple[str, ...]
    comments: tuple[Comment, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            **_pull_json(self.pull),
            "body": self.pull.body,
            "gate": None
            if self.status is None
            else {"state": self.status.state.value, "description": self.status.description},
            "approvals": list(self.approvers),
            "comments": [{"id": c.id, "author": c.author, "body": c.body} for c in self.comments],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeRequest:
    """``force``: why it is merged although its gate, or the number of approvals, speaks against it."""

    by: str
    clock: Callable[[], datetime]
    approvals: int = 0
    force: str | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """``commit`` is the merge; None in a dry run. ``against`` is what ``force`` overruled."""

    pull: PullRequest
    commit: str | None
    against: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {**_pull_json(self.pull), "merge": self.commit, "against": list(self.against)}


def find_pull(forge: Forge, pipeline: str, number: int | None) -> PullRequest:
    """The one of that number; None means the open one of the pipeline. Raises UsageError where there is none."""
    if number is not None:
        return forge.pull(number)
    found = next((pull for pull in all_pulls(forge, pipeline) if pull.state is PullState.OPEN), None)
    if found is None:
        raise UsageError("no pull request is open", where=pipeline, hint="remint pull-request list shows the others")
    return found


def all_pulls(forge: Forge, pipeline: str) -> Sequence[PullRequest]:
    """Those of the pipeline's branch, newest first."""
    return forge.pulls(f"remint/retrain/{pipeline}")


def page(forge: Forge, pipeline: str, pull: PullRequest) -> PullPage:
    return PullPage(
        pull=pull,
        status=forge.status(pull.commit, status_context(pipeline)),
        approvers=tuple(approvers(forge, pull)),
        comments=tuple(forge.comments(pull.number)),
    )


def merge(git: Git, forge: LocalForge, pipeline: str, pull: PullRequest, request: MergeRequest) -> Merged:
    """Merge it, where its gate passed and enough people approved; else only with ``force``, which the ledger records.

    Raises FrozenError while the brake is on, which nothing overrules, UsageError where something speaks against it,
    ConfigError where it is not open or does not merge, LockedError where the base moves.
    """
    ledger = Ledger(git, pipeline)
    refuse_frozen(ledger.entries(), what="merge", where=ledger.branch)
    if pull.state is not PullState.OPEN:
        raise UsageError(f"is {pull.state.value}, not open", where=pull.url)
    against = _against(page(forge, pipeline, pull), request.approvals)
    reason = " ".join((request.force or "").split())
    if against and not reason:
        raise UsageError("; ".join(against), where=pull.url, hint="--force REASON merges all the same, on the record")
    if request.dry_run:
        return Merged(pull=pull, commit=None, against=against)
    if against:
        _record(ledger, pull, request, reason, against)
    commit = forge.merge(pull.number, commit=pull.commit)
    return Merged(pull=forge.pull(pull.number), commit=commit, against=against)


def _against(shown: PullPage, approvals: int) -> tuple[str, ...]:
    found = []
    match shown.status:
        case None:
            found.append("its gate has no status")
        case CommitStatus(state=StatusState.SUCCESS):
            pass
        case CommitStatus(state=state, description=description):
            found.append(f"its gate says {state.value}: {description}")
    if len(shown.approvers) < approvals:
        found.append(f"{len(shown.approvers)} of {approvals} approvals")
    return tuple(found)


def _record(ledger: Ledger, pull: PullRequest, request: MergeRequest, reason: str, against: Sequence[str]) -> None:
    """Before the merge: one that was killed in between is said to have been meant, never merged unsaid."""
    proposal, now = read_proposal(pull.body, ledger.pipeline), request.clock()
    token = hashlib.sha256(f"{pull.url}|{pull.commit}|{format_time(now)}".encode()).hexdigest()
    data: Mapping[str, Any] = {
        "action": "merge",
        "number": pull.number,
        "url": pull.url,
        "commit": pull.commit,
        "by": request.by,
        "reason": reason,
        "against": list(against),
    }
    run_id = proposal.run_id if proposal else new_run_id(ledger.pipeline, now, token)
    ledger.append(LedgerEntry(at=now, event=LedgerEvent.MANUAL, run_id=run_id, data=data))


def _pull_json(pull: PullRequest) -> dict[str, Any]:
    return {
        "number": pull.number,
        "url": pull.url,
        "title": pull.title,
        "author": pull.author,
        "head": pull.head,
        "base": pull.base,
        "commit": pull.commit,
        "state": pull.state.value,
    }


def pulls_json(pulls: Sequence[PullRequest]) -> list[dict[str, Any]]:
    return [_pull_json(pull) for pull in pulls]
