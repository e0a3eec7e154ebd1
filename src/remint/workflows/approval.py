"""An approval binds to one bundle: what a person looked at and approved is not replaced under their name.

Asked before a retrain begins, and again right before it moves the branch.
"""

from __future__ import annotations

from datetime import datetime

from remint.adapters.forge import Forge, Permission, PullRequest
from remint.adapters.ledger import Ledger
from remint.core.document import readable_time
from remint.core.ledger import last_snooze
from remint.core.pull_request import read_proposal, short
from remint.errors import ApprovedError, LockedError
from remint.workflows.pull_page import open_pull, tell


def approvers(forge: Forge, pull: PullRequest) -> list[str]:
    """Who approved what the branch is now, of those whose word counts: in a public repository anybody may review."""
    given = [approval.author for approval in forge.approvals(pull.number) if approval.commit == pull.commit]
    return [name for name in given if forge.permission(name) >= Permission.WRITE]


def refuse_to_replace_approved(
    forge: Forge, ledger: Ledger, branch: str, *, asked_at: datetime | None = None, now: datetime | None = None
) -> None:
    """Raises LockedError where the open pull request is not to be replaced, ApprovedError where that is by approval.

    An approval is said in the pull request's comment as well. A snooze that was said after the retrain was asked for
    (``asked_at``), and is not over at ``now``, leaves the pull request as its reader knows it.
    """
    pull = open_pull(forge, branch)
    if pull is None:
        return
    snooze = last_snooze(ledger.entries())
    if snooze is not None and asked_at is not None and now is not None and asked_at < snooze.at and now < snooze.until:
        raise LockedError(
            f"{snooze}; this retrain was asked for before, at {readable_time(asked_at)}",
            where=pull.url,
            hint="remint check --retrain --reason WHY asks for one that goes on",
        )
    names = approvers(forge, pull)
    if not names:
        return
    proposal = read_proposal(pull.body, ledger.pipeline)
    bundle = "the bundle" if proposal is None else f"bundle {short(proposal.bundle)}"
    note = f"Approved {bundle} is frozen: newer data waits. Merge it, or dismiss the approval."
    tell(forge, ledger.pipeline, pull.number, ledger.entries(), note=note)
    raise ApprovedError(
        f"{bundle} is approved by {', '.join(names)} and frozen", where=pull.url, hint="merge it or dismiss that"
    )
