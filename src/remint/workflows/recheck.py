"""``remint recheck``: is the recorded gate still about this bundle, this champion and these rules? Else it runs anew.

For a pull request the page follows the gate that holds now: text, auto-merge, comment, status, each of which looks
before it acts; ``remint publish`` ends in them, too. It reads and judges, and moves nothing forward: it is allowed
while the brake is on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

from remint.adapters.forge import Forge, PullRequest, Rehearsal, StatusState
from remint.adapters.git import Git
from remint.adapters.ledger import Ledger
from remint.config import AutoMerge, load_params
from remint.core.ledger import Freeze, LedgerEntry, frozen
from remint.core.markdown import escape
from remint.core.pull_request import body, fitted, stale_description, status_description
from remint.core.report_head import pull_title
from remint.core.verdict import Verdict
from remint.errors import ConfigError
from remint.workflows.auto_merge import AutoMergeCase, Handed, PageCase, settle_auto_merge, take_back
from remint.workflows.gate_keeper import GateKeeper, Rechecked, RecheckRequest, Stand, Standing, read_document
from remint.workflows.pull_page import STATES, is_ours, open_pull, set_status, tell, write_text
from remint.workflows.recorded_gate import GateRecord, persons_commits, proposal_of, run_that_made, tip_of

__all__ = [
    "RecheckRequest",
    "Rechecked",
    "Standing",
    "hold_back",
    "hold_open_pull",
    "recheck",
    "recheck_pull_request",
    "settle_pull",
]

_LEFT: Final = "Left to the forge: it merges this commit once every required check is green."


def recheck(directory: Path, request: RecheckRequest) -> Rechecked:
    """The bundle at ``request.rev`` against its newest recorded gate; no forge is needed.

    Raises ConfigError for a revision without a bundle or a shallow clone, LockedError while another recheck runs, what
    ``run_gate`` raises where the gate has to run anew, and ServiceError where origin or the DVC remote does not answer.
    """
    pipeline = load_params(directory / "params.yaml").pipeline
    git = Git(directory)
    git.require_full_history()
    commit = git.resolve(request.rev)
    with GateKeeper(directory, git, pipeline, request) as keeper:
        entries = keeper.ledger.entries()
        stand = keeper.look(commit, keeper.params_at(commit), entries)
        record = stand.record
        if stand.changed:
            record = None if request.dry_run else keeper.judge(stand, entries)
        return keeper.result(stand, record)


def recheck_pull_request(directory: Path, request: RecheckRequest, forge: Forge) -> Rechecked:
    """``recheck`` for the open pull request of the pipeline's branch, whose status, title, text and comment follow.

    While the gate runs, the status is pending and says what changed. Raises what ``recheck`` and the forge raise.
    """
    pipeline = load_params(directory / "params.yaml").pipeline
    git = Git(directory)
    git.require_full_history()
    pull = open_pull(forge, f"remint/retrain/{pipeline}")
    if pull is None:
        return Rechecked(standing=Standing.NONE, pipeline=pipeline)
    return settle_pull(directory, git, pipeline, pull, request, forge)


def settle_pull(
    directory: Path, git: Git, pipeline: str, pull: PullRequest, request: RecheckRequest, forge: Forge
) -> Rechecked:
    """Look at the pull request's gate, run it anew where it is stale, and make the page say what holds."""
    if request.dry_run and not isinstance(forge, Rehearsal):
        forge = Rehearsal(forge)
    with GateKeeper(directory, git, pipeline, request) as keeper:
        found = _PullRecheck(keeper, pull, forge).do()
    return replace(found, calls=tuple(forge.calls) if isinstance(forge, Rehearsal) else ())


def hold_back(case: PageCase, brake: Freeze, *, run_url: str | None = None) -> None:
    """What the brake does to a pull request: no auto-merge, and a status that no protection takes for a yes."""
    take_back(case, str(brake))
    text = fitted(str(brake))
    set_status(case.forge, case.ledger.pipeline, case.pull, StatusState.PENDING, text, url=run_url)


def hold_open_pull(git: Git, pipeline: str, forge: Forge, *, now: datetime) -> PullRequest | None:
    """Hold the pipeline's open pull request back where the brake is on; which that was, None where there is none."""
    ledger = Ledger(git, pipeline)
    entries = ledger.entries()
    brake, pull = frozen(entries), open_pull(forge, f"remint/retrain/{pipeline}")
    if brake is None or pull is None:
        return None
    hold_back(PageCase(forge=forge, ledger=ledger, entries=entries, pull=pull, now=now), brake)
    return pull


class _PullRecheck:
    def __init__(self, keeper: GateKeeper, pull: PullRequest, forge: Forge) -> None:
        self.keeper = keeper
        self.git, self.pipeline, self.request = keeper.git, keeper.pipeline, keeper.request
        self.pull = pull
        self.forge = forge

    def do(self) -> Rechecked:
        keeper, pull = self.keeper, self.pull
        self.base = tip_of(self.git, pull.base)
        if pull.commit:  # the branch was there: a rehearsed pull request may have none
            tip_of(self.git, pull.head)
        entries = keeper.ledger.entries()
        # By the base's rules and policy: a branch must not bring the rules that it is judged by
        rules_at = self.base if self.git.show(self.base, "params.yaml") is not None else pull.commit
        stand = keeper.look(pull.commit, keeper.params_at(rules_at), entries)
        known = {"number": pull.number, "url": pull.url}
        if stand.is_champion:
            return keeper.result(stand, None, **known)
        record = stand.record
        if stand.changed:
            self._status(StatusState.PENDING, stale_description(stand.changed))
            if self.request.dry_run:
                return keeper.result(stand, None, **known)
            record = keeper.judge(stand, entries, shown=known)
            entries = keeper.ledger.entries()
        assert record is not None
        return self._follow(stand, record, entries)

    def _follow(self, stand: Stand, record: GateRecord, entries: Sequence[LedgerEntry]) -> Rechecked:
        verdict, brake = Verdict(record.gate["verdict"]), frozen(entries)
        made_by = run_that_made(entries, self.git, stand.commit, stand.bundle)
        written = self._text(record, made_by)
        theirs = persons_commits(self.git, self.base, stand.commit)
        against = _against(verdict, brake, theirs)
        handed, blocked = self._auto_merge(stand, entries, made_by or record.run_id, against)
        note = _note(handed, blocked, brake, theirs, stand.params.pull_request.auto_merge)
        tell(self.forge, self.pipeline, self.pull.number, entries, note=note)
        if brake is not None:
            self._status(StatusState.PENDING, fitted(str(brake)))
        else:
            self._status(STATES[verdict], status_description(record.gate))
        return self.keeper.result(
            stand,
            record,
            number=self.pull.number,
            url=self.pull.url,
            auto_merge=handed.value,
            blocked=blocked,
            written=written,
        )

    def _text(self, record: GateRecord, made_by: str | None) -> bool:
        if not is_ours(self.forge, self.pull, self.pipeline):
            self.request.progress(
                f"{self.pull.url} was opened by {self.pull.author}: its text stays, the comment tells"
            )
            return False
        ledger = self.keeper.ledger
        decision = None if made_by is None else read_document(ledger.attachment(made_by, "decision.json"))
        text = None
        if record.report is not None:
            text = body(record.report, proposal_of(self.git, self.pipeline, self.pull.commit))
        pull, written = write_text(self.forge, self.pull, title=pull_title(decision, record.gate), body=text)
        # Not the answer's commit: what was judged is what was read at the start
        self.pull = replace(pull, commit=self.pull.commit)
        return written

    def _auto_merge(
        self, stand: Stand, entries: Sequence[LedgerEntry], run_id: str, against: str | None
    ) -> tuple[Handed, ConfigError | None]:
        case = AutoMergeCase(
            forge=self.forge,
            ledger=self.keeper.ledger,
            entries=entries,
            pull=self.pull,
            bundle=stand.bundle,
            run_id=run_id,
            policy=stand.params.pull_request.auto_merge,
            against=against,
            now=self.request.clock(),
            dry_run=self.request.dry_run,
            wait=lambda: self._status(StatusState.PENDING, "auto-merge is being switched on"),
        )
        try:
            return settle_auto_merge(case), None
        except ConfigError as error:
            return Handed.REFUSED, error

    def _status(self, state: StatusState, description: str) -> None:
        set_status(self.forge, self.pipeline, self.pull, state, description, url=self.request.run_url)


def _against(verdict: Verdict, brake: Freeze | None, theirs: Sequence[str]) -> str | None:
    """Why nobody but a person may merge it; None where nothing is."""
    if brake is not None:
        return str(brake)
    if verdict is not Verdict.PASS:
        return f"the gate says {verdict.value}"
    return f"the branch has a commit that no retrain made: {theirs[0]}" if theirs else None


def _note(
    handed: Handed, blocked: ConfigError | None, brake: Freeze | None, theirs: Sequence[str], policy: AutoMerge
) -> str | None:
    """What stands on top of the comment, in Markdown."""
    if blocked is not None:
        return f"Auto-merge is asked for in params.yaml and cannot be: {escape(str(blocked), longest=600)}"
    if brake is not None:
        return f"The brake is on, nothing is merged: {escape(str(brake))}"
    if handed in {Handed.ASKED, Handed.ALREADY}:
        return _LEFT
    if theirs and policy is AutoMerge.ON_PASS:
        return f"Not merged by itself: the branch has a commit that no retrain made, {escape(theirs[0])}"
    return None
