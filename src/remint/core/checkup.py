"""What one look at a setting found: a level, a line, and the mend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"  # works, and will surprise somebody
    ERROR = "error"  # something that Remint needs does not work
    NOT_ASKED = "not_asked"  # the look could not be taken, which is never ok


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """``mend`` is a command, or where to click; each warning and error has one."""

    name: str  # such as dvc.remote
    level: Level
    line: str
    mend: str | None = None

    def __post_init__(self) -> None:
        if (self.level in {Level.WARNING, Level.ERROR}) != (self.mend is not None):
            raise ValueError(f"{self.name}: {self.level.value} with mend {self.mend!r}")

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "level": self.level.value, "line": self.line, "mend": self.mend}


def counted(checkups: Iterable[Checkup]) -> dict[str, int]:
    """Level -> how many, every level named."""
    found = Counter(checkup.level for checkup in checkups)
    return {level.value: found[level] for level in Level}
