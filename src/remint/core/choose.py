"""Which of several models goes to the gate: compared in pairs, on rows that none of the two was trained on.

The rows are the newest of the training side. Not the gate's own, which have to stay unseen: the best of five looks
better than it is on the rows that it was picked by. Not the held-out ones either: they say how sure the model is where
it has not learned, and would say it of a model that was picked for doing well there. So each way to train is tried
without the newest rows, judged on them, and the winner is trained again on everything.

The first declared leads. A later one takes the lead only where it is better beyond noise, so that chance never chooses,
and the order of declaration (the simplest first) decides between equals. With k models, k - 1 comparisons share
``ALPHA`` (Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from remint.core.paired import Noise, Scored, disagreement, distinct, intervals, weighted
from remint.core.recency import age_in_rows, known_since
from remint.core.rows import LabelledRows, RowSource
from remint.core.table import unit_interval

Mask = npt.NDArray[np.bool_]

ALPHA: Final = 0.05  # chance that the first is replaced by one that is no better
_LOWER_IS_BETTER: Final = frozenset({"log_loss"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One model's answers on the selection rows. ``scored`` is None where it could not be asked, and ``note`` why."""

    name: str
    scored: Scored | None  # of all selection rows
    unseen: Mask  # shape (rows,): the rows that it was certainly not trained on
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How one contender did. Differences are its own score minus the then leader's."""

    name: str
    score: float | None  # on its unseen rows; None where the metric has no value
    rows: int  # of them
    rival: str | None  # the leader that it was compared with
    difference: float | None  # on the rows that neither has seen
    low: float | None
    high: float | None
    confidence: float | None
    note: str | None  # why it was not compared

    def to_json(self) -> dict[str, Any]:
        """JSON-ready; numbers rounded to six digits, beyond which processors differ."""
        return {
            "name": self.name,
            "score": _rounded(self.score),
            "rows": self.rows,
            "rival": self.rival,
            "difference": _rounded(self.difference),
            "low": _rounded(self.low),
            "high": _rounded(self.high),
            "confidence": _rounded(self.confidence),
            "note": self.note,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The winner and why, in words."""

    chosen: str
    reason: str
    metric: str
    standings: tuple[Standing, ...]


def selection_rows(rows: LabelledRows, *, share: float, min_rows: int, salt: str) -> Mask:
    """The rows to choose on, shape (rows,): the newest ``share`` where times are known, else of the feedback.

    A share of fewer than ``min_rows`` is filled up to them, but never beyond half. Where the feedback does not hold as
    many distinct rows, they are drawn from all rows by a hash of their features: the order of a file is not age, and
    may well be that of the labels.
    """

    def count(available: int) -> int:
        return max(math.ceil(share * available), min(min_rows, available // 2))

    age = age_in_rows(rows)  # feedback is newer than data without a time
    if not np.isnat(known_since(rows)).any():
        return age < count(rows.rows)
    feedback = rows.source == RowSource.FEEDBACK.value
    chosen = feedback & (age < count(int(feedback.sum())))
    if len(np.unique(rows.keys[chosen])) >= min_rows:
        return np.asarray(chosen)
    return np.asarray(unit_interval(rows.keys, salt=f"{salt}:selection") < share)


def choose(
    contenders: Sequence[Contender], keys: npt.NDArray[np.str_], *, metric: str, min_rows: int, seed: int
) -> Choice:
    """The contender that leads in the end. ``keys`` are those of the selection rows; equal features count once.

    "Better" is McNemar's exact test for accuracy, for other metrics a paired bootstrap interval without 0: on few
    disagreements the bootstrap is too sure. The first contender has to have been asked.
    """
    leader, *others = contenders
    if leader.scored is None:
        raise ValueError("the first contender leads: it has to have been asked")
    confidence = 1 - ALPHA / max(1, len(others))
    standings = [_standing(leader, keys, metric)]
    reason = f"{leader.name!r} is the first declared"
    for contender in others:
        standing, is_better = _against(leader, contender, keys, metric, min_rows, confidence, seed)
        standings.append(standing)
        if is_better:
            assert standing.score is not None and standing.difference is not None  # noqa: PT018 - for mypy
            reason = (
                f"{contender.name!r} is better than {leader.name!r} beyond noise: {metric} {standing.score:.4f}, "
                f"{standing.difference:+.4f} on the same rows"
            )
            leader = contender
    compared = sum(s.difference is not None for s in standings)
    if leader is contenders[0] and others:
        reason += (
            f", and no other ({compared} compared) is better beyond noise" if compared else "; no other was compared"
        )
    return Choice(chosen=leader.name, reason=reason, metric=metric, standings=tuple(standings))


def _against(
    leader: Contender,
    contender: Contender,
    keys: npt.NDArray[np.str_],
    metric: str,
    min_rows: int,
    confidence: float,
    seed: int,
) -> tuple[Standing, bool]:
    """How ``contender`` stands against ``leader``, and whether it is better."""
    if contender.scored is None or leader.scored is None:
        return _standing(contender, keys, metric, note=contender.note), False
    both = leader.unseen & contender.unseen
    count = len(np.unique(keys[both]))
    if count < min_rows:
        return _standing(contender, keys, metric, note=f"{count} distinct rows to compare on, {min_rows} needed"), False
    before, after = _take(leader.scored, both), _take(contender.scored, both)
    was, now = (_score(metric, scored, keys[both]) for scored in (before, after))
    if was is None or now is None:
        return _standing(contender, keys, metric, note=f"{metric} has no value on these rows"), False
    noise = intervals([metric], before, after, keys[both], seed=seed, confidence=confidence)[metric]
    sign = -1 if metric in _LOWER_IS_BETTER else 1
    if metric == "accuracy":
        found = disagreement(before, after, keys[both])
        is_better = found.challenger_right > found.champion_right and found.p_value <= 1 - confidence
    else:
        is_better = noise is not None and min(sign * noise.low, sign * noise.high) > 0
    standing = _standing(contender, keys, metric, rival=leader.name, difference=now - was, noise=noise)
    return standing, bool(is_better and sign * (now - was) > 0)


def _standing(
    contender: Contender,
    keys: npt.NDArray[np.str_],
    metric: str,
    *,
    rival: str | None = None,
    difference: float | None = None,
    noise: Noise | None = None,
    note: str | None = None,
) -> Standing:
    asked = contender.scored is not None
    own = contender.unseen
    return Standing(
        name=contender.name,
        score=_score(metric, _take(contender.scored, own), keys[own]) if contender.scored is not None else None,
        rows=int(own.sum()) if asked else 0,
        rival=rival,
        difference=difference,
        low=noise.low if noise else None,
        high=noise.high if noise else None,
        confidence=noise.confidence if noise else None,
        note=note,
    )


def _score(metric: str, scored: Scored, keys: npt.NDArray[np.str_]) -> float | None:
    if len(keys) == 0:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(weighted(metric, scored, keys, np.ones((1, distinct(keys)[1])))[0])
    return value if math.isfinite(value) else None


def _take(scored: Scored, mask: Mask) -> Scored:
    return Scored(scored.labels[mask], scored.probabilities[mask], scored.positive)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
