"""The brake of a pipeline: an entry in its ledger that stops retrain, publishing and promotion, never a rollback."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from remint.adapters.git import Git
from remint.adapters.ledger import Guard, Ledger
from remint.core.document import format_time
from remint.core.ledger import Freeze, LedgerEntry, LedgerEvent, freezes, new_run_id
from remint.errors import LockedError, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Brake:
    """How the brake stands, and what the command did about it (``changed``; with ``dry_run`` would have done)."""

    pipeline: str
    standing: tuple[Freeze, ...]  # after the command; empty: the way is free
    released: tuple[Freeze, ...] = ()
    changed: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "pipeline": self.pipeline,
            "frozen": bool(self.standing),
            "changed": self.changed,
            "freezes": [_to_json(freeze) for freeze in self.standing],
            "released": [_to_json(freeze) for freeze in self.released],
        }


def freeze(git: Git, pipeline: str, *, reason: str, by: str | None, now: datetime, dry_run: bool = False) -> Brake:
    """Pull the brake. Again with another reason is a second brake; with the same one nothing changes.

    Raises UsageError without a reason or a name, ServiceError where origin does not answer: then it is not pulled.
    """
    reason, by = _said(reason), _who(git, by)
    ledger = Ledger(git, pipeline)
    standing = freezes(ledger.entries())
    if any(freeze.reason == reason and freeze.by == by for freeze in standing):
        return Brake(pipeline=pipeline, standing=standing)
    entry = _entry(LedgerEvent.FREEZE, pipeline, reason=reason, by=by, now=now)
    if not dry_run:
        ledger.append(entry)
    pulled = Freeze(at=now, by=by, reason=reason, run_id=entry.run_id)
    return Brake(pipeline=pipeline, standing=(*standing, pulled), changed=True)


def unfreeze(git: Git, pipeline: str, *, reason: str, by: str | None, now: datetime, dry_run: bool = False) -> Brake:
    """Release every brake that is on; nothing is recorded where none is. Raises as ``freeze`` does."""
    reason, by = _said(reason), _who(git, by)
    ledger = Ledger(git, pipeline)
    standing = freezes(ledger.entries())
    if not standing:
        return Brake(pipeline=pipeline, standing=())
    if not dry_run:
        ledger.append(_entry(LedgerEvent.UNFREEZE, pipeline, reason=reason, by=by, now=now), guard=_unmoved(standing))
    return Brake(pipeline=pipeline, standing=(), released=standing, changed=True)


def _unmoved(seen: tuple[Freeze, ...]) -> Guard:
    def guard(entries: Sequence[LedgerEntry]) -> None:
        if freezes(entries) != seen:  # somebody pulled it for another reason just now, which nobody has read yet
            raise LockedError("the brake changed meanwhile", hint="run it again to see why, and to release that too")

    return guard


def _entry(event: LedgerEvent, pipeline: str, *, reason: str, by: str, now: datetime) -> LedgerEntry:
    token = hashlib.sha256(f"{event}|{by}|{reason}|{format_time(now)}".encode()).hexdigest()
    run_id = new_run_id(pipeline, now, token)
    return LedgerEntry(at=now, event=event, run_id=run_id, data={"reason": reason, "by": by})


def _said(reason: str) -> str:
    said = " ".join(reason.split())
    if not said:
        raise UsageError("an empty reason", where="--reason", hint="who comes next has to know why")
    return said


def _who(git: Git, by: str | None) -> str:
    """The name that was given, else git's author; a brake that nobody pulled could not be asked about."""
    said = " ".join((by if by is not None else _author(git)).split())
    if not said:
        raise UsageError("nobody is named", hint="--by NAME, or git config user.name")
    return said


def _author(git: Git) -> str:
    if not git.succeeds("-c", "user.useConfigOnly=true", "var", "GIT_AUTHOR_IDENT"):
        return ""
    return git.run("var", "GIT_AUTHOR_IDENT").rpartition(" <")[0]


def _to_json(freeze: Freeze) -> dict[str, Any]:
    return {"at": format_time(freeze.at), "by": freeze.by, "reason": freeze.reason, "run_id": freeze.run_id}
