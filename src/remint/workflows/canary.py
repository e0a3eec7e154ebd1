"""Moving a release: the state file first (traffic), then the commit, then the registry's tag, then the ledger.

Git may be down while a bad canary serves: traffic moves all the same, and what could not be recorded is an error
afterwards. Every move is safe to repeat: run again after a kill, it records what is missing and changes nothing else.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, assert_never

from filelock import FileLock, Timeout

from remint.adapters.git import Git
from remint.adapters.ledger import Ledger
from remint.adapters.registry import assign, load_registry
from remint.adapters.state import read_state, write_state
from remint.config import Params
from remint.core import rollout
from remint.core.document import canonical_json, format_time
from remint.core.judge import Answer
from remint.core.ledger import LedgerEntry, LedgerEvent, new_run_id, refuse_frozen
from remint.core.release import ReleaseState, canary_share
from remint.errors import ConfigError, LockedError, RemintError, ServiceError, UsageError

STATE_FILE: Final = Path("deploy/state.yaml")
_LOCK_SECONDS: Final = 10.0
_MANIFEST: Final = "artifacts/manifest.json"


class Action(StrEnum):
    """What a ledger entry of the event ``canary`` says was done."""

    INIT = "init"
    START = "start"
    ADVANCE = "advance"
    PROMOTE = "promote"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Whose release it is, where its state lies, and how far a command may go."""

    params: Params
    now: datetime
    directory: Path = Path()
    state_path: Path = STATE_FILE
    commit: bool = True  # of the state file; the ledger and the registry are written in any case
    dry_run: bool = False

    @property
    def state_file(self) -> Path:
        return self.directory / self.state_path

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

    def git(self) -> Git | None:
        """The repository that holds the pipeline; None where there is none, and then nothing is recorded."""
        return _git_at(self.directory)


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


def initialise(place: Place, bundle: str) -> Move:
    """The first release: ``bundle`` serves everything, and in the registry it is the champion.

    Raises UsageError where a state file with another stable exists, ConfigError where no version has the bundle.
    """
    before = place.state() if place.state_file.exists() else None
    after = rollout.first(place.params.pipeline, bundle, steps=place.params.canary.steps)
    if before is not None:
        if before.stable != bundle:
            raise UsageError(
                f"{before.stable} is already stable",
                where=str(place.state_file),
                hint="`remint canary start` brings another",
            )
        after = before
    return _move(place, Action.INIT, before, after, reason="the first release", champion=bundle)


def start(place: Place, bundle: str, *, rev: str | None = None) -> Move:
    """Send the first step's share to ``bundle``. ``rev`` names the commit it must come from. Raises UsageError."""
    before = place.state()
    after = rollout.start(before, bundle, steps=place.params.canary.steps)
    reason = f"{bundle} against {before.stable}"
    if rev is not None:
        git = place.git()
        if git is None:
            raise UsageError("--rev needs a git repository", where=str(place.directory))
        commit = git.resolve(rev)
        if _bundle_at(git, commit) != bundle:
            raise ConfigError(f"{_MANIFEST} at {rev} is not of bundle {bundle}", hint="remint bundle export --rev")
        reason += f", from {commit}"
    return _move(place, Action.START, before, after, reason=reason)


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
    return [e for e in entries if e.event is LedgerEvent.CANARY and e.data.get("release") == release]


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
    git = _git_at(place.state_file.parent)
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


def _swap(place: Place, before: ReleaseState | None, after: ReleaseState) -> None:
    """Write ``after`` only where ``before`` still stands, so that no step undoes a rollback made meanwhile.

    The lock is held for this moment alone: a rollback never waits for somebody's git push. Raises LockedError.
    """
    lock = place.directory / ".remint" / "canary.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=_LOCK_SECONDS):
            now = place.state() if place.state_file.exists() else None
            if now != before:
                raise LockedError(
                    "was changed by somebody else meanwhile", where=str(place.state_file), hint="run it again"
                )
            write_state(place.state_file, after)
    except Timeout:
        raise LockedError("somebody else is writing the state", where=str(lock), hint="run it again") from None


def _move(
    place: Place,
    action: Action,
    before: ReleaseState | None,
    after: ReleaseState,
    *,
    reason: str,
    verdict: Mapping[str, Any] | None = None,
    champion: str | None = None,
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
        version = _version_of(git, place.params.pipeline, champion)  # before anything moves: it may be missing
    if place.dry_run:
        return move
    if after != before:
        _swap(place, before, after)
    try:
        _record(place, move, verdict, version)
    except (RemintError, OSError, subprocess.SubprocessError) as error:
        raise ServiceError(
            f"{place.state_file} is written (release {after.release}, {action}), but it is not recorded: {error}",
            hint="run the same command again",
        ) from error
    return move


def _record(place: Place, move: Move, verdict: Mapping[str, Any] | None, version: str | None) -> None:
    after, pipeline = move.after, place.params.pipeline
    assert move.action is not None
    if place.commit and (home := _git_at(place.state_file.parent)) is not None:
        _commit(home, place.state_file.resolve(), _message(move, verdict))
    git = place.git()
    if git is None:
        return
    if version is not None:
        assign(
            git, pipeline, version, now=place.now, message=f"Promote {after.stable}\n\nRemint-Release: {after.release}"
        )
    known = history(place, after.release)
    if any(e.data.get("action") == move.action and e.data.get("step") == after.step for e in known):
        return
    canaries = [after.canary, move.before.canary if move.before else None, *(e.data.get("canary") for e in known)]
    token = hashlib.sha256(f"{pipeline}|{after.release}".encode()).hexdigest()
    run_id = known[0].run_id if known else new_run_id(pipeline, place.now, token)
    data = {
        "action": move.action.value,
        "release": after.release,
        "step": after.step,
        "stable": after.stable,
        "canary": next((canary for canary in canaries if canary), None),
        "verdict": None if verdict is None else verdict["id"],
        "reason": move.reason,
    }
    name = f"verdict-{after.release}-{move.action}-{move.before.step if move.before else -1}.json"
    attachments = {} if verdict is None else {name: canonical_json(verdict)}
    entry = LedgerEntry(at=place.now, event=LedgerEvent.CANARY, run_id=run_id, data=data)
    Ledger(git, pipeline).append(entry, attachments=attachments)


def _commit(git: Git, path: Path, message: Sequence[str]) -> None:
    """Commit this one file, whatever else is staged; nothing where git has it already."""
    if git.succeeds("check-ignore", "--quiet", "--", str(path)):
        raise ConfigError("is ignored by git", where=str(path), hint="--no-commit leaves it out")
    if git.run("status", "--porcelain", "--", str(path)):
        git.run("add", "--", str(path))
        paragraphs = [part for paragraph in message for part in ("-m", paragraph)]
        git.run("commit", "--quiet", "--only", *paragraphs, "--", str(path), env=git.identity)


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


def _version_of(git: Git, pipeline: str, bundle: str) -> str:
    """The commit of the newest registered version whose bundle it is. Raises ConfigError where there is none."""
    for registered in reversed(load_registry(git, pipeline).versions):
        if registered.current and _bundle_at(git, registered.commit) == bundle:
            return registered.commit
    raise ConfigError(
        f"no registered version of {pipeline} has the bundle {bundle}",
        hint=f"`remint registry register` tags the commit whose {_MANIFEST} names it",
    )


def _bundle_at(git: Git, commit: str) -> str | None:
    data = git.show(commit, _MANIFEST)
    try:
        return None if data is None else str(json.loads(data)["id"])
    except (ValueError, KeyError, TypeError):
        return None


def _git_at(directory: Path) -> Git | None:
    """None only where no directory above is a repository; a broken one is an error, not an absent one."""
    place = directory.resolve()
    return Git(place) if any((parent / ".git").exists() for parent in (place, *place.parents)) else None


def _format(at: datetime | None) -> str | None:
    return None if at is None else format_time(at)
