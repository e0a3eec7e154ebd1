"""A retrain becomes a pull request: data, git, the pull request, then what its page says by the gate that holds now.

Each step looks before it acts, so a run that was killed anywhere and is repeated ends in one pull request, one comment
and one status. What is remembered stands in the pull request itself and in the ledger.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from remint.adapters.dvc import WORKTREES, Dvc, Progress
from remint.adapters.forge import Forge, PullRequest, PullState, Rehearsal
from remint.adapters.git import Git
from remint.adapters.ledger import Ledger
from remint.adapters.lock import hold
from remint.config import load_params, parse_params
from remint.core.document import DocumentKind, unseal
from remint.core.ledger import LedgerEntry, LedgerEvent, RetrainOutcome, frozen, refuse_frozen
from remint.core.pull_request import Proposal, body, read_proposal
from remint.core.report_head import pull_title
from remint.errors import ConfigError, DataError, LockedError, ServiceError, UsageError
from remint.workflows.auto_merge import PageCase
from remint.workflows.place import bundle_at
from remint.workflows.pull_page import is_ours, open_pull, tell, write_text
from remint.workflows.recheck import Rechecked, RecheckRequest, hold_back, settle_pull
from remint.workflows.recorded_gate import champion_now, newest_gate, proposal_of, tip_of
from remint.workflows.retrain_branch import RetrainBranch


class Action(StrEnum):
    """What became of the pull request."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"  # it said all of this already
    REFUSED = "refused"  # a person closed it with the same data: it is not opened again
    CLOSED = "closed"  # superseded: the base has its bundle, or newer data
    NONE = "none"  # there is nothing to review


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishRequest:
    """``run`` is the directory that a retrain wrote; ``base`` None is the repository's default branch."""

    run: Path
    forge: Forge
    clock: Callable[[], datetime]
    base: str | None = None
    run_url: str | None = None  # the workflow's run, which the status links to
    dry_run: bool = False
    progress: Progress = field(default=lambda _: None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishResult:
    action: Action
    pipeline: str
    run_id: str
    number: int | None = None
    url: str | None = None
    commit: str | None = None
    bundle: str | None = None
    verdict: str | None = None
    auto_merge: str | None = None
    blocked: ConfigError | None = None  # what stands in the way of an auto-merge that params.yaml asks for
    calls: tuple[dict[str, Any], ...] = ()  # with dry_run: what would have been sent

    def to_json(self) -> dict[str, Any]:
        document = {
            "command": "publish",
            "pipeline": self.pipeline,
            "run_id": self.run_id,
            "action": self.action.value,
            "number": self.number,
            "url": self.url,
            "commit": self.commit,
            "bundle": self.bundle,
            "verdict": self.verdict,
            "auto_merge": self.auto_merge,
            "blocked": None if self.blocked is None else str(self.blocked),
        }
        return {**document, "calls": list(self.calls)} if self.calls else document


def publish(directory: Path, request: PublishRequest) -> PublishResult:
    """Publish the retrain in ``request.run``; see the module's text.

    Raises UsageError for a run that failed, ConfigError where the branch is not the run's or has a person's commits,
    DataError for files that do not belong together, FrozenError while the brake is on, ServiceError where data is
    missing from the remote, and what the forge raises.
    """
    params = load_params(directory / "params.yaml")
    git = Git(directory)
    git.require_full_history()
    run = _read(request.run / "run.json", DocumentKind.RUN, params.pipeline)
    with hold(git.common_dir / "remint" / f"publish-{params.pipeline}.lock", what="a publication") as descriptor:
        return _Publication(directory, git, request, run, descriptor).do()


class _Publication:
    """The state of one publication; made and used once."""

    def __init__(self, directory: Path, git: Git, request: PublishRequest, run: Mapping[str, Any], lock: int) -> None:
        self.directory = directory
        self.git = git
        self.request = request
        self.run = run
        self.pipeline = str(run["pipeline"])
        self.forge: Forge = Rehearsal(request.forge) if request.dry_run else request.forge
        self.ledger = Ledger(git, self.pipeline)
        self.branch = RetrainBranch(git, self.pipeline, base=str(run.get("base", "")), push=True)
        self.dvc = Dvc(directory, progress=request.progress, keep_open=[lock])

    def do(self) -> PublishResult:
        match RetrainOutcome(self.run["outcome"]):
            case RetrainOutcome.FAILED:
                raise UsageError(f"the retrain failed: {self.run.get('error')}", where=str(self.request.run))
            case RetrainOutcome.UNCHANGED:
                return self._nothing_new()
            case RetrainOutcome.PUBLISHED:
                return self._publish()

    # -- the steps ---------------------------------------------------------------------------------------------------

    def _publish(self) -> PublishResult:
        commit = str(self.run["commit"])
        self._refuse_frozen()
        decision, gate, report = self._evidence()
        self._prove_branch(commit)
        self._prove_data(commit)
        proposal = proposal_of(self.git, self.pipeline, commit)
        known = open_pull(self.forge, self.branch.name)
        base = known.base if known else self.request.base or self.forge.repository().default_branch
        if self._superseded(commit, proposal.bundle, base):
            return self._close(known)
        if known is None and self._is_refused(proposal):
            self.request.progress("a person closed a pull request with the same data: it stays closed")
            return self._result(Action.REFUSED, None)
        entries = self.ledger.entries()
        newest = newest_gate(self.ledger, entries, proposal.bundle)
        if newest is not None and newest.report is not None:  # it may have run anew since the retrain
            gate, report = dict(newest.gate), newest.report
        action, pull = self._pull_request(known, base, title=pull_title(decision, gate), text=body(report, proposal))
        pull = replace(pull, commit=commit)  # what was proved, whatever the forge has noticed yet
        self._record(pull, entries, decision, gate)
        asked = RecheckRequest(
            clock=self.request.clock,
            dry_run=self.request.dry_run,
            run_url=self.request.run_url,
            progress=self.request.progress,
        )
        settled = settle_pull(self.directory, self.git, self.pipeline, pull, asked, self.forge)
        if action is Action.UNCHANGED and settled.written:
            action = Action.UPDATED
        return self._result(action, pull, settled)

    def _refuse_frozen(self) -> None:
        """The page says so as well, in case a merge is waiting for its status."""
        entries = self.ledger.entries()
        brake = frozen(entries)
        if brake is not None:
            known = open_pull(self.forge, self.branch.name)
            if known is not None:
                case = PageCase(
                    forge=self.forge,
                    ledger=self.ledger,
                    entries=entries,
                    pull=known,
                    now=self.request.clock(),
                    dry_run=self.request.dry_run,
                )
                hold_back(case, brake, run_url=self.request.run_url)
            refuse_frozen(entries, what="publishing", where=self.ledger.branch)

    def _nothing_new(self) -> PublishResult:
        """dvc.lock stays as it is, so nothing is opened; what is open may have become needless by that."""
        known = open_pull(self.forge, self.branch.name)
        if known is None:
            return self._result(Action.NONE, None)
        commit = self.branch.check()
        if commit is None or not self._superseded(
            commit, proposal_of(self.git, self.pipeline, commit).bundle, known.base
        ):
            return self._result(Action.UNCHANGED, known)
        return self._close(known)

    def _evidence(self) -> tuple[dict[str, Any], dict[str, Any], str]:
        """Decision, gate and report of this run, and of no other."""
        place = self.request.run
        decision = _read(place / "decision.json", DocumentKind.DECISION, self.pipeline)
        gate = _read(place / "gate.json", DocumentKind.GATE, self.pipeline)
        found = (decision["id"], gate["id"], gate["challenger"]["bundle"])
        if found != (self.run["decision"], self.run["gate"]["id"], self.run["bundle"]):
            raise DataError("decision.json, gate.json and run.json are of different runs", where=str(place))
        try:
            return decision, gate, (place / "report.md").read_text(encoding="utf-8")
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}", where=str(place / "report.md")) from None

    def _prove_branch(self, commit: str) -> None:
        tip = self.branch.check() if self.git.has_origin else self.git.ref(f"refs/heads/{self.branch.name}")
        if tip is None:
            raise ConfigError("is not on origin", where=self.branch.name, hint="remint retrain without --no-push")
        if tip != commit:
            raise ConfigError(
                f"is {tip[:12]} and not {commit[:12]}, which this run made",
                where=self.branch.name,
                hint="a newer retrain moved it: publish that one",
            )

    def _prove_data(self, commit: str) -> None:
        """Nobody may see a pull request whose data is not there. Pushes what is missing and is in our cache."""
        if self.dvc.default_remote is None:
            raise ConfigError("DVC has no default remote", where=str(self.dvc.root / ".dvc" / "config"))
        place = self.git.common_dir / WORKTREES / f"publish-{self.pipeline}"
        try:
            checkout = Dvc(
                self.git.add_worktree(place, commit).path, progress=self.request.progress, keep_open=self.dvc.keep_open
            )
            checkout.share_cache_with(self.dvc)
            missing = checkout.not_in_remote(cached=False)
            if missing and not self.request.dry_run:
                self.request.progress(f"pushing {len(missing)} that the remote lacks")
                checkout.push()
                missing = checkout.not_in_remote(cached=False)
            if missing:
                raise ServiceError(
                    f"the remote lacks {len(missing)} of the run's files, such as {missing[0]}",
                    where="DVC remote",
                    hint="dvc push where the run was made",
                )
        finally:
            self.git.remove_worktree(place)

    def _pull_request(
        self, known: PullRequest | None, base: str, *, title: str, text: str
    ) -> tuple[Action, PullRequest]:
        if known is None:
            return Action.CREATED, self.forge.create_pull(head=self.branch.name, base=base, title=title, body=text)
        if not is_ours(self.forge, known, self.pipeline):
            return Action.UNCHANGED, known
        pull, written = write_text(self.forge, known, title=title, body=text)
        return Action.UPDATED if written else Action.UNCHANGED, pull

    def _record(
        self,
        pull: PullRequest,
        entries: Sequence[LedgerEntry],
        decision: Mapping[str, Any],
        gate: Mapping[str, Any],
    ) -> None:
        """That the run is shown in this pull request, written once."""
        run_id = str(self.run["run_id"])
        shown = (e for e in entries if e.event is LedgerEvent.PULL_REQUEST and e.data["number"] == pull.number)
        if any(entry.run_id == run_id for entry in shown):
            return
        data = {
            "number": pull.number,
            "url": pull.url,
            "commit": self.run["commit"],
            "bundle": self.run["bundle"],
            "gate": gate["id"],
            "verdict": gate["verdict"],
            "decision": decision["id"],
            "created_at": decision["created_at"],
            "summary": decision["summary"],
        }
        if not self.request.dry_run:
            entry = LedgerEntry(at=self.request.clock(), event=LedgerEvent.PULL_REQUEST, run_id=run_id, data=data)
            self.ledger.append(entry)

    # -- what is not opened, and what is closed ------------------------------------------------------------------------

    def _superseded(self, commit: str, bundle: str, base: str) -> bool:
        """Whether the base, or the champion, has this bundle already, or the base has learned from newer data."""
        tip = tip_of(self.git, base)
        if self.git.succeeds("merge-base", "--is-ancestor", commit, tip) or bundle_at(self.git, tip) == bundle:
            return True
        if self._learned(tip) > self._learned(commit):
            return True
        champion = champion_now(self.git, self.pipeline)
        return champion is not None and champion["bundle"] == bundle

    def _learned(self, commit: str) -> int:
        """The newest feedback that this commit was trained with; -1 where the pipeline is not there yet."""
        text = self.git.show(commit, "params.yaml")
        return (
            -1
            if text is None
            else parse_params(text.decode(), where=f"{commit[:12]}:params.yaml").prepare.until.sequence
        )

    def _is_refused(self, proposal: Proposal) -> bool:
        """Whether a person closed this before. It is written down, so that it holds also where the forge forgets."""
        entries = self.ledger.entries()
        refusals = [e for e in entries if e.event is LedgerEvent.REFUSAL]
        if any(e.data["bundle"] == proposal.bundle or e.data["inputs"] == proposal.inputs for e in refusals):
            return True
        me = self.forge.whoami()
        for pull in self.forge.pulls(self.branch.name):
            closed = pull.state is PullState.CLOSED and pull.author == me
            told = read_proposal(pull.body, self.pipeline) if closed else None
            if told is not None and not told.superseded and told.same_as(proposal):
                data = {"number": pull.number, "url": pull.url, "bundle": told.bundle, "inputs": told.inputs}
                entry = LedgerEntry(at=self.request.clock(), event=LedgerEvent.REFUSAL, run_id=told.run_id, data=data)
                if not self.request.dry_run:
                    self.ledger.append(entry, guard=_only_once(told))
                return True
        return False

    def _close(self, known: PullRequest | None) -> PublishResult:
        """Close what is not needed any more, marked first: else the next run would take it for a refusal."""
        if known is None:
            return self._result(Action.NONE, None)
        told = read_proposal(known.body, self.pipeline)
        if told is None and known.author != self.forge.whoami():
            self.request.progress(f"{known.url} was opened by {known.author}: it stays open")
            return self._result(Action.UNCHANGED, known)
        if told is not None and not told.superseded:
            marked = known.body.replace(told.line(), replace(told, superseded=True).line())
            self.forge.update_pull(known.number, body=marked)
        note = f"Closed: `{known.base}` has this model, or newer data, already."
        tell(self.forge, self.pipeline, known.number, self.ledger.entries(), note=note)
        return self._result(Action.CLOSED, self.forge.close_pull(known.number))

    def _result(self, action: Action, pull: PullRequest | None, settled: Rechecked | None = None) -> PublishResult:
        verdict = None if settled is None else settled.verdict
        return PublishResult(
            action=action,
            pipeline=self.pipeline,
            run_id=str(self.run["run_id"]),
            number=None if pull is None else pull.number,
            url=None if pull is None else pull.url,
            commit=self.run.get("commit"),
            bundle=self.run.get("bundle"),
            verdict=None if verdict is None else verdict.value,
            auto_merge=None if settled is None else settled.auto_merge,
            blocked=None if settled is None else settled.blocked,
            calls=tuple(self.forge.calls) if isinstance(self.forge, Rehearsal) else (),
        )


def _only_once(told: Proposal) -> Callable[[Any], None]:
    def guard(entries: tuple[LedgerEntry, ...]) -> None:
        if any(e.event is LedgerEvent.REFUSAL and e.data["bundle"] == told.bundle for e in entries):
            raise LockedError("somebody has just recorded this refusal", where=told.pipeline, hint="try again")

    return guard


def _read(path: Path, kind: DocumentKind, pipeline: str) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(
            f"cannot be read: {error.strerror}",
            where=str(path),
            hint="--run is the directory that retrain names",
        ) from None
    except ValueError:
        document = None
    return unseal(document, kind, pipeline=pipeline, where=str(path))
