"""The integrity rule: values that cannot be. Something before the model broke, and nothing must be learned from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.stats import binom

from remint.core.profile import BELOW, MISSING, UNSEEN, Counts, FieldProfile, FieldRole, Measure, Reference
from remint.core.signals import WindowCounts, no_data, percent, quiet
from remint.core.trigger import RuleKind, RuleResult, RuleState
from remint.core.verdict import Finding, Verdict
from remint.errors import Silence

_NAMED: Final = 3  # findings that the sentence names; the rest is counted


def integrity_rule(
    name: str,
    window: WindowCounts,
    reference: Reference,
    *,
    missing_share: float,
    unseen_share: float,
    out_of_range_share: float,
    alpha: float,
    min_rows: int,
) -> RuleResult:
    """Fires where a feature holds more values that cannot be than its reference share plus the limit, beyond chance.

    One-sided exact binomial test of share <= reference share + limit, ``alpha`` split over all tests, so that it fires
    on a few rows only when nearly all of them are broken. Rows that could not be read at all count as missing.
    """
    if window.rows == 0 and window.malformed_rows == 0:
        return no_data(name, RuleKind.INTEGRITY, "no predictions in the window", silence=Silence.EMPTY)
    limits = {"missing": missing_share, "unseen": unseen_share, "out of range": out_of_range_share}
    tests = [_Share("row", "unreadable", missing_share, window.malformed_rows, window.rows + window.malformed_rows)]
    for profile in reference.fields:
        if profile.role is FieldRole.FEATURE and profile.name in window.counts:
            for what, bins in _impossible(profile):
                tests.append(_share(profile, what, bins, window.counts, margin=limits[what]))
    findings = []
    for test in tests:
        # A limit of everything is never exceeded: a column that was nearly all missing cannot get much worse
        if test.count > test.limit * test.rows:
            p_value = float(binom.sf(test.count - 1, test.rows, test.limit))
            if p_value <= alpha / len(tests):
                findings.append(_broken(name, test, p_value))
    findings.sort(key=lambda f: -(f.observed or 0.0))
    if findings:
        named = "; ".join(f.reason for f in findings[:_NAMED])
        more = f"; and {len(findings) - _NAMED} more" if len(findings) > _NAMED else ""
        example = f" (such as {window.malformed_example})" if window.malformed_example else ""
        reason = f"the data broke: {named}{more}{example}"
        return RuleResult(
            name=name,
            kind=RuleKind.INTEGRITY,
            state=RuleState.OK,
            fired=True,
            reason=reason,
            findings=tuple(findings),
        )
    if window.rows < min_rows:
        return no_data(
            name,
            RuleKind.INTEGRITY,
            f"{window.rows} predictions in the window, {min_rows} needed",
            silence=Silence.TOO_FEW,
        )
    reason = "missing, unseen and out-of-range values are as rare as the limits allow"
    return quiet(name, RuleKind.INTEGRITY, reason)


@dataclass(frozen=True, slots=True)
class _Share:
    field: str
    what: str
    limit: float  # the reference's own share and what may come on top of it
    count: int
    rows: int


def _impossible(profile: FieldProfile) -> list[tuple[str, list[int]]]:
    """The bins whose values the reference has hardly or not at all, by what is wrong with them.

    A text's length or share of new words beyond the range of training, or a text without any of its frequent words, is
    how texts drift: nothing broke.
    """
    if profile.measure is not Measure.VALUE:
        return [("missing", [MISSING])]
    if profile.is_numeric:
        return [("missing", [MISSING]), ("out of range", [BELOW, profile.above])]
    return [("missing", [MISSING]), ("unseen", [UNSEEN])]


def _share(profile: FieldProfile, what: str, bins: Sequence[int], counts: Counts, *, margin: float) -> _Share:
    current = np.asarray(counts[profile.name])
    expected = sum(profile.counts[i] for i in bins) / max(1, sum(profile.counts))
    return _Share(profile.name, what, min(1.0, expected + margin), int(current[list(bins)].sum()), int(current.sum()))


def _broken(rule: str, test: _Share, p_value: float) -> Finding:
    observed = test.count / test.rows
    reason = f"{test.field} is {test.what} in {percent(observed)} of {test.rows} rows"
    return Finding(
        rule=rule,
        verdict=Verdict.FAIL,
        field=test.field,
        reason=f"{reason}, {percent(test.limit)} allowed",
        observed=observed,
        limit=test.limit,
        evidence={"what": test.what, "count": test.count, "rows": test.rows, "p_value": p_value},
    )
