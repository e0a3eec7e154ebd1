"""A decision starts the retrain workflow, and a merged model the release: once, and not where it is on its way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from remint.adapters.forge import Forge, Rehearsal, RunState
from remint.adapters.git import Git
from remint.adapters.ledger import Ledger
from remint.adapters.registry import load_registry
from remint.config import load_params
from remint.core.document import DocumentKind, unseal
from remint.core.ledger import frozen, refuse_frozen, settled
from remint.core.packing import pack
from remint.core.trigger import Answer
from remint.workflows.place import Place, bundle_at, registered_bundle
from remint.workflows.recorded_gate import tip_of
from remint.workflows.release import ReleaseRequest, release


class Started(StrEnum):
    STARTED = "started"
    ALREADY = "already"  # a run with this decision is under way, or did its work
    NONE = "none"  # the decision is not to retrain; there is nothing to release


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchRequest:
    """``ref`` None is the repository's default branch."""

    decision: Mapping[str, Any]
    forge: Forge
    workflow: str = "retrain.yml"
    ref: str | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchResult:
    action: Started
    pipeline: str
    run_id: str
    answer: str
    url: str | None = None
    calls: tuple[dict[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        document = {
            "command": "dispatch",
            "pipeline": self.pipeline,
            "run_id": self.run_id,
            "answer": self.answer,
            "action": self.action.value,
            "url": self.url,
        }
        return {**document, "calls": list(self.calls)} if self.calls else document


def dispatch(directory: Path, request: DispatchRequest) -> DispatchResult:
    """Start the workflow with the inputs ``decision`` (packed), ``directory`` and ``run`` (the run id, for its name).

    Raises DocumentError for a decision that was changed or is too long, FrozenError while the brake is on, and what
    the forge raises. Two that come at the same moment may both start it: the second retrain finds the decision done.
    """
    pipeline = load_params(directory / "params.yaml").pipeline
    decision = unseal(dict(request.decision), DocumentKind.DECISION, pipeline=pipeline, where="decision")
    answer, run_id = Answer(decision["answer"]), str(decision["run_id"])

    def result(action: Started, url: str | None = None) -> DispatchResult:
        calls = tuple(forge.calls) if isinstance(forge, Rehearsal) else ()
        return DispatchResult(
            action=action, pipeline=pipeline, run_id=run_id, answer=answer.value, url=url, calls=calls
        )

    git = Git(directory)
    forge: Forge = Rehearsal(request.forge) if request.dry_run else request.forge
    if answer is not Answer.RETRAIN:
        return result(Started.NONE)
    ledger = Ledger(git, pipeline)
    entries = ledger.entries()
    if settled(entries, str(decision["id"])) is not None:
        return result(Started.ALREADY)
    refuse_frozen(entries, what="dispatch", where=ledger.branch)
    for run in forge.runs(request.workflow):
        if run_id in run.title.split() and run.state is not RunState.FAILURE:
            return result(Started.ALREADY, run.url)
    inputs = {"decision": pack(decision), "directory": git.prefix.rstrip("/") or ".", "run": run_id}
    ref = request.ref or forge.repository().default_branch
    return result(Started.STARTED, forge.dispatch(request.workflow, ref=ref, inputs=inputs))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseDispatchRequest:
    """``ref`` None is the repository's default branch: what stands there, and whose workflow file runs."""

    forge: Forge
    clock: Callable[[], datetime]
    workflow: str = "release.yml"
    ref: str | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseDispatch:
    action: Started
    pipeline: str
    reason: str
    commit: str
    bundle: str | None = None
    url: str | None = None
    calls: tuple[dict[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        document = {
            "command": "dispatch",
            "pipeline": self.pipeline,
            "action": self.action.value,
            "reason": self.reason,
            "commit": self.commit,
            "bundle": self.bundle,
            "url": self.url,
        }
        return {**document, "calls": list(self.calls)} if self.calls else document


def dispatch_release(directory: Path, request: ReleaseDispatchRequest) -> ReleaseDispatch:
    """Start the release workflow where ``remint release`` at the branch's tip would register or move something.

    A merge by a workflow's built-in token starts no workflow, so that somebody has to look. No run of the workflow may
    be unfinished: it takes what it finds on the branch. Whether a model was there before and was given up is for
    ``workflows.release`` to know, by tags, state files (of this checkout) and ledger.
    """
    params = load_params(directory / "params.yaml")
    git = Git(directory)
    git.require_full_history()
    forge: Forge = Rehearsal(request.forge) if request.dry_run else request.forge
    ref = request.ref or forge.repository().default_branch
    tip = tip_of(git, ref)
    bundle = bundle_at(git, tip)

    def result(action: Started, reason: str, url: str | None = None) -> ReleaseDispatch:
        calls = tuple(forge.calls) if isinstance(forge, Rehearsal) else ()
        return ReleaseDispatch(
            action=action, pipeline=params.pipeline, reason=reason, commit=tip, bundle=bundle, url=url, calls=calls
        )

    if bundle is None:
        return result(Started.NONE, f"{ref} has no model")
    brake = frozen(Ledger(git, params.pipeline).entries())
    if brake is not None:  # an answer and no failure: who looks every six hours should not be told that often
        return result(Started.NONE, str(brake))
    reason = _unreleased(Place(params=params, now=request.clock(), directory=directory, dry_run=True), git, tip, bundle)
    if reason is None:
        return result(Started.NONE, "it is released, or was and is not wanted back, or its gate speaks against it")
    for run in forge.runs(request.workflow):
        if run.state is RunState.UNFINISHED:
            return result(Started.ALREADY, "a release is under way", run.url)
    return result(Started.STARTED, reason, forge.dispatch(request.workflow, ref=ref, inputs={}))


def _unreleased(place: Place, git: Git, tip: str, bundle: str) -> str | None:
    """What a release would do, in words; None where nothing is left to do."""
    planned = release(place, ReleaseRequest(rev=tip))
    if planned.refused is not None:
        return None
    moves = [f"{p.action.value} in {p.environment.name}" for p in planned.environments if p.action.moves]
    if registered_bundle(git, load_registry(git, planned.pipeline), bundle) is None:
        moves.insert(0, "no version yet")
    return ", ".join(moves) or None
