"""One retrain of one decision: in a checkout of its own, on a branch, published, gated, recorded.

Every step can be killed and done again, and ends in the same trees: the inputs are the commit that is checked out, the
decision's ``until`` and (with ``train.earlier_champions``) the stable tags; the commit's dates are the decision's, and
nothing counts as done before the ledger says so.
Data is published before git: nobody may ever see a hash whose content is not there yet.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from remint.adapters.dvc import WORKTREES, Dvc, Progress
from remint.adapters.files import write_atomically
from remint.adapters.forge import Forge, Rehearsal
from remint.adapters.git import Git
from remint.adapters.ledger import Ledger
from remint.adapters.lock import hold
from remint.adapters.usage import usage
from remint.config import Params, load_params
from remint.core.document import DocumentKind, format_time, parse_time, seal, unseal
from remint.core.ledger import (
    LedgerEntry,
    LedgerEvent,
    RetrainOutcome,
    is_run_id,
    refuse_frozen,
    running_retrain,
    settled,
)
from remint.core.report import FULL_REPORT, Image
from remint.core.resources import footprint
from remint.errors import ConfigError, DataError, LockedError, RemintError, UsageError
from remint.workflows import retrain_steps as steps
from remint.workflows.approval import refuse_to_replace_approved
from remint.workflows.changes import SUMMARY, ReproLog, collect_changes, read_base
from remint.workflows.feedback import FeedbackSource
from remint.workflows.report import render_both
from remint.workflows.report_images import publish_images
from remint.workflows.retrain_branch import RetrainBranch
from remint.workflows.retrain_steps import BUNDLE

__all__ = ["BUNDLE", "FILES", "RetrainRequest", "RetrainResult", "retrain"]

FILES: Final = ("decision.json", "gate.json", "changes.json", "report.md", FULL_REPORT, "run.json")

Json = Mapping[str, Any]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainRequest:
    """What to retrain and how. ``source`` is asked only where there is feedback to export."""

    decision: Mapping[str, Any]
    source: Callable[[], FeedbackSource]
    clock: Callable[[], datetime]
    progress: Progress = field(default=_LOG.info)
    allow: tuple[str, ...] = ()  # answers besides RETRAIN that a person lets through
    push: bool = True  # False: neither data nor branch leave this machine
    dry_run: bool = False
    output_dir: Path | None = None  # default: .remint/runs/<run_id>
    workflow: str | None = None  # the address of the forge's workflow run that this is
    forge: Forge | None = None  # asked whether the branch's pull request is approved, which nobody may replace


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainResult:
    """The sealed ``run`` document (with ``dry_run`` a plan, without an id) and where the files are."""

    document: Mapping[str, Any]
    files: Path
    already: bool = False  # an earlier run had dealt with the decision; nothing was done

    @property
    def gate_verdict(self) -> str | None:
        gate = self.document.get("gate")
        return None if gate is None else str(gate["verdict"])


def retrain(directory: Path, request: RetrainRequest) -> RetrainResult:
    """Retrain for one decision; see the module's text. The checkout in ``directory`` is not touched.

    Raises UsageError for a decision that is not to train, ConfigError for a repository that cannot (shallow, no DVC
    remote, somebody's own commits on the branch), LockedError while another retrain runs, FrozenError where the brake
    is on (also if pulled while it trained), DataError where the pipeline fails, ServiceError where a remote does.
    """
    params = load_params(directory / "params.yaml")
    decision = _usable(request, params.pipeline)
    git = Git(directory)
    git.require_full_history()
    files = request.output_dir or directory / ".remint" / "runs" / str(decision["run_id"])
    with hold(git.common_dir / "remint" / f"retrain-{params.pipeline}.lock", what="a retrain") as descriptor:
        run = _Run(params, directory, git, request, decision, files, descriptor)
        return run.do()


def _usable(request: RetrainRequest, pipeline: str) -> dict[str, Any]:
    decision = unseal(dict(request.decision), DocumentKind.DECISION, pipeline=pipeline, where="decision")
    answer = str(decision["answer"])
    if answer != "RETRAIN" and answer not in request.allow:
        raise UsageError(
            f"the decision is {answer}, not RETRAIN: {decision['summary']}",
            hint=f"--allow-answer {answer} overrules it",
        )
    if not is_run_id(str(decision["run_id"])):
        raise UsageError(f"{decision['run_id']!r} is not a run id", where="decision")
    return decision


class _Run:
    """The state of one retrain; made and used once."""

    def __init__(
        self,
        params: Params,
        directory: Path,
        git: Git,
        request: RetrainRequest,
        decision: Mapping[str, Any],
        files: Path,
        lock: int,
    ) -> None:
        self.pipeline = params.pipeline
        self.timeout = params.check.retrain_timeout
        self.git = git
        self.request = request
        self.decision = decision
        self.run_id = str(decision["run_id"])
        self.files = files
        self.ledger = Ledger(git, self.pipeline)
        self.dvc = Dvc(directory, progress=request.progress, keep_open=[lock])
        self.base = git.head()
        self.branch = RetrainBranch(git, self.pipeline, base=self.base, push=request.push)
        self.started_at = request.clock()
        self.cpu_at_start = usage()[0]
        self.factors = params.resources.factors

    def do(self) -> RetrainResult:
        done = settled(self.ledger.entries(), str(self.decision["id"]))
        if done is not None:
            return self._earlier(done)
        self._check_ground()
        if self.request.dry_run:
            return RetrainResult(document=self._plan(), files=self.files)
        started = {"decision": self.decision["id"], "base": self.base, "answer": self.decision["answer"]}
        started |= {"workflow": self.request.workflow} if self.request.workflow else {}
        self._record(LedgerEvent.RETRAIN_STARTED, started, guard=self._refuse_second)
        try:
            return self._work()
        except BaseException as error:
            # Failed is said at once: the mark of a run that is dead would hold the next one off until its timeout.
            self._record_failure(error)
            raise

    # -- before ------------------------------------------------------------------------------------------------------

    def _check_ground(self) -> None:
        """What would stop the run at its end stops it here, before hours of training."""
        refuse_frozen(self.ledger.entries(), what="retrain", where=self.ledger.branch)
        if self.request.push and self.dvc.default_remote is None:
            raise ConfigError(
                "DVC has no default remote: nobody else could get the model",
                where=str(self.dvc.root / ".dvc" / "config"),
                hint="dvc remote add --default NAME URL, or --no-push",
            )
        self.branch.check()
        self._refuse_approved()

    def _refuse_approved(self) -> None:
        if self.request.forge is not None and self.request.push:
            forge = Rehearsal(self.request.forge) if self.request.dry_run else self.request.forge
            asked_at = parse_time(self.decision["created_at"])
            refuse_to_replace_approved(
                forge, self.ledger, self.branch.name, asked_at=asked_at, now=self.request.clock()
            )

    def _refuse_second(self, entries: Sequence[LedgerEntry]) -> None:
        if settled(entries, str(self.decision["id"])) is not None:
            raise LockedError("another run has just dealt with this decision", where=self.ledger.branch)
        refuse_frozen(entries, what="retrain", where=self.ledger.branch)
        others = [e for e in entries if e.run_id != self.run_id]
        running = running_retrain(others, now=self.started_at, timeout=self.timeout)
        if running is not None:
            raise LockedError(
                f"retrain {running.run_id} has been running since {format_time(running.at)}",
                where=self.ledger.branch,
                hint="wait for it; it counts as dead after check.retrain_timeout",
            )

    def _plan(self) -> dict[str, Any]:
        return {
            "command": "retrain",
            "pipeline": self.pipeline,
            "run_id": self.run_id,
            "outcome": "dry_run",
            "decision": self.decision["id"],
            "base": self.base,
            "branch": self.branch.name,
            "until": self.decision["until"],
            "push": self.request.push,
        }

    # -- the work ----------------------------------------------------------------------------------------------------

    def _work(self) -> RetrainResult:
        place = self.git.common_dir / WORKTREES / f"retrain-{self.pipeline}"
        try:
            tree = self.git.add_worktree(place, self.base)
            log = ReproLog(self.request.progress)
            dvc = Dvc(tree.path, progress=log, keep_open=self.dvc.keep_open)
            dvc.share_cache_with(self.dvc)
            params = load_params(tree.path / "params.yaml")  # of the commit, whatever the user's checkout says
            before = read_base(tree, tree.path, self.base)
            self._reproduce(params, tree, dvc)
            stages = log.stages()
            if tree.show(self.base, "dvc.lock") == (tree.path / "dvc.lock").read_bytes():
                return self._finish(RetrainOutcome.UNCHANGED, {})
            manifest = steps.read_json(tree.path / "artifacts" / "manifest.json")
            changes = collect_changes(
                before,
                tree.path,
                params,
                stages=stages,
                run_id=self.run_id,
                now=self.request.clock(),
                parents=[str(self.decision["id"])],
            )
            if self.request.push:
                steps.publish_data(dvc)
            bundle = str(manifest["id"])
            commit = steps.commit(tree, dvc, pipeline=self.pipeline, decision=self.decision, bundle=bundle)
            gate = self._gate(params, tree.path)
            texts = self._texts(params, tree.path, gate, changes)
            refuse_frozen(self.ledger.entries(), what="publishing", where=self.ledger.branch)  # pulled while it trained
            self._refuse_approved()  # while we trained
            self.branch.publish(commit)
        finally:
            self.git.remove_worktree(place)
        facts = {
            "branch": self.branch.name,
            "commit": commit,
            "bundle": bundle,
            "gate": {"id": gate["id"], "verdict": gate["verdict"]},
        }
        return self._finish(RetrainOutcome.PUBLISHED, facts, gate=gate, texts=texts)

    def _reproduce(self, params: Params, tree: Git, dvc: Dvc) -> None:
        steps.reproduce(
            params,
            self.git,
            tree,
            dvc,
            until=self.decision["until"],
            source=self.request.source,
            say=self.request.progress,
        )

    def _gate(self, params: Params, directory: Path) -> dict[str, Any]:
        return steps.gate(
            params,
            self.git,
            self.dvc,
            directory,
            ledger=self.ledger,
            decision=self.decision,
            now=self.request.clock(),
            say=self.request.progress,
        )

    def _texts(self, params: Params, directory: Path, gate: Json, changes: Json) -> dict[str, str]:
        """The files of a retrain that made a model; the full report only where the short one leaves parts out."""
        images, note = self._images(params, gate)
        report, full = render_both(
            decision=self.decision,
            gate=gate,
            metadata=steps.read_json(directory / "artifacts" / "metadata.json"),
            summary=steps.read_json(directory / SUMMARY),
            changes=changes,
            history=steps.earlier_gates(self.ledger, run_id=self.run_id),
            images=images,
            images_note=note,
            params=params,
        )
        texts = {"gate.json": steps.dump_json(gate), "changes.json": steps.dump_json(changes), "report.md": report}
        return texts if full is None else {**texts, FULL_REPORT: full}

    def _images(self, params: Params, gate: Json) -> tuple[Sequence[Image], str | None]:
        if not params.pull_request.images:
            return (), None
        return publish_images(
            self.git,
            self.request.forge if self.request.push else None,
            gate=gate,
            decision=self.decision,
            now=self.request.clock(),
        )

    # -- after -------------------------------------------------------------------------------------------------------

    def _finish(
        self,
        outcome: RetrainOutcome,
        facts: Mapping[str, Any],
        *,
        gate: Json | None = None,
        texts: Mapping[str, str] | None = None,
    ) -> RetrainResult:
        parents = [str(self.decision["id"]), *([str(gate["id"])] if gate else [])]
        document = self._document(outcome, facts, parents)
        files = {
            **(texts or {}),
            "decision.json": steps.dump_json(self.decision),
            "run.json": steps.dump_json(document),
        }
        for name, text in files.items():
            write_atomically(self.files / name, text)
        entry = {"decision": self.decision["id"], "outcome": outcome.value, "run": document["id"], **facts}
        attachments = {name: text.encode() for name, text in files.items()}
        self._record(LedgerEvent.RETRAIN_FINISHED, entry, attachments=attachments)
        return RetrainResult(document=document, files=self.files)

    def _earlier(self, done: LedgerEntry) -> RetrainResult:
        """The files of the run that dealt with the decision, brought back from the ledger."""
        found = {name: self.ledger.attachment(done.run_id, name) for name in FILES}
        run = found["run.json"]
        if run is None:
            raise DataError(f"run {done.run_id} has no run.json", where=self.ledger.branch)
        for name, content in found.items():
            if content is not None and not self.request.dry_run:
                write_atomically(self.files / name, content.decode())
        document = unseal(json.loads(run), DocumentKind.RUN, pipeline=self.pipeline, where=self.ledger.branch)
        return RetrainResult(document=document, files=self.files, already=True)

    def _record_failure(self, error: BaseException) -> None:
        reason = str(error) if isinstance(error, RemintError) else type(error).__name__
        document = self._document(RetrainOutcome.FAILED, {"error": reason}, [str(self.decision["id"])])
        facts = {"decision": self.decision["id"], "outcome": RetrainOutcome.FAILED.value, "error": reason}
        try:
            write_atomically(self.files / "run.json", steps.dump_json(document))
            self._record(LedgerEvent.RETRAIN_FINISHED, facts)
        except (RemintError, OSError) as second:
            _LOG.warning("the failure could not be recorded: %s", second)

    def _document(self, outcome: RetrainOutcome, facts: Mapping[str, Any], parents: Sequence[str]) -> dict[str, Any]:
        cpu, peak = usage()
        body = {
            "command": "retrain",
            "run_id": self.run_id,
            "started_at": format_time(self.started_at),
            "finished_at": format_time(self.request.clock()),
            "outcome": outcome.value,
            "cpu_seconds": round(cpu - self.cpu_at_start, 3),
            "peak_memory_bytes": peak,
            **footprint(cpu - self.cpu_at_start, self.factors).to_json(),
            "workflow": self.request.workflow,
            "decision": self.decision["id"],
            "base": self.base,
            **facts,
        }
        return seal(DocumentKind.RUN, self.pipeline, body, parents=parents)

    def _record(
        self,
        event: LedgerEvent,
        data: Mapping[str, Any],
        *,
        attachments: Mapping[str, bytes] | None = None,
        guard: Callable[[Sequence[LedgerEntry]], None] | None = None,
    ) -> None:
        entry = LedgerEntry(at=self.request.clock(), event=event, run_id=self.run_id, data=data)
        self.ledger.append(entry, attachments=attachments, guard=guard)
