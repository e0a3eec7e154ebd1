"""The registry: which commit is which version, and which version is the champion, read from git tags alone.

The grammar is GTO's, so that its tools read our tags:

=======================  =====================================================================
``churn@v1.2.0``         version 1.2.0 of the pipeline ``churn`` is this commit
``churn@v1.2.0!``        ... is no longer registered (``!#2`` where it is said again)
``churn#stable#3``       third assignment of the stage ``stable``: to this commit
``churn#stable!#4``      fourth event of the stage: this commit is unassigned from it
``churn@deprecated#5``   the whole artefact is deprecated; Remint reads on
=======================  =====================================================================
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Self, assert_never

from remint.core.document import format_time
from remint.errors import ConfigError

STABLE: Final = "stable"
_VERSION = r"v(?P<major>0|[1-9]\d*)\.(?P<minor>0|[1-9]\d*)\.(?P<patch>0|[1-9]\d*)"
_REGISTERED = re.compile(_VERSION + r"(?P<cancel>!(?:#\d+)?)?")
_ASSIGNED = re.compile(r"(?P<stage>[a-z][a-z0-9-]*)(?P<cancel>!)?#(?P<number>\d+)")


class Bump(StrEnum):
    """Which part of the version a new registration raises."""

    MAJOR = "major"
    MINOR = "minor"
    PATCH = "patch"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Version:
    """A semantic version without pre-release; ordered."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"v{self.major}.{self.minor}.{self.patch}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """``v1.2.0``; anything else raises ConfigError."""
        match = re.fullmatch(_VERSION, text)
        if match is None:
            raise ConfigError(f"{text!r} is not a version", hint="such as v1.2.0")
        return cls(major=int(match["major"]), minor=int(match["minor"]), patch=int(match["patch"]))

    def bumped(self, bump: Bump) -> Version:
        match bump:
            case Bump.MAJOR:
                return Version(major=self.major + 1, minor=0, patch=0)
            case Bump.MINOR:
                return Version(major=self.major, minor=self.minor + 1, patch=0)
            case Bump.PATCH:
                return Version(major=self.major, minor=self.minor, patch=self.patch + 1)
            case _:
                assert_never(bump)


FIRST_VERSION: Final = Version(major=0, minor=1, patch=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """A git tag: its name, the commit behind it and when it was made."""

    name: str
    commit: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    tag: str
    version: Version
    commit: str
    registered_at: datetime
    current: bool  # False once deregistered


@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned:
    tag: str
    stage: str
    number: int
    commit: str
    assigned_at: datetime
    current: bool  # False once unassigned, or once its version is deregistered


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
    """All versions (rising) and all stage assignments (rising by number) of one pipeline."""

    pipeline: str
    versions: tuple[Registered, ...]
    assignments: tuple[Assigned, ...]
    numbers: frozenset[tuple[str, int]]  # (stage, number) that are taken, unassignments too

    def champion(self, stage: str = STABLE) -> Champion | None:
        """The assignment of the highest number that still stands; None where there is none."""
        standing = [a for a in self.assignments if a.stage == stage and a.current]
        if not standing:
            return None
        newest = max(standing, key=lambda a: a.number)
        version = self.version_of(newest.commit)
        return Champion(
            tag=newest.tag,
            number=newest.number,
            version=str(version.version) if version else None,
            commit=newest.commit,
            assigned_at=newest.assigned_at,
        )

    def version_of(self, commit: str) -> Registered | None:
        """The highest version that is registered at this commit."""
        return max((v for v in self.versions if v.commit == commit and v.current), key=_by_version, default=None)

    def find(self, version: Version) -> Registered | None:
        """The registration of this version, if it stands."""
        return next((v for v in self.versions if v.version == version and v.current), None)

    def next_version(self, bump: Bump = Bump.MINOR) -> Version:
        """One more than the highest version ever registered: a deregistered number is never given out again."""
        if not self.versions:
            return FIRST_VERSION
        return max(v.version for v in self.versions).bumped(bump)

    def next_number(self, stage: str) -> int:
        return max((number for taken, number in self.numbers if taken == stage), default=0) + 1

    def to_json(self) -> dict[str, Any]:
        champion = self.champion()
        return {
            "pipeline": self.pipeline,
            "champion": champion.to_json() if champion else None,
            "versions": [
                {
                    "tag": v.tag,
                    "version": str(v.version),
                    "commit": v.commit,
                    "registered_at": format_time(v.registered_at),
                    "current": v.current,
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
                }
                for a in self.assignments
            ],
        }


def read_registry(pipeline: str, tags: Iterable[Tag]) -> Registry:
    """What the tags say about ``pipeline``. Tags of other pipelines and other grammars are not ours and left alone."""
    registered: dict[Version, Tag] = {}
    deregistered: set[Version] = set()
    assigned: list[tuple[str, int, Tag]] = []
    unassigned: list[tuple[str, int, Tag]] = []
    for tag in tags:
        if match := _match(_REGISTERED, tag.name, f"{pipeline}@"):
            version = Version(major=int(match["major"]), minor=int(match["minor"]), patch=int(match["patch"]))
            if match["cancel"]:
                deregistered.add(version)
            else:
                registered[version] = tag
        elif match := _match(_ASSIGNED, tag.name, f"{pipeline}#"):
            where = unassigned if match["cancel"] else assigned
            where.append((match["stage"], int(match["number"]), tag))
    versions = tuple(
        Registered(
            tag=tag.name,
            version=version,
            commit=tag.commit,
            registered_at=tag.at,
            current=version not in deregistered,
        )
        for version, tag in sorted(registered.items(), key=lambda item: item[0])
    )
    # A commit whose every version was taken back cannot be in production; one without any version can.
    withdrawn = {v.commit for v in versions} - {v.commit for v in versions if v.current}
    assignments = tuple(
        Assigned(
            tag=tag.name,
            stage=stage,
            number=number,
            commit=tag.commit,
            assigned_at=tag.at,
            current=tag.commit not in withdrawn
            and not any(s == stage and n > number and t.commit == tag.commit for s, n, t in unassigned),
        )
        for stage, number, tag in sorted(assigned, key=lambda item: (item[0], item[1]))
    )
    numbers = frozenset((stage, number) for stage, number, _ in (*assigned, *unassigned))
    return Registry(pipeline=pipeline, versions=versions, assignments=assignments, numbers=numbers)


def version_tag(pipeline: str, version: Version) -> str:
    return f"{pipeline}@{version}"


def stage_tag(pipeline: str, stage: str, number: int) -> str:
    return f"{pipeline}#{stage}#{number}"


def _by_version(registered: Registered) -> Version:
    return registered.version


def _match(pattern: re.Pattern[str], name: str, prefix: str) -> re.Match[str] | None:
    return pattern.fullmatch(name[len(prefix) :]) if name.startswith(prefix) else None
