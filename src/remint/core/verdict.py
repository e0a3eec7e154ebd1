"""A verdict, the findings behind it, and how findings add up.

A document's verdict is one of three; a finding of the gate may also say *why* it has no answer: see ``Absence``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias, assert_never


class Verdict(StrEnum):
    """The three answers a rule can give. There is no default: silence is INCONCLUSIVE."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    INCONCLUSIVE = "inconclusive"
    FAIL = "fail"


class Absence(StrEnum):
    """Why a finding of the gate has no answer. By itself it counts as INCONCLUSIVE, never as a pass."""

    NO_CHAMPION = "no_champion"  # nothing to compare with, and no floor to reach
    MISSING = "missing"  # could not be measured: absent, not a number, no such column


FindingVerdict: TypeAlias = Verdict | Absence

_SEVERITY = {Verdict.PASS: 0, Verdict.INCONCLUSIVE: 1, Verdict.FAIL: 2}


def finding_verdict(text: str) -> FindingVerdict:
    """The verdict of a finding as a document spells it; raises ValueError for any other word."""
    return Absence(text) if text in set(Absence) else Verdict(text)


def counted(verdict: FindingVerdict) -> Verdict:
    """What a finding's verdict counts for when findings add up."""
    match verdict:
        case Verdict():
            return verdict
        case Absence.NO_CHAMPION | Absence.MISSING:
            return Verdict.INCONCLUSIVE
        case _:
            assert_never(verdict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One rule applied to one observation, with its evidence in words that a reviewer understands."""

    rule: str
    verdict: FindingVerdict
    reason: str
    observed: float | None = None
    limit: float | None = None
    field: str | None = None
    evidence: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "rule": self.rule,
            "field": self.field,
            "verdict": self.verdict.value,
            "observed": self.observed,
            "limit": self.limit,
            "reason": self.reason,
            "evidence": dict(self.evidence),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Finding:
        return cls(
            rule=data["rule"],
            verdict=finding_verdict(data["verdict"]),
            reason=data["reason"],
            observed=data["observed"],
            limit=data["limit"],
            field=data["field"],
            evidence=data["evidence"],
        )


def overall(findings: Iterable[Finding]) -> Verdict:
    """The worst finding wins. No findings is INCONCLUSIVE, never PASS."""
    return max((counted(f.verdict) for f in findings), key=_SEVERITY.__getitem__, default=Verdict.INCONCLUSIVE)
