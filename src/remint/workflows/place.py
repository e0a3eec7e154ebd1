"""Where a release moves: an environment's state file in a repository, what may go there, and how it is written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, assert_never

from filelock import FileLock, Timeout

from remint.adapters.git import Git
from remint.adapters.ledger import Ledger
from remint.adapters.registry import load_registry
from remint.adapters.state import read_state, write_state
from remint.config import Params
from remint.core.environments import DEFAULT, Approval, Environment, require_passed
from remint.core.ledger import LedgerEntry
from remint.core.registry import Registered, Registry
from remint.core.release import ReleaseState, with_runs
from remint.errors import ConfigError, LockedError, NotAdmittedError
from remint.workflows.thread import run_of_bundle

MANIFEST: Final = "artifacts/manifest.json"
_LOCK_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Whose release it is, where its state lies, and how far a command may go."""

    params: Params
    now: datetime
    directory: Path = Path()
    environment: Environment = DEFAULT
    state_path: Path | None = None  # None: the environment's
    commit: bool = True  # of the state file; the ledger and the registry are written in any case
    dry_run: bool = False

    @property
    def state_file(self) -> Path:
        return self.directory / (self.state_path or self.environment.state)

    def state(self) -> ReleaseState:
        """Raises ConfigError where there is none yet, and for the state of another pipeline."""
        try:
            state = read_state(self.state_file)
        except ConfigError as error:
            if self.state_file.exists():
                raise
            raise ConfigError(error.message, where=error.where, hint="`remint canary init` makes it") from None
        if state.pipeline != self.params.pipeline:
            raise ConfigError(
                f"belongs to pipeline {state.pipeline!r}, not {self.params.pipeline!r}", where=str(self.state_file)
            )
        return state

    def state_or_none(self) -> ReleaseState | None:
        """As ``state``, None where nothing was released yet."""
        return self.state() if self.state_file.exists() else None

    def git(self) -> Git | None:
        """The repository that holds the pipeline; None where there is none, and then nothing is recorded."""
        return git_at(self.directory)


def git_at(directory: Path) -> Git | None:
    """None only where no directory above is a repository; a broken one is an error, not an absent one."""
    place = directory.resolve()
    return Git(place) if any((parent / ".git").exists() for parent in (place, *place.parents)) else None


def bundle_at(git: Git, commit: str) -> str | None:
    """The bundle that git's manifest names at ``commit``; None where it has none that can be read."""
    data = git.show(commit, MANIFEST)
    try:
        return None if data is None else str(json.loads(data)["id"])
    except (ValueError, KeyError, TypeError):
        return None


def named_bundle(git: Git, commit: str, what: str) -> str:
    """As ``bundle_at``; raises ConfigError, which names ``what``, where there is none."""
    bundle = bundle_at(git, commit)
    if bundle is None:
        raise ConfigError(f"no {MANIFEST} that names a bundle", where=what, hint="git holds it, not DVC: cache: false")
    return bundle


def registered_bundle(git: Git, registry: Registry, bundle: str) -> Registered | None:
    """The newest registered version whose bundle it is."""
    current = (registered for registered in reversed(registry.versions) if registered.current)
    return next((registered for registered in current if bundle_at(git, registered.commit) == bundle), None)


def version_of(git: Git, registry: Registry, bundle: str) -> str:
    """The commit of the newest registered version whose bundle it is. Raises ConfigError where there is none."""
    registered = registered_bundle(git, registry, bundle)
    if registered is not None:
        return registered.commit
    raise ConfigError(
        f"no registered version of {registry.pipeline} has the bundle {bundle}",
        hint=f"`remint registry register` tags the commit whose {MANIFEST} names it",
    )


def admit(place: Place, bundle: str, *, by: str | None) -> dict[str, Any]:
    """What the environment asks of a model before it may come, as the ledger records it: ``by`` and ``passed``.

    Raises NotAdmittedError where an approval names nobody, or the environment before was not passed.
    """
    name, after = approved(place, by), place.environment.after
    if after is None:
        return {"by": name, "passed": None}
    git = place.git()
    if git is None:
        raise NotAdmittedError(f"{place.environment.name} takes what {after} passed: that stands in git alone")
    pipeline = place.params.pipeline
    registry, entries = load_registry(git, pipeline), Ledger(git, pipeline).entries()
    return {
        "by": name,
        "passed": passed(place, registry, entries, commit=version_of(git, registry, bundle), bundle=bundle),
    }


def approved(place: Place, by: str | None) -> str | None:
    """Who approved it. Raises NotAdmittedError where the environment asks for a review and nobody is named."""
    name = " ".join(by.split()) if by else None
    match place.environment.approval:
        case Approval.REVIEW if not name:
            raise NotAdmittedError(
                "asks for a review, and nobody is named",
                where=f"environment {place.environment.name}",
                hint="--by NAME: who approved it, such as the reviewer of the merged pull request",
            )
        case Approval.REVIEW | Approval.NONE:
            return name
        case _:
            assert_never(place.environment.approval)


def passed(
    place: Place, registry: Registry, entries: Sequence[LedgerEntry], *, commit: str, bundle: str
) -> dict[str, Any] | None:
    """The evidence that the model passed the environment before, None where there is none. Raises NotAdmittedError."""
    if place.environment.after is None:
        return None
    before = place.params.places.find(place.environment.after)
    return require_passed(before, registry, entries, commit=commit, bundle=bundle).to_json()


def swap(place: Place, before: ReleaseState | None, after: ReleaseState) -> None:
    """Write ``after`` only where ``before`` still stands, so that no step undoes a rollback made meanwhile.

    The lock is held for this moment alone: a rollback never waits for somebody's git push. Raises LockedError.
    """
    lock = place.directory / ".remint" / "canary.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=_LOCK_SECONDS):
            if place.state_or_none() != before:
                raise LockedError(
                    "was changed by somebody else meanwhile", where=str(place.state_file), hint="run it again"
                )
            write_state(place.state_file, _told(place, before, after))
    except Timeout:
        raise LockedError("somebody else is writing the state", where=str(lock), hint="run it again") from None


def _told(place: Place, before: ReleaseState | None, after: ReleaseState) -> ReleaseState:
    """``after`` with the runs of the bundles that come in; a rollback brings none in, and waits for no search."""
    git, served = place.git(), set() if before is None else set(before.tracks.values())
    coming = [bundle for bundle in after.tracks.values() if bundle not in served] if git is not None else []
    found = {bundle: run_of_bundle(git, bundle) for bundle in coming} if git is not None else {}
    return with_runs(after, {bundle: run_id for bundle, run_id in found.items() if run_id is not None})


def commit_state(place: Place, message: Sequence[str]) -> None:
    """Commit the state file alone, whatever else is staged; nothing where git has it, or is not to be told."""
    path = place.state_file.resolve()
    git = git_at(path.parent) if place.commit else None
    if git is None:
        return
    if git.succeeds("check-ignore", "--quiet", "--", str(path)):
        raise ConfigError("is ignored by git", where=str(path), hint="--no-commit leaves it out")
    if git.run("status", "--porcelain", "--", str(path)):
        git.run("add", "--", str(path))
        paragraphs = [part for paragraph in message for part in ("-m", paragraph)]
        git.run("commit", "--quiet", "--only", *paragraphs, "--", str(path), env=git.identity)
