"""The registry: which commit is which version, and which version is the champion, read from git tags alone.

The grammar is GTO's, so that its tools read our tags and we read theirs:

=======================  =====================================================================
``churn@v1.2.0``         version 1.2.0 of the pipeline ``churn`` is this commit
``churn@v1.2.0!``        ... is no longer registered (``!#2`` where it is said again)
``churn#stable#3``       third assignment of the stage ``stable``: to this commit
``churn#stable!#4``      fourth event of the stage: this commit is unassigned from it
``churn@deprecated#5``   the whole artefact is deprecated, until something newer is said of it
=======================  =====================================================================

The number is optional in all of them. GTO orders events by the tag's time, we order a stage's by number, which nobody's
clock can turn round; a tag without a number stands behind those that are as old. ``Registry.rival`` tells where the two
orders name different champions. A tag that is not annotated has no time and no author: GTO does not see it, nor do we.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from remint.core.document import format_time
from remint.core.version import FIRST_VERSION, PATTERN, Bump, Version

__all__ = [
    "FIRST_VERSION",
    "STABLE",
    "Assigned",
    "Bump",
    "Champion",
    "Registered",
    "Registry",
    "Tag",
    "Version",
    "read_registry",
    "stage_tag",
    "version_tag",
]

STABLE: Final = "stable"
STAGE_PATTERN: Final = r"[a-zA-Z0-9](?:[a-zA-Z0-9/_-]*[a-zA-Z0-9])?"
_NUMBER = r"(?:#(?P<number>\d+))?"
_REGISTERED = re.compile(rf"{PATTERN}(?P<cancel>!)?{_NUMBER}")
_ASSIGNED = re.compile(rf"(?P<stage>{STAGE_PATTERN})(?P<cancel>!)?{_NUMBER}")
_DEPRECATED = re.compile(rf"deprecated{_NUMBER}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """A git tag: its name, the commit behind it, when it was made and by whom."""

    name: str
    commit: str
    at: datetime
    by: str | None = None
    annotated: bool = True  # else it is only a name, without time and author of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    tag: str
    version: Version
    commit: str
    registered_at: datetime
    current: bool  # False once deregistered
    by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned:
    tag: str
    stage: str
    number: int
    commit: str
    assigned_at: datetime
    current: bool  # False once unassigned, or once its version is deregistered
    by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Champion:
    """The model in production: the stage's newest assignment that still stands. ``version`` is None where untagged."""

    tag: str
    number: int
    version: str | None
    commit: str
    assigned_at: datetime

    def to_json(self) -> dict[str, Any]:
        return {
            "tag": self.tag,
            "number": self.number,
            "version": self.version,
            "commit": self.commit,
            "assigned_at": format_time(self.assigned_at),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """All versions (rising) and all stage assignments (by stage, each in its order) of one pipeline."""

    pipeline: str
    versions: tuple[Registered, ...]
    assignments: tuple[Assigned, ...]
    numbers: frozenset[tuple[str, int]]  # (stage, number) that are taken, unassignments too
    moments: tuple[tuple[str, datetime], ...] = ()  # (stage, time) of each of its events
    deprecated: Tag | None = None  # nothing newer was said of the pipeline than that it is deprecated
    ignored: tuple[str, ...] = ()  # ours by name, but not annotated

    def champion(self, stage: str = STABLE) -> Champion | None:
        """The last assignment of the stage that still stands; None where there is none."""
        standing = self._standing(stage)
        return self._named(standing[-1]) if standing else None

    def previous(self, stage: str = STABLE) -> Champion | None:
        """What stood before the champion: the last standing assignment of another commit."""
        standing = self._standing(stage)
        earlier = [a for a in standing if a.commit != standing[-1].commit]
        return self._named(earlier[-1]) if earlier else None

    def rival(self, stage: str = STABLE) -> str | None:
        """The tag that GTO, which goes by time, may take for the champion's; None where both mean the same."""
        standing = self._standing(stage)
        others = [a for a in standing if a.commit != standing[-1].commit and a.assigned_at >= standing[-1].assigned_at]
        return max(others, key=lambda a: a.assigned_at).tag if others else None

    def last_at(self, stage: str) -> datetime | None:
        """When something was last said of the stage, also that a commit is out of it."""
        return max((at for said, at in self.moments if said == stage), default=None)

    def _standing(self, stage: str) -> list[Assigned]:
        return [a for a in self.assignments if a.stage == stage and a.current]

    def _named(self, assigned: Assigned) -> Champion:
        version = self.version_of(assigned.commit)
        return Champion(
            tag=assigned.tag,
            number=assigned.number,
            version=str(version.version) if version else None,
            commit=assigned.commit,
            assigned_at=assigned.assigned_at,
        )

    def version_of(self, commit: str) -> Registered | None:
        """The highest version that is registered at this commit."""
        return max((v for v in self.versions if v.commit == commit and v.current), key=_by_version, default=None)

    def find(self, version: Version) -> Registered | None:
        """The registration of this version, if it stands."""
        return next((v for v in self.versions if v.version == version and v.current), None)

    def next_version(self, bump: Bump = Bump.MINOR, *, first: Version = FIRST_VERSION) -> Version:
        """One more than the highest version ever registered: a deregistered number is never given out again."""
        if not self.versions:
            return first
        return max(v.version for v in self.versions).bumped(bump)

    def next_number(self, stage: str) -> int:
        return max((number for taken, number in self.numbers if taken == stage), default=0) + 1

    def to_json(self) -> dict[str, Any]:
        champion = self.champion()
        return {
            "pipeline": self.pipeline,
            "champion": champion.to_json() if champion else None,
            "deprecated": None
            if self.deprecated is None
            else {"tag": self.deprecated.name, "at": format_time(self.deprecated.at), "by": self.deprecated.by},
            "ignored": list(self.ignored),
            "versions": [
                {
                    "tag": v.tag,
                    "version": str(v.version),
                    "commit": v.commit,
                    "registered_at": format_time(v.registered_at),
                    "current": v.current,
                    "by": v.by,
                }
                for v in self.versions
            ],
            "assignments": [
                {
                    "tag": a.tag,
                    "stage": a.stage,
                    "number": a.number,
                    "commit": a.commit,
                    "assigned_at": format_time(a.assigned_at),
                    "current": a.current,
                    "by": a.by,
                }
                for a in self.assignments
            ],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Event:
    """One tag that says or takes back something about ``of``: a version, or a stage."""

    of: Version | str
    number: int | None
    cancels: bool
    tag: Tag


def read_registry(pipeline: str, tags: Iterable[Tag]) -> Registry:
    """What the tags say about ``pipeline``. Tags of other pipelines and other grammars are not ours and left alone."""
    on_versions: list[_Event] = []
    on_stages: list[_Event] = []
    deprecations: list[Tag] = []
    ignored: list[str] = []
    numbers: set[tuple[str, int]] = set()
    for tag in tags:
        event = _event(pipeline, tag)
        if event is None:
            continue
        if isinstance(event, _Event) and isinstance(event.of, str) and event.number is not None:
            numbers.add((event.of, event.number))  # also of a tag that is ignored: the name is gone
        if not tag.annotated:
            ignored.append(tag.name)
        elif isinstance(event, Tag):
            deprecations.append(event)
        elif isinstance(event.of, str):
            on_stages.append(event)
        else:
            on_versions.append(event)
    versions = _versions(on_versions)
    deprecated = max(deprecations, key=lambda tag: (tag.at, tag.name), default=None)
    newest = max((event.tag.at for event in (*on_versions, *on_stages)), default=None)
    if deprecated is not None and newest is not None and newest > deprecated.at:
        deprecated = None
    return Registry(
        pipeline=pipeline,
        versions=versions,
        assignments=_assignments(on_stages, versions),
        numbers=frozenset(numbers),
        moments=tuple(sorted((str(event.of), event.tag.at) for event in on_stages)),
        deprecated=deprecated,
        ignored=tuple(sorted(ignored)),
    )


def _event(pipeline: str, tag: Tag) -> _Event | Tag | None:
    """What one tag says; the tag itself where it deprecates, None where it is not the pipeline's."""
    if match := _match(_REGISTERED, tag.name, f"{pipeline}@"):
        return _Event(of=Version.from_match(match), number=_number(match), cancels=bool(match["cancel"]), tag=tag)
    if match := _match(_ASSIGNED, tag.name, f"{pipeline}#"):
        return _Event(of=match["stage"], number=_number(match), cancels=bool(match["cancel"]), tag=tag)
    return tag if _match(_DEPRECATED, tag.name, f"{pipeline}@") else None


def _versions(events: Iterable[_Event]) -> tuple[Registered, ...]:
    """The newest event of each version says whether it stands; in one and the same second the withdrawal does."""
    by_version: dict[Version, list[_Event]] = {}
    for event in events:
        if isinstance(event.of, Version):
            by_version.setdefault(event.of, []).append(event)
    found = []
    for version, told in sorted(by_version.items()):
        told.sort(key=lambda e: (e.tag.at, e.cancels, e.number or 0))
        made = [event for event in told if not event.cancels]
        if made:
            tag = made[-1].tag
            found.append(
                Registered(
                    tag=tag.name,
                    version=version,
                    commit=tag.commit,
                    registered_at=tag.at,
                    current=not told[-1].cancels,
                    by=tag.by,
                )
            )
    return tuple(found)


def _assignments(events: Iterable[_Event], versions: tuple[Registered, ...]) -> tuple[Assigned, ...]:
    # A commit whose every version was taken back cannot be in production; one without any version can.
    withdrawn = {v.commit for v in versions} - {v.commit for v in versions if v.current}
    by_stage: dict[str, list[_Event]] = {}
    for event in events:
        by_stage.setdefault(str(event.of), []).append(event)
    found = []
    for stage, told in sorted(by_stage.items()):
        numbered = [(e.number, e.tag.at) for e in told if e.number is not None]

        def place(event: _Event, numbered: list[tuple[int, datetime]] = numbered) -> int:
            if event.number is not None:
                return event.number
            return max((number for number, at in numbered if at <= event.tag.at), default=0)

        told.sort(key=lambda e: (place(e), e.number is None, e.tag.at, e.cancels))
        for index, event in enumerate(told):
            if not event.cancels:
                tag = event.tag
                taken_back = any(later.cancels and later.tag.commit == tag.commit for later in told[index + 1 :])
                found.append(
                    Assigned(
                        tag=tag.name,
                        stage=stage,
                        number=place(event),
                        commit=tag.commit,
                        assigned_at=tag.at,
                        current=tag.commit not in withdrawn and not taken_back,
                        by=tag.by,
                    )
                )
    return tuple(found)


def _number(match: re.Match[str]) -> int | None:
    return None if match["number"] is None else int(match["number"])


def version_tag(pipeline: str, version: Version) -> str:
    return f"{pipeline}@{version}"


def stage_tag(pipeline: str, stage: str, number: int) -> str:
    return f"{pipeline}#{stage}#{number}"


def _by_version(registered: Registered) -> Version:
    return registered.version


def _match(pattern: re.Pattern[str], name: str, prefix: str) -> re.Match[str] | None:
    return pattern.fullmatch(name[len(prefix) :]) if name.startswith(prefix) else None
