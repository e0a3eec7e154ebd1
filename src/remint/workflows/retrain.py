"""One retrain of one decision: in a checkout of its own, on a branch, published, gated, recorded.

Every step can be killed and done again, and ends in the same trees: the inputs are the commit that is checked out, the
decision's ``until`` and (with ``train.earlier_champions``) the stable tags; the commit's dates are the decision's, and
nothing counts as done before the ledger says so.
Data is published before git: nobody may ever see a hash whose content is not there yet.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from remint.adapters.dvc import WORKTREES, Dvc, Progress
from remint.adapters.files import write_atomically
from remint.adapters.forge import Forge, Rehearsal
from remint.adapters.git import HOOKLESS, Git
from remint.adapters.ledger import Ledger
from remint.adapters.lock import hold
from remint.adapters.params_file import write_earlier, write_until
from remint.adapters.registry import champion as find_champion
from remint.adapters.usage import usage
from remint.config import Params, load_params
from remint.core.document import DocumentKind, format_time, parse_time, seal, unseal
from remint.core.ledger import (
    LedgerEntry,
    LedgerEvent,
    RetrainOutcome,
    acceptances,
    is_run_id,
    refuse_frozen,
    running_retrain,
    settled,
)
from remint.errors import ConfigError, DataError, LockedError, RemintError, ServiceError, UsageError
from remint.workflows.approval import refuse_to_replace_approved
from remint.workflows.earlier import earlier_champions
from remint.workflows.feedback import FeedbackSource, export_feedback
from remint.workflows.gate import run_gate
from remint.workflows.report import render_report
from remint.workflows.retrain_branch import TRAILERS, RetrainBranch

BUNDLE: Final = "artifacts/bundle"
FILES: Final = ("decision.json", "gate.json", "report.md", "run.json")
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

    def do(self) -> RetrainResult:
        done = settled(self.ledger.entries(), str(self.decision["id"]))
        if done is not None:
            return self._earlier(done)
        self._check_ground()
        if self.request.dry_run:
            return RetrainResult(document=self._plan(), files=self.files)
        started = {"decision": self.decision["id"], "base": self.base, "answer": self.decision["answer"]}
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
            refuse_to_replace_approved(forge, self.ledger, self.branch.name)

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
            dvc = Dvc(tree.path, progress=self.request.progress, keep_open=self.dvc.keep_open)
            dvc.share_cache_with(self.dvc)
            params = load_params(tree.path / "params.yaml")  # of the commit, whatever the user's checkout says
            self._reproduce(params, tree, dvc)
            if tree.show(self.base, "dvc.lock") == (tree.path / "dvc.lock").read_bytes():
                return self._finish(RetrainOutcome.UNCHANGED, {})
            manifest = _read_json(tree.path / "artifacts" / "manifest.json")
            if self.request.push:
                self._publish_data(dvc)
            commit = self._commit(tree, dvc, bundle=str(manifest["id"]))
            gate = self._gate(params, tree.path)
            report = self._report(tree.path, gate)
            refuse_frozen(self.ledger.entries(), what="publishing", where=self.ledger.branch)  # pulled while it trained
            self._refuse_approved()  # while we trained
            self.branch.publish(commit)
        finally:
            self.git.remove_worktree(place)
        facts = {
            "branch": self.branch.name,
            "commit": commit,
            "bundle": manifest["id"],
            "gate": {"id": gate["id"], "verdict": gate["verdict"]},
        }
        return self._finish(RetrainOutcome.PUBLISHED, facts, gate=gate, report=report)

    def _reproduce(self, params: Params, tree: Git, dvc: Dvc) -> None:
        """Feedback up to ``until`` into the tracked file, what competes into params.yaml, then ``dvc repro``."""
        until = self.decision["until"]
        feedback = params.prepare.feedback
        tracked = tree.run("ls-files", "--", "*.dvc").splitlines()
        # An older decision than what was learned already takes nothing back.
        if int(until["sequence"]) > params.prepare.until.sequence:
            tracked = [path for path in tracked if path != f"{feedback}.dvc"]
            curated = export_feedback(
                params,
                tree.path,
                self.request.source(),
                until=int(until["sequence"]),
                output=tree.path / feedback,
            )
            self.request.progress(
                f"feedback: {curated.kept.rows} rows, put aside {curated.quarantine_counts or 'none'}"
            )
            write_until(tree.path / "params.yaml", sequence=int(until["sequence"]), arrived_at=until.get("arrived_at"))
            dvc.add(feedback)
        if tracked:
            dvc.pull(*tracked)
        earlier = earlier_champions(self.git, self.pipeline, count=params.train.earlier_champions)
        if earlier != params.train.earlier:
            write_earlier(tree.path / "params.yaml", [champion.model_dump() for champion in earlier])
        if earlier:
            self.request.progress(f"earlier champions compete: {', '.join(champion.tag for champion in earlier)}")
        dvc.repro()

    def _publish_data(self, dvc: Dvc) -> None:
        dvc.push()
        missing = dvc.not_in_remote()
        if missing:
            raise ServiceError(f"dvc push left {len(missing)} behind, such as {missing[0]}", where="DVC remote")

    def _commit(self, tree: Git, dvc: Dvc, *, bundle: str) -> str:
        """The commit of this run; the same decision on the same base gives the same id."""
        tree.run("add", "--update", "--", ".")
        candidates = ["dvc.lock", *dvc.outputs()]
        candidates += tree.run("ls-files", "--others", "--exclude-standard", "--", "*.dvc", "*.gitignore").splitlines()
        ignored = {path for path in candidates if tree.succeeds("check-ignore", "--quiet", "--", path)}
        tree.run("add", "--", *(path for path in candidates if path not in ignored))
        values = (self.run_id, self.decision["id"], bundle)
        trailers = "\n".join(f"{key}: {value}" for key, value in zip(TRAILERS, values, strict=True))
        message = f"Retrain {self.pipeline}\n\n{self.decision['summary']}\n\n{trailers}\n"
        at = format_time(parse_time(self.decision["created_at"]))
        dates = {"GIT_AUTHOR_DATE": at, "GIT_COMMITTER_DATE": at}
        environment = {**tree.identity, **dates}
        tree.run(*HOOKLESS, "commit", "--quiet", "--file=-", stdin=message.encode(), env=environment)
        return tree.head()

    def _gate(self, params: Params, directory: Path) -> dict[str, Any]:
        champion = find_champion(self.git, self.pipeline)
        known: dict[str, Any] | None = None
        self.request.progress(f"gate: against {champion.tag if champion else 'the declared floors'}")
        with tempfile.TemporaryDirectory(prefix="remint-gate-") as scratch:
            bundle = None
            if champion is not None:
                bundle = self.dvc.materialise(self.git, champion.commit, BUNDLE, Path(scratch) / "champion")
                manifest = _read_json(bundle / "manifest.json")
                known = {"tag": champion.tag, "version": champion.version, "bundle": manifest["id"]}
            return run_gate(
                params,
                directory=directory,
                champion_bundle=bundle,
                champion=known,
                acceptances=acceptances(self.ledger.entries(), self.run_id),
                now=self.request.clock(),
                parents=[str(self.decision["id"])],
            )

    def _report(self, directory: Path, gate: Mapping[str, Any]) -> str:
        return render_report(
            decision=self.decision,
            gate=gate,
            metadata=_read_json(directory / "artifacts" / "metadata.json"),
            summary=_read_json(directory / "artifacts" / "prepared" / "summary.json"),
        )

    # -- after -------------------------------------------------------------------------------------------------------

    def _finish(
        self,
        outcome: RetrainOutcome,
        facts: Mapping[str, Any],
        *,
        gate: Mapping[str, Any] | None = None,
        report: str | None = None,
    ) -> RetrainResult:
        parents = [str(self.decision["id"]), *([str(gate["id"])] if gate else [])]
        document = self._document(outcome, facts, parents)
        texts = {"decision.json": _dump(self.decision), "run.json": _dump(document)}
        if gate is not None and report is not None:
            texts |= {"gate.json": _dump(gate), "report.md": report}
        for name, text in texts.items():
            write_atomically(self.files / name, text)
        entry = {"decision": self.decision["id"], "outcome": outcome.value, "run": document["id"], **facts}
        attachments = {name: text.encode() for name, text in texts.items()}
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
            write_atomically(self.files / "run.json", _dump(document))
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


def _dump(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DataError("the pipeline did not write it", where=str(path), hint="is it an output in dvc.yaml?") from None
    except ValueError:
        raise DataError("not JSON", where=str(path)) from None
    if not isinstance(document, dict):
        raise DataError("not a JSON object", where=str(path))
    return document
