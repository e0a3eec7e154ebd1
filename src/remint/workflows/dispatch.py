"""A decision starts the retrain workflow, once: where it was dealt with, or is on its way, nothing happens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from remint.adapters.forge import Forge, Rehearsal, RunState
from remint.adapters.git import Git
from remint.adapters.ledger import Ledger
from remint.config import load_params
from remint.core.document import DocumentKind, unseal
from remint.core.ledger import refuse_frozen, settled
from remint.core.packing import pack
from remint.core.trigger import Answer


class Started(StrEnum):
    STARTED = "started"
    ALREADY = "already"  # a run with this decision is under way, or did its work
    NONE = "none"  # the decision is not to retrain


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
