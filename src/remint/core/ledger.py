"""The ledger: an append-only record of what was decided and done, one JSON object a line. Cooldown, budget and locks.

The check keeps no state of its own: everything that it has to remember is an entry here, so that it works on runners
that are born and die. ``adapters.ledger`` keeps the lines on an orphan branch in git.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, assert_never

from remint.core.document import canonical_json, format_time, parse_time
from remint.core.trigger import Answer, History, Snooze
from remint.errors import DocumentError, FrozenError, did_you_mean

SCHEMA: Final = "remint/ledger/1.0"
_SCHEMA = re.compile(r"remint/ledger/(?P<major>\d+)\.\d+")
_RUN_ID: Final = re.compile(r"[a-z][a-z0-9-]*-\d{8}T\d{6}Z-[0-9a-f]{6}")
_KEYS: Final = ("at", "data", "event", "run_id", "schema")


class LedgerEvent(StrEnum):
    """What can be recorded. An unknown kind is refused: a reader that skips it would act on half of the history."""

    DECISION = "decision"
    RETRAIN_STARTED = "retrain_started"
    RETRAIN_FINISHED = "retrain_finished"
    GATE = "gate"
    ACCEPTANCE = "acceptance"
    PULL_REQUEST = "pull_request"  # the run is shown in it
    REFUSAL = "refusal"  # a person closed it: these inputs, this bundle, are not proposed again
    CANARY = "canary"
    ENVIRONMENT = "environment"  # a version was promoted to one, or one was rolled back
    MANUAL = "manual"
    SNOOZE = "snooze"  # a person wants no retrain until a date
    COMMAND = "command"  # a comment in a pull request was dealt with: once, whatever its answer was
    AUTO_MERGE = "auto_merge"  # handed to the forge, to be merged when its checks are green
    FREEZE = "freeze"
    UNFREEZE = "unfreeze"


class RetrainOutcome(StrEnum):
    """How a retrain ended. Only FAILED may be tried again for the same decision."""

    PUBLISHED = "published"
    UNCHANGED = "unchanged"
    FAILED = "failed"

    @property
    def settles(self) -> bool:
        """Whether the decision is dealt with and a second run of it has nothing to do."""
        match self:
            case RetrainOutcome.PUBLISHED | RetrainOutcome.UNCHANGED:
                return True
            case RetrainOutcome.FAILED:
                return False
            case _:
                assert_never(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One event. ``data`` is JSON and depends on the event; ``run_id`` ties the entries of one run together."""

    at: datetime
    event: LedgerEvent
    run_id: str
    data: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "at": format_time(self.at),
            "event": self.event.value,
            "run_id": self.run_id,
            "data": dict(self.data),
        }

    def to_line(self) -> str:
        """One line of canonical JSON with its newline: the same entry always gives the same bytes."""
        return canonical_json(self.to_json()).decode() + "\n"

    @classmethod
    def from_json(cls, document: Any, *, where: str) -> LedgerEntry:
        """Raises DocumentError for anything that is not an entry of a known event and major version."""
        if not isinstance(document, dict) or tuple(sorted(document)) != _KEYS:
            raise DocumentError(f"not a ledger entry with the keys {', '.join(_KEYS)}", where=where)
        match = _SCHEMA.fullmatch(str(document["schema"]))
        if match is None or match["major"] != "1":
            raise DocumentError(
                f"schema is {document['schema']!r}, expected remint/ledger/1.x",
                where=where,
                hint="install the Remint that wrote it",
            )
        try:
            event = LedgerEvent(document["event"])
        except ValueError:
            known = [e.value for e in LedgerEvent]
            raise DocumentError(
                f"unknown event {document['event']!r}",
                where=where,
                hint=did_you_mean(str(document["event"]), known) or "install the Remint that wrote it",
            ) from None
        if not isinstance(document["data"], dict) or not isinstance(document["run_id"], str):
            raise DocumentError("data must be an object and run_id a string", where=where)
        at = parse_time(document["at"], where=where)
        return cls(at=at, event=event, run_id=document["run_id"], data=document["data"])


def parse_ledger(text: str, *, where: str = "ledger.jsonl") -> tuple[LedgerEntry, ...]:
    """The entries in the order in which they were appended. A broken line raises DocumentError that names it."""
    entries = []
    lines = text.removesuffix("\n").split("\n") if text else []  # splitlines() would also split at U+2028 in a text
    for number, line in enumerate(lines, start=1):
        place = f"{where}:{number}"
        try:
            document = json.loads(line)
        except json.JSONDecodeError as error:
            raise DocumentError(f"not JSON: {error.msg}", where=place) from None
        entries.append(LedgerEntry.from_json(document, where=place))
    return tuple(entries)


def new_run_id(pipeline: str, at: datetime, token: str) -> str:
    """``<pipeline>-<UTC yyyymmddThhmmssZ>-<6 hex>``; ``token`` is hex text of which the first six digits are taken."""
    stamp = format_time(at).translate(str.maketrans("", "", "-:"))[:15]
    run_id = f"{pipeline}-{stamp}Z-{token[:6]}"
    if not is_run_id(run_id):
        raise ValueError(f"{run_id!r} is not a run id: is {token!r} at least six hex digits?")
    return run_id


def is_run_id(text: str) -> bool:
    """Whether ``text`` has the form of a run id, and so is also safe as a directory's name."""
    return _RUN_ID.fullmatch(text) is not None


def running_retrain(entries: Sequence[LedgerEntry], *, now: datetime, timeout: timedelta) -> LedgerEntry | None:
    """The RETRAIN_STARTED entry of a retrain that runs now; one that started ``timeout`` ago or earlier is dead."""
    running: dict[str, LedgerEntry] = {}
    for entry in entries:
        if entry.event is LedgerEvent.RETRAIN_STARTED:
            running[entry.run_id] = entry
        elif entry.event is LedgerEvent.RETRAIN_FINISHED:
            running.pop(entry.run_id, None)
    alive = [entry for entry in running.values() if now - entry.at < timeout]
    return max(alive, key=lambda entry: entry.at, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckMemory:
    """What a check has to know of the past. ``active``: rule -> since when its condition has held at each check."""

    history: History
    active: Mapping[str, datetime]
    spent_alpha: float  # of the false-alarm budget, by checks of this champion


def check_memory(entries: Sequence[LedgerEntry], *, reference: str, now: datetime, timeout: timedelta) -> CheckMemory:
    """From the ledger: retrains of any champion; what the rules said and the alpha spent of this ``reference`` only.

    A retrain counts from its decision and again from its end, so that a cooldown begins when the work is done.
    """
    running = running_retrain(entries, now=now, timeout=timeout)
    decisions = [e for e in entries if e.event is LedgerEvent.DECISION]
    asked = {e.run_id: e.at for e in decisions if e.data.get("answer") == Answer.RETRAIN.value}
    ended = {e.run_id: e.at for e in entries if e.event is LedgerEvent.RETRAIN_FINISHED and outcome_of(e).settles}
    mine = [e for e in decisions if e.data.get("reference") == reference]
    active = mine[-1].data.get("active", {}) if mine else {}
    return CheckMemory(
        history=History(
            retrains_at=tuple(sorted({**asked, **ended}.values())),
            running=running.run_id if running else None,
            frozen=str(brake) if (brake := frozen(entries)) else None,
            snoozed=last_snooze(entries),
        ),
        active={name: parse_time(at) for name, at in active.items()},
        spent_alpha=sum(map(_alpha_of, mine)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """The brake: who pulled it, when and why. It stops what moves forward, never a rollback."""

    at: datetime
    by: str
    reason: str
    run_id: str

    def __str__(self) -> str:
        return f"frozen by {self.by} since {format_time(self.at)}: {self.reason}"


def freezes(entries: Iterable[LedgerEntry]) -> tuple[Freeze, ...]:
    """Every brake that was pulled since the last UNFREEZE, which releases all of them; oldest first."""
    standing: list[Freeze] = []
    for entry in entries:
        if entry.event is LedgerEvent.UNFREEZE:
            standing.clear()
        elif entry.event is LedgerEvent.FREEZE:
            by, reason = (str(entry.data.get(key) or "unknown") for key in ("by", "reason"))
            standing.append(Freeze(at=entry.at, by=by, reason=reason, run_id=entry.run_id))
    return tuple(standing)


def frozen(entries: Iterable[LedgerEntry]) -> Freeze | None:
    """The newest brake that is on, None where the way is free."""
    return max(freezes(entries), key=lambda freeze: freeze.at, default=None)


def refuse_frozen(entries: Iterable[LedgerEntry], *, what: str, where: str | None = None) -> None:
    """Raises FrozenError, naming who and why, where a brake is on; ``what`` is what was about to be done."""
    brake = frozen(entries)
    if brake is not None:
        raise FrozenError(f"no {what}: {brake}", where=where, hint="remint unfreeze releases it")


def last_snooze(entries: Sequence[LedgerEntry]) -> Snooze | None:
    """What was said last, also where it is over: a later snooze replaces an earlier one, a shorter one too."""
    entry = next((entry for entry in reversed(entries) if entry.event is LedgerEvent.SNOOZE), None)
    if entry is None:
        return None
    until = parse_time(entry.data.get("until", ""), where=f"ledger entry of {entry.run_id}")
    by, reason = (str(entry.data.get(key) or "unknown") for key in ("by", "reason"))
    return Snooze(until=until, by=by, reason=reason, at=entry.at)


def _alpha_of(decision: LedgerEntry) -> float:
    """What it spent of the false-alarm budget; a decision that does not say so must not pass for a free one."""
    try:
        return float(decision.data["alpha"])
    except (KeyError, TypeError, ValueError):
        raise DocumentError("a decision without its alpha", where=f"ledger entry of {decision.run_id}") from None


def settled(entries: Iterable[LedgerEntry], decision: str) -> LedgerEntry | None:
    """The RETRAIN_FINISHED entry that dealt with this decision (its id), if there is one."""
    for entry in entries:
        finished = entry.event is LedgerEvent.RETRAIN_FINISHED
        if finished and entry.data.get("decision") == decision and outcome_of(entry).settles:
            return entry
    return None


def outcome_of(entry: LedgerEntry) -> RetrainOutcome:
    """The outcome of a RETRAIN_FINISHED entry; raises DocumentError where it names none that is known."""
    try:
        return RetrainOutcome(entry.data["outcome"])
    except (KeyError, ValueError):
        raise DocumentError(
            f"unknown outcome {entry.data.get('outcome')!r}", where=f"ledger entry of {entry.run_id}"
        ) from None


def acceptances(entries: Iterable[LedgerEntry], run_id: str) -> list[dict[str, Any]]:
    """What people accepted for this run, as the gate reads it: ``{rule, reason, by, bundle, at}``."""
    return [
        {**{key: e.data[key] for key in ("rule", "reason", "by", "bundle")}, "at": format_time(e.at)}
        for e in entries
        if e.event is LedgerEvent.ACCEPTANCE and e.run_id == run_id
    ]
