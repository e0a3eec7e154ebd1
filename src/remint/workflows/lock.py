"""``remint lock``: the merge driver of ``dvc.lock``, and what makes git use it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Any

from remint.adapters.files import write_atomically
from remint.adapters.git import Git
from remint.adapters.lock_file import (
    ATTRIBUTES,
    DRIVER,
    LOCK,
    driver_command,
    format_lock,
    line_end_of,
    merge_settings,
    read_lock,
    read_wdirs,
    set_driver,
)
from remint.adapters.scaffold import Action, Planned, Treatment, plan_steps
from remint.core.lock_merge import LeftOut, merge_locks
from remint.errors import DataError, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """How a merge ended. ``text_reason``: why it could not be made by stage, and git's own text merge was made."""

    left_out: tuple[LeftOut, ...] = ()
    text_reason: str | None = None
    stages: tuple[str, ...] = ()  # to reproduce, as `dvc repro` wants them from the top of the repository

    @property
    def clean(self) -> bool:
        return not self.left_out and self.text_reason is None

    def to_json(self) -> dict[str, Any]:
        return {
            "clean": self.clean,
            "left_out": [stage.to_json() for stage in self.left_out],
            "reproduce": list(self.stages),
            "text_reason": self.text_reason,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """What ``install`` changed, or with ``dry_run`` would have."""

    attributes: Action
    driver: Action
    command: str

    def to_json(self) -> dict[str, str]:
        return {"attributes": self.attributes.value, "driver": self.driver.value, "command": self.command}


def merge_files(base: Path, ours: Path, theirs: Path, *, path: str, directory: Path) -> Merge:
    """Merge into the file ``ours``; ``path`` is where it lies in the repository whose top is ``directory``.

    Where it cannot be done by stage (not YAML, an unknown schema) the file gets git's own merge with conflict markers,
    and is never clean. Raises DataError where a file cannot be read; ``ours`` is then as it was.
    """
    try:
        contents = {side: file.read_bytes() for side, file in (("base", base), ("ours", ours), ("theirs", theirs))}
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(error.filename)) from None
    try:
        locks = {side: read_lock(content, where=f"{path} ({side})") for side, content in contents.items()}
        wdirs = read_wdirs(directory / PurePosixPath(path).with_name("dvc.yaml"))
        merged = merge_locks(locks["base"], locks["ours"], locks["theirs"], wdirs=wdirs)
    except DataError as error:
        _merge_text(directory, base, ours, theirs)
        return Merge(text_reason=str(error))
    write_atomically(ours, format_lock(merged.lock, line_end=line_end_of(contents["ours"])))
    return Merge(
        left_out=merged.left_out,
        stages=tuple(_address(path, stage.stage) for stage in merged.left_out),
    )


def install(git: Git, *, dry_run: bool = False) -> Installed:
    """The line in ``.gitattributes`` of the pipeline's directory and the driver in this clone's configuration.

    Safe to repeat. Raises UsageError where ``dvc.lock`` has another merge driver already.
    """
    attribute, command = merge_settings(git)
    if attribute not in {"unspecified", "set", DRIVER}:
        raise UsageError(
            f"{LOCK} is merged by {attribute!r} already", where=".gitattributes", hint=f"to change it: merge={DRIVER}"
        )
    (step,) = plan_steps(git.path, [attributes_file()])
    attributes = Action.KEEP if attribute == DRIVER else step.action
    driver = Action.KEEP if command == driver_command() else Action.CREATE if command is None else Action.UPDATE
    if not dry_run:
        if attributes is not Action.KEEP:
            write_atomically(git.path / ATTRIBUTES, step.content.decode("utf-8"))
        if driver is not Action.KEEP:
            set_driver(git)
    return Installed(attributes=attributes, driver=driver, command=driver_command())


def attributes_file() -> Planned:
    """As ``remint init`` and ``remint lock install`` write it. In a clone without the driver git merges text."""
    content = (files("remint") / "templates" / "gitattributes").read_bytes()
    return Planned(path=ATTRIBUTES.as_posix(), content=content, treatment=Treatment.LINES)


def _merge_text(directory: Path, base: Path, ours: Path, theirs: Path) -> None:
    """Git's own three-way merge into ``ours``; binary rubbish stays as it was on our side."""
    Git(directory).succeeds(
        "merge-file", "-L", "ours", "-L", "base", "-L", "theirs", *(str(f.resolve()) for f in (ours, base, theirs))
    )


def _address(path: str, stage: str) -> str:
    folder = PurePosixPath(path).parent
    return stage if folder == PurePosixPath() else f"{folder / 'dvc.yaml'}:{stage}"
