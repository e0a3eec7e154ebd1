"""What the rules look at, and the shapes of what they say.

A rule looks at its own evidence and says: fired, not fired, or that there is too little to say. Each lives in a module
of its own (``rule_*.py``). Shares are 0 to 1 inside and per cent in sentences. ``alpha`` is the chance that a rule
fires once where nothing is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

from remint.core.profile import Counts
from remint.core.trigger import RuleKind, RuleResult, RuleState
from remint.core.verdict import Finding, Verdict
from remint.errors import NoDataError, RemintError, ServiceError, Silence


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowCounts:
    """The window's predictions: rows, counts by field and bin, and rows that could not be read as rows at all."""

    rows: int
    counts: Counts
    malformed_rows: int = 0
    malformed_example: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelDelay:
    """How long after its prediction a label arrived."""

    median_seconds: float
    p90_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackCounts:
    """Answers that say whether a prediction was right. Unknown answers are not among them."""

    right: int
    wrong: int
    predictions: int | None = None  # of the same window, to say which share of them has a label; None where unknown
    delay: LabelDelay | None = None

    @property
    def labels(self) -> int:
        return self.right + self.wrong

    @property
    def coverage_share(self) -> float | None:
        """Labels of the window by predictions of the window; above 1 where labels of earlier predictions arrived."""
        return self.labels / self.predictions if self.predictions else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChampionAccuracy:
    """The champion's accuracy when it was evaluated, and on how many rows of which set."""

    accuracy: float
    rows: int
    measured_on: str


def no_answer(name: str, kind: RuleKind, error: RemintError) -> RuleResult:
    """The result of a rule whose source failed: no data where there is none yet, else an error."""
    state = RuleState.ERROR
    silence: Silence | None = None
    if isinstance(error, NoDataError):
        state, silence = RuleState.NO_DATA, error.silence
    elif isinstance(error, ServiceError):
        silence = Silence.SERVER_ERROR
    return RuleResult(name=name, kind=kind, state=state, fired=False, reason=str(error), silence=silence)


def counted(name: str, kind: RuleKind, reason: str, *, observed: float, limit: float) -> RuleResult:
    """A rule that fires where ``observed`` has reached ``limit``."""
    fired = observed >= limit
    finding = Finding(
        rule=name, verdict=Verdict.FAIL if fired else Verdict.PASS, reason=reason, observed=observed, limit=limit
    )
    return RuleResult(name=name, kind=kind, state=RuleState.OK, fired=fired, reason=reason, findings=(finding,))


def quiet(name: str, kind: RuleKind, reason: str) -> RuleResult:
    """The rule has an answer, and its condition does not hold."""
    return RuleResult(name=name, kind=kind, state=RuleState.OK, fired=False, reason=reason)


def no_data(name: str, kind: RuleKind, reason: str, *, silence: Silence) -> RuleResult:
    """The rule's source answered, but not with enough to judge by."""
    return RuleResult(name=name, kind=kind, state=RuleState.NO_DATA, fired=False, reason=reason, silence=silence)


def percent(share: float) -> str:
    """A share (0 to 1) for a sentence."""
    hundredths = 100 * float(share)
    return f"{hundredths:.0f} %" if hundredths >= 10 or hundredths == 0 else f"{hundredths:.1f} %"


def too_few(name: str, kind: RuleKind, found: int, needed: int, *, of: str = "predictions in the window") -> RuleResult:
    """The source answered with fewer rows or labels than the rule needs."""
    return no_data(name, kind, f"{found} {of}, {needed} needed", silence=Silence.TOO_FEW)
