"""An approval binds to one bundle: what a person looked at and approved is not replaced under their name.

Asked before a retrain begins, and again right before it moves the branch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from remint.adapters.forge import Comment, Forge, Permission, PullRequest, PullState
from remint.adapters.ledger import Ledger
from remint.core.ledger import LedgerEntry, LedgerEvent
from remint.core.pull_request import read_proposal, same_text, short, story, story_marker
from remint.errors import LockedError


def open_pull(forge: Forge, branch: str) -> PullRequest | None:
    """The open pull request of Remint's branch; the newest where people opened several, to different bases."""
    return next((pull for pull in forge.pulls(branch) if pull.state is PullState.OPEN), None)


def approvers(forge: Forge, pull: PullRequest) -> list[str]:
    """Who approved what the branch is now, of those whose word counts: in a public repository anybody may review."""
    given = [approval.author for approval in forge.approvals(pull.number) if approval.commit == pull.commit]
    return [name for name in given if forge.permission(name) >= Permission.WRITE]


def refuse_to_replace_approved(forge: Forge, ledger: Ledger, branch: str) -> None:
    """Raises LockedError, and says so in the pull request's comment, while an approved bundle waits for its merge."""
    pull = open_pull(forge, branch)
    if pull is None:
        return
    names = approvers(forge, pull)
    if not names:
        return
    proposal = read_proposal(pull.body, ledger.pipeline)
    bundle = "the bundle" if proposal is None else f"bundle {short(proposal.bundle)}"
    note = f"Approved {bundle} is frozen: newer data waits. Merge it, or dismiss the approval."
    tell(forge, ledger.pipeline, pull.number, runs_of(ledger.entries(), pull.number), note=note)
    who = ", ".join(names)
    raise LockedError(f"{bundle} is approved by {who} and frozen", where=pull.url, hint="merge it or dismiss that")


def runs_of(entries: Sequence[LedgerEntry], number: int) -> list[dict[str, Any]]:
    """The runs that this pull request has shown, oldest first."""
    return [
        {**entry.data, "run_id": entry.run_id}
        for entry in entries
        if entry.event is LedgerEvent.PULL_REQUEST and entry.data["number"] == number
    ]


def tell(
    forge: Forge, pipeline: str, number: int, runs: Sequence[dict[str, Any]], *, note: str | None = None
) -> Comment:
    """The one comment: made, brought up to date or left as it is. Nobody else's is touched, whatever it says."""
    text, marker, me = story(pipeline, runs, note=note), story_marker(pipeline), forge.whoami()
    mine = [c for c in forge.comments(number) if c.author == me and c.body.lstrip().startswith(marker)]
    if not mine:
        return forge.create_comment(number, text)
    return mine[0] if same_text(mine[0].body, text) else forge.update_comment(mine[0].id, text)
