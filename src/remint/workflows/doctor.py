"""``remint doctor``: looks at every setting that a pipeline leans on, and says how to mend what is wrong.

A look that cannot be taken is "not asked", with its reason, and never ok. Nothing is changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from remint.adapters.git import Git
from remint.config import Params, load_params
from remint.core.checkup import Checkup, Level, counted
from remint.errors import RemintError
from remint.workflows.doctor_files import dvc_looks, file_looks, git_looks
from remint.workflows.doctor_forge import forge_looks
from remint.workflows.doctor_look import Look, Patient, failed, look_at, ok
from remint.workflows.doctor_services import service_looks

__all__ = ["Diagnosis", "Patient", "examine"]


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


def examine(patient: Patient) -> Diagnosis:
    """Every look, in the order in which things are set up; raises nothing for what it finds."""
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
