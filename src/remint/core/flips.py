"""Negative flips: distinct rows on which the champion was right and the challenger is wrong.

Two models of the same accuracy may be wrong about other people, and a user whom the service answered rightly notices.
The share is that of Yan et al., "Positive-Congruent Training: Towards Regression-Free Model Updates" (CVPR 2021), over
distinct rows; the interval is the exact one of a binomial share (Clopper & Pearson 1934).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scipy.stats import binomtest

from remint.core.gate_words import share
from remint.core.paired import CONFIDENCE, Disagreement
from remint.core.verdict import Absence, Finding, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Flips:
    """``worse`` are the negative flips, ``better`` the rows that only the challenger has right; all distinct rows."""

    rows: int
    worse: int
    better: int
    low: float
    high: float

    @property
    def share(self) -> float:
        return self.worse / self.rows

    def to_json(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "worse": self.worse,
            "better": self.better,
            "share": self.share,
            "interval": {"low": self.low, "high": self.high},
        }


def flips_of(found: Disagreement, *, keys: int) -> Flips | None:
    """The flips among ``keys`` distinct rows, of which the models disagree as ``found`` says; None without rows."""
    if keys == 0:
        return None
    bounds = binomtest(found.champion_right, keys).proportion_ci(CONFIDENCE, method="exact")
    return Flips(
        rows=keys,
        worse=found.champion_right,
        better=found.challenger_right,
        low=float(bounds.low),
        high=float(bounds.high),
    )


def judge_flips(found: Flips | None, *, max_share: float, min_rows: int, has_champion: bool, rows_name: str) -> Finding:
    """Whether the share of negative flips is at most ``max_share``: by the point estimate, as with any rule."""
    where = f"negative flips on {rows_name} rows"
    if not has_champion:
        return Finding(
            rule="flips", verdict=Absence.NO_CHAMPION, reason=f"{where}: no champion to compare with", limit=max_share
        )
    if found is None:
        return Finding(rule="flips", verdict=Absence.MISSING, reason=f"{where}: could not be counted", limit=max_share)
    said = (
        f"{where}: {share(found.share)} of {found.rows} distinct rows were right and are wrong now "
        f"({found.worse}, against {found.better} the other way), 95 % interval {share(found.low)} to "
        f"{share(found.high)}"
    )
    verdict = Verdict.PASS if found.worse <= max_share * found.rows else Verdict.FAIL
    said += f", at most {share(max_share)} are allowed"
    if found.rows < min_rows:
        verdict = Verdict.INCONCLUSIVE
        said = f"{where}: {found.rows} distinct rows, the gate needs {min_rows} (gate.min_rows)"
    return Finding(
        rule="flips",
        verdict=verdict,
        reason=said,
        observed=found.share,
        limit=max_share,
        evidence={"on": rows_name, **found.to_json()},
    )
