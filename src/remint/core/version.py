"""Model versions: their order, and which part of the number the evidence about a model raises."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import total_ordering
from typing import Any, Final, Self, assert_never

from remint.core.gate import weighs
from remint.core.verdict import Verdict, finding_verdict
from remint.errors import ConfigError, UsageError

_IDENTIFIER = r"(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
#: Semantic Versioning 2.0.0 behind a ``v``, as in GTO's tags.
PATTERN: Final = (
    r"v(?P<major>0|[1-9]\d*)\.(?P<minor>0|[1-9]\d*)\.(?P<patch>0|[1-9]\d*)"
    rf"(?:-(?P<pre>{_IDENTIFIER}(?:\.{_IDENTIFIER})*))?(?:\+(?P<build>[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?"
)
_VERSION = re.compile(PATTERN)
_BY_HAND: Final = "--bump or --version says it by hand"


class Bump(StrEnum):
    """Which part of the version a new registration raises."""

    MAJOR = "major"
    MINOR = "minor"
    PATCH = "patch"


class BumpPolicy(StrEnum):
    """How a registration that is not told finds its bump."""

    MINOR = "minor"  # always
    BY_VERDICT = "by_verdict"  # from the gate and the model's interface, see ``bump_by_verdict``


@total_ordering
@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A semantic version; ordered, a pre-release below its release. Remint gives out none with ``pre`` by itself."""

    major: int
    minor: int
    patch: int
    pre: str = ""
    build: str = ""

    def __str__(self) -> str:
        pre, build = f"-{self.pre}" if self.pre else "", f"+{self.build}" if self.build else ""
        return f"v{self.major}.{self.minor}.{self.patch}{pre}{build}"

    def __lt__(self, other: Version) -> bool:
        return self._key() < other._key()

    def _key(self) -> tuple[Any, ...]:
        # Numbers below words, and the release itself above all its pre-releases (section 11)
        identifiers = self.pre.split(".") if self.pre else []
        ranked = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in identifiers)
        return (self.major, self.minor, self.patch, not self.pre, ranked, self.build)

    @classmethod
    def parse(cls, text: str) -> Self:
        """``v1.2.0``, also ``v1.2.0-rc.1``; anything else raises ConfigError."""
        match = _VERSION.fullmatch(text)
        if match is None:
            raise ConfigError(f"{text!r} is not a version", hint="such as v1.2.0")
        return cls.from_match(match)

    @classmethod
    def from_match(cls, match: re.Match[str]) -> Self:
        """From a match of ``PATTERN``."""
        return cls(
            major=int(match["major"]),
            minor=int(match["minor"]),
            patch=int(match["patch"]),
            pre=match["pre"] or "",
            build=match["build"] or "",
        )

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
class Interface:
    """What a client of the service relies on: the columns that it sends, and the classes that it may get."""

    columns: frozenset[tuple[str, str]]  # name, kind
    classes: frozenset[str]

    @classmethod
    def of(cls, reference: Mapping[str, Any], metadata: Mapping[str, Any]) -> Self:
        """From ``reference.json`` and ``metadata.json``. A text column has several fields, of which each counts."""
        columns = {
            (f["column"], f"{f['measure']}, {'numeric' if f['edges'] is not None else 'categorical'}")
            for f in reference["fields"]
            if f["role"] == "feature"
        }
        return cls(columns=frozenset(columns), classes=frozenset(metadata["classes"]))

    def changes(self, before: Interface) -> tuple[str, ...]:
        """In words; none where a client of ``before`` notices nothing."""
        old, new = {name for name, _ in before.columns}, {name for name, _ in self.columns}
        moved = {name for name, _ in self.columns ^ before.columns} & old & new
        said = (
            ("column gone", old - new),
            ("new column", new - old),
            ("column of another kind", moved),
            ("class gone", before.classes - self.classes),
            ("new class", self.classes - before.classes),
        )
        return tuple(f"{what}: {', '.join(sorted(names))}" for what, names in said if names)


@dataclass(frozen=True, slots=True, kw_only=True)
class BumpReason:
    bump: Bump
    reason: str


def bump_by_verdict(
    gate: Mapping[str, Any] | None, *, accepted: Iterable[str], changes: Iterable[str], where: str
) -> BumpReason:
    """What the evidence about a bundle raises; the first line that holds decides:

    =======  ========================================================================================
    refused  no gate, or one that is inconclusive, or failed in a rule that nobody accepted: UsageError
    major    the interface changed: a client of the service may have to change too
    patch    a person accepted a regression: released, but not as an improvement
    minor    the gate passed
    =======  ========================================================================================

    ``gate`` is the (unsealed) document about this bundle, ``accepted`` the rules that people accepted of it.
    """
    if gate is None:
        raise UsageError("no gate.json of this bundle is in the ledger", where=where, hint=_BY_HAND)
    accepted = {*accepted, *(str(a["rule"]) for a in gate["accepted"])}
    findings = [(str(f["rule"]), weighs(str(f["rule"]), finding_verdict(f["verdict"]))) for f in gate["findings"]]
    open_ = sorted(
        {
            rule
            for rule, verdict in findings
            if verdict is Verdict.INCONCLUSIVE or (verdict is Verdict.FAIL and rule not in accepted)
        }
    )
    if open_ or not findings:
        raise UsageError(
            f"its gate was not passed ({', '.join(open_) or 'it looked at nothing'}), and has no version for that",
            where=where,
            hint=_BY_HAND,
        )
    if changed := "; ".join(changes):
        return BumpReason(bump=Bump.MAJOR, reason=changed)
    if accepted:
        return BumpReason(bump=Bump.PATCH, reason=f"accepted: {', '.join(sorted(accepted))}")
    return BumpReason(bump=Bump.MINOR, reason="the gate passed")
