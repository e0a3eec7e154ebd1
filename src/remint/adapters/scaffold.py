"""Writing a new pipeline's files: nothing of somebody else's is overwritten; git and DVC are begun where missing."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
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
    ADDED = "added"  # the content is a person's with ours added: theirs is all in it


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
    """One file and what happens to it; ``content`` is the whole file as it will be, ``before`` None where it is new."""

    path: str
    action: Action
    content: bytes
    before: bytes | None = None
    ours: bool = True  # all of it is what init wrote, so that a later init may replace it


def plan_steps(
    directory: Path, files: Sequence[Planned], *, advise: Callable[[Sequence[str]], str] | None = None
) -> list[Step]:
    """Decide for every file, before the first is written. Line ends alone are no difference.

    Raises UsageError that lists all files that differ; ``advise`` says what to do about them.
    """
    recorded = read_manifest(directory)
    steps, conflicts = [], []
    for file in files:
        target = directory / file.path
        existing = target.read_bytes() if target.is_file() else None
        action, content = Action.KEEP, file.content
        if existing is None:
            action = Action.CREATE
        elif _same(existing, file.content):
            content = existing
        else:
            match file.treatment:
                case Treatment.ONCE:
                    content = existing
                case Treatment.LINES:
                    content = _with_lines(existing, file.content)
                    action = Action.KEEP if content == existing else Action.APPEND
                case Treatment.ADDED:
                    action = Action.UPDATE
                case Treatment.OURS:
                    action = Action.UPDATE
                    if not is_unchanged(existing, recorded.get(file.path)):
                        conflicts.append(file.path)
                    content = _line_ends_of(existing, content)
        ours = file.treatment is Treatment.OURS or existing is None
        steps.append(Step(path=file.path, action=action, content=content, before=existing, ours=ours))
    if conflicts:
        raise UsageError(
            f"these files are there and differ from what init would write: {', '.join(conflicts)}",
            where=str(directory),
            hint=f"nothing was written; {(advise or _move_away)(conflicts)}",
        )
    return steps


def _move_away(_: Sequence[str]) -> str:
    return "move them away, or run init in another directory"


def write_steps(directory: Path, steps: Sequence[Step], *, version: str) -> None:
    """Carry the steps out and record the hashes of the files that are ours in the manifest."""
    for step in steps:
        if step.action is not Action.KEEP:
            target = directory / step.path
            target.parent.mkdir(parents=True, exist_ok=True)
            draft = target.with_name(f".{target.name}.{os.getpid()}")
            draft.write_bytes(step.content)
            draft.replace(target)
    made = {step.path: _sha256(_plain(step.content)) for step in steps if step.ours}
    hashes = {**read_manifest(directory), **made}
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


def is_unchanged(content: bytes, recorded: str | None) -> bool:
    """Whether a file is what ``remint init`` wrote, whatever line ends git has given it since."""
    return recorded is not None and recorded in {_sha256(content), _sha256(_plain(content))}


def git_root(directory: Path) -> Path | None:
    """The top of the git work tree that holds ``directory``, if any."""
    found = _run(["git", "rev-parse", "--show-toplevel"], directory, check=False)
    return Path(found) if found else None


def is_in_git(directory: Path, path: str) -> bool:
    """Whether git itself, not DVC, holds the file."""
    return bool(_run(["git", "ls-files", "--", f":(literal){path}"], directory, check=False))


def ignored(directory: Path, paths: Sequence[str]) -> list[str]:
    """Which of ``paths`` git is told to leave out, each with the rule that says so; empty outside a repository."""
    if git_root(directory) is None:
        return []
    said = _run(["git", "check-ignore", "--verbose", "--", *paths], directory, check=False)
    rules = (line.rpartition("\t") for line in said.splitlines())
    return [f"{path} ({rule.replace(chr(9), ' ')})" for rule, _, path in rules if not _negated(rule)]


def _negated(rule: str) -> bool:
    """``git check-ignore --verbose`` also names the rule that takes a file back: ``.gitignore:3:!/data/``."""
    return rule.split(":", 2)[-1].startswith("!")


def changed_files(directory: Path, paths: Sequence[str]) -> list[str]:
    """Which of ``paths`` git tracks and a person has changed since the last commit."""
    said = _run(["git", "diff", "--name-only", "--relative", "HEAD", "--", *paths], directory, check=False)
    return said.splitlines()


def has_author(directory: Path) -> bool:
    """Whether git knows who commits."""
    return bool(_run(["git", "var", "GIT_AUTHOR_IDENT"], directory, check=False))


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
    newline = b"\r\n" if b"\r\n" in existing else b"\n"
    gap = b"" if existing.endswith(b"\n") or not existing else newline
    return existing + gap + b"".join(line + newline for line in missing)


def _plain(content: bytes) -> bytes:
    """Text with the line ends that we write; anything with a zero byte is no text."""
    return content if b"\0" in content else content.replace(b"\r\n", b"\n")


def _same(existing: bytes, wanted: bytes) -> bool:
    return existing == wanted or _plain(existing) == _plain(wanted)


def _line_ends_of(existing: bytes, content: bytes) -> bytes:
    plain = _plain(content)
    return plain.replace(b"\n", b"\r\n") if b"\r\n" in existing and b"\0" not in content else content


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
