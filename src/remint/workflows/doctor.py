"""``remint doctor``: looks at every setting that a pipeline leans on, and says how to mend what is wrong.

A look that cannot be taken is "not asked", with its reason, and never ok. Nothing is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from remint.adapters.forge import Forge
from remint.adapters.git import Git
from remint.config import Params, load_params
from remint.core.checkup import Checkup, Level, counted
from remint.errors import RemintError


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """Where to look. ``forge`` is None where the environment names none, an error where it names a wrong one."""

    directory: Path
    environ: Mapping[str, str] = field(repr=False)
    now: datetime
    forge: Forge | RemintError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    checkups: tuple[Checkup, ...]

    @property
    def sound(self) -> bool:
        return all(checkup.level is not Level.ERROR for checkup in self.checkups)

    def to_json(self) -> dict[str, Any]:
        return {
            "sound": self.sound,
            "counts": counted(self.checkups),
            "checks": [checkup.to_json() for checkup in self.checkups],
        }


Look = Callable[[], Checkup]
_LOOK_AGAIN: Final = "see the message; then remint doctor again"


def examine(patient: Patient) -> Diagnosis:
    """Every look, in the order in which things are set up; raises nothing for what it finds."""
    from remint.workflows.doctor_files import dvc_looks, file_looks, git_looks
    from remint.workflows.doctor_services import forge_looks, service_looks

    found: list[Checkup] = []
    params: Params | None = None
    try:
        params = load_params(patient.directory / "params.yaml")
        found.append(ok("params", f"params.yaml is valid, pipeline {params.pipeline}"))
    except RemintError as error:
        found.append(failed("params", error))
    git: Git | None = None
    try:
        git = Git(patient.directory)
    except RemintError as error:
        found.append(failed("git", error))
    looks: list[tuple[str, Look]] = [
        *git_looks(git, params),
        *file_looks(patient, params),
        *dvc_looks(patient),
        *service_looks(patient, params),
        *forge_looks(patient, git, params),
    ]
    found += [look_at(name, look) for name, look in looks]
    return Diagnosis(checkups=tuple(found))


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
