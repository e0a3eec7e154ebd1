"""Auto-merge, which fails closed: Remint never merges, it asks the forge to, and only where a check stands between.

It is asked for before the gate's status is green: with nothing left to wait for, a forge refuses or merges at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from remint.adapters.forge import Forge, ForgeKind, PullRequest, StatusState
from remint.adapters.forge.auto_merge import check_auto_merge
from remint.adapters.ledger import Ledger
from remint.config import AutoMerge
from remint.core.ledger import LedgerEntry, LedgerEvent
from remint.core.pull_request import status_context
from remint.errors import ConfigError


class Handed(StrEnum):
    """Whether the merge is the forge's now."""

    OFF = "off"  # the policy is never, or something speaks against it
    ASKED = "asked"  # just now
    ALREADY = "already"
    TAKEN_BACK = "taken_back"
    REFUSED = "refused"  # the policy wants it, and a setting of the forge stands against it


@dataclass(frozen=True, slots=True, kw_only=True)
class PageCase:
    """A pull request, what the ledger says of it, and the moment."""

    forge: Forge
    ledger: Ledger
    entries: Sequence[LedgerEntry]
    pull: PullRequest
    now: datetime
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoMergeCase(PageCase):
    """``against``: why not, in a sentence (a failed gate, the brake, a person's commit); None where nothing is."""

    bundle: str
    run_id: str
    policy: AutoMerge
    against: str | None
    wait: Callable[[], None]  # sets the gate's status to pending


def settle_auto_merge(case: AutoMergeCase) -> Handed:
    """Ask the forge for auto-merge, or take that back; each is recorded in the ledger once.

    Raises ConfigError, naming what to switch on, where the policy asks for what this forge or branch cannot do.
    """
    last = _standing(case.entries, case.pull.number)
    wanted = case.policy is AutoMerge.ON_PASS
    if wanted and case.against is None:
        if last is not None and (last["commit"], last["bundle"]) == (case.pull.commit, case.bundle):
            return Handed.ALREADY
        if last is not None:
            case.forge.disable_auto_merge(case.pull.number)  # of an older commit
        context = status_context(case.ledger.pipeline)
        _require_check(case.forge, case.pull, context)
        there = case.forge.status(case.pull.commit, context)
        if there is not None and there.state is StatusState.SUCCESS:
            case.wait()
        case.forge.enable_auto_merge(case.pull.number, commit=case.pull.commit)
        data = {"number": case.pull.number, "url": case.pull.url, "commit": case.pull.commit, "bundle": case.bundle}
        _record(case, case.run_id, {**data, "enabled": True, "reason": "the gate passed"})
        return Handed.ASKED
    if wanted and last is None:
        case.forge.disable_auto_merge(case.pull.number)  # a run may have been killed before it recorded that it asked
        return Handed.OFF
    reason = case.against or "params.pull_request.auto_merge is never"
    return Handed.TAKEN_BACK if take_back(case, reason) else Handed.OFF


def take_back(case: PageCase, reason: str) -> bool:
    """Whatever the policy is now: what was asked for in Remint's name is asked for no more. Whether there was any."""
    last = _standing(case.entries, case.pull.number)
    if last is None:
        return False
    case.forge.disable_auto_merge(case.pull.number)
    _record(case, str(last["run_id"]), {**last, "enabled": False, "reason": reason})
    return True


def _require_check(forge: Forge, pull: PullRequest, context: str) -> None:
    if forge.kind is ForgeKind.LOCAL:
        raise ConfigError(
            "the local forge merges nothing by itself",
            where="params.pull_request.auto_merge",
            hint="never, or remint pull-request merge",
        )
    protection, repository = forge.protection(pull.base), forge.repository()
    wrong = check_auto_merge(pull, pull.commit, protection=protection, repository=repository)
    if wrong is not None:
        raise wrong
    if protection is None or not protection.requires(context):
        raise ConfigError(
            f"no auto-merge: {pull.base} does not require the check {context}",
            where=pull.url,
            hint=f"{repository.url}/settings/branches: require {context} on {pull.base}",
        )


def _standing(entries: Sequence[LedgerEntry], number: int) -> dict[str, Any] | None:
    """What was asked for this pull request and not taken back, with the ``run_id`` of it."""
    for entry in reversed(entries):
        if entry.event is LedgerEvent.AUTO_MERGE and entry.data.get("number") == number:
            return {**entry.data, "run_id": entry.run_id} if entry.data.get("enabled", True) else None
    return None


def _record(case: PageCase, run_id: str, data: Mapping[str, Any]) -> None:
    if not case.dry_run:
        kept = {key: value for key, value in data.items() if key != "run_id"}
        case.ledger.append(LedgerEntry(at=case.now, event=LedgerEvent.AUTO_MERGE, run_id=run_id, data=kept))
