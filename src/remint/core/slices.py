"""Named subsets of the judged rows, each with its own comparison; many looks, one chance of a false alarm.

A column is cut into slices by value or by edges, and each slice is compared on the same rows as the whole. Whoever
looks at fifty slices sees a bad one by luck, so a slice fails only where three things hold:

1. it is worse by more than its tolerance (the point estimate, as with any rule);
2. "the models are the same" is refuted by exchanging their answers (exact at any size, ``paired.exchanged``);
3. "it is worse by no more than the tolerance" is refuted by a one-sided t of the excess over the bootstrap's standard
   error, with a degree of freedom less than there are distinct rows.

The larger of the two p-values of a slice goes into Holm's step-down correction (Holm 1979) over all slices of all
columns and metrics that could be judged, so that the chance of any false failure stays below ``ALPHA``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

from remint.core.document import finite
from remint.core.gate import Direction, GateRule, MetricRole, SliceRule, exceeds, worse_by
from remint.core.gate_words import difference, listed
from remint.core.paired import (
    DRAWS,
    Noise,
    Scored,
    differences,
    distinct,
    exchanged,
    interval,
    statistic_of,
    value,
)
from remint.core.profile import FIRST, FieldProfile
from remint.core.verdict import Absence, Finding, FindingVerdict, Verdict

ALPHA: Final = 0.05  # the chance that any slice of a challenger that is no worse than allowed fails
MOST_VALUES: Final = 20  # slices of a column by value: its most frequent ones; the rest is one slice
_SHOWN: Final = 60  # characters of a value in a slice's name

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One slice: a name for people and which rows are in it, shape (rows,)."""

    name: str
    rows: Mask


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One metric on one slice. ``p_value`` is None where the slice was not judged."""

    rule: GateRule  # as it holds in the slice
    column: str
    part: str
    rows_name: str
    rows: int
    keys: int
    champion: float | None
    challenger: float | None
    noise: Noise | None
    p_value: float | None
    verdict: FindingVerdict

    def to_json(self) -> dict[str, Any]:
        return {
            "slice": self.part,
            "column": self.column,
            "metric": self.rule.metric,
            "role": self.rule.role.value,
            "rows_name": self.rows_name,
            "rows": self.rows,
            "distinct_rows": self.keys,
            "champion": self.champion,
            "challenger": self.challenger,
            "tolerance": self.rule.allowed(self.champion),
            "interval": None if self.noise is None else {"low": self.noise.low, "high": self.noise.high},
            "p_value": self.p_value,
            "verdict": self.verdict.value,
        }


# -- which rows ------------------------------------------------------------------------------------------------------


def by_value(column: str, values: npt.NDArray[Any], *, most: int = MOST_VALUES) -> tuple[Part, ...]:
    """A slice for each of the most frequent values, one for the rest, one for missing; ``values`` are str or None."""
    counts = Counter(v for v in values.tolist() if v is not None)
    ranked = sorted(counts, key=lambda v: (-counts[v], v))
    shown = ranked[: most if len(ranked) <= most else most - 1]
    parts = [Part(name=f"{column} = {_short(v)}", rows=np.array(values == v, dtype=bool)) for v in shown]
    missing = np.array([v is None for v in values.tolist()], dtype=bool)
    others = ~missing & ~np.any([part.rows for part in parts], axis=0) if parts else np.zeros(len(values), dtype=bool)
    return _occurring([*parts, Part(name=f"{column}: other values", rows=others), _missing(column, missing)])


def by_edges(column: str, values: npt.NDArray[np.float64], edges: Sequence[float]) -> tuple[Part, ...]:
    """Below the first edge, ``[e_i, e_i+1)`` between, from the last edge on, and missing (NaN); edges ascend."""
    missing = np.isnan(values)
    index = np.searchsorted(np.asarray(edges), values, side="right")
    parts = []
    for i in range(len(edges) + 1):
        low, high = (None if i == 0 else edges[i - 1]), (None if i == len(edges) else edges[i])
        if low is None:
            name = f"{column} < {high:g}"
        elif high is None:
            name = f"{column} >= {low:g}"
        else:
            name = f"{low:g} <= {column} < {high:g}"
        parts.append(Part(name=name, rows=(index == i) & ~missing))
    return _occurring([*parts, _missing(column, missing)])


def quantile_edges(profile: FieldProfile, parts: int) -> tuple[float, ...]:
    """Those of the reference's edges that cut its rows most nearly into ``parts`` equal parts; fewer where values tie.

    The reference's counts are of the training rows, so slices are the same whatever rows are judged.
    """
    if profile.edges is None:
        raise ValueError(f"{profile.name} is not numeric")
    inner = np.asarray(profile.counts[FIRST : FIRST + len(profile.edges) - 1], dtype=np.float64)
    if inner.sum() == 0:
        return ()
    upto = np.cumsum(inner)[:-1] / inner.sum()  # share of rows below each inner edge
    if not upto.size:
        return ()
    wanted = np.arange(1, parts) / parts
    nearest = {int(np.abs(upto - share).argmin()) for share in wanted}
    return tuple(float(profile.edges[i + 1]) for i in sorted(nearest))


def _missing(column: str, rows: Mask) -> Part:
    return Part(name=f"{column} missing", rows=rows)


def _occurring(parts: Sequence[Part]) -> tuple[Part, ...]:
    return tuple(part for part in parts if part.rows.any())


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


# -- how they compare ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """One column cut into slices, with both models' answers on the rows that it is judged on.

    Both models answer in the same classes. ``champion`` is None where there is none.
    """

    rule: SliceRule
    rows_name: str
    parts: tuple[Part, ...]  # none: the column is not known of these rows
    champion: Scored | None
    challenger: Scored
    keys: npt.NDArray[np.str_]


def look(parts: Sequence[tuple[Sequence[Cut], Sequence[GateRule]]], *, seed: int) -> tuple[Look, ...]:
    """Each metric on each slice of the columns that its rule looks at, corrected for how many looks there are.

    ``parts`` are pairs of columns and the rules that are judged on their rows: of the judged rows, of the golden set.
    """
    wanted = [
        (cut, rule, part)
        for cuts, rules in parts
        for cut in cuts
        for rule in rules
        if rule.looks_at(cut.rule.column)
        for part in cut.parts
    ]
    draws = max(DRAWS, math.ceil(2 * len(wanted) / ALPHA))  # so that even the smallest corrected level can be reached
    return corrected([_look(cut, cut.rule.of(rule), part, seed=seed, draws=draws) for cut, rule, part in wanted])


def _look(cut: Cut, rule: GateRule, part: Part, *, seed: int, draws: int) -> Look:
    keys, after = cut.keys[part.rows], cut.challenger.take(part.rows)
    before = None if cut.champion is None else cut.champion.take(part.rows)
    group, count = distinct(keys)
    challenger = value(rule.metric, after, keys)
    champion = None if before is None else value(rule.metric, before, keys)
    noise, p_value = None, None
    verdict: FindingVerdict = Verdict.PASS
    if before is None:
        verdict = Absence.NO_CHAMPION
    elif champion is None or challenger is None:
        verdict = Absence.MISSING
    else:
        pair = (statistic_of(rule.metric, before, group, count), statistic_of(rule.metric, after, group, count))
        found = differences({rule.metric: pair}, keys=count, rows=len(keys), seed=seed)[rule.metric]
        noise = interval(found)
        worse = round(worse_by(rule.direction, challenger, champion), 12)
        beyond = _p_beyond(found, excess=worse - round(rule.allowed(champion), 12), keys=count)
        p_value = beyond
        if exceeds(rule, champion, challenger):  # only then can it fail: the exchange is asked where it counts
            swapped = exchanged(rule.metric, before, after, keys, seed=seed, draws=draws)
            p_value = max(beyond, _p_same(swapped, rule.direction, worse))
    if count < cut.rule.min_rows:
        verdict, p_value = Verdict.INCONCLUSIVE, None
    return Look(
        rule=rule,
        column=cut.rule.column,
        part=part.name,
        rows_name=cut.rows_name,
        rows=len(keys),
        keys=count,
        champion=champion,
        challenger=challenger,
        noise=noise,
        p_value=None if p_value is None else finite(p_value),
        verdict=verdict,
    )


def _p_beyond(found: npt.NDArray[np.float64], *, excess: float, keys: int) -> float:
    """One-sided p-value of "worse by no more than the tolerance", where it is by ``excess``."""
    known = found[np.isfinite(found)]
    if excess <= 0 or known.size < 2 or keys < 2:
        return 1.0
    error = float(known.std(ddof=1))
    return 0.0 if error == 0 else float(student.sf(excess / error, df=keys - 1))


def _p_same(swapped: npt.NDArray[np.float64], direction: Direction, worse: float) -> float:
    """One-sided p-value of "the models are the same"; a draw without a value counts against a difference."""
    sign = -1 if direction is Direction.HIGHER else 1
    as_bad = ~(sign * swapped < worse - 1e-12)
    return float((1 + as_bad.sum()) / (1 + swapped.size))


def corrected(looks: Sequence[Look]) -> tuple[Look, ...]:
    """Holm's step-down: the i-th smallest of m p-values is held against ALPHA / (m - i), and the first miss ends it."""
    judged = [i for i, seen in enumerate(looks) if seen.p_value is not None and seen.verdict is Verdict.PASS]
    out = list(looks)
    for rank, i in enumerate(sorted(judged, key=lambda i: (looks[i].p_value, i))):
        p_value = looks[i].p_value
        assert p_value is not None
        if p_value > ALPHA / (len(judged) - rank):
            break
        out[i] = replace(looks[i], verdict=Verdict.FAIL)
    return tuple(out)


def judge_slices(cuts: Sequence[Cut], rules: Sequence[GateRule], looks: Sequence[Look]) -> tuple[Finding, ...]:
    """A finding for each metric and column: FAIL where a slice fails, INCONCLUSIVE where none could be judged."""
    found = []
    for cut in cuts:
        for rule in rules:
            if rule.looks_at(cut.rule.column):
                own = [s for s in looks if s.column == cut.rule.column and s.rule.metric == rule.metric]
                found.append(_finding(cut, rule, [s for s in own if s.rule.role is rule.role]))
    return tuple(found)


def _finding(cut: Cut, rule: GateRule, looks: Sequence[Look]) -> Finding:
    column = cut.rule.column
    role = "slice" if rule.role is MetricRole.GATE else rule.role.value
    words = f"{rule.metric} by {column} on {cut.rows_name} rows"
    judged = sorted((s for s in looks if s.p_value is not None), key=_loss, reverse=True)
    failed = [s for s in judged if s.verdict is Verdict.FAIL]
    small = [s.part for s in looks if s.verdict is Verdict.INCONCLUSIVE]
    absent = [s.part for s in looks if s.verdict is Absence.MISSING]
    verdict: FindingVerdict
    if not looks:
        verdict, said = Absence.MISSING, "not known of any row"
    elif cut.champion is None:
        verdict, said = Absence.NO_CHAMPION, f"{_count(len(looks))}, no champion to compare with"
    elif failed:
        verdict = Verdict.FAIL
        allowed = failed[0].rule.allowed(failed[0].champion)
        said = (
            f"{len(failed)} of {_count(len(judged))} worse by more than the tolerance of {allowed:.3g}, beyond noise: "
        )
        said += "; ".join(_line(s) for s in failed[:3]) + (f"; and {len(failed) - 3} more" if failed[3:] else "")
    elif judged:
        verdict = Verdict.PASS
        said = f"{_count(len(judged))} judged, the worst {_line(judged[0])}"
    else:
        verdict = Absence.MISSING if absent and not small else Verdict.INCONCLUSIVE
        said = "no slice could be judged"
    if small:
        said += f"; fewer than {cut.rule.min_rows} distinct rows: {listed(small)}"
    if absent and verdict is not Absence.NO_CHAMPION:
        said += f"; no value: {listed(absent)}"
    if rule.role is MetricRole.INFO:
        verdict, said = (Verdict.PASS if verdict is Verdict.FAIL else verdict), f"{said}; for information only"
    worst = judged[0] if judged else None
    return Finding(
        rule=f"{role}:{rule.metric}@{column}",
        verdict=verdict,
        reason=f"{words}: {said}",
        field=column,
        observed=None if worst is None or worst.champion is None else -_loss(worst),
        limit=None if worst is None else -worst.rule.allowed(worst.champion),
        evidence={
            "on": cut.rows_name,
            "judged": len(judged),
            "failed": [s.part for s in failed],
            "too_few": len(small),
            "missing": len(absent),
            "worst": None if worst is None else worst.to_json(),
            "alpha": ALPHA,
        },
    )


def _loss(seen: Look) -> float:
    """How much worse the challenger is in a judged slice, in the metric's unit."""
    assert seen.champion is not None
    assert seen.challenger is not None
    return worse_by(seen.rule.direction, seen.challenger, seen.champion)


def _line(seen: Look) -> str:
    assert seen.challenger is not None
    words = difference(seen.champion, seen.challenger, seen.noise)
    return f"{seen.part} ({seen.keys} distinct rows): {words}"


def _count(slices: int) -> str:
    return "1 slice" if slices == 1 else f"{slices} slices"
