"""Writing a new pipeline's files: nothing of somebody else's is overwritten; git and DVC are begun where missing."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from remint.errors import ServiceError, UsageError

MANIFEST: Final = Path(".remint/manifest.json")  # committed: the hashes of what `remint init` wrote
_MANIFEST_SCHEMA: Final = "remint/manifest/1.0"


class Treatment(StrEnum):
    """What to do where a file is there already."""

    OURS = "ours"  # replaced only if it is still what an earlier init wrote
    ONCE = "once"  # left as it is
    LINES = "lines"  # missing lines are appended


class Action(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    APPEND = "append"
    KEEP = "keep"


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    path: str  # relative to the pipeline's directory, with forward slashes
    content: bytes
    treatment: Treatment = Treatment.OURS


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One file and what happens to it; ``content`` is the whole file as it will be."""

    path: str
    action: Action
    content: bytes


def plan_steps(directory: Path, files: Sequence[Planned]) -> list[Step]:
    """Decide for every file, before the first is written. Raises UsageError that lists all files that differ."""
    recorded = read_manifest(directory)
    steps, conflicts = [], []
    for file in files:
        target = directory / file.path
        existing = target.read_bytes() if target.is_file() else None
        action, content = Action.KEEP, file.content
        if existing is None:
            action = Action.CREATE
        elif existing != file.content:
            match file.treatment:
                case Treatment.ONCE:
                    content = existing
                case Treatment.LINES:
                    content = _with_lines(existing, file.content)
                    action = Action.KEEP if content == existing else Action.APPEND
                case Treatment.OURS:
                    action = Action.UPDATE
                    if recorded.get(file.path) != _sha256(existing):
                        conflicts.append(file.path)
        steps.append(Step(path=file.path, action=action, content=content))
    if conflicts:
        raise UsageError(
            f"these files are there and differ from what init would write: {', '.join(conflicts)}",
            where=str(directory),
            hint="nothing was written; move them away, or run init in another directory",
        )
    return steps


def write_steps(directory: Path, steps: Sequence[Step], *, version: str) -> None:
    """Carry the steps out and record the hashes of all files in the manifest."""
    for step in steps:
        if step.action is not Action.KEEP:
            target = directory / step.path
            target.parent.mkdir(parents=True, exist_ok=True)
            draft = target.with_name(f".{target.name}.{os.getpid()}")
            draft.write_bytes(step.content)
            draft.replace(target)
    hashes = {**read_manifest(directory), **{step.path: _sha256(step.content) for step in steps}}
    manifest = {"schema": _MANIFEST_SCHEMA, "remint": version, "files": dict(sorted(hashes.items()))}
    path = directory / MANIFEST
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_manifest(directory: Path) -> Mapping[str, str]:
    """Path -> SHA-256 of what an earlier init wrote; empty where there was none."""
    path = directory / MANIFEST
    if not path.is_file():
        return {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        files = document["files"]
        if document["schema"] != _MANIFEST_SCHEMA or not isinstance(files, dict):
            raise ValueError("another schema")
    except (ValueError, KeyError, TypeError):
        raise UsageError("not a manifest of remint init", where=str(path), hint="restore it from git") from None
    return {str(name): str(digest) for name, digest in files.items()}


def git_root(directory: Path) -> Path | None:
    """The top of the git work tree that holds ``directory``, if any."""
    found = _run(["git", "rev-parse", "--show-toplevel"], directory, check=False)
    return Path(found) if found else None


def dvc_root(directory: Path) -> Path | None:
    """The nearest directory upwards that DVC was begun in."""
    here = directory.resolve()
    return next((d for d in (here, *here.parents) if (d / ".dvc").is_dir() and (d / ".dvc" / "config").exists()), None)


def begin_repositories(directory: Path) -> list[str]:
    """``git init`` and ``dvc init`` where they are missing; says what was done. DVC sends no usage data."""
    done = []
    root = git_root(directory)
    if root is None:
        _run(["git", "init", "--quiet", "--initial-branch", "main"], directory)
        root = directory.resolve()
        done.append("git init")
    if dvc_root(directory) is None:
        inside = [] if root.resolve() == directory.resolve() else ["--subdir"]
        _dvc(["init", *inside], directory)
        _dvc(["config", "core.analytics", "false"], directory)
        done.append("dvc init")
    return done


def track(directory: Path, paths: Sequence[str]) -> None:
    """``dvc add``: the files go to DVC's cache, and ``<path>.dvc`` beside them is for git."""
    _dvc(["add", *paths], directory)


def commit(directory: Path, paths: Sequence[str], message: str) -> bool:
    """Commit exactly ``paths``; False where nothing of them changed. Raises ServiceError with git's own words."""
    _run(["git", "add", "--", *paths], directory)
    if not _run(["git", "status", "--porcelain", "--untracked-files=no", "--", *paths], directory):
        return False
    _run(["git", "commit", "--quiet", "--message", message, "--", *paths], directory)
    return True


def _dvc(arguments: Sequence[str], directory: Path) -> None:
    _run([sys.executable, "-m", "dvc", *arguments], directory)


def _run(command: Sequence[str], directory: Path, *, check: bool = True) -> str:
    """Standard output, stripped. With ``check`` a failure raises ServiceError; without it the answer is empty."""
    try:
        done = subprocess.run(
            command, cwd=directory, capture_output=True, text=True, env={**os.environ, "DVC_NO_ANALYTICS": "1"}
        )
    except FileNotFoundError:
        raise ServiceError(f"{command[0]} is not installed", hint=f"install {command[0]} and run it again") from None
    if done.returncode != 0:
        if not check:
            return ""
        shown = " ".join(command[2:] if command[0] == sys.executable else command)
        raise ServiceError(f"`{shown[:120]}` failed: {(done.stderr or done.stdout).strip()[-400:]}")
    return done.stdout.strip()


def _with_lines(existing: bytes, wanted: bytes) -> bytes:
    have = {line.strip() for line in existing.splitlines()}
    missing = [line for line in wanted.splitlines() if line.strip() and line.strip() not in have]
    if not missing:
        return existing
    gap = b"" if existing.endswith(b"\n") or not existing else b"\n"
    return existing + gap + b"".join(line + b"\n" for line in missing)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
