"""Canary against stable: valid at any time, from counts of units (a unit's first request in a release).

A unit's track was drawn by a coin of known probability, the canary's share at that step. While both models behave the
same, every outcome is the canary's with that probability, whatever happened before and however often somebody looks.
``docs/canary.md`` has the formulas, the error rates and how many units an answer needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from math import exp
from typing import Any, Final, assert_never

import numpy as np
import numpy.typing as npt

from remint.core.release import Track, effective_share
from remint.core.sequential import Numbers, TwoTracks, difference_lower_bound, log_e_split, log_e_worse
from remint.core.verdict import Finding, Verdict
from remint.errors import DataError

Counts = npt.NDArray[np.int64]  # (steps, track: stable canary, bucket: good bad)


class Signal(StrEnum):
    ERROR = "error"
    OUTPUT = "output"
    FEEDBACK = "feedback"


class Answer(StrEnum):
    """What to do with the canary. The document's ``answer``."""

    ADVANCE = "ADVANCE"
    PROMOTE = "PROMOTE"
    ROLLBACK = "ROLLBACK"
    HOLD = "HOLD"


class OnTimeout(StrEnum):
    ROLLBACK = "rollback"
    HOLD = "hold"


#: signal -> its good and its bad bucket, as ``remint_unit_outcomes_total`` names them
BUCKETS: Final[Mapping[Signal, tuple[str, str]]] = {
    Signal.ERROR: ("ok", "error"),
    Signal.OUTPUT: ("valid", "broken"),
    Signal.FEEDBACK: ("right", "wrong"),
}
#: Signals that the canary at full traffic is still watched on, against what stable did before.
_WATCHED_ALONE: Final = (Signal.ERROR, Signal.OUTPUT)
_TESTS_OF_HARM: Final = len(Signal) + len(_WATCHED_ALONE)  # they share alpha
_LARGEST_LOG: Final = 690.0  # e to this is still a number that JSON holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How many units of one step and track ended in one bucket of one signal."""

    step: int
    track: Track
    signal: str
    bucket: str
    units: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgePolicy:
    """What ``params.yaml`` says under ``canary``."""

    alpha: float
    margin: float
    min_units: int
    max_duration: timedelta
    on_timeout: OnTimeout


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One signal, over all steps in which a coin was flipped."""

    signal: Signal
    stable_good: int
    stable_bad: int
    canary_good: int
    canary_bad: int
    e_value: float  # that the tracks differ
    e_value_split: float  # that the units do not split by the coin
    lower_bound: float  # of (canary's good share - stable's); -1 says nothing
    limit: float  # an e-value from here on is evidence
    worse: bool  # more bad outcomes of the canary than its share

    @property
    def units(self) -> tuple[int, int]:
        """Stable's and the canary's."""
        return self.stable_good + self.stable_bad, self.canary_good + self.canary_bad

    @property
    def void(self) -> bool:
        return self.e_value_split >= self.limit

    def to_json(self) -> dict[str, Any]:
        good, bad = BUCKETS[self.signal]
        return {
            "stable": {good: self.stable_good, bad: self.stable_bad},
            "canary": {good: self.canary_good, bad: self.canary_bad},
            "e_value": self.e_value,
            "e_value_split": self.e_value_split,
            "limit": self.limit,
            "lower_bound": self.lower_bound,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    answer: Answer
    summary: str
    findings: tuple[Finding, ...]
    evidence: tuple[Evidence, ...]  # one for each signal


def judge(
    outcomes: Iterable[Outcome],
    *,
    steps: Sequence[float],
    step: int,
    policy: JudgePolicy,
    elapsed: timedelta | None,
) -> Judgement:
    """Judge the canary of a release that stands at ``steps[step]``, ``elapsed`` after its start (None: not known).

    ROLLBACK on evidence of harm in any signal. Otherwise the step has to be full (``min_units`` units of the canary)
    before anything moves: PROMOTE at the last step, and the step in which the canary takes everything, need proof that
    it is nowhere more than ``margin`` worse, as there is nothing left to compare with after that. HOLD otherwise, also
    on no data at all; after ``max_duration`` the declared policy. Raises DataError for counts that cannot be.
    """
    if not 0 <= step < len(steps):
        raise ValueError(f"step {step} of {len(steps)}: no canary is running")
    counts = tally(outcomes, steps=len(steps))
    shares = np.array([effective_share(s) for s in steps])
    evidence = tuple(_weigh(signal, counts[signal], shares, policy) for signal in Signal)
    alone = [_alone(signal, counts[signal], shares, policy) for signal in _WATCHED_ALONE if shares[step] >= 1]
    harm = [*(_harm(e) for e in evidence), *alone]
    split = [_split(e) for e in evidence]
    proof = [_proof(e, policy) for e in evidence]
    full = _full(int(counts[Signal.ERROR][step, 1].sum()), policy)

    proven = all(f.verdict is Verdict.PASS for f in proof)
    last = step == len(steps) - 1
    everything_next = not last and shares[step + 1] >= 1
    if any(f.verdict is Verdict.FAIL for f in harm):
        answer = Answer.ROLLBACK
    elif full.verdict is not Verdict.PASS or any(f.verdict is Verdict.INCONCLUSIVE for f in (*split, *alone)):
        answer = Answer.HOLD
    elif last:
        answer = Answer.PROMOTE if proven else Answer.HOLD
    else:
        answer = Answer.ADVANCE if proven or not everything_next else Answer.HOLD
    settled = answer in {Answer.ROLLBACK, Answer.PROMOTE} or (answer is Answer.ADVANCE and proven)
    duration = _duration(elapsed, policy, settled=settled)
    if duration.verdict is Verdict.FAIL:
        answer = Answer.ROLLBACK
    elif not settled and _is_late(elapsed, policy):
        answer = Answer.HOLD

    findings = (*harm, *split, *proof, full, duration)
    # What holds, the nearest first: proof is not asked for before the step is full and its counts can be compared.
    blocking = [f for f in (full, *split, *alone) if f.verdict is not Verdict.PASS] or proof
    summary = _summary(answer, findings, blocking=[*blocking, duration])
    return Judgement(answer=answer, summary=summary, findings=findings, evidence=evidence)


def nothing_to_judge(release: str) -> Judgement:
    """HOLD: no canary gets traffic."""
    reason = f"no canary is running in release {release}"
    finding = Finding(rule="canary", verdict=Verdict.INCONCLUSIVE, reason=reason)
    return Judgement(answer=Answer.HOLD, summary=reason, findings=(finding,), evidence=())


def tally(outcomes: Iterable[Outcome], *, steps: int) -> dict[Signal, Counts]:
    """Counts of shape (steps, 2, 2) for each signal: track (stable, canary), then bucket (good, bad).

    Outcomes of step -1 were drawn by no coin and are left out. Raises DataError for a signal, bucket or step that is
    not declared and for a number of units that is none.
    """
    counts = {signal: np.zeros((steps, 2, 2), dtype=np.int64) for signal in Signal}
    buckets = {(s.value, name): (s, i) for s, names in BUCKETS.items() for i, name in enumerate(names)}
    for outcome in outcomes:
        where = f"step {outcome.step}, {outcome.track}, {outcome.signal}, {outcome.bucket}"
        known = buckets.get((outcome.signal, outcome.bucket))
        if known is None:
            raise DataError("is not an outcome of a unit", where=where)
        if not -1 <= outcome.step < steps:
            raise DataError(f"the release has {steps} steps", where=where)
        if not (0 <= outcome.units < 2**53 and float(outcome.units).is_integer()):
            raise DataError(f"{outcome.units} is not a number of units", where=where)
        if outcome.step >= 0:
            signal, bucket = known
            counts[signal][outcome.step, int(outcome.track is Track.CANARY), bucket] += int(outcome.units)
    return counts


def log_e_processes(counts: Counts, shares: Numbers) -> tuple[Numbers, Numbers]:
    """(that the tracks differ, that the units do not split by the coin): one factor for each step with a coin.

    ``counts`` has the shape (..., steps, 2, 2), ``shares`` (steps,); the answers have the shape (...).
    """
    drawn = (shares > 0) & (shares < 1)
    coins = shares[drawn]
    canary, total = counts[..., drawn, 1, :], counts[..., drawn, :, :].sum(axis=-2)
    differ = log_e_split(canary, total, coins[:, None]).sum(axis=(-2, -1))
    split = log_e_split(canary.sum(axis=-1), total.sum(axis=-1), coins).sum(axis=-1)
    return differ, split


def _weigh(signal: Signal, counts: Counts, shares: Numbers, policy: JudgePolicy) -> Evidence:
    drawn = counts[shares < 1]
    differ, split = log_e_processes(counts, shares)
    pooled = drawn.sum(axis=0)
    # Bad outcomes of the canary against those it would have had at the pooled share of its step, summed over steps.
    units = np.maximum(drawn.sum(axis=(1, 2)), 1)
    expected = drawn[:, :, 1].sum(axis=1) * drawn[:, 1, :].sum(axis=1) / units
    return Evidence(
        signal=signal,
        stable_good=int(pooled[0, 0]),
        stable_bad=int(pooled[0, 1]),
        canary_good=int(pooled[1, 0]),
        canary_bad=int(pooled[1, 1]),
        e_value=_number(float(differ)),
        e_value_split=_number(float(split)),
        lower_bound=difference_lower_bound(TwoTracks.of(drawn), alpha=policy.alpha),
        limit=_limit(policy),
        worse=bool(drawn[:, 1, 1].sum() > expected.sum()),
    )


def _harm(e: Evidence) -> Finding:
    stable, canary = e.units
    bad = BUCKETS[e.signal][1]
    seen = f"{bad}: canary {_share(e.canary_bad, canary)}, stable {_share(e.stable_bad, stable)}"
    if canary == 0 or stable == 0:
        verdict, reason = Verdict.INCONCLUSIVE, f"no {e.signal} outcome of both tracks yet: {seen}"
    elif e.void:
        verdict, reason = Verdict.INCONCLUSIVE, f"{seen}, but the units do not split as drawn: not comparable"
    elif e.e_value >= e.limit and e.worse:
        verdict, reason = Verdict.FAIL, f"{seen}: the canary is worse"
    elif e.e_value >= e.limit:
        verdict, reason = Verdict.PASS, f"{seen}: the canary is better"
    else:
        verdict, reason = Verdict.PASS, f"{seen}: no evidence of harm"
    return Finding(
        rule="harm", field=e.signal, verdict=verdict, reason=reason, observed=e.e_value, limit=e.limit,
        evidence=e.to_json(),
    )  # fmt: skip


def _alone(signal: Signal, counts: Counts, shares: Numbers, policy: JudgePolicy) -> Finding:
    """The canary has all traffic: nothing is drawn any more, so only more than ``margin`` worse than stable was."""
    full = shares >= 1
    before, now = counts[~full, 0].sum(axis=0), counts[full, 1].sum(axis=0)
    observed = _number(log_e_worse(TwoTracks.of(np.stack([before, now])[None]), margin=policy.margin))
    limit = _limit(policy)
    seen = (
        f"{BUCKETS[signal][1]} at full traffic: canary {_share(now[1], now.sum())}, "
        f"stable before {_share(before[1], before.sum())}"
    )
    if now.sum() == 0 or before.sum() == 0:
        verdict, reason = Verdict.INCONCLUSIVE, f"no {signal} outcome at full traffic yet"
    elif observed >= limit:
        verdict, reason = Verdict.FAIL, f"{seen}: more than {policy.margin:g} worse"
    elif now[1] / now.sum() - before[1] / before.sum() > policy.margin:
        verdict, reason = Verdict.INCONCLUSIVE, f"{seen}: it looks more than {policy.margin:g} worse"
    else:
        verdict, reason = Verdict.PASS, seen
    return Finding(
        rule="harm_at_full_traffic", field=signal, verdict=verdict, reason=reason, observed=observed, limit=limit
    )


def _split(e: Evidence) -> Finding:
    stable, canary = e.units
    seen = f"{e.signal}: {canary} units of the canary, {stable} of stable"
    if e.void:
        cause = "feedback is given more for one track" if e.signal is Signal.FEEDBACK else "routing or counting is off"
        verdict, reason = Verdict.INCONCLUSIVE, f"{seen}: not the declared share; {cause}"
    else:
        verdict, reason = Verdict.PASS, seen
    return Finding(
        rule="split", field=e.signal, verdict=verdict, reason=reason, observed=e.e_value_split, limit=e.limit
    )


def _proof(e: Evidence, policy: JudgePolicy) -> Finding:
    stable, canary = e.units
    if canary == 0 or stable == 0:
        verdict, reason = Verdict.INCONCLUSIVE, f"no {e.signal} outcome of both tracks yet"
    elif e.lower_bound > -policy.margin:
        verdict, reason = Verdict.PASS, f"{e.signal}: at most {max(0.0, -e.lower_bound):.3f} worse than stable"
    else:
        verdict = Verdict.INCONCLUSIVE
        reason = f"{e.signal}: may still be {-e.lower_bound:.3f} worse than stable, {canary + stable} units"
    return Finding(
        rule="margin", field=e.signal, verdict=verdict, reason=reason, observed=e.lower_bound, limit=-policy.margin
    )


def _full(units: int, policy: JudgePolicy) -> Finding:
    enough = units >= policy.min_units
    return Finding(
        rule="units",
        verdict=Verdict.PASS if enough else Verdict.INCONCLUSIVE,
        reason=f"{units} units of the canary at this step, {policy.min_units} needed",
        observed=float(units),
        limit=float(policy.min_units),
    )


def _is_late(elapsed: timedelta | None, policy: JudgePolicy) -> bool:
    return elapsed is not None and elapsed >= policy.max_duration


def _duration(elapsed: timedelta | None, policy: JudgePolicy, *, settled: bool) -> Finding:
    if elapsed is None:
        verdict, reason = Verdict.INCONCLUSIVE, "the start of the canary is not known"
    elif not _is_late(elapsed, policy):
        verdict, reason = Verdict.PASS, "within max_duration"
    elif settled:
        verdict, reason = Verdict.PASS, "max_duration is over, and the answer is in"
    else:
        reason = f"max_duration is over and nothing is proven: on_timeout says {policy.on_timeout}"
        match policy.on_timeout:
            case OnTimeout.ROLLBACK:
                verdict = Verdict.FAIL
            case OnTimeout.HOLD:
                verdict = Verdict.INCONCLUSIVE
            case _:
                assert_never(policy.on_timeout)
    return Finding(
        rule="duration",
        verdict=verdict,
        reason=reason,
        observed=None if elapsed is None else max(0.0, elapsed.total_seconds()),
        limit=policy.max_duration.total_seconds(),
    )


def _summary(answer: Answer, findings: Sequence[Finding], *, blocking: Sequence[Finding]) -> str:
    match answer:
        case Answer.ROLLBACK:
            return "; ".join(f.reason for f in findings if f.verdict is Verdict.FAIL)
        case Answer.HOLD:
            return "; ".join(f.reason for f in blocking if f.verdict is Verdict.INCONCLUSIVE)
        case Answer.ADVANCE:
            return "no evidence of harm and enough units at this step"
        case Answer.PROMOTE:
            return "; ".join(f.reason for f in findings if f.rule == "margin")
        case _:
            assert_never(answer)


def _limit(policy: JudgePolicy) -> float:
    return _TESTS_OF_HARM / policy.alpha


def _number(log_e: float) -> float:
    return exp(min(log_e, _LARGEST_LOG))


def _share(part: int | np.int64, whole: int | np.int64) -> str:
    return f"{part / whole:.1%} of {whole}" if whole else "none"
