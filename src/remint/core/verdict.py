"""A verdict, the findings behind it, and how findings add up."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """The three answers a rule can give. There is no default: silence is INCONCLUSIVE."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    INCONCLUSIVE = "inconclusive"
    FAIL = "fail"


_SEVERITY = {Verdict.PASS: 0, Verdict.INCONCLUSIVE: 1, Verdict.FAIL: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One rule applied to one observation, with its evidence in words that a reviewer understands."""

    rule: str
    verdict: Verdict
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
            verdict=Verdict(data["verdict"]),
            reason=data["reason"],
            observed=data["observed"],
            limit=data["limit"],
            field=data["field"],
            evidence=data["evidence"],
        )


def overall(findings: Iterable[Finding]) -> Verdict:
    """The worst finding wins. No findings is INCONCLUSIVE, never PASS."""
    return max((f.verdict for f in findings), key=_SEVERITY.__getitem__, default=Verdict.INCONCLUSIVE)
