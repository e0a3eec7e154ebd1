"""The registry's tags in git: read, register a version, assign a stage. Annotated, and pushed to an origin."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from remint.adapters.git import Git, PushRejected
from remint.core.document import format_time
from remint.core.registry import (
    STABLE,
    Assigned,
    Bump,
    Champion,
    Registered,
    Registry,
    Version,
    read_registry,
    stage_tag,
    version_tag,
)
from remint.errors import ConfigError, ServiceError

__all__ = ["Champion", "assign", "champion", "load_registry", "register"]

_TRIES: Final = 10


def load_registry(git: Git, pipeline: str) -> Registry:
    """What the tags say, origin's fetched first: a promotion elsewhere counts here.

    Raises ConfigError in a shallow clone, ServiceError when origin does not answer.
    """
    git.require_full_history()
    if git.has_origin:
        names = [f"refs/tags/{pipeline}{sign}*" for sign in "@#"]
        git.fetch(*(f"{name}:{name}" for name in names))
    return read_registry(pipeline, [*git.tags(f"{pipeline}@*"), *git.tags(f"{pipeline}#*")])


def champion(git: Git, pipeline: str, *, stage: str = STABLE) -> Champion | None:
    """The newest standing assignment of ``stage``: its tag, number, version, commit and time; None before the first."""
    return load_registry(git, pipeline).champion(stage)


def register(
    git: Git,
    pipeline: str,
    commit: str,
    *,
    now: datetime,
    version: Version | None = None,
    bump: Bump = Bump.MINOR,
    message: str | None = None,
    dry_run: bool = False,
) -> Registered:
    """Tag ``commit`` as ``version`` (default: the next one). A commit that has a version keeps it, so repeat at will.

    ``dry_run`` answers what it would be and makes no tag.
    Raises ConfigError where ``version`` is taken by another commit or was given out before.
    """
    commit = git.resolve(commit)
    for _ in range(_TRIES):
        registry = load_registry(git, pipeline)
        present = registry.version_of(commit)
        if present is not None and version in {None, present.version}:
            return present
        wanted = version or registry.next_version(bump)
        taken = next((v for v in registry.versions if v.version == wanted), None)
        if taken is not None:
            state = f"is commit {taken.commit[:12]}" if taken.current else "was deregistered"
            raise ConfigError(
                f"version {wanted} {state}", where=pipeline, hint=f"{registry.next_version(bump)} is free"
            )
        name = version_tag(pipeline, wanted)
        if dry_run or _tag(git, name, commit, message or f"Register {pipeline} {wanted}", now):
            return Registered(tag=name, version=wanted, commit=commit, registered_at=now, current=True)
    raise ServiceError(f"lost {_TRIES} races in a row", where=pipeline, hint="try again")


def assign(
    git: Git,
    pipeline: str,
    commit: str,
    *,
    now: datetime,
    stage: str = STABLE,
    message: str | None = None,
    dry_run: bool = False,
) -> Assigned:
    """Make ``commit`` the newest of ``stage``. Where it is that already, nothing changes, so repeat at will.

    ``dry_run`` answers what it would be and makes no tag.
    """
    commit = git.resolve(commit)
    for _ in range(_TRIES):
        registry = load_registry(git, pipeline)
        number = registry.next_number(stage)
        present = registry.champion(stage)
        if present is not None and present.commit == commit:
            return Assigned(
                tag=present.tag,
                stage=stage,
                number=present.number,
                commit=commit,
                assigned_at=present.assigned_at,
                current=True,
            )
        name = stage_tag(pipeline, stage, number)
        if dry_run or _tag(git, name, commit, message or f"Assign {stage} of {pipeline}", now):
            return Assigned(tag=name, stage=stage, number=number, commit=commit, assigned_at=now, current=True)
    raise ServiceError(f"lost {_TRIES} races in a row", where=pipeline, hint="try again")


def _tag(git: Git, name: str, commit: str, message: str, now: datetime) -> bool:
    """Make the annotated tag, on origin first; False where somebody else made it a moment before.

    The tag object is written by hand: pushed before any local ref exists, a lost race leaves nothing to clean up.
    """
    ref = f"refs/tags/{name}"
    tagger = git.run("var", "GIT_COMMITTER_IDENT", env={**git.identity, "GIT_COMMITTER_DATE": format_time(now)})
    body = f"object {commit}\ntype commit\ntag {name}\ntagger {tagger}\n\n{message.strip()}\n"
    made = git.run("mktag", stdin=body.encode())
    if git.has_origin:
        try:
            git.push(made, ref, lease=None, force=True)
        except PushRejected:
            return False
        git.update_ref(ref, made, git.ref(ref))
        return True
    return git.update_ref(ref, made, None)
