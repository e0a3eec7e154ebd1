"""What each look of the doctor starts from and ends in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from remint.adapters.forge import Forge
from remint.core.checkup import Checkup, Level
from remint.errors import RemintError

Look = Callable[[], Checkup]
_LOOK_AGAIN: Final = "see the message; then remint doctor again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """Where to look. ``forge`` is None where the environment names none, an error where it names a wrong one."""

    directory: Path
    environ: Mapping[str, str] = field(repr=False)
    now: datetime
    forge: Forge | RemintError | None = None


def look_at(name: str, look: Look) -> Checkup:
    try:
        return look()
    except RemintError as error:
        return failed(name, error)


def ok(name: str, line: str) -> Checkup:
    return Checkup(name=name, level=Level.OK, line=line)


def warning(name: str, line: str, *, mend: str) -> Checkup:
    return Checkup(name=name, level=Level.WARNING, line=line, mend=mend)


def failed(name: str, error: RemintError | str, *, mend: str | None = None) -> Checkup:
    if isinstance(error, RemintError):
        mend = mend or error.hint or _LOOK_AGAIN
        error = f"{error.where}: {error.message}" if error.where else error.message
    return Checkup(name=name, level=Level.ERROR, line=" ".join(error.split()), mend=mend or _LOOK_AGAIN)


def not_asked(name: str, reason: str) -> Checkup:
    return Checkup(name=name, level=Level.NOT_ASKED, line=reason)
