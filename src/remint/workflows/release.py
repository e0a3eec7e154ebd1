"""What happens to a merged model: its gate is looked at again, it gets a version, and goes where new models go first.

Killed anywhere and run again, it completes what is missing: what is there already is seen in the registry's tags, the
state files and the ledger, and left alone. A bundle that an environment had and gave up never comes back by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, assert_never

from remint.adapters.dvc import Progress
from remint.adapters.git import Git
from remint.adapters.ledger import Ledger
from remint.adapters.registry import load_registry, trailer
from remint.core import rollout
from remint.core.environments import Approval, Environment, belongs, recorded, serve
from remint.core.ledger import LedgerEntry, LedgerEvent, refuse_frozen
from remint.core.registry import Registered, Version, version_tag
from remint.core.release import ReleaseState, canary_share
from remint.core.verdict import Verdict
from remint.errors import UsageError
from remint.workflows import canary, environment
from remint.workflows.place import Place, admit, approved, named_bundle, registered_bundle, version_of
from remint.workflows.recheck import Rechecked, RecheckRequest, Standing, recheck
from remint.workflows.registry import number
from remint.workflows.thread import run_of_commit

_REASON: Final = "merged, and its gate passed"


class ReleaseAction(StrEnum):
    """What a release does in one environment."""

    INIT = "init"  # the first model there
    START = "start"  # a canary
    PROMOTE = "promote"  # at once
    NONE = "none"  # it serves there already, or was there and is not wanted back
    WAITS = "waits"  # something has to happen before

    @property
    def moves(self) -> bool:
        match self:
            case ReleaseAction.INIT | ReleaseAction.START | ReleaseAction.PROMOTE:
                return True
            case ReleaseAction.NONE | ReleaseAction.WAITS:
                return False
            case _:
                assert_never(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRequest:
    """``environment`` None: each one that is after none. ``by``: who approved it, for an environment that asks."""

    rev: str = "HEAD"
    environment: str | None = None
    by: str | None = None
    progress: Progress = field(default=lambda _: None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """What a release does in one environment, and why; ``after`` is the state there when it has done so."""

    environment: Environment
    action: ReleaseAction
    reason: str
    before: ReleaseState | None
    after: ReleaseState | None
    bundles: tuple[str, ...]  # that an image for this environment has to hold: the way back included

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.environment.name,
            "stage": self.environment.stage,
            "state": self.environment.state,
            "action": self.action.value,
            "reason": self.reason,
            "release": None if self.after is None else self.after.release,
            "stable": None if self.after is None else self.after.stable,
            "canary": None if self.after is None else self.after.canary,
            "share": None if self.after is None else canary_share(self.after),
            "previous": None if self.before is None else self.before.stable,
            "bundles": list(self.bundles),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """``gate`` None: nothing was left to move, so nobody asked. ``version`` None: refused, and never registered."""

    pipeline: str
    commit: str
    bundle: str
    run_id: str | None
    version: Version | None
    gate: Rechecked | None
    environments: tuple[Placement, ...]
    image: tuple[tuple[str, str], ...]  # (bundle, commit that brings it), of all environments
    dry_run: bool

    @property
    def refused(self) -> Verdict | None:
        """The gate's verdict where it stopped the release."""
        return None if self.gate is None else _stops(self.gate, dry_run=self.dry_run)

    def to_json(self) -> dict[str, Any]:
        return {
            "command": "release",
            "pipeline": self.pipeline,
            "dry_run": self.dry_run,
            "refused": self.refused is not None,
            "commit": self.commit,
            "bundle": self.bundle,
            "run_id": self.run_id,
            "version": None if self.version is None else str(self.version),
            "tag": None if self.version is None else version_tag(self.pipeline, self.version),
            "gate": None if self.gate is None else _gate_json(self.gate),
            "environments": [placement.to_json() for placement in self.environments],
            "image": [{"bundle": bundle, "commit": commit} for bundle, commit in self.image],
        }


def release(place: Place, request: ReleaseRequest) -> Released:
    """Release the model of a commit; ``place`` names the pipeline, its ``environment`` is not looked at.

    Raises FrozenError while the brake is on, ConfigError for a commit without a model, UsageError where the named
    environment does not admit it, ServiceError where origin does not answer or a move could not be recorded.
    """
    return _Release(place, request).do()


class _Release:
    """The state of one release; made and used once."""

    def __init__(self, place: Place, request: ReleaseRequest) -> None:
        self.place = place
        self.request = request
        self.git = Git(place.directory)
        self.pipeline = place.params.pipeline
        self.ledger = Ledger(self.git, self.pipeline)
        self.commit = self.git.resolve(request.rev)
        self.bundle = named_bundle(self.git, self.commit, request.rev)

    def do(self) -> Released:
        self.entries = self.ledger.entries()
        refuse_frozen(self.entries, what="release", where=self.ledger.branch)
        self.registry = load_registry(self.git, self.pipeline)
        known = registered_bundle(self.git, self.registry, self.bundle)
        places = self.place.params.places
        named = self.request.environment
        wanted = [places.find(named)] if named else list(places.all)
        planned = [self._planned(one, known, named=named is not None) for one in wanted]
        gate = None
        if known is None or any(placement.action.moves for placement in planned):
            gate = self._gate()
            if _stops(gate, dry_run=self.place.dry_run) is not None:
                return self._result(None if known is None else known.version, gate, [])
        made = known or number(self.place, self.commit, dry_run=self.place.dry_run).made
        if not self.place.dry_run:
            for placement in planned:
                self._carry_out(placement, made)
        return self._result(made.version, gate, planned)

    def _gate(self) -> Rechecked:
        """The one place that asks whether the recorded gate is still about this bundle and this champion."""
        asked = RecheckRequest(
            clock=lambda: self.place.now,
            rev=self.commit,
            dry_run=self.place.dry_run,
            progress=self.request.progress,
        )
        return recheck(self.place.directory, asked)

    # -- what there is to do -----------------------------------------------------------------------------------------

    def _planned(self, one: Environment, known: Registered | None, *, named: bool) -> Placement:
        before = self._at(one).state_or_none()

        def say(action: ReleaseAction, reason: str, after: ReleaseState | None = None) -> Placement:
            states = [state for state in (before, after) if state is not None]
            bundles = [bundle for state in states for bundle in state.tracks.values()]
            ahead = [self.bundle] if action is not ReleaseAction.NONE else []
            return Placement(
                environment=one,
                action=action,
                reason=reason,
                before=before,
                after=after or before,
                bundles=tuple(dict.fromkeys([*bundles, *ahead])),
            )

        if before is not None and before.stable == self.bundle:
            return say(ReleaseAction.NONE, "serves there already")
        if before is not None and before.canary == self.bundle:
            return say(ReleaseAction.NONE, f"its canary runs, at {canary_share(before):.0%}")
        if (past := self._given_up(one, before, known)) is not None:
            return say(ReleaseAction.NONE, past)
        if (waits := self._waits(one, before, known, named=named)) is not None:
            return say(ReleaseAction.WAITS, waits)
        steps = self.place.params.canary.steps
        if not _by_canary(one):
            after = serve(before, self.bundle, pipeline=self.pipeline, steps=steps)
            action = ReleaseAction.INIT if before is None else ReleaseAction.PROMOTE
            return say(action, "nothing served there" if before is None else f"instead of {before.stable[:19]}", after)
        if before is None:
            first = rollout.first(self.pipeline, self.bundle, steps=steps)
            return say(ReleaseAction.INIT, "nothing served there", first)
        started = rollout.start(before, self.bundle, steps=steps)
        return say(ReleaseAction.START, f"against {before.stable[:19]}", started)

    def _waits(
        self, one: Environment, before: ReleaseState | None, known: Registered | None, *, named: bool
    ) -> str | None:
        """What has to happen first; for the environment that was named, what is missing is raised instead."""
        if named:
            place = self._at(one)
            approved(place, self.request.by)
            if one.after is not None and known is None:
                raise UsageError(
                    f"{self.bundle[:19]} has no version yet, so it passed nothing",
                    where=f"environment {one.name}",
                    hint=f"remint release --environment {one.after}",
                )
            if one.after is not None:
                admit(place, self.bundle, by=self.request.by)
        elif one.after is not None:
            return f"takes what {one.after} passed: remint registry promote --environment {one.name}"
        elif one.approval is Approval.REVIEW and not self.request.by:
            return f"asks for a review: remint release --environment {one.name} --by NAME"
        if before is not None and before.canary is not None:
            return f"release {before.release} tries {before.canary[:19]}: when that has ended"
        return None

    def _given_up(self, one: Environment, before: ReleaseState | None, known: Registered | None) -> str | None:
        """Why the model is not brought there again: it was there, or something newer is.

        A move whose state file was lost with a runner is no such past: its release is ahead of the one that serves.
        """
        if before is None:
            return None
        tried = [e for e in self.entries if _tried(e, one, self.bundle)]
        releases = [str(e.data["release"]) for e in tried]
        stood = [a for a in self.registry.assignments if known and a.stage == one.stage and a.commit == known.commit]
        releases += [trailer(self.git, a.tag, "Remint-Release") or before.release for a in stood]
        if any(_count(release) <= _count(before.release) for release in releases):
            way = "canary start" if _by_canary(one) else "registry promote"
            return f"was there, and was taken back or replaced: remint {way} brings it by hand"
        standing = self.registry.champion(one.stage)
        newest = None if standing is None else self.registry.version_of(standing.commit)
        if known is not None and newest is not None and newest.version > known.version:
            return f"{newest.version} stands there and is newer: remint registry rollback goes back"
        return None

    # -- doing it ----------------------------------------------------------------------------------------------------

    def _carry_out(self, placement: Placement, made: Registered) -> None:
        place, by = self._at(placement.environment), self.request.by
        match placement.action:
            case ReleaseAction.INIT | ReleaseAction.START | ReleaseAction.PROMOTE if not _by_canary(place.environment):
                environment.promote(place, version=made.version, reason=_REASON, by=by)
            case ReleaseAction.INIT:
                canary.initialise(place, self.bundle, by=by)
            case ReleaseAction.START | ReleaseAction.PROMOTE:
                canary.start(place, self.bundle, rev=self.commit, by=by)
            case ReleaseAction.NONE if placement.before is not None:
                self._complete(place, placement.before, made)
            case ReleaseAction.NONE | ReleaseAction.WAITS:
                pass
            case _:
                assert_never(placement.action)

    def _complete(self, place: Place, before: ReleaseState, made: Registered) -> None:
        """What was killed after it moved the traffic, and before it had recorded that."""
        one, by = place.environment, self.request.by
        stands = self.registry.champion(one.stage)
        if before.canary == self.bundle:
            canary.start(place, self.bundle, rev=self.commit, by=by)
        elif before.stable != self.bundle or before.canary is not None:
            return
        elif not _by_canary(one):
            told = stands is not None and any(recorded(entry, one, stands.tag) for entry in self.entries)
            if (not told or stands is None or stands.commit != made.commit) and (by or one.approval is Approval.NONE):
                environment.promote(place, version=made.version, reason=_REASON, by=by)
        elif stands is None or (before.release == "r1" and not canary.history(place, before.release)):
            canary.initialise(place, self.bundle, by=by)
        else:
            canary.settle(place)

    def _at(self, one: Environment) -> Place:
        return replace(self.place, environment=one, state_path=None)

    def _result(self, version: Version | None, gate: Rechecked | None, planned: Sequence[Placement]) -> Released:
        return Released(
            pipeline=self.pipeline,
            commit=self.commit,
            bundle=self.bundle,
            run_id=run_of_commit(self.git, self.commit),
            version=version,
            gate=gate,
            environments=tuple(planned),
            image=self._image(planned),
            dry_run=self.place.dry_run,
        )

    def _image(self, planned: Sequence[Placement]) -> tuple[tuple[str, str], ...]:
        """One image for every environment: what this release brings, and what the others serve."""
        here = {placement.environment.name for placement in planned}
        others = [self._at(one).state_or_none() for one in self.place.params.places.all if one.name not in here]
        needed = [bundle for placement in planned for bundle in placement.bundles]
        needed += [bundle for state in others if state is not None for bundle in state.tracks.values()]
        return tuple(
            (bundle, self.commit if bundle == self.bundle else version_of(self.git, self.registry, bundle))
            for bundle in dict.fromkeys(needed)
        )


def _stops(gate: Rechecked, *, dry_run: bool) -> Verdict | None:
    """What speaks against a release; None where the gate passed, where the champion is judged no more, and in a dry
    run where it would have to run anew: what it will say is not known yet.
    """
    match gate.standing:
        case Standing.CHAMPION:
            return None
        case Standing.CURRENT | Standing.STALE:
            verdict = Verdict.INCONCLUSIVE if gate.gate is None else Verdict(gate.gate["verdict"])
            unknown = gate.gate is None and gate.standing is Standing.STALE
            return None if verdict is Verdict.PASS or (unknown and dry_run) else verdict
        case Standing.NONE:
            return Verdict.INCONCLUSIVE
        case _:
            assert_never(gate.standing)


def _gate_json(gate: Rechecked) -> dict[str, Any]:
    return {
        "standing": gate.standing.value,
        "verdict": None if gate.verdict is None else gate.verdict.value,
        "id": None if gate.gate is None else gate.gate["id"],
        "changed": list(gate.changed),
    }


def _by_canary(one: Environment) -> bool:
    """Where nothing is declared, models come in by a canary."""
    return one.canary or not one.declared


def _tried(entry: LedgerEntry, one: Environment, bundle: str) -> bool:
    return entry.event is LedgerEvent.CANARY and belongs(entry, one) and entry.data.get("canary") == bundle


def _count(release: str) -> int:
    return int(release.removeprefix("r"))
