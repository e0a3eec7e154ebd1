"""Feedback -> training rows: what may be learned from, what is put aside and why, what a reviewer should look at.

Each row ends in exactly one place, and the result does not depend on the order in which the rows come. The rules, in
this order, the first that applies names the reason:

1. INVALID_ROW: the served features do not fit today's schema.
2. GOLDEN: the features equal a golden row's; feedback never enters the golden set, nor trains on it.
3. UNKNOWN_ANSWER: somebody looked and did not know. Kept in the log, never trained on.
4. NO_LABEL: wrong, without the right label, and more than one other class.
5. CONTRADICTION: equal features, different labels. Each reporter has one vote, the newest; more than half of the votes
   decide, otherwise all rows with these features are put aside.
6. DUPLICATE: equal features and label are one training row, however often and by whom it was said.
7. REPORTER_CAP: one reporter's rows beyond its share. See ``_over_the_cap``.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from remint.core.feedback import Answer, FeedbackRow
from remint.core.rows import LabelledRows, RowSource, no_times, objects
from remint.core.schema import Schema
from remint.core.table import Table, row_keys, table_from_rows, unit_interval
from remint.errors import DataError

#: A prediction below this probability of its own class is worth a reviewer's look.
LOW_CONFIDENCE: Final = 0.6
#: Reporter of labels that an operator imported from a file: trusted as the data file is, and not capped.
IMPORT_PREFIX: Final = "import:"


class Reason(StrEnum):
    """Why a row does not train."""

    INVALID_ROW = "invalid_row"
    GOLDEN = "golden"
    UNKNOWN_ANSWER = "unknown_answer"
    NO_LABEL = "no_label"
    CONTRADICTION = "contradiction"
    DUPLICATE = "duplicate"
    REPORTER_CAP = "reporter_cap"


class FeedbackTag(StrEnum):
    """What is worth a look in a row that trains."""

    NEW_LABEL = "new_label"  # no class of the schema
    LOW_CONFIDENCE = "low_confidence"
    DISAGREEMENT = "disagreement"  # the label is not what was predicted


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """A row that was put aside."""

    row: FeedbackRow
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Curated:
    """``kept`` by sequence; ``origin`` and ``tags`` are parallel to it. ``quarantined`` by sequence as well."""

    kept: LabelledRows
    origin: tuple[FeedbackRow, ...]
    tags: tuple[tuple[FeedbackTag, ...], ...]
    quarantined: tuple[Quarantined, ...]

    @property
    def quarantine_counts(self) -> dict[str, int]:
        """Rows put aside by reason; reasons without a row are left out."""
        return dict(sorted(Counter(q.reason.value for q in self.quarantined).items()))

    @property
    def tag_counts(self) -> dict[str, int]:
        return dict(sorted(Counter(tag.value for tags in self.tags for tag in tags).items()))


@dataclass(frozen=True, slots=True)
class _Candidate:
    row: FeedbackRow
    key: str
    label: str

    @property
    def voter(self) -> str:
        """Who has the vote: anonymous answers are each their own reporter."""
        return _reporter(self.row)


def current_answers(rows: Iterable[FeedbackRow], *, until: int) -> tuple[FeedbackRow, ...]:
    """The rows with ``sequence <= until`` by sequence, without answers that their reporter changed later, up to there.

    A row that was delivered twice (overlapping sources) is one. Every source of feedback goes through here, so that a
    store and its own exports give the same rows.
    """
    newest: dict[tuple[str, str | None], FeedbackRow] = {}
    for row in rows:
        place = (row.prediction_id, row.reporter)
        if row.sequence <= until and (place not in newest or _order(newest[place]) < _order(row)):
            newest[place] = row
    return tuple(sorted(newest.values(), key=_order))


def curate(rows: Iterable[FeedbackRow], schema: Schema, *, golden_keys: Set[str], reporter_share: float) -> Curated:
    """Sort ``rows`` into training rows and quarantine. ``golden_keys`` are ``row_keys`` of the golden set's features.

    ``schema.classes`` may be empty where no model is known yet: then no label is new. ``reporter_share`` in (0, 1).
    """
    ordered = sorted(rows, key=_order)
    aside: list[Quarantined] = []
    candidates = _candidates(ordered, schema, golden_keys, aside)
    chosen = _one_for_each_key(candidates, aside)
    capped = _over_the_cap(chosen, reporter_share)
    kept = []
    for candidate in sorted(chosen, key=lambda c: _order(c.row)):
        if id(candidate) in capped:
            aside.append(Quarantined(row=candidate.row, reason=Reason.REPORTER_CAP, detail=capped[id(candidate)]))
        else:
            kept.append(candidate)
    return Curated(
        kept=_labelled(kept, schema),
        origin=tuple(c.row for c in kept),
        tags=tuple(_tags(c, schema) for c in kept),
        quarantined=tuple(sorted(aside, key=lambda q: _order(q.row))),
    )


def _order(row: FeedbackRow) -> tuple[int, str, str, str, str]:
    # The sequence is unique in a store; the rest only makes any input have one order.
    return row.sequence, row.prediction_id, row.reporter or "", row.answer.value, row.label or ""


def _reporter(row: FeedbackRow) -> str:
    return f"named {row.reporter}" if row.reporter else f"anonymous {row.prediction_id}"


def _candidates(
    rows: Sequence[FeedbackRow], schema: Schema, golden_keys: Set[str], aside: list[Quarantined]
) -> list[_Candidate]:
    found = []
    for row, key, fault in _keyed(rows, schema):
        label = _label(row, schema)
        if key is None:
            aside.append(Quarantined(row=row, reason=Reason.INVALID_ROW, detail=fault))
        elif key in golden_keys:
            aside.append(Quarantined(row=row, reason=Reason.GOLDEN, detail="equal to a golden row"))
        elif row.answer is Answer.UNKNOWN:
            aside.append(Quarantined(row=row, reason=Reason.UNKNOWN_ANSWER, detail="the reporter did not know"))
        elif label is None:
            aside.append(Quarantined(row=row, reason=Reason.NO_LABEL, detail="wrong, but not what would be right"))
        else:
            found.append(_Candidate(row, key, label))
    return found


def _keyed(rows: Sequence[FeedbackRow], schema: Schema) -> list[tuple[FeedbackRow, str | None, str]]:
    """Each row with its key, or with None and what is wrong with it."""
    try:
        table = table_from_rows(schema, [row.row for row in rows])
    except DataError:
        return [_keyed_alone(row, schema) for row in rows]  # at least one is broken: find out which
    return [(row, key, "") for row, key in zip(rows, row_keys(table).tolist(), strict=True)]


def _keyed_alone(row: FeedbackRow, schema: Schema) -> tuple[FeedbackRow, str | None, str]:
    try:
        return row, str(row_keys(table_from_rows(schema, [row.row]))[0]), ""
    except DataError as error:
        return row, None, error.message


def _label(row: FeedbackRow, schema: Schema) -> str | None:
    if row.label is not None or row.answer is not Answer.WRONG:
        return row.label if row.answer is not Answer.CORRECT else row.predicted
    others = [c for c in schema.classes if c != row.predicted]
    return others[0] if len(others) == 1 and len(schema.classes) == 2 else None


def _one_for_each_key(candidates: Sequence[_Candidate], aside: list[Quarantined]) -> list[_Candidate]:
    """One candidate for each distinct row of features, with the label that the reporters' votes give it."""
    groups: dict[str, list[_Candidate]] = defaultdict(list)
    for candidate in candidates:
        groups[candidate.key].append(candidate)
    chosen = []
    for group in groups.values():
        ballots = {candidate.voter: candidate for candidate in group}  # in order of arrival: the newest stays
        votes = Counter(ballot.label for ballot in ballots.values())
        winner, count = votes.most_common(1)[0]
        if 2 * count <= len(ballots):
            tally = ", ".join(f"{label!r} {n}" for label, n in sorted(votes.items()))
            for candidate in group:
                aside.append(
                    Quarantined(row=candidate.row, reason=Reason.CONTRADICTION, detail=f"no majority: {tally}")
                )
            continue
        first = min((b for b in ballots.values() if b.label == winner), key=lambda b: _order(b.row))
        chosen.append(first)
        for candidate in group:
            if candidate is first:
                continue
            agrees = candidate.label == winner
            detail = f"as sequence {first.row.sequence}" if agrees else f"{count} of {len(ballots)} say {winner!r}"
            reason = Reason.DUPLICATE if agrees else Reason.CONTRADICTION
            aside.append(Quarantined(row=candidate.row, reason=reason, detail=detail))
    return chosen


def _over_the_cap(chosen: Sequence[_Candidate], share: float) -> dict[int, str]:
    """``id`` of each candidate beyond its reporter's share, with the reason in words.

    A reporter may hold at most ``share`` of its own and all others' rows together: ``share / (1 - share)`` times the
    rows of the others, at least one. That is bounded by what others say, so flooding does not raise one's own limit.

    It is not asked of a reporter beside whom there are too few others for an equal split to keep to the share (fewer
    than ``1 / share - 1``): a team with one labeller would lose everything and gain no safety. Anonymous answers are
    each their own reporter and never capped (the service limits them); imported labels are not capped either. Which
    rows go is drawn by a hash of the prediction id, evenly over time: neither old nor new behaviour is preferred.
    """
    groups: dict[str, list[_Candidate]] = defaultdict(list)
    for candidate in chosen:
        groups[candidate.voter].append(candidate)
    needed = math.ceil(1 / share - 1e-9) - 1
    over: dict[int, str] = {}
    for group in groups.values():
        reporter = group[0].row.reporter
        others = len(chosen) - len(group)
        if reporter is None or reporter.startswith(IMPORT_PREFIX) or len(groups) - 1 < needed:
            continue
        limit = max(1, math.floor(others * share / (1 - share) + 1e-9))
        if len(group) <= limit:
            continue
        draw = unit_interval(np.array([c.row.prediction_id for c in group]), salt="reporter-cap")
        ranked = [c for _, _, c in sorted(zip(draw.tolist(), range(len(group)), group, strict=True))]
        detail = f"its reporter has {len(group)} of {len(chosen)} rows, {limit} is the most"
        over |= {id(c): detail for c in ranked[limit:]}
    return over


def _tags(candidate: _Candidate, schema: Schema) -> tuple[FeedbackTag, ...]:
    row = candidate.row
    found: Mapping[FeedbackTag, bool] = {
        FeedbackTag.NEW_LABEL: bool(schema.classes) and candidate.label not in schema.classes,
        FeedbackTag.LOW_CONFIDENCE: not row.confidence >= LOW_CONFIDENCE,  # NaN too
        FeedbackTag.DISAGREEMENT: candidate.label != row.predicted,
    }
    return tuple(tag for tag, applies in found.items() if applies)


def _labelled(kept: Sequence[_Candidate], schema: Schema) -> LabelledRows:
    table: Table = table_from_rows(schema, [c.row.row for c in kept])
    return LabelledRows(
        table=table,
        labels=objects([c.label for c in kept]),
        source=objects([RowSource.FEEDBACK.value] * len(kept)),
        sequence=np.array([c.row.sequence for c in kept], dtype=np.int64),
        arrived_at=objects([c.row.arrived_at for c in kept]),
        event_at=no_times(len(kept)),
        keys=row_keys(table),
    )
