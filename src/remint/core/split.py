"""Which labelled row goes where: train, held out, test, fresh. A row's side depends on its features alone.

Duplicates therefore never straddle two sides, and appended rows move no other row. Only with a time column is the
split by time instead: then a later side loses the rows that an earlier side holds too.
"""

from __future__ import annotations

import math
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from remint.core.recency import ALL, Window, newest
from remint.core.rows import LabelledRows, join_rows
from remint.core.table import unit_interval

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitPolicy:
    """How rows are shared out."""

    salt: str  # "<pipeline>:<seed>": two pipelines over one file must not share their sides
    test_share: float
    held_out_share: float
    fresh_share: float  # of the feedback, the newest by arrival
    until: int  # highest sequence number of feedback that may be used at all
    drop_duplicates: bool  # keep one row of those with equal features and label, on each side
    window: Window = ALL  # of the training side, after everything else


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """Rows that are on no side, counted by reason."""

    golden: int  # equal to a golden row
    fresh: int  # equal to a fresh row, and would have trained
    other_side: int  # equal to a row of an earlier side: feedback to held-out or test rows, or later rows in time
    duplicates: int
    after_until: int  # feedback that arrived after prepare.until
    window: int = 0  # training rows that are older than the window


@dataclass(frozen=True, slots=True, kw_only=True)
class Splits:
    """The sides. No two of train, held_out and test share a row key, nor do train and fresh; none has a golden key."""

    train: LabelledRows
    held_out: LabelledRows  # not trained on; the reference profile of predictions and confidence
    test: LabelledRows
    fresh: LabelledRows  # the newest feedback, for the gate
    dropped: Dropped


def split(
    data: LabelledRows,
    feedback: LabelledRows,
    golden_keys: AbstractSet[str],
    policy: SplitPolicy,
    *,
    by_time: bool = False,
) -> Splits:
    """Share out ``data`` and ``feedback``; ``by_time`` splits the data by their ``event_at``, which all have to have.

    Feedback up to ``policy.until``: the newest ``fresh_share`` by arrival is fresh, the rest trains, unless its row
    equals a held-out, test or fresh one. Sides may come out empty: whether that is an error is the caller's to say.

    The window cuts the training side alone. Held-out and test rows stay as they are, so that two windows are measured
    on the same rows, and so that moving one never moves a row from measuring into training. A split by time therefore
    trains on nothing newer than its held-out rows: where that costs too much, smaller shares are the remedy, and
    feedback, of which the older part always trains.
    """
    usable = feedback.take(feedback.sequence <= policy.until)
    after_until = feedback.rows - usable.rows

    usable, golden_feedback = _without(usable, golden_keys)
    last = np.argsort(usable.sequence, kind="stable")[usable.rows - math.ceil(policy.fresh_share * usable.rows) :]
    is_fresh = np.zeros(usable.rows, dtype=bool)
    is_fresh[last] = True
    fresh, older = usable.take(is_fresh), usable.take(~is_fresh)

    is_golden = _among(data, golden_keys)
    kept = data.take(~is_golden)
    train_mask, held_out_mask, test_mask = (_by_time if by_time else _by_hash)(kept, policy)
    straddling = kept.rows - int((train_mask | held_out_mask | test_mask).sum())
    held_out, test = kept.take(held_out_mask), kept.take(test_mask)

    older, straddling_feedback = _without(older, {*held_out.keys.tolist(), *test.keys.tolist()})
    train, equal_to_fresh = _without(join_rows([kept.take(train_mask), older]), set(fresh.keys.tolist()))

    sides = (train, held_out, test, fresh)
    single = tuple(side.take(_first_of_equals(side)) for side in sides) if policy.drop_duplicates else sides
    train = newest(single[0], policy.window)
    return Splits(
        train=train,
        held_out=single[1],
        test=single[2],
        fresh=single[3],
        dropped=Dropped(
            golden=int(is_golden.sum()) + golden_feedback,
            fresh=equal_to_fresh,
            other_side=straddling + straddling_feedback,
            duplicates=sum(side.rows for side in sides) - sum(side.rows for side in single),
            after_until=after_until,
            window=single[0].rows - train.rows,
        ),
    )


def _by_hash(rows: LabelledRows, policy: SplitPolicy) -> tuple[Mask, Mask, Mask]:
    """Train, held out, test. The test side is the low end, so that a changed held-out share leaves it as it was."""
    place = unit_interval(rows.keys, salt=policy.salt)
    test = place < policy.test_share
    held_out = ~test & (place < policy.test_share + policy.held_out_share)
    return ~test & ~held_out, held_out, test


def _by_time(rows: LabelledRows, policy: SplitPolicy) -> tuple[Mask, Mask, Mask]:
    """Train on the oldest, then held out, then test; rows of one moment stay together, on the earlier side."""
    event_at = rows.event_at
    if np.isnat(event_at).any():
        raise ValueError("a split by time needs the time of every row")
    if rows.rows == 0:
        nothing = np.zeros(0, dtype=bool)
        return nothing, nothing, nothing
    in_order = np.sort(event_at)
    last = rows.rows - 1
    train_until = in_order[min(last, math.floor((1 - policy.test_share - policy.held_out_share) * rows.rows))]
    held_out_until = in_order[min(last, math.floor((1 - policy.test_share) * rows.rows))]
    train = event_at <= train_until
    held_out = ~train & (event_at <= held_out_until)
    test = ~train & ~held_out
    trained = set(rows.keys[train].tolist())
    held_out &= ~_among(rows, trained)
    test &= ~_among(rows, trained | set(rows.keys[held_out].tolist()))
    return train, held_out, test


def _among(rows: LabelledRows, keys: AbstractSet[str]) -> Mask:
    return np.array([key in keys for key in rows.keys.tolist()], dtype=bool)


def _without(rows: LabelledRows, keys: AbstractSet[str]) -> tuple[LabelledRows, int]:
    """The rows whose key is not among ``keys``, and how many were."""
    among = _among(rows, keys)
    return rows.take(~among), int(among.sum())


def _first_of_equals(rows: LabelledRows) -> Mask:
    """The first row of each features and label. Equal features with another label stay: that is noise, not a copy."""
    seen: set[tuple[str, str]] = set()
    first = np.zeros(rows.rows, dtype=bool)
    for i, pair in enumerate(zip(rows.keys.tolist(), rows.labels.tolist(), strict=True)):
        if pair not in seen:
            seen.add(pair)
            first[i] = True
    return first
