"""What happened in one act: for the terminal, the table and the page."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    AS_IT_SHOULD = "as it should"
    NOT_SHOWN = "this file cannot show it"
    WRONG = "not as it should"


@dataclass(slots=True, kw_only=True)
class Act:
    """What happened in one act, for the table and the page."""

    title: str
    expected: str
    got: str = ""
    outcome: Outcome = Outcome.WRONG
    seconds: float = 0.0
    rows: str = ""
    margin: str = ""
    notes: list[str] = field(default_factory=list)
    documents: dict[str, Any] = field(default_factory=dict)
    report: str = ""

    @property
    def number(self) -> str:
        return self.title.split(".")[0]

    def end(self, got: str, *, good: bool) -> None:
        self.got = got
        self.outcome = Outcome.AS_IT_SHOULD if good else Outcome.WRONG
