"""Environments at work: promote a version to one, roll one back.

A move writes the environment's state file first (that is the traffic), then commits it, then makes the stage's tag,
then the ledger's entry. Killed anywhere, the same command completes what is missing and changes nothing else.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from remint.adapters.git import Git
from remint.adapters.ledger import Ledger
from remint.adapters.registry import assign, known_registry, load_registry, trailer
from remint.core.document import format_time
from remint.core.environments import PROMOTE, ROLLBACK, Environment, recorded, serve
from remint.core.ledger import LedgerEntry, LedgerEvent, is_run_id, new_run_id, refuse_frozen
from remint.core.registry import Champion, Registered, Registry, Version, stage_tag
from remint.core.release import ReleaseState
from remint.errors import ConfigError, RemintError, ServiceError, UsageError
from remint.workflows.place import MANIFEST, Place, approved, commit_state, named_bundle, passed, swap

_ACTION: Final = "Remint-Action"  # the trailer of a stage's tag that says how it came to be


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """A move of an environment, as it was made or, with ``dry_run``, would be."""

    action: str
    environment: Environment
    tag: str
    number: int
    version: str | None
    commit: str
    bundle: str
    left: Champion | None  # what stood there before
    before: ReleaseState | None
    after: ReleaseState
    reason: str
    admitted: Mapping[str, Any]
    changed: bool  # False: all of it was there before

    def to_json(self) -> dict[str, Any]:
        return {
            **self.entry(),
            "state_file": self.environment.state,
            "before": None if self.before is None else self.before.to_json(),
            "after": self.after.to_json(),
            "changed": self.changed,
        }

    def entry(self) -> dict[str, Any]:
        """What the ledger keeps of it."""
        return {
            "action": self.action,
            "environment": self.environment.name,
            "stage": self.environment.stage,
            "tag": self.tag,
            "number": self.number,
            "version": self.version,
            "commit": self.commit,
            "bundle": self.bundle,
            "from": None if self.left is None else {"version": self.left.version, "commit": self.left.commit},
            "release": self.after.release,
            "reason": self.reason,
            **self.admitted,
        }


def promote(place: Place, *, version: Version | None, reason: str, by: str | None = None) -> Transfer:
    """Let a registered version serve in the place's environment.

    ``version`` None is what stands in the environment before it, else the highest version.
    Raises FrozenError while the brake is on, UsageError where the environment does not admit the model (as
    ``place.admit``) or brings models in by canary, ConfigError where there is no such version.
    """
    git, environment = Git(place.directory), place.environment
    registry = load_registry(git, place.params.pipeline)
    chosen = _chosen(place, registry, version)
    ledger = Ledger(git, registry.pipeline)
    entries = ledger.entries()
    refuse_frozen(entries, what=f"promotion to {environment.name}", where=ledger.branch)
    if registry.deprecated is not None:
        raise UsageError(
            f"{registry.pipeline} is deprecated since {format_time(registry.deprecated.at)}",
            where=registry.deprecated.name,
            hint="a version that is registered now revives it",
        )
    bundle = named_bundle(git, chosen.commit, str(chosen.version))
    before = place.state_or_none()
    if environment.canary:
        command = "init" if before is None else "start"
        raise UsageError(
            "a model comes in by a canary",
            where=f"environment {environment.name}",
            hint=f"remint canary {command} --environment {environment.name} --bundle {bundle}",
        )
    if before is not None and before.canary is not None:
        raise UsageError(
            f"release {before.release} has a canary",
            where=str(place.state_file),
            hint="`remint canary promote` or `remint canary rollback` ends it",
        )
    by = approved(place, by)
    admitted = {"by": by, "passed": passed(place, registry, entries, commit=chosen.commit, bundle=bundle)}
    target = Champion(
        tag=chosen.tag, number=0, version=str(chosen.version), commit=chosen.commit, assigned_at=place.now
    )
    return _transfer(place, git, registry, PROMOTE, target, bundle=bundle, reason=reason, admitted=admitted)


def roll_back(place: Place, *, to: Version | None, reason: str, by: str | None = None) -> Transfer:
    """Let what stood in the environment before serve again, or ``to``, which has to have stood there once.

    A brake does not stop it, nor does an origin that is silent: traffic moves, and what could not be recorded is an
    error afterwards. Without ``to`` it is one step, however often it is said: from a rollback there is no further one.
    Raises UsageError where there is nothing to go back to.
    """
    git, environment = Git(place.directory), place.environment
    try:
        registry = load_registry(git, place.params.pipeline)
    except ServiceError:
        registry = known_registry(git, place.params.pipeline)
    where = f"environment {environment.name}"
    standing = registry.champion(environment.stage)
    if standing is None:
        raise UsageError(
            "nothing stands there", where=where, hint=f"remint registry promote --environment {environment.name}"
        )
    target: Champion | None
    if to is not None:
        target = _stood(registry, environment, to)
    elif trailer(git, standing.tag, _ACTION) == ROLLBACK:
        target = standing
    else:
        target = registry.previous(environment.stage)
    if target is None:
        raise UsageError("nothing stood there before", where=where, hint="--to names a version")
    bundle = named_bundle(git, target.commit, target.version or target.tag)
    admitted = {"by": " ".join(by.split()) if by else None, "passed": None}
    return _transfer(place, git, registry, ROLLBACK, target, bundle=bundle, reason=reason, admitted=admitted)


def _chosen(place: Place, registry: Registry, version: Version | None) -> Registered:
    after = place.environment.after
    chosen: Registered | None
    if version is not None:
        chosen = registry.find(version)
    elif after is not None:
        source = place.params.places.find(after)
        standing = registry.champion(source.stage)
        if standing is None:
            raise UsageError(f"nothing stands in {after} yet", where=f"environment {place.environment.name}")
        chosen = registry.version_of(standing.commit)
    else:
        chosen = max((v for v in registry.versions if v.current), key=lambda v: v.version, default=None)
    if chosen is None:
        named = "what stands there" if version is None else str(version)
        raise ConfigError(f"{named} is not registered", where=registry.pipeline, hint="remint registry register")
    return chosen


def _stood(registry: Registry, environment: Environment, version: Version) -> Champion:
    found = registry.find(version)
    if found is None:
        raise ConfigError(f"{version} is not registered", where=registry.pipeline, hint="remint registry show")
    stood = [a for a in registry.assignments if a.stage == environment.stage and a.commit == found.commit and a.current]
    if not stood:
        raise UsageError(
            f"{version} never served there, so it is no way back",
            where=f"environment {environment.name}",
            hint="remint registry promote",
        )
    last = stood[-1]
    return Champion(
        tag=last.tag, number=last.number, version=str(version), commit=found.commit, assigned_at=last.assigned_at
    )


def _transfer(
    place: Place,
    git: Git,
    registry: Registry,
    action: str,
    target: Champion,
    *,
    bundle: str,
    reason: str,
    admitted: Mapping[str, Any],
) -> Transfer:
    reason = " ".join(reason.split())
    if not reason:
        raise UsageError("an empty reason", where="--reason", hint="who comes next has to know why")
    environment, pipeline = place.environment, registry.pipeline
    before = place.state_or_none()
    after = serve(before, bundle, pipeline=pipeline, steps=place.params.canary.steps)
    stands = registry.champion(environment.stage)
    stays = stands is not None and stands.commit == target.commit
    number = stands.number if stands and stays else registry.next_number(environment.stage)
    planned = Transfer(
        action=action,
        environment=environment,
        tag=stands.tag if stands and stays else stage_tag(pipeline, environment.stage, number),
        number=number,
        version=target.version,
        commit=target.commit,
        bundle=bundle,
        left=registry.previous(environment.stage) if stays else stands,
        before=before,
        after=after,
        reason=reason,
        admitted=admitted,
        changed=not stays or before != after,
    )
    if place.dry_run:
        return planned
    if after != before:
        swap(place, before, after)
    try:
        return _recorded(place, git, planned)
    except (RemintError, OSError, subprocess.SubprocessError) as error:
        raise ServiceError(
            f"{place.state_file} is written ({action} of {environment.name}), but it is not recorded: {error}",
            hint="run the same command again",
        ) from error


def _recorded(place: Place, git: Git, planned: Transfer) -> Transfer:
    """Commit, tag and ledger of a move whose traffic has moved; what is there already is left alone."""
    pipeline, environment = place.params.pipeline, planned.environment
    name = planned.version or planned.commit[:12]
    run_id = _run_of(place, git, planned)
    subject = f"Promote {name} to {environment.name}"
    if planned.action == ROLLBACK:
        subject = f"Roll {environment.name} back to {name}"
    said = {
        _ACTION: planned.action,
        "Remint-Pipeline": pipeline,
        "Remint-Environment": environment.name,
        "Remint-Release": planned.after.release,
        "Remint-Bundle": planned.bundle,
        "Remint-Run": run_id,
    }
    message = [subject, planned.reason, "\n".join(f"{key}: {value}" for key, value in said.items())]
    commit_state(place, message)
    made = assign(git, pipeline, planned.commit, now=place.now, stage=environment.stage, message="\n\n".join(message))
    moved = replace(planned, tag=made.tag, number=made.number)
    ledger = Ledger(git, pipeline)
    known = any(recorded(entry, environment, made.tag) for entry in ledger.entries())
    if not planned.changed and (known or trailer(git, made.tag, _ACTION) is None):
        return moved  # all was there, or is somebody else's: `registry assign`, a canary, gto
    ledger.append(LedgerEntry(at=place.now, event=LedgerEvent.ENVIRONMENT, run_id=run_id, data=moved.entry()))
    return replace(moved, changed=True)


def _run_of(place: Place, git: Git, planned: Transfer) -> str:
    """The run that made the bundle, by the commit that brought its manifest; else one of this move's own."""
    wanted = "--format=%(trailers:key=Remint-Run,valueonly,separator=%x2C)"
    said = git.run("log", "-1", wanted, planned.commit, "--", MANIFEST).strip()
    if is_run_id(said):
        return said
    token = hashlib.sha256(f"{planned.tag}|{planned.commit}|{format_time(place.now)}".encode()).hexdigest()
    return new_run_id(place.params.pipeline, place.now, token)
