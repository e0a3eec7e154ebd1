"""The files that ``remint init`` writes besides ``params.yaml``, from the one source of them: ``remint/templates``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template
from typing import Final

import remint
from remint import __version__
from remint.adapters.scaffold import Planned, Treatment, is_unchanged, read_manifest
from remint.errors import UsageError
from remint.workflows.lock import attributes_file

REQUIREMENTS: Final = "requirements.txt"
CHART: Final = "helm/remint"
VALUES: Final = "deploy/values.yaml"
_PINNED: Final = re.compile(r"^\s*remint(?:\[[^\]]*\])?\s*==", re.IGNORECASE | re.MULTILINE)
#: How a caller names a workflow of Remint's own repository.
_CALLED: Final = re.compile(
    r"uses: [\w.-]+/[\w.-]+/(?P<file>\.github/workflows/[\w.-]+\.yml)@[0-9a-f]{40}(?P<note>[ \t]*#[ \t]*\S+)?"
)
_SOURCE: Final = re.compile(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}")
NOWHERE: Final = "@" + "0" * 40  # in the templates: no such commit
#: Written under another name where a team has a workflow of that name: no command starts it by its file's name.
_RENAMED: Final = {"workflows/ci.yml": "workflows/remint-ci.yml"}


class Workflows(StrEnum):
    """What of ``.github/`` a repository gets."""

    FULL = "full"  # the workflows themselves, and their composite actions
    REUSABLE = "reusable"  # thin callers of the workflows in Remint's own repository, pinned
    NONE = "none"


def template_files(*, stages: bool = True) -> list[Planned]:
    """The files that are the same in every pipeline; without ``stages``, those that an adopted pipeline shares."""
    templates = files("remint") / "templates"
    requirements = Template((templates / REQUIREMENTS).read_text(encoding="utf-8"))
    pipeline = [
        Planned(path="dvc.yaml", content=(templates / "dvc.yaml.template").read_bytes()),
        *(Planned(path=f"stages/{name}.py", content=content) for name, content in stage_scripts().items()),
    ]
    return [
        *(pipeline if stages else []),
        Planned(
            path=REQUIREMENTS,
            content=requirements.substitute(version=__version__).encode(),
            treatment=Treatment.LINES,
        ),
        Planned(path=".gitignore", content=(templates / "gitignore").read_bytes(), treatment=Treatment.LINES),
        Planned(path=".dvcignore", content=(templates / "dvcignore").read_bytes(), treatment=Treatment.LINES),
        attributes_file(),
        Planned(path="Dockerfile", content=(templates / "Dockerfile").read_bytes(), treatment=Treatment.ONCE),
        Planned(path=".dockerignore", content=(templates / "dockerignore").read_bytes(), treatment=Treatment.ONCE),
        Planned(path=VALUES, content=(templates / "values.yaml").read_bytes(), treatment=Treatment.ONCE),
    ]


def stage_scripts() -> Mapping[str, bytes]:
    """The scripts of the three stages, by the stage's name."""
    folder = files("remint") / "templates" / "stages"
    return {name: (folder / f"{name}.py").read_bytes() for name in ("prepare", "train", "evaluate")}


def pinned_once(planned: Sequence[Planned], directory: Path) -> list[Planned]:
    """``requirements.txt`` as it is where it pins a Remint already: ``--upgrade`` moves pins, nothing adds a second."""
    path = directory / REQUIREMENTS
    if not path.is_file() or _PINNED.search(path.read_text(encoding="utf-8", errors="replace")) is None:
        return list(planned)
    return [
        Planned(path=file.path, content=path.read_bytes()) if file.path == REQUIREMENTS else file for file in planned
    ]


def workflow_files(kind: Workflows, top: Path, *, source: str | None = None) -> list[Planned]:
    """What ``.github/`` of the repository whose top is ``top`` gets: GitHub reads workflows there alone.

    ``source`` is where reusable ones are called from, ``owner/repository@commit``; without it callers that are there
    keep the address that they have, and new ones get one that no run starts with.
    """
    if kind is Workflows.NONE:
        return []
    recorded = read_manifest(top)
    planned = []
    for name, template in walk(template_folder(kind)):
        path = _free_name(name, template, top, recorded)
        content = template if kind is Workflows.FULL else _addressed(template, top / path, source)
        planned.append(Planned(path=path, content=content))
    return planned


def _addressed(template: bytes, target: Path, source: str | None) -> bytes:
    text = template.decode("utf-8")
    if source is not None:
        if _SOURCE.fullmatch(source) is None:
            hint = "OWNER/REPOSITORY@COMMIT with all 40 digits of the commit"
            raise UsageError(f"{source!r} is no address of Remint's workflows", where="--workflows-from", hint=hint)
        address, _, commit = source.partition("@")
        return _CALLED.sub(lambda found: f"uses: {address}/{found['file']}@{commit}", text).encode("utf-8")
    if target.is_file():
        existing = target.read_bytes()
        if _CALLED.sub("", existing.decode("utf-8", "replace").replace("\r\n", "\n")) == _CALLED.sub("", text):
            return existing
    return template


def template_folder(kind: Workflows) -> Traversable:
    source = files("remint") / "templates" / ("github" if kind is Workflows.FULL else "github-reusable")
    if not source.is_dir():
        raise UsageError(f"this Remint came without its {kind.value} workflows", where="--workflows")
    return source


def _free_name(name: str, content: bytes, top: Path, recorded: Mapping[str, str]) -> str:
    path = f".github/{name}"
    if name not in _RENAMED or not (top / path).is_file():
        return path
    existing = (top / path).read_bytes()
    mine = path in recorded or existing == content or is_unchanged(existing, recorded.get(path))
    return path if mine else f".github/{_RENAMED[name]}"


def chart_files() -> list[Planned]:
    """The Helm chart, to be kept in the repository. Raises UsageError where this installation has none."""
    beside = Path(remint.__file__).parents[2] / "helm" / "remint"  # a checkout of Remint
    source: Traversable = files("remint") / "helm" / "remint"
    if not source.is_dir():
        source = beside
    if not source.is_dir():
        hint = f"copy {CHART} from Remint's repository, or set the variable REMINT_CHART to where the chart is"
        raise UsageError("this Remint was installed without its chart", where="--chart", hint=hint)
    return [Planned(path=f"{CHART}/{name}", content=content) for name, content in walk(source)]


def walk(folder: Traversable, prefix: str = "") -> list[tuple[str, bytes]]:
    """Every file below ``folder`` by its path, sorted."""
    found: list[tuple[str, bytes]] = []
    for entry in folder.iterdir():
        if entry.name == "__pycache__":
            continue
        if entry.is_dir():
            found.extend(walk(entry, f"{prefix}{entry.name}/"))
        elif not entry.name.endswith((".py", ".pyc")):
            found.append((f"{prefix}{entry.name}", entry.read_bytes()))
    return sorted(found)
