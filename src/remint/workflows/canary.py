"""Moving a release: the state file first (traffic), then the commit, then the registry's tag, then the ledger.

Git may be down while a bad canary serves: traffic moves all the same, and what could not be recorded is an error
afterwards. Every move is safe to repeat: run again after a kill, it records what is missing and changes nothing else.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, assert_never

from remint.adapters.ledger import Ledger
from remint.adapters.registry import assign, load_registry
from remint.core import rollout
from remint.core.document import canonical_json, format_time
from remint.core.environments import belongs
from remint.core.judge import Answer
from remint.core.ledger import LedgerEntry, LedgerEvent, new_run_id, refuse_frozen
from remint.core.registry import STABLE
from remint.core.release import ReleaseState, canary_share
from remint.errors import ConfigError, RemintError, ServiceError, UsageError
from remint.workflows.place import MANIFEST, Place, admit, bundle_at, commit_state, git_at, swap, version_of


class Action(StrEnum):
    """What a ledger entry of the event ``canary`` says was done."""

    INIT = "init"
    START = "start"
    ADVANCE = "advance"
    PROMOTE = "promote"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What a command did, or with ``dry_run`` would have done."""

    action: Action | None  # None: nothing to do
    before: ReleaseState | None
    after: ReleaseState
    reason: str

    def to_json(self) -> dict[str, Any]:
        return {
            "action": None if self.action is None else self.action.value,
            "reason": self.reason,
            "before": None if self.before is None else self.before.to_json(),
            "after": self.after.to_json(),
        }


def initialise(place: Place, bundle: str, *, by: str | None = None) -> Move:
    """The first release: ``bundle`` serves everything, and in the registry it is the champion.

    Raises UsageError where a state file with another stable exists, and as ``admit`` does; ConfigError where no
    version has the bundle.
    """
    before = place.state_or_none()
    after = rollout.first(place.params.pipeline, bundle, steps=place.params.canary.steps)
    if before is not None:
        if before.stable != bundle:
            raise UsageError(
                f"{before.stable} is already stable",
                where=str(place.state_file),
                hint="`remint canary start` brings another",
            )
        after = before
    admitted = admit(place, bundle, by=by) if before is None else None
    reason = "the first release"
    return _move(place, Action.INIT, before, after, reason=reason, champion=bundle, admitted=admitted)


def start(place: Place, bundle: str, *, rev: str | None = None, by: str | None = None) -> Move:
    """Send the first step's share to ``bundle``. ``rev`` names the commit it must come from.

    Raises UsageError, also where the environment does not admit the model (``admit``).
    """
    before = place.state()
    after = rollout.start(before, bundle, steps=place.params.canary.steps)
    if after == before and before.step > 0:  # its start is recorded: a step further it would be another one
        return Move(action=None, before=before, after=after, reason=f"runs already, at {canary_share(before):.0%}")
    reason = f"{bundle} against {before.stable}"
    if rev is not None:
        git = place.git()
        if git is None:
            raise UsageError("--rev needs a git repository", where=str(place.directory))
        commit = git.resolve(rev)
        if bundle_at(git, commit) != bundle:
            raise ConfigError(f"{MANIFEST} at {rev} is not of bundle {bundle}", hint="remint bundle export --rev")
        reason += f", from {commit}"
    admitted = admit(place, bundle, by=by) if after != before else None
    return _move(place, Action.START, before, after, reason=reason, admitted=admitted)


def step(place: Place, verdict: Mapping[str, Any]) -> Move:
    """Do what an (unsealed) verdict answers. Raises UsageError where it is of another release or step."""
    before = place.state()
    answer, canary = Answer(verdict["answer"]), str(verdict["canary"])
    after = rollout.apply(before, answer, release=verdict["release"], step=verdict["step"], canary=canary)
    reason = str(verdict["summary"])
    match answer:
        case Answer.HOLD:
            return Move(action=None, before=before, after=after, reason=reason)
        case Answer.ADVANCE:
            return _move(place, Action.ADVANCE, before, after, reason=reason, verdict=verdict)
        case Answer.PROMOTE:
            return _move(place, Action.PROMOTE, before, after, reason=reason, verdict=verdict, champion=canary)
        case Answer.ROLLBACK:
            return _move(place, Action.ROLLBACK, before, after, reason=reason, verdict=verdict)
        case _:
            assert_never(answer)


def promote(place: Place, *, reason: str) -> Move:
    """The canary becomes stable by somebody's decision. Raises UsageError where no canary runs."""
    before = place.state()
    if before.canary is None:
        return _finish(place, before, Action.PROMOTE, reason=reason)
    after = rollout.promote(before, release=before.release, canary=before.canary)
    return _move(place, Action.PROMOTE, before, after, reason=reason, champion=before.canary)


def roll_back(place: Place, *, reason: str) -> Move:
    """All traffic to stable, at once. Raises UsageError where the release has no canary to roll back."""
    before = place.state()
    if before.canary is None:
        return _finish(place, before, Action.ROLLBACK, reason=reason)
    after = rollout.roll_back(before, release=before.release)
    return _move(place, Action.ROLLBACK, before, after, reason=reason)


def settle(place: Place) -> Move | None:
    """Record the end of a release where a killed command moved the traffic and no more; None where nothing is left."""
    state = place.state()
    ended = None if state.canary is not None else _ended(place, state)
    if ended is None or ended[1]:
        return None
    return _finish(place, state, ended[0], reason="recorded afterwards")


def running(place: Place) -> list[dict[str, Any]]:
    """Every environment of the pipeline with a running canary, by its state file alone: no git, no ledger."""
    found = []
    for environment in place.params.places.all:
        state = replace(place, environment=environment, state_path=None).state_or_none()
        if state is not None and state.canary is not None:
            found.append(
                {
                    "directory": place.directory.as_posix(),
                    "pipeline": place.params.pipeline,
                    "environment": environment.name,
                    "state": environment.state,
                    "release": state.release,
                    "stable": state.stable,
                    "canary": state.canary,
                    "step": state.step,
                    "share": canary_share(state),
                }
            )
    return found


def status(place: Place) -> dict[str, Any]:
    """The state, since when, and what the ledger says of this release."""
    state = place.state()
    entries = history(place, state.release)
    return {
        "state": state.to_json(),
        "share": canary_share(state),
        "started_at": _format(started_at(place, state)),
        "history": [{"at": format_time(e.at), **e.data} for e in entries],
    }


def history(place: Place, release: str) -> list[LedgerEntry]:
    """The ledger's entries about this release, oldest first; none outside a git repository."""
    git = place.git()
    if git is None:
        return []
    entries = Ledger(git, place.params.pipeline).entries()
    canaries = [e for e in entries if e.event is LedgerEvent.CANARY and belongs(e, place.environment)]
    return [e for e in canaries if e.data.get("release") == release]


def started_at(place: Place, state: ReleaseState) -> datetime | None:
    """When the canary started: by the ledger, else by the commit of the state file. None where neither knows.

    A ledger out of reach (ServiceError) is not waited for: judging goes on.
    """
    try:
        starts = [e.at for e in history(place, state.release) if e.data.get("action") == Action.START]
    except ServiceError:
        starts = []
    if starts:
        return starts[0]
    git = git_at(place.state_file.parent)
    if git is None or git.ref("HEAD") is None:
        return None
    wanted = [f"--grep=^Remint-Release: {state.release}$", f"--grep=^Remint-Pipeline: {state.pipeline}$"]
    commits = git.run("log", "--all-match", *wanted, "--format=%cI", "--", str(place.state_file.resolve()))
    return datetime.fromisoformat(commits.splitlines()[-1]) if commits else None


def _ended(place: Place, state: ReleaseState) -> tuple[Action, bool] | None:
    """How a release without a canary ended, by the bundles that its start named, and whether the ledger has it."""
    entries = history(place, state.release)
    begun = next((e for e in entries if e.data.get("action") == Action.START), None)
    if begun is None:
        return None
    action = Action.PROMOTE if begun.data.get("canary") == state.stable else Action.ROLLBACK
    return action, any(e.data.get("action") == action for e in entries)


def _finish(place: Place, state: ReleaseState, wanted: Action, *, reason: str) -> Move:
    """The traffic moved before: record what is missing of it. Raises UsageError where the release ended otherwise."""
    ended = _ended(place, state)
    if ended is None:
        raise UsageError(f"release {state.release} has no canary", hint="`remint canary start --bundle ID`")
    action, recorded = ended
    if action is not wanted:
        past = "promoted: its canary is stable now" if action is Action.PROMOTE else "rolled back"
        raise UsageError(
            f"release {state.release} was {past}", hint="`remint canary start --bundle ID` tries a bundle, by steps"
        )
    if recorded:  # and the registry may have moved on since: assigning again would undo that
        return Move(action=None, before=state, after=state, reason=f"{action} was done before")
    champion = state.stable if action is Action.PROMOTE else None
    return _move(place, action, state, state, reason=reason, champion=champion)


def _move(
    place: Place,
    action: Action,
    before: ReleaseState | None,
    after: ReleaseState,
    *,
    reason: str,
    verdict: Mapping[str, Any] | None = None,
    champion: str | None = None,
    admitted: Mapping[str, Any] | None = None,
) -> Move:
    """Traffic, then the records. ``champion`` is the bundle whose version becomes stable in the registry.

    Raises FrozenError where the brake is on: nothing moves but back. What has moved before is recorded all the same.
    """
    if after != before and action is not Action.ROLLBACK and (git := place.git()) is not None:
        ledger = Ledger(git, place.params.pipeline)
        refuse_frozen(ledger.entries(), what=f"{action} of a release", where=ledger.branch)
    move = Move(action=action, before=before, after=after, reason=reason)
    version = None
    if champion is not None and (git := place.git()) is not None:
        version = version_of(
            git, load_registry(git, place.params.pipeline), champion
        )  # before anything moves: it may be missing
    if place.dry_run:
        return move
    if after != before:
        swap(place, before, after)
    try:
        _record(place, move, verdict, version, admitted or {})
    except (RemintError, OSError, subprocess.SubprocessError) as error:
        raise ServiceError(
            f"{place.state_file} is written (release {after.release}, {action}), but it is not recorded: {error}",
            hint="run the same command again",
        ) from error
    return move


def _record(
    place: Place, move: Move, verdict: Mapping[str, Any] | None, version: str | None, admitted: Mapping[str, Any]
) -> None:
    after, pipeline = move.after, place.params.pipeline
    assert move.action is not None
    commit_state(place, _message(move, verdict))
    git = place.git()
    if git is None:
        return
    if version is not None:
        message = f"Promote {after.stable}\n\nRemint-Release: {after.release}"
        assign(git, pipeline, version, now=place.now, stage=place.environment.stage, message=message)
    known = history(place, after.release)
    if any(e.data.get("action") == move.action and e.data.get("step") == after.step for e in known):
        return
    canaries = [after.canary, move.before.canary if move.before else None, *(e.data.get("canary") for e in known)]
    here = [] if place.environment.stage == STABLE else [place.environment.name]
    token = hashlib.sha256("|".join([pipeline, after.release, *here]).encode()).hexdigest()
    run_id = known[0].run_id if known else new_run_id(pipeline, place.now, token)
    data = {
        "action": move.action.value,
        "release": after.release,
        "step": after.step,
        "stable": after.stable,
        "canary": next((canary for canary in canaries if canary), None),
        "verdict": None if verdict is None else verdict["id"],
        "reason": move.reason,
        **({"environment": place.environment.name, **admitted} if place.environment.declared else {}),
    }
    name = f"verdict-{after.release}-{move.action}-{move.before.step if move.before else -1}.json"
    attachments = {} if verdict is None else {name: canonical_json(verdict)}
    entry = LedgerEntry(at=place.now, event=LedgerEvent.CANARY, run_id=run_id, data=data)
    Ledger(git, pipeline).append(entry, attachments=attachments)


def _message(move: Move, verdict: Mapping[str, Any] | None) -> list[str]:
    """Subject, reason and trailers of the state file's commit."""
    after = move.after
    match move.action:
        case Action.INIT:
            subject = f"Serve {after.stable[:19]}"
        case Action.START:
            subject = f"Canary {after.release}: start {(after.canary or '')[:19]} at {canary_share(after):.0%}"
        case Action.ADVANCE:
            subject = f"Canary {after.release}: {canary_share(after):.0%}"
        case Action.PROMOTE:
            subject = f"Canary {after.release}: promote {after.stable[:19]}"
        case Action.ROLLBACK:
            subject = f"Canary {after.release}: roll back to {after.stable[:19]}"
        case None:
            raise ValueError("nothing was done, so there is nothing to commit")
        case _:
            assert_never(move.action)
    trailers = [f"Remint-Pipeline: {after.pipeline}", f"Remint-Release: {after.release}"]
    trailers += [] if verdict is None else [f"Remint-Verdict: {verdict['id']}"]
    return [subject, move.reason, "\n".join(trailers)]


def _format(at: datetime | None) -> str | None:
    return None if at is None else format_time(at)
