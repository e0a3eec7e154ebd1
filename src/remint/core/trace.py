"""The story of one run: everything that carries its id, and everything that happened to the model that it made.

The ledger, git's commits and the registry's tags each know a part. They meet in the run id, and from the moment there
is a model in its bundle's id, which canaries and promotions name under run ids of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Any, Final, assert_never

from remint.core.document import format_time
from remint.core.ledger import LedgerEntry, LedgerEvent
from remint.core.registry import Registry

_USAGE: Final = ("cpu_seconds", "peak_memory_bytes", "cost", "energy_kwh", "co2e_grams", "workflow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A commit with a ``Remint-Run`` trailer. ``merged_as``: the first commit of HEAD's history that brought it in."""

    id: str
    at: datetime
    subject: str
    author: str
    run_id: str
    bundle: str | None
    in_head: bool
    merged_as: str | None = None
    merged_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One line of the story."""

    at: datetime
    what: str  # a ledger event, or commit, merge, version, stage
    line: str
    where: str  # what to look at: a run id, a commit, a tag, an address
    run_id: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "at": format_time(self.at),
            "what": self.what,
            "line": self.line,
            "where": self.where,
            "run_id": self.run_id,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """``files``: what is attached to the run in the ledger; ``usage``: its run.json, where it retrained."""

    run_id: str
    bundles: tuple[str, ...]
    moments: tuple[Moment, ...]
    files: tuple[str, ...] = ()
    usage: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "run_id": self.run_id,
            "bundles": list(self.bundles),
            "moments": [moment.to_json() for moment in self.moments],
            "usage": None if self.usage is None else {key: self.usage.get(key) for key in _USAGE},
            "files": list(self.files),
        }


def run_ids(entries: Iterable[LedgerEntry]) -> list[str]:
    """Every run that the ledger knows, the newest last."""
    return list(dict.fromkeys(entry.run_id for entry in entries))


def suggestion(run_id: str, entries: Sequence[LedgerEntry], *, most: int = 3) -> str:
    """For a run that nobody knows: the nearest id where one is near, else the newest ones."""
    known = run_ids(entries)
    near = get_close_matches(run_id, known, n=1, cutoff=0.9)  # ids share their form, so that a lower one says nothing
    if near:
        return f"did you mean {near[0]}?"
    newest = [e.run_id for e in entries if e.event in {LedgerEvent.DECISION, LedgerEvent.RETRAIN_STARTED}] or known
    return f"the newest: {', '.join(list(dict.fromkeys(reversed(newest)))[:most])}"


def bundles_of(entries: Iterable[LedgerEntry], commits: Iterable[Commit], run_id: str) -> tuple[str, ...]:
    """The bundles that the run made, or moved."""
    named = [bundle for entry in entries if entry.run_id == run_id for bundle in _bundles(entry)]
    named += [commit.bundle for commit in commits if commit.run_id == run_id and commit.bundle]
    return tuple(dict.fromkeys(named))


def tell(
    run_id: str,
    entries: Sequence[LedgerEntry],
    commits: Sequence[Commit],
    registry: Registry,
    bundle_at: Mapping[str, str],
    *,
    files: Sequence[str] = (),
    usage: Mapping[str, Any] | None = None,
) -> Story | None:
    """The story of ``run_id``, oldest first; None where nothing knows it. ``bundle_at``: commit -> its bundle's id."""
    mine = [commit for commit in commits if commit.run_id == run_id]
    if not mine and not any(entry.run_id == run_id for entry in entries):
        return None
    bundles = bundles_of(entries, commits, run_id)
    related = [e for e in entries if e.run_id == run_id or not set(_bundles(e)).isdisjoint(bundles)]
    # A retrain's commit carries its decision's date, so that a repeated run gives the same commit: not when it was made
    made_at = {
        str(e.data["commit"]): e.at
        for e in related
        if e.event is LedgerEvent.RETRAIN_FINISHED and e.data.get("commit") is not None
    }
    moments = [moment for commit in mine for moment in _of_commit(commit, at=made_at.get(commit.id, commit.at))]
    moments += [_of_entry(entry) for entry in related]
    places = {commit for commit, bundle in bundle_at.items() if bundle in bundles} | {commit.id for commit in mine}
    moments += _of_registry(registry, places)
    moments.sort(key=lambda moment: moment.at)
    moments.sort(key=lambda moment: (moment.at.replace(microsecond=0), _rank(moment)))  # git's times are whole seconds
    return Story(run_id=run_id, bundles=bundles, moments=tuple(moments), files=tuple(files), usage=usage)


#: What comes first of what happened in the same second; what is not named stands between commit and merge.
_ORDER: Final = (LedgerEvent.DECISION, LedgerEvent.RETRAIN_STARTED, "commit", "", "merge", "version", "stage")


def _rank(moment: Moment) -> int:
    if moment.what in {LedgerEvent.CANARY, LedgerEvent.ENVIRONMENT}:  # the state file, the tag, and only then the entry
        return len(_ORDER)
    return _ORDER.index(moment.what if moment.what in _ORDER else "")


def _bundles(entry: LedgerEntry) -> list[str]:
    first = entry.event is LedgerEvent.CANARY and entry.data.get("action") == "init"  # what comes in is the stable
    keys = ("bundle", "stable") if first else ("bundle", "canary")
    return [str(entry.data[key]) for key in keys if entry.data.get(key)]


def _of_entry(entry: LedgerEntry) -> Moment:
    line, where = _said(entry.event, entry.data)
    return Moment(
        at=entry.at,
        what=entry.event.value,
        line=" ".join(line.split()),
        where=where or entry.run_id,
        run_id=entry.run_id,
    )


def _said(event: LedgerEvent, data: Mapping[str, Any]) -> tuple[str, str | None]:
    """A sentence, and what to look at where that is not the run itself."""

    def get(key: str) -> str:
        value = data.get(key)
        return "?" if value is None else str(value)

    match event:
        case LedgerEvent.DECISION:
            return get("summary"), None
        case LedgerEvent.RETRAIN_STARTED:
            return f"started from {get('base')[:12]}, on {get('answer')}", data.get("workflow")
        case LedgerEvent.RETRAIN_FINISHED:
            verdict = data["gate"].get("verdict") if isinstance(data.get("gate"), Mapping) else None
            more = f": {data['error']}" if data.get("error") else f", the gate says {verdict}" if verdict else ""
            return f"{get('outcome')}{more}", data.get("branch")
        case LedgerEvent.GATE:
            return f"the gate says {get('verdict')}", None
        case LedgerEvent.ACCEPTANCE:
            return f"{get('by')} accepts {get('rule')}: {get('reason')}", None
        case LedgerEvent.PULL_REQUEST:
            return f"shown in pull request {get('number')}, the gate says {get('verdict')}", data.get("url")
        case LedgerEvent.REFUSAL:
            return f"pull request {get('number')} was closed unmerged: never proposed again", data.get("url")
        case LedgerEvent.CANARY:
            return f"release {get('release')}: {get('action')}: {get('reason')}", None
        case LedgerEvent.ENVIRONMENT:
            return f"{get('action')} of {get('environment')}: {get('version')}: {get('reason')}", data.get("tag")
        case LedgerEvent.SNOOZE:
            return f"{get('by')} wants no retrain until {get('until')}: {get('reason')}", data.get("url")
        case LedgerEvent.COMMAND:
            return f"{get('by')}: {get('command')}: {get('answer')}", data.get("url")
        case LedgerEvent.AUTO_MERGE if data.get("enabled") is False:
            return f"auto-merge of pull request {get('number')} is taken back: {get('reason')}", data.get("url")
        case LedgerEvent.AUTO_MERGE:
            return f"pull request {get('number')} is left to the forge to merge", data.get("url")
        case LedgerEvent.MANUAL | LedgerEvent.FREEZE | LedgerEvent.UNFREEZE:
            return f"{data.get('by') or 'somebody'}: {get('reason')}", None
        case _:
            assert_never(event)


def took(usage: Mapping[str, Any]) -> str:
    """``12.5 s of CPU, 400 MB, 0.02 EUR, 1.4 gCO2e``, without what no factor is declared for."""
    parts = [f"{usage['cpu_seconds']:.1f} s of CPU", f"{usage['peak_memory_bytes'] / 1e6:.0f} MB of memory"]
    if cost := usage.get("cost"):
        parts.append(f"{cost['amount']:.2g} {cost['currency']}")
    if (grams := usage.get("co2e_grams")) is not None:
        parts.append(f"{grams:.2g} gCO2e")
    return ", ".join(parts)


def _of_commit(commit: Commit, *, at: datetime) -> list[Moment]:
    place = "" if commit.in_head else ", not in HEAD's history"
    moments = [
        Moment(
            at=at,
            what="commit",
            line=f"{commit.subject}, by {commit.author}{place}",
            where=commit.id[:12],
            run_id=commit.run_id,
        )
    ]
    if commit.merged_as is not None and commit.merged_at is not None:
        line = f"{commit.id[:12]} was merged"
        moments.append(Moment(at=commit.merged_at, what="merge", line=line, where=commit.merged_as[:12]))
    return moments


def _of_registry(registry: Registry, places: set[str]) -> list[Moment]:
    champion = registry.champion()
    moments = [
        Moment(
            at=version.registered_at,
            what="version",
            line=f"registered as {version.version}" + ("" if version.current else ", withdrawn since"),
            where=version.tag,
        )
        for version in registry.versions
        if version.commit in places
    ]
    for assigned in registry.assignments:
        if assigned.commit in places:
            now = ", which it is now" if champion is not None and champion.tag == assigned.tag else ""
            line = f"became {assigned.stage}{now}" + ("" if assigned.current else ", taken back since")
            moments.append(Moment(at=assigned.assigned_at, what="stage", line=line, where=assigned.tag))
    return moments
