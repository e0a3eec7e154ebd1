"""The registry's tags in git: read, register a version, assign a stage. Annotated, and pushed to an origin."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from remint.adapters.git import Git, PushRejected
from remint.core.document import format_time
from remint.core.registry import (
    FIRST_VERSION,
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

__all__ = ["Champion", "assign", "champion", "known_registry", "load_registry", "register", "trailer"]

_TRIES: Final = 10
_SKEW: Final = timedelta(minutes=5)  # between two machines' clocks; a tag further ahead is a mistake, not followed


def load_registry(git: Git, pipeline: str) -> Registry:
    """What the tags say, origin's fetched first: a promotion elsewhere counts here.

    Raises ConfigError in a shallow clone, ServiceError when origin does not answer.
    """
    git.require_full_history()
    if git.has_origin:
        names = [f"refs/tags/{pipeline}{sign}*" for sign in "@#"]
        git.fetch(*(f"{name}:{name}" for name in names))
    return known_registry(git, pipeline)


def known_registry(git: Git, pipeline: str) -> Registry:
    """What the tags of this clone say, and nobody is asked: for who cannot wait until origin answers."""
    patterns = (f"{pipeline}{sign}{rest}" for sign in "@#" for rest in ("*", "*/**"))  # one * ends at a slash
    return read_registry(pipeline, git.tags(*patterns))


def trailer(git: Git, tag: str, key: str) -> str | None:
    """The value of ``key: value`` at the end of an annotated tag's message, None where it has none."""
    return git.run("for-each-ref", f"--format=%(trailers:key={key},valueonly)", f"refs/tags/{tag}").strip() or None


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
    first: Version = FIRST_VERSION,
    message: str | None = None,
    dry_run: bool = False,
) -> Registered:
    """Tag ``commit`` as ``version`` (default: the next one). A commit that has a version keeps it, so repeat at will.

    ``dry_run`` answers what it would be and makes no tag. One commit has one version, for ever: GTO reads no registry
    in which one has two. Raises ConfigError where the commit has or had another, and where ``version`` is taken.
    """
    commit = git.resolve(commit)
    for _ in range(_TRIES):
        registry = load_registry(git, pipeline)
        present = next((v for v in reversed(registry.versions) if v.commit == commit), None)
        if present is not None:
            if present.current and version in {None, present.version}:
                return present
            state = "is" if present.current else "was, and is no longer,"
            hint = (
                "tag another commit"
                if present.current
                else "it was deregistered; a model that is meant anew is a new commit"
            )
            raise ConfigError(f"commit {commit[:12]} {state} {present.version}", where=pipeline, hint=hint)
        wanted = version or registry.next_version(bump, first=first)
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

    ``dry_run`` answers what it would be and makes no tag. The tag is dated a second after the stage's newest where our
    clock is behind: GTO goes by time, and would otherwise go on naming the one before.
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
        at, last = now.replace(microsecond=0), registry.last_at(stage)
        if last is not None and at <= last < at + _SKEW:
            at = last + timedelta(seconds=1)
        if dry_run or _tag(git, name, commit, message or f"Assign {stage} of {pipeline}", at):
            return Assigned(tag=name, stage=stage, number=number, commit=commit, assigned_at=at, current=True)
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
