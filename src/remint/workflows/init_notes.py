"""What a person has to know or to do beside the files that ``remint init`` writes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from remint import __version__
from remint.adapters.git import Git
from remint.adapters.scaffold import MANIFEST, Action, Step
from remint.errors import RemintError
from remint.workflows.adopt import Adopted
from remint.workflows.init_files import NOWHERE, REQUIREMENTS
from remint.workflows.prepare import check_pin


def advice(conflicts: Sequence[str]) -> str:
    """What to do about files that are somebody's."""
    workflows = [path for path in conflicts if path.startswith(".github/")]
    others = [path for path in conflicts if path not in workflows]
    said = []
    if workflows:
        said.append(f"{', '.join(workflows)}: rename yours, or leave ours out with --workflows none")
    if others:
        said.append(f"{', '.join(others)}: move them away, or run init in another directory")
    return "; ".join(said)


def notes_of_adoption(adopted: Adopted, data: str, estimator: str) -> list[str]:
    """What is taken up and what is not."""
    notes = []
    if adopted.stages:
        notes.append(f"your stages stay as they are: {', '.join(stage.name for stage in adopted.stages)}")
    for name in adopted.info_files:
        found = ", ".join(list(adopted.metrics.get(name, {}))[:10]) or "no numbers in it yet"
        notes.append(f"your metrics in {name} are shown at the gate, and judge nothing: {found}")
    maker = adopted.maker(data)
    if maker is not None:
        notes.append(
            f"{data} is made by your stage {maker.name!r}: the service is asked with its columns, not with what that "
            "stage reads"
        )
    notes.append(
        f"judged and served is what remint-train fits with {estimator}; the models that your own stages write are not"
    )
    return notes


def notes_of_files(here: Path, steps: Sequence[Step]) -> list[str]:
    """Of files that were there before and stay."""
    notes = []
    kept = {step.path: step for step in steps if step.action is Action.KEEP}
    if REQUIREMENTS in kept:
        try:
            check_pin(here / REQUIREMENTS, installed=__version__)
        except RemintError as error:
            notes.append(f"{REQUIREMENTS} {error.message}: remint init --upgrade moves the pin")
    docker = kept.get("Dockerfile")
    if docker is not None and b"remint" not in docker.content:
        notes.append("Dockerfile is yours and stays: what the release builds of it has to end in `remint serve`")
    return notes


def notes_of_workflows(here: Path, steps: Mapping[Path, Sequence[Step]], *, chart: bool) -> list[str]:
    """Of what the workflows read from the forge's settings, and of names that were taken."""
    notes = []
    for top in steps:
        if top != here:
            names = json.dumps(_pipelines(top, here))
            notes.append(
                f"the workflows are at the top of the repository: set its variable REMINT_DIRECTORIES to {names}"
            )
    if any(step.path.endswith("/remint-ci.yml") for found in steps.values() for step in found):
        notes.append(".github/workflows/ci.yml is yours and stays: ours is remint-ci.yml beside it")
    if any(NOWHERE.encode() in step.content for found in steps.values() for step in found):
        notes.append("no workflow starts before it is told whose they are: --workflows-from OWNER/REPOSITORY@COMMIT")
    if not chart and not (here / "helm").is_dir():
        notes.append("to deploy: set the variable REMINT_CHART to where the Helm chart is, or copy it with --chart")
    return notes


def _pipelines(top: Path, here: Path) -> list[str]:
    """Every pipeline of the repository that init made, this one too."""
    found = Git(top).run("ls-files", "--", f"*/{MANIFEST.as_posix()}").splitlines()
    made = {path.removesuffix(f"/{MANIFEST.as_posix()}") for path in found}
    return sorted({*made, here.relative_to(top).as_posix()})
