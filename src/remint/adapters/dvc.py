"""DVC, by its own command line, in a checkout of its own where the user's must stay as it is."""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from remint.adapters.git import Git, clean_environment
from remint.core.document import content_id
from remint.errors import ConfigError, DataError, RemintError, ServiceError

Progress = Callable[[str], None]

#: Under the git common directory: checkouts that Remint makes and removes.
WORKTREES: Final = Path("remint") / "worktrees"
_LOG = logging.getLogger(__name__)
_TAIL_LINES: Final = 200
_IDLE: Final = "No remote provided"  # DVC's remark where everything was in the cache and no remote is set


class Dvc:
    """The DVC repository that ``path`` (a pipeline directory) belongs to. Targets are relative to ``path``.

    ``keep_open`` are file descriptors that every command inherits (a lock). ``progress`` gets each line that DVC and
    the stages print. Raises ConfigError where there is no DVC repository.
    """

    def __init__(self, path: Path, *, progress: Progress | None = None, keep_open: Sequence[int] = ()) -> None:
        self.path = path.resolve()
        self._progress = progress or _LOG.info
        self.keep_open = tuple(keep_open)
        root = next((p for p in (self.path, *self.path.parents) if (p / ".dvc").is_dir()), None)
        if root is None:
            raise ConfigError("not inside a DVC repository", where=str(path), hint="dvc init, or remint init")
        self.root = root

    # -- commands ----------------------------------------------------------------------------------------------------

    def repro(self) -> None:
        """Run every stage whose inputs changed. A stage that fails raises DataError with its own last word."""
        self._run("repro", failure=DataError)

    def add(self, target: str) -> None:
        """Track ``target``: its content goes to the cache, ``target.dvc`` into the checkout."""
        self._run("add", target, failure=ConfigError)

    def push(self) -> None:
        """Send what this checkout names to the default remote; what is there already is not sent again."""
        self._run("push", failure=ServiceError)

    def pull(self, *targets: str) -> None:
        """Bring ``targets`` into the checkout, from the cache or else from the remote."""
        self._run("pull", *targets, failure=ServiceError)

    def not_in_remote(self, *, cached: bool = True) -> list[str]:
        """What this checkout names and the default remote does not have: empty is the proof that a push arrived.

        ``cached``: what our own cache lacks counts as well, as it was never pushed from here.
        DVC answers with exit code 0 whatever it finds, so the answer is read, and one of another shape is a failure.
        """
        out = self._run("data", "status", "--not-in-remote", "--json", failure=ServiceError, quiet=True)
        try:
            status = json.loads(out)
            missing = {*status.get("not_in_remote", []), *(status.get("not_in_cache", []) if cached else [])}
        except (ValueError, AttributeError, TypeError):
            raise ServiceError(f"dvc data status gave no JSON: {out[:80]!r}", where=str(self.path)) from None
        return sorted(missing)

    # -- configuration -----------------------------------------------------------------------------------------------

    def configuration(self) -> dict[str, Any]:
        """DVC's merged configuration, every path in it absolute."""
        from dvc.config import Config  # slow to import; only retrain and release need it
        from dvc.config import ConfigError as DvcConfigError

        try:
            return dict(Config(str(self.root / ".dvc")))
        except DvcConfigError as error:
            raise ConfigError(str(error), where=str(self.root / ".dvc" / "config")) from None

    @property
    def default_remote(self) -> str | None:
        """The name of the default remote; None where nothing would be pushed."""
        name = self.configuration().get("core", {}).get("remote")
        return str(name) if name else None

    def share_cache_with(self, other: Dvc) -> None:
        """Make this checkout use ``other``'s cache (its run-cache too) and remotes.

        ``.dvc/config.local`` is in no commit, and a relative path in ``.dvc/config`` would mean another place here.
        """
        from dvc.config import Config

        merged = other.configuration()
        with Config(str(self.root / ".dvc"), validate=False).edit("local") as local:
            local["cache"] = {
                **_given(merged.get("cache", {})),
                "dir": merged.get("cache", {}).get("dir") or str(other.root / ".dvc" / "cache"),
            }
            local["remote"] = {name: _given(remote) for name, remote in merged.get("remote", {}).items()}
            core = {"autostage": True}  # without it DVC tells the user which files to add
            name = merged.get("core", {}).get("remote")
            local["core"] = {**core, "remote": name} if name else core

    # -- what git has to track, what a revision holds ----------------------------------------------------------------

    def outputs(self) -> list[str]:
        """The outputs of all stages as ``dvc.lock`` has them now, which also resolves what ``dvc.yaml`` templates."""
        try:
            return sorted(_outputs((self.path / "dvc.lock").read_bytes()))
        except FileNotFoundError:
            return []

    def materialise(self, git: Git, rev: str, path: str, target: Path) -> Path:
        """Copy the DVC output ``path`` as of ``rev`` to ``target``, from the cache or the remote; nothing else changes.

        In a checkout of its own that is removed again: ``dvc get`` fails where the repository's root is not DVC's.
        ``target`` is replaced. Raises ConfigError for an unknown rev, DataError where that commit has no such output,
        ServiceError where neither cache nor remote has its content.
        """
        commit = git.resolve(rev)
        lock = git.show(commit, "dvc.lock")
        if lock is None or path not in _outputs(lock):
            raise DataError(f"dvc.lock has no output {path!r}", where=rev, hint="dvc repro, then commit dvc.lock")
        place = git.common_dir / WORKTREES / f"materialise-{secrets.token_hex(4)}"
        try:
            checkout = Dvc(git.add_worktree(place, commit).path, progress=self._progress, keep_open=self.keep_open)
            checkout.share_cache_with(self)
            checkout.pull(path)
            _replace(checkout.path / path, target)
        finally:
            git.remove_worktree(place)
        return target

    # -- running -----------------------------------------------------------------------------------------------------

    def _run(self, *args: str, failure: type[RemintError], quiet: bool = False) -> str:
        binaries = str(Path(sys.executable).parent)
        environment = {
            **clean_environment(),
            "DVC_NO_ANALYTICS": "1",
            "LC_ALL": "C.UTF-8",
            # Stages say `python`: that has to be the one which runs us, with the packages that it has.
            "PATH": os.pathsep.join([binaries, os.environ.get("PATH", os.defpath)]),
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "dvc", *args],
            cwd=self.path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if quiet else subprocess.STDOUT,
            text=True,
            errors="replace",
            env=environment,
            pass_fds=self.keep_open,
        )
        lines: list[str] = []
        with process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    lines.append(line.rstrip("\n"))
                    if not quiet:
                        del lines[:-_TAIL_LINES]
                        if not lines[-1].startswith(_IDLE):
                            self._progress(lines[-1])
            except BaseException:
                process.terminate()
                raise
        if process.returncode != 0:
            raise failure(f"dvc {args[0]} failed: {_last_word(lines)}", where=str(self.path))
        return "\n".join(lines)


def inputs_id(lock: bytes) -> str:
    """The id of what ``dvc.lock`` was made from: data, code and parameters that no stage made itself."""
    stages = (yaml.safe_load(lock) or {}).get("stages", {})
    made = _outputs(lock)
    deps = {
        f"{name}:{dep['path']}": dep.get("md5") or dep.get("hash")
        for name, stage in stages.items()
        for dep in stage.get("deps", [])
        if dep["path"] not in made
    }
    params = {name: stage.get("params", {}) for name, stage in stages.items()}
    return content_id({"deps": deps, "params": params})


def _given(section: Mapping[str, Any]) -> dict[str, Any]:
    """The section without the empty values and the defaults that DVC's schema fills in."""
    defaults = {"verify": False, "slow_link_warning": True, "protected": False}
    return {key: value for key, value in section.items() if value is not None and defaults.get(key) is not value}


def _outputs(lock: bytes) -> set[str]:
    stages = (yaml.safe_load(lock) or {}).get("stages", {})
    return {out["path"] for stage in stages.values() for out in stage.get("outs", [])}


def _replace(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        # A copy, not a move: the checkout may hold links into the cache, whose files must never be changed.
        if source.is_dir():
            shutil.copytree(source, draft)
            shutil.rmtree(target, ignore_errors=True)
        else:
            shutil.copyfile(source, draft)
        draft.replace(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _last_word(lines: Sequence[str]) -> str:
    """The stage's own error where it printed one, else DVC's, else the last line."""
    said = [line.strip() for line in lines if line.strip()]
    for prefix in ("remint: error: ", "ERROR: "):
        for line in reversed(said):
            if line.startswith(prefix):
                return line.removeprefix(prefix)
    return said[-1] if said else "no message"
