"""Environments: where a model serves, which stage tag says so, and what has to be true before it may go there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Self

from remint.core import rollout
from remint.core.document import format_time
from remint.core.ledger import LedgerEntry, LedgerEvent
from remint.core.registry import STABLE, Registry
from remint.core.release import ReleaseState
from remint.errors import NotAdmittedError, UsageError, did_you_mean

#: ``action`` of the ledger's entries about canaries (``workflows.canary``) and environments that are read here.
PROMOTE: Final = "promote"
ROLLBACK: Final = "rollback"


class Approval(StrEnum):
    """Whose yes a promotion needs. It is recorded; that it was given is for the forge to enforce."""

    NONE = "none"
    REVIEW = "review"  # a named person's


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """A place that serves: its stage in the registry and its state file, relative to the pipeline's directory."""

    name: str
    stage: str
    state: str
    after: str | None = None  # the environment that a model has to have passed before
    approval: Approval = Approval.NONE
    canary: bool = False  # a model passes here only with the PROMOTE verdict of its canary
    declared: bool = True


#: What holds where ``params.yaml`` declares none.
DEFAULT: Final = Environment(name="prod", stage=STABLE, state="deploy/state.yaml", declared=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Environments:
    """All of a pipeline's, in the order in which they are declared."""

    all: tuple[Environment, ...]

    @classmethod
    def of(cls, declared: Iterable[Environment]) -> Self:
        return cls(all=tuple(declared) or (DEFAULT,))

    def find(self, name: str | None) -> Environment:
        """The named one; None means the only one. Raises UsageError."""
        known = [environment.name for environment in self.all]
        if name is None:
            if len(self.all) == 1:
                return self.all[0]
            raise UsageError("which environment?", where="--environment", hint=f"one of {', '.join(known)}")
        for environment in self.all:
            if environment.name == name:
                return environment
        hint = did_you_mean(name, known) or f"params.yaml declares {', '.join(known)}"
        raise UsageError(f"no environment {name!r}", where="--environment", hint=hint)

    @property
    def champion(self) -> Environment:
        """The one whose stage is ``stable``: what serves there is what check, gate and retrain compare with."""
        return next(environment for environment in self.all if environment.stage == STABLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """The evidence that a model passed an environment."""

    environment: str
    tag: str
    at: datetime
    verdict: str | None  # id of the verdict that promoted its canary there

    def __str__(self) -> str:
        by = f", promoted by {self.verdict[:19]}" if self.verdict else ""
        return f"{self.tag} in {self.environment} since {format_time(self.at)}{by}"

    def to_json(self) -> dict[str, Any]:
        return {"environment": self.environment, "tag": self.tag, "at": format_time(self.at), "verdict": self.verdict}


def require_passed(
    environment: Environment, registry: Registry, entries: Sequence[LedgerEntry], *, commit: str, bundle: str
) -> Passed:
    """That this model is or was what stood in ``environment``, and was not taken back from there.

    Raises NotAdmittedError with what is missing. With ``canary`` only a promotion by a verdict counts, none by hand.
    """
    version = registry.version_of(commit)
    name, where = str(version.version) if version else commit[:12], f"environment {environment.name}"
    stood = [a for a in registry.assignments if a.stage == environment.stage and a.commit == commit]
    if not stood:
        way = "remint canary start" if environment.canary else "remint registry promote"
        raise NotAdmittedError(f"{name} was never there", where=where, hint=f"{way} --environment {environment.name}")
    newest = stood[-1]
    if not newest.current:
        raise NotAdmittedError(f"{name} was taken back: {newest.tag} does not stand any more", where=where)
    for entry in reversed(entries):
        left = entry.data.get("from") if _is(entry, LedgerEvent.ENVIRONMENT, ROLLBACK, environment) else None
        if isinstance(left, Mapping) and left["commit"] == commit and int(entry.data["number"]) > newest.number:
            raise NotAdmittedError(f"{name} was rolled back there: {entry.data['reason']}", where=where)
    if not environment.canary:
        return Passed(environment=environment.name, tag=newest.tag, at=newest.assigned_at, verdict=None)
    for entry in reversed(entries):
        promoted = _is(entry, LedgerEvent.CANARY, PROMOTE, environment) and entry.data.get("stable") == bundle
        if promoted and entry.data.get("verdict"):
            return Passed(
                environment=environment.name,
                tag=newest.tag,
                at=newest.assigned_at,
                verdict=str(entry.data["verdict"]),
            )
    raise NotAdmittedError(
        f"{name} stands there without a verdict: its canary was never promoted by one",
        where=where,
        hint=f"remint canary start --environment {environment.name}",
    )


def belongs(entry: LedgerEntry, environment: Environment) -> bool:
    """Whether an entry is about this environment. One from before any was declared is about the champion's."""
    said = entry.data.get("environment")
    return said == environment.name if said is not None else environment.stage == STABLE


def recorded(entry: LedgerEntry, environment: Environment, tag: str) -> bool:
    """Whether the entry tells of the move of this environment that made ``tag``."""
    return entry.event is LedgerEvent.ENVIRONMENT and belongs(entry, environment) and entry.data.get("tag") == tag


def serve(state: ReleaseState | None, bundle: str, *, pipeline: str, steps: Sequence[float]) -> ReleaseState:
    """``bundle`` alone serves. Another one than before is a release of its own, so that no outcomes are mixed."""
    if state is None:
        return rollout.first(pipeline, bundle, steps=steps)
    if state.stable == bundle:
        return replace(state, canary=None, step=-1)
    release = f"r{int(state.release[1:]) + 1}"
    return replace(state, release=release, stable=bundle, canary=None, step=-1)


def _is(entry: LedgerEntry, event: LedgerEvent, action: str, environment: Environment) -> bool:
    return entry.event is event and entry.data.get("action") == action and belongs(entry, environment)
