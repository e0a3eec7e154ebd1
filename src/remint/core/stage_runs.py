"""What ``dvc repro`` did with each stage, out of the lines that it printed and when."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final


class StageAction(StrEnum):
    RAN = "ran"
    RESTORED = "restored"  # it had been run like this before: outputs from DVC's run-cache
    SKIPPED = "skipped"  # nothing that it depends on changed
    UNKNOWN = "unknown"  # DVC said nothing of it


#: As DVC 3 words them; a stage of which no such line is found is UNKNOWN, never taken for skipped.
_LINES: Final = (
    (re.compile(r"Running stage '(?P<name>.+)':"), StageAction.RAN),
    (re.compile(r"Stage '(?P<name>.+)' is cached - skipping run, checking out outputs"), StageAction.RESTORED),
    (re.compile(r"Stage '(?P<name>.+)' didn't change, skipping"), StageAction.SKIPPED),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRun:
    """``changed``: the dependencies and parameters that differ from what ``dvc.lock`` recorded before."""

    name: str
    action: StageAction
    seconds: float | None = None  # until the next stage began; None where it is not known
    changed: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "action": self.action.value,
            "seconds": None if self.seconds is None else round(self.seconds, 1),
            "changed": list(self.changed),
        }


def read_stage_runs(
    lines: Sequence[tuple[float, str]], *, ended_at: float, changed: Mapping[str, Sequence[str]]
) -> tuple[StageRun, ...]:
    """One for each stage named in ``changed``, in that order.

    ``lines`` are (seconds on any clock, text); ``ended_at`` is when DVC was done, on the same clock. What a stage's own
    program prints may look like DVC's line about another: the first line about a stage counts, names that are not in
    ``changed`` do not.
    """
    begun: dict[str, tuple[float, StageAction]] = {}
    for at, line in lines:
        for pattern, action in _LINES:
            match = pattern.fullmatch(line.strip())
            if match is not None and match["name"] in changed:
                begun.setdefault(match["name"], (at, action))
    starts = sorted(at for at, _ in begun.values())
    found = []
    for name, what in changed.items():
        if name not in begun:
            found.append(StageRun(name=name, action=StageAction.UNKNOWN, changed=tuple(what)))
            continue
        at, action = begun[name]
        end = next((start for start in starts if start > at), ended_at)
        seconds = 0.0 if action is StageAction.SKIPPED else end - at
        found.append(StageRun(name=name, action=action, seconds=seconds, changed=tuple(what)))
    return tuple(found)
