"""What users say about predictions: three answers, and the label that each of them implies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, assert_never

from remint.core.document import format_time, parse_time
from remint.core.release import Track
from remint.core.schema import canonical_label
from remint.errors import DataError, did_you_mean


class Answer(StrEnum):
    """What a reporter may say of one prediction."""

    CORRECT = "correct"
    WRONG = "wrong"
    UNKNOWN = "unknown"  # kept, counted, never trained on

    @property
    def outcome(self) -> Outcome:
        match self:
            case Answer.CORRECT:
                return Outcome.RIGHT
            case Answer.WRONG:
                return Outcome.WRONG
            case Answer.UNKNOWN:
                return Outcome.UNKNOWN
            case _:
                assert_never(self)


class Outcome(StrEnum):
    """The same from the model's side; a value of the ``outcome`` label of ``remint_feedback_total``."""

    RIGHT = "right"
    WRONG = "wrong"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackRow:
    """One answer joined with the prediction it is about. A line of the export is its ``to_json``."""

    sequence: int  # rises by arrival, from 1, never reused
    arrived_at: datetime
    prediction_id: str
    answer: Answer
    label: str | None  # what was true, where the answer tells
    predicted: str
    confidence: float  # of the predicted class, 0 to 1
    bundle: str
    reference: str
    track: Track
    release: str
    reporter: str | None  # a keyed hash, never the raw value; None is anonymous
    row: Mapping[str, Any]  # the features as they were served

    def to_json(self) -> dict[str, Any]:
        return {
            "sequence": self.sequence,
            "arrived_at": format_time(self.arrived_at),
            "prediction_id": self.prediction_id,
            "answer": self.answer.value,
            "label": self.label,
            "predicted": self.predicted,
            "confidence": self.confidence,
            "bundle": self.bundle,
            "reference": self.reference,
            "track": self.track.value,
            "release": self.release,
            "reporter": self.reporter,
            "row": dict(self.row),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], *, where: str | None = None) -> FeedbackRow:
        """From a line of the export; anything else raises DataError at ``where``."""
        try:
            return cls(
                sequence=int(data["sequence"]),
                arrived_at=parse_time(data["arrived_at"], where=where),
                prediction_id=data["prediction_id"],
                answer=Answer(data["answer"]),
                label=data["label"],
                predicted=data["predicted"],
                confidence=float(data["confidence"]),
                bundle=data["bundle"],
                reference=data["reference"],
                track=Track(data["track"]),
                release=data["release"],
                reporter=data["reporter"],
                row=data["row"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"not a feedback row: {error!r}", where=where) from None


def parse_answer(value: object) -> Answer:
    """One of the three words; anything else raises DataError."""
    try:
        return Answer(str(value))
    except ValueError:
        known = [a.value for a in Answer]
        hint = did_you_mean(str(value), known) or f"one of {', '.join(known)}"
        raise DataError(f"{value!r:.60} is not an answer", where="answer", hint=hint) from None


def implied_label(
    answer: Answer,
    label: object,
    *,
    predicted: str,
    classes: Sequence[str],
    further: Sequence[str] = (),
) -> str | None:
    """The true label that an answer tells, or None where it tells none.

    ``classes`` are those of the model that predicted; ``further`` are classes that other served models know, which are
    accepted too. Wrong without a label is the other class where there are two, else None. A label that no model knows
    raises DataError: it is a misspelling far more often than a new class, and a new class is a reviewed change of the
    training data. An answer that contradicts its label raises DataError.
    """
    given = canonical_label(label)
    if given is not None and given not in classes and given not in further:
        known = [*classes, *(c for c in further if c not in classes)]
        hint = did_you_mean(given, known) or f"one of {', '.join(known[:20])}"
        raise DataError(f"{given!r:.60} is not a known class", where="label", hint=hint)
    match answer:
        case Answer.CORRECT:
            if given is not None and given != predicted:
                raise DataError(f"answer is correct, but {given!r} is not what was predicted", where="label")
            return predicted
        case Answer.WRONG:
            if given == predicted:
                raise DataError(f"answer is wrong, but {given!r} is what was predicted", where="label")
            if given is None and len(classes) == 2:
                return next(c for c in classes if c != predicted)
            return given
        case Answer.UNKNOWN:
            if given is not None:
                raise DataError("answer is unknown, so it has no label", where="label")
            return None
        case _:
            assert_never(answer)
