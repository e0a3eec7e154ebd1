"""``remint init --upgrade``: pins move to what this Remint was tested with, and nothing else does."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from remint import __version__
from remint.adapters.scaffold import (
    MANIFEST,
    Action,
    Step,
    changed_files,
    commit,
    git_root,
    has_author,
    is_unchanged,
    read_manifest,
    write_steps,
)
from remint.core.file_diff import file_diff
from remint.errors import UsageError
from remint.workflows.init_files import NOWHERE, REQUIREMENTS, Workflows, template_folder, walk

_PIN: Final = re.compile(
    r"^(?P<name>[ \t]*remint(?:\[[^\]]*\])?[ \t]*==[ \t]*)(?P<version>[^\s;#]+)", re.IGNORECASE | re.MULTILINE
)
#: ``uses: owner/name[/path]@<commit> # version``
_USES: Final = re.compile(
    r"(?P<uses>\buses:\s*)(?P<action>[\w.-]+/[\w./-]+)@(?P<commit>[0-9a-f]{40})(?P<note>[ \t]*#[ \t]*\S+)?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrade:
    """``moved``: done, or would be; ``theirs``: files that a person changed, with the pins that they may want."""

    base: Path  # what the paths are relative to
    moved: tuple[Step, ...]
    theirs: tuple[Step, ...]
    committed: bool

    def to_json(self) -> dict[str, Any]:
        return {
            "remint": __version__,
            "files": [_step_json(step) for step in self.moved],
            "theirs": [_step_json(step) for step in self.theirs],
            "committed": self.committed,
        }


def _step_json(step: Step) -> dict[str, Any]:
    return {"path": step.path, "action": step.action.value, "diff": file_diff(step.path, step.before, step.content)}


def upgrade(directory: Path, *, dry_run: bool = False, commit_it: bool = False) -> Upgrade:
    """Move the pin of Remint in ``requirements.txt`` and of the actions in the workflows that init wrote.

    A workflow that a person changed since is not touched: its diff is in ``theirs``. Running it again changes nothing.
    Raises UsageError where there is nothing that init ever made.
    """
    top = git_root(directory) or directory
    places = {directory.resolve(): None, top.resolve(): None}
    requirements = directory / REQUIREMENTS
    if not any((place / MANIFEST).is_file() for place in places):
        hint = "run it in the pipeline's directory; a new pipeline begins with remint init --data"
        raise UsageError("no file that remint init made", where=str(directory), hint=hint)
    if commit_it and not dry_run:
        refuse_nameless(directory)
    moved: dict[Path, list[Step]] = {place: [] for place in places}
    theirs: list[Step] = []
    if requirements.is_file():
        text = requirements.read_bytes().decode("utf-8")
        if step := _step(REQUIREMENTS, text, _PIN.sub(rf"\g<name>{__version__}", text), ours=False):
            moved[directory.resolve()].append(step)
    pins = known_pins()
    for place in places:
        for path, recorded in read_manifest(place).items():
            file = place / path
            if not path.startswith(".github/") or not file.is_file():
                continue
            content = file.read_bytes()
            mine = is_unchanged(content, recorded)
            text = content.decode("utf-8", "surrogateescape")
            step = _step(path, text, _USES.sub(lambda found: _moved(found, pins), text), ours=mine)
            if step is not None:
                (moved[place] if mine else theirs).append(step)
    steps = [step for found in moved.values() for step in found]
    committed = False
    if steps and not dry_run:
        if commit_it:
            for place, found in moved.items():
                refuse_uncommitted(place, _paths(found))
        for place, found in moved.items():
            if found:
                write_steps(place, found, version=__version__)
        if commit_it:
            paths = [
                place / name
                for place, found in moved.items()
                if found
                for name in [*_paths(found), MANIFEST.as_posix()]
            ]
            committed = commit(directory, [str(path) for path in paths], f"Move pins to Remint {__version__}")
    return Upgrade(base=directory, moved=tuple(steps), theirs=tuple(theirs), committed=committed)


def _paths(steps: Sequence[Step]) -> list[str]:
    return [step.path for step in steps]


def known_pins() -> dict[str, tuple[str, str]]:
    """Action -> commit and version note, of all templates that this Remint has."""
    found: dict[str, tuple[str, str]] = {}
    for kind in (Workflows.FULL, Workflows.REUSABLE):
        try:
            folder = template_folder(kind)
        except UsageError:
            continue
        for _, content in walk(folder):
            for match in _USES.finditer(content.decode("utf-8")):
                if not NOWHERE.endswith(match["commit"]):
                    found[match["action"]] = (match["commit"], match["note"] or "")
    return found


def _moved(found: re.Match[str], pins: dict[str, tuple[str, str]]) -> str:
    commit_id, note = pins.get(found["action"], (found["commit"], found["note"] or ""))
    if commit_id == found["commit"]:
        return found[0]
    return f"{found['uses']}{found['action']}@{commit_id}{note}"


def _step(path: str, before: str, after: str, *, ours: bool) -> Step | None:
    if before == after:
        return None
    old, new = (text.encode("utf-8", "surrogateescape") for text in (before, after))
    return Step(path=path, action=Action.UPDATE, content=new, before=old, ours=ours)


def refuse_nameless(directory: Path) -> None:
    """Before anything is written: a commit needs an author."""
    if not has_author(directory):
        raise UsageError(
            "git does not know who you are, so nothing can be committed",
            where="--commit",
            hint='git config user.name "..." && git config user.email "...", or leave --commit out',
        )


def refuse_uncommitted(directory: Path, paths: list[str]) -> None:
    """A file that init adds to, with changes of a person's own in it: their changes are not for our commit."""
    if changed := changed_files(directory, paths) if paths else []:
        raise UsageError(
            f"changes of yours that are not committed in {', '.join(changed)}",
            where="--commit",
            hint="commit them first, or leave --commit out",
        )
