"""What Remint says on a pull request's page: text, one comment, one status. Each looks first, then writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from remint.adapters.forge import Comment, CommitStatus, Forge, PullRequest, PullState, StatusState
from remint.core.document import format_time
from remint.core.ledger import LedgerEntry, LedgerEvent
from remint.core.pull_request import note_of, read_proposal, same_text, status_context, story, story_marker
from remint.core.verdict import Verdict

STATES: Final = {
    Verdict.PASS: StatusState.SUCCESS,
    Verdict.FAIL: StatusState.FAILURE,
    Verdict.INCONCLUSIVE: StatusState.ERROR,  # no answer, which blocks a merge as well
}
_SHOWN: Final = frozenset({LedgerEvent.PULL_REQUEST, LedgerEvent.GATE})


def open_pull(forge: Forge, branch: str) -> PullRequest | None:
    """The open pull request of Remint's branch; the newest where people opened several, to different bases."""
    return next((p for p in forge.pulls(branch) if p.state is PullState.OPEN and not p.fork), None)


def is_ours(forge: Forge, pull: PullRequest, pipeline: str) -> bool:
    """Whether its text is Remint's to write; that of a pull request which a person opened is not."""
    return read_proposal(pull.body, pipeline) is not None or pull.author == forge.whoami()


def write_text(forge: Forge, pull: PullRequest, *, title: str, body: str | None) -> tuple[PullRequest, bool]:
    """Title and body of one that is ours, and whether that changed anything; ``body`` None stays as it is."""
    new_title = None if pull.title == title else title
    new_body = None if body is None or same_text(pull.body, body) else body
    if new_title is None and new_body is None:
        return pull, False
    return forge.update_pull(pull.number, title=new_title, body=new_body), True


def runs_of(entries: Sequence[LedgerEntry], number: int) -> list[dict[str, Any]]:
    """What this pull request has shown: retrains, and gates that ran anew; oldest first."""
    return [
        {**entry.data, "run_id": entry.run_id}
        for entry in entries
        if entry.event in _SHOWN and entry.data.get("number") == number
    ]


def commands_of(entries: Sequence[LedgerEntry], number: int) -> list[dict[str, Any]]:
    """The commands in its comments that were dealt with, oldest first."""
    return [
        {**entry.data, "at": format_time(entry.at)}
        for entry in entries
        if entry.event is LedgerEvent.COMMAND and entry.data.get("number") == number
    ]


def tell(
    forge: Forge,
    pipeline: str,
    number: int,
    entries: Sequence[LedgerEntry],
    *,
    note: str | None = None,
    keep_note: bool = False,
) -> Comment:
    """The one comment: made, brought up to date or left as it is. Nobody else's is touched, whatever it says."""
    marker, me = story_marker(pipeline), forge.whoami()
    mine = [c for c in forge.comments(number) if c.author == me and c.body.lstrip().startswith(marker)]
    if keep_note and mine:
        note = note_of(mine[0].body)
    text = story(pipeline, runs_of(entries, number), commands=commands_of(entries, number), note=note)
    if not mine:
        return forge.create_comment(number, text)
    return mine[0] if same_text(mine[0].body, text) else forge.update_comment(mine[0].id, text)


def set_status(
    forge: Forge, pipeline: str, pull: PullRequest, state: StatusState, description: str, *, url: str | None = None
) -> None:
    """The status of the pull request's commit in the context that branch protection asks for."""
    link = url or (pull.url if pull.url.startswith("http") else None)
    wanted = CommitStatus(context=status_context(pipeline), state=state, description=description, url=link)
    there = forge.status(pull.commit, wanted.context)
    if there is None or (there.state, there.description) != (wanted.state, wanted.description):
        forge.set_status(pull.commit, wanted)
