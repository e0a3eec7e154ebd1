"""``--dry-run``: reads go through, writes are written down and answered as if they had been done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

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
    WorkflowRun,
)


class Rehearsal:
    """``calls`` is what would have been sent, in its order."""

    def __init__(self, forge: Forge) -> None:
        self._forge = forge
        self._pulls: dict[int, PullRequest] = {}
        self.calls: list[dict[str, Any]] = []

    @property
    def kind(self) -> ForgeKind:
        return self._forge.kind

    def whoami(self) -> str:
        return self._forge.whoami()

    def repository(self) -> Repository:
        return self._forge.repository()

    def protection(self, branch: str) -> Protection | None:
        return self._forge.protection(branch)

    def permission(self, user: str) -> Permission:
        return self._forge.permission(user)

    def pulls(self, head: str) -> Sequence[PullRequest]:
        found = self._forge.pulls(head)
        self._pulls |= {pull.number: pull for pull in found}
        return found

    def pull(self, number: int) -> PullRequest:
        if number not in self._pulls:
            self._pulls[number] = self._forge.pull(number)
        return self._pulls[number]

    def open_pulls_at(self, commit: str) -> Sequence[PullRequest]:
        return self._forge.open_pulls_at(commit)

    def approvals(self, number: int) -> Sequence[Approval]:
        return self._forge.approvals(number)

    def comments(self, number: int) -> Sequence[Comment]:
        return self._forge.comments(number) if number else ()

    def comment(self, comment: int) -> Comment:
        return self._forge.comment(comment)

    def status(self, commit: str, context: str) -> CommitStatus | None:
        return self._forge.status(commit, context)

    def runs(self, workflow: str, *, most: int = 50) -> Sequence[WorkflowRun]:
        return self._forge.runs(workflow, most=most)

    def create_pull(self, *, head: str, base: str, title: str, body: str) -> PullRequest:
        self._note("create_pull", head=head, base=base, title=title, body=body)
        pull = PullRequest(
            number=0,
            url="",
            title=title,
            body=body,
            author=self.whoami(),
            head=head,
            commit="",
            base=base,
            state=PullState.OPEN,
        )
        self._pulls[0] = pull
        return pull

    def update_pull(self, number: int, *, body: str | None = None, title: str | None = None) -> PullRequest:
        asked = {key: value for key, value in (("body", body), ("title", title)) if value is not None}
        self._note("update_pull", number=number, **asked)
        known = self.pull(number)
        return replace(known, body=asked.get("body", known.body), title=asked.get("title", known.title))

    def enable_auto_merge(self, number: int, *, commit: str) -> None:
        self._note("enable_auto_merge", number=number, commit=commit)

    def disable_auto_merge(self, number: int) -> None:
        self._note("disable_auto_merge", number=number)

    def close_pull(self, number: int) -> PullRequest:
        self._note("close_pull", number=number)
        return replace(self.pull(number), state=PullState.CLOSED)

    def create_comment(self, number: int, body: str) -> Comment:
        self._note("create_comment", number=number, body=body)
        return Comment(id=0, author=self.whoami(), body=body, url="")

    def update_comment(self, comment: int, body: str) -> Comment:
        self._note("update_comment", comment=comment, body=body)
        return Comment(id=comment, author=self.whoami(), body=body, url="")

    def set_status(self, commit: str, status: CommitStatus) -> None:
        self._note(
            "set_status",
            commit=commit,
            context=status.context,
            state=status.state.value,
            description=status.description,
            url=status.url,
        )

    def dispatch(self, workflow: str, *, ref: str, inputs: Mapping[str, str]) -> str | None:
        self._note("dispatch", workflow=workflow, ref=ref, inputs=dict(inputs))
        return None

    def _note(self, call: str, **details: Any) -> None:
        self.calls.append({"call": call, **details})
