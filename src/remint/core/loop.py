"""What a tick of ``remint loop`` says of its steps, how bad it is, and how long until the next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from remint.core.document import format_time
from remint.errors import ExitCode

FIRST_RETRY: Final = timedelta(minutes=1)
#: The worst first: what somebody has to repair, what may go away by itself, then what the world is like.
_SEVERITY: Final = (
    ExitCode.BUG,
    ExitCode.USAGE,
    ExitCode.SERVICE,
    ExitCode.CANARY_FAILED,
    ExitCode.GATE_FAILED,
    ExitCode.INVESTIGATE,
    ExitCode.INCONCLUSIVE,
    ExitCode.NO_DATA,
)


class Outcome(StrEnum):
    """How a step of a tick ended."""

    DONE = "done"
    NOTHING = "nothing"  # there was nothing to do
    WAITS = "waits"  # for time, for labels, for a person
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What became of one step. ``exit_code`` is what its command would have ended in with ``--exit-code``."""

    at: datetime
    step: str
    outcome: Outcome
    text: str
    exit_code: ExitCode = ExitCode.ANSWERED
    error: str | None = None  # the error's stable code
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "at": format_time(self.at),
            "step": self.step,
            "outcome": self.outcome.value,
            "text": self.text,
            "exit_code": int(self.exit_code),
            "error": self.error,
            **self.facts,
        }


def worst(lines: Iterable[Line], *, answers: bool) -> ExitCode:
    """The gravest exit code of a tick; with ``answers`` also those from 10 up, which are about the world."""
    found = {line.exit_code for line in lines if answers or line.exit_code < ExitCode.RETRAIN_DUE}
    return next((code for code in _SEVERITY if code in found), ExitCode.ANSWERED)


def pause(every: timedelta, *, failures: int) -> timedelta:
    """Until the next tick: ``every``, and sooner after ``failures`` ticks in a row met a service that failed.

    A minute, doubled with each further failure, at most ``every``.
    """
    if failures == 0:
        return every
    return min(every, FIRST_RETRY * 2.0 ** min(failures - 1, 20))
