"""``remint command``: a comment in the pipeline's pull request that asks for something is answered, once.

Nothing is taken from an event but the comment's number: what it says, who wrote it, where it stands and what its author
may do is asked of the forge. Killed anywhere and repeated, each command was done once and has one answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, assert_never

from remint.adapters.dvc import Progress
from remint.adapters.forge import Comment, Forge, Permission, PullRequest, PullState, Rehearsal, RunState
from remint.adapters.git import Git
from remint.adapters.ledger import Ledger
from remint.config import load_params
from remint.core.comment_command import USAGE, CommentCommand, Misunderstood, Verb, parse_comment
from remint.core.document import format_time, parse_time, readable_time
from remint.core.gate import MetricRole
from remint.core.ledger import LedgerEntry, LedgerEvent, frozen, new_run_id
from remint.core.verdict import Verdict
from remint.errors import ConfigError, LockedError, did_you_mean
from remint.workflows.place import named_bundle
from remint.workflows.pull_page import tell
from remint.workflows.recheck import RecheckRequest, settle_pull
from remint.workflows.recorded_gate import newest_gate, run_that_made, tip_of

WORKFLOW: Final = "retrain.yml"


class Dealt(StrEnum):
    """What became of a comment."""

    DONE = "done"
    ANSWERED = "answered"  # there was nothing to do, or it could not be done: the answer says so
    ALREADY = "already"  # it was dealt with before
    REFUSED = "refused"  # its author may not write here: nothing is said, so that a stranger cannot make us talk
    IGNORED = "ignored"  # it is none of our business


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRequest:
    """``comment`` is its number on the forge."""

    comment: int
    forge: Forge
    clock: Callable[[], datetime]
    run_url: str | None = None
    dry_run: bool = False
    progress: Progress = field(default=lambda _: None)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    outcome: Dealt
    pipeline: str
    comment: int
    command: str | None = None
    by: str | None = None
    number: int | None = None
    answer: str | None = None
    blocked: ConfigError | None = None  # as of a recheck
    calls: tuple[dict[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        document = {
            "command": "command",
            "pipeline": self.pipeline,
            "outcome": self.outcome.value,
            "comment": self.comment,
            "said": self.command,
            "by": self.by,
            "number": self.number,
            "answer": self.answer,
            "blocked": None if self.blocked is None else str(self.blocked),
        }
        return {**document, "calls": list(self.calls)} if self.calls else document


def answer_comment(directory: Path, request: CommandRequest) -> CommandResult:
    """Do what a comment asks for, record it and answer in Remint's own comment.

    Raises ConfigError where there is no such comment, what a recheck raises, and what the forge raises.
    """
    pipeline = load_params(directory / "params.yaml").pipeline
    git = Git(directory)
    git.require_full_history()
    forge: Forge = Rehearsal(request.forge) if request.dry_run else request.forge
    comment = request.forge.comment(request.comment)
    asked = parse_comment(comment.body)

    def ended(outcome: Dealt, **more: Any) -> CommandResult:
        calls = tuple(forge.calls) if isinstance(forge, Rehearsal) else ()
        return CommandResult(outcome=outcome, pipeline=pipeline, comment=request.comment, calls=calls, **more)

    if asked is None or comment.pull is None or comment.author == forge.whoami():
        return ended(Dealt.IGNORED)
    pull = forge.pull(comment.pull)
    if pull.state is not PullState.OPEN or pull.fork or pull.head != f"remint/retrain/{pipeline}":
        return ended(Dealt.IGNORED)
    known = {"by": comment.author, "number": pull.number}
    ledger = Ledger(git, pipeline)
    entries = ledger.entries()
    before = _answered(entries, request.comment)
    if before is not None:
        data = before.data
        tell(forge, pipeline, pull.number, entries, keep_note=True)  # a run may have been killed before it said so
        return ended(Dealt.ALREADY, **known, command=str(data["command"]), answer=str(data["answer"]))
    if forge.permission(comment.author) < Permission.WRITE:
        return ended(Dealt.REFUSED, **known)
    return _Command(directory, git, ledger, request, forge, comment, pull).do(asked, ended)


class _Command:
    """One comment's command; made and used once."""

    def __init__(
        self,
        directory: Path,
        git: Git,
        ledger: Ledger,
        request: CommandRequest,
        forge: Forge,
        comment: Comment,
        pull: PullRequest,
    ) -> None:
        self.directory = directory
        self.git = git
        self.ledger = ledger
        self.request = request
        self.forge = forge
        self.comment = comment
        self.pull = pull
        self.blocked: ConfigError | None = None

    def do(self, asked: CommentCommand | Misunderstood, ended: Callable[..., CommandResult]) -> CommandResult:
        tip_of(self.git, self.pull.head)
        self.bundle = named_bundle(self.git, self.pull.commit, self.pull.commit[:12])
        self.entries = self.ledger.entries()
        self.run_id = self._run_id()
        outcome, answer = self._execute(asked)
        word = f"/{asked.word}" if isinstance(asked, Misunderstood) else _said(asked)
        data = {
            "comment": self.comment.id,
            "command": word,
            "by": self.comment.author,
            "number": self.pull.number,
            "url": self.comment.url,
            "answer": answer,
        }
        self._append(LedgerEvent.COMMAND, data, guard=self._refuse_second)
        if not self.request.dry_run:
            tell(self.forge, self.ledger.pipeline, self.pull.number, self.ledger.entries(), keep_note=True)
        return ended(
            outcome,
            by=self.comment.author,
            number=self.pull.number,
            command=word,
            answer=answer,
            blocked=self.blocked,
        )

    def _execute(self, asked: CommentCommand | Misunderstood) -> tuple[Dealt, str]:
        if isinstance(asked, Misunderstood):
            return Dealt.ANSWERED, asked.answer
        match asked.verb:
            case Verb.HELP:
                return Dealt.ANSWERED, "; ".join(USAGE.values())
            case Verb.RETRAIN:
                return self._retrain(asked)
            case Verb.SNOOZE:
                return self._snooze(asked)
            case Verb.ACCEPT:
                return self._accept(asked)
            case _:
                assert_never(asked.verb)

    def _retrain(self, asked: CommentCommand) -> tuple[Dealt, str]:
        brake = frozen(self.entries)
        if brake is not None:
            return Dealt.ANSWERED, f"not started: {brake}"
        mark = f"comment-{self.comment.id}"  # in the run's name: by it a repeated command finds what it started
        for run in self.forge.runs(WORKFLOW):
            if mark in run.title.split() and run.state is not RunState.FAILURE:
                return Dealt.DONE, "started"
        who = f"asked for by {self.comment.author} in #{self.pull.number}"
        reason = f"{who}: {asked.reason}" if asked.reason else who
        inputs = {"reason": reason, "directory": self.git.prefix.rstrip("/") or ".", "run": mark}
        self.forge.dispatch(WORKFLOW, ref=self.forge.repository().default_branch, inputs=inputs)
        return Dealt.DONE, "started"

    def _snooze(self, asked: CommentCommand) -> tuple[Dealt, str]:
        assert asked.duration is not None
        until, done = self.request.clock() + asked.duration, self._recorded(LedgerEvent.SNOOZE)
        if done:
            until = parse_time(done[0].data["until"])
        else:
            data = {"until": format_time(until), "reason": asked.reason}
            self._append(LedgerEvent.SNOOZE, {**data, **self._who()})
        return Dealt.DONE, f"no retrain until {readable_time(until)}; INVESTIGATE is still said, /retrain still goes"

    def _accept(self, asked: CommentCommand) -> tuple[Dealt, str]:
        record = newest_gate(self.ledger, self.entries, self.bundle)
        if record is None:
            return Dealt.ANSWERED, "no gate of this bundle was recorded: remint recheck --pull-request runs it"
        recorded = [str(e.data["rule"]) for e in self._recorded(LedgerEvent.ACCEPTANCE)]
        failed = [str(f["rule"]) for f in record.gate["findings"] if f["verdict"] == Verdict.FAIL.value]
        guards = [rule for rule in failed if _is_guard(rule)]
        wanted = list(asked.rules) or guards
        wrong = _unacceptable([r for r in wanted if r not in recorded], failed, record.gate["findings"])
        if wrong is not None:
            return Dealt.ANSWERED, wrong
        for rule in wanted:
            if rule not in recorded:
                data = {"rule": rule, "reason": asked.reason, "bundle": self.bundle, "gate": record.gate["id"]}
                self._append(LedgerEvent.ACCEPTANCE, {**data, **self._who()})
        accepted = ", ".join(wanted or recorded)
        if not accepted:
            others = f", and {', '.join(failed)} cannot be accepted" if failed else ""
            return Dealt.ANSWERED, f"no guard has failed: there is nothing to accept{others}"
        if self.request.dry_run:
            return Dealt.DONE, f"accepted for this bundle: {accepted}"
        request = RecheckRequest(clock=self.request.clock, run_url=self.request.run_url, progress=self.request.progress)
        settled = settle_pull(self.directory, self.git, self.ledger.pipeline, self.pull, request, self.forge)
        self.blocked = settled.blocked
        verdict = "nothing, it is the champion" if settled.verdict is None else settled.verdict.value
        return Dealt.DONE, f"accepted for this bundle: {accepted}; the gate now says {verdict}"

    # -- the ledger --------------------------------------------------------------------------------------------------

    def _who(self) -> dict[str, Any]:
        return {"by": self.comment.author, "number": self.pull.number, "url": self.comment.url}

    def _run_id(self) -> str:
        made_by = run_that_made(self.entries, self.git, self.pull.commit, self.bundle)
        token = self.bundle.removeprefix("sha256:")
        return made_by or new_run_id(self.ledger.pipeline, self.request.clock(), token)

    def _recorded(self, event: LedgerEvent) -> list[LedgerEntry]:
        """What a run that was killed wrote for this comment already."""
        return [e for e in self.entries if e.event is event and e.data.get("url") == self.comment.url]

    def _append(self, event: LedgerEvent, data: dict[str, Any], **more: Any) -> None:
        if not self.request.dry_run:
            entry = LedgerEntry(at=self.request.clock(), event=event, run_id=self.run_id, data=data)
            self.ledger.append(entry, **more)

    def _refuse_second(self, entries: Sequence[LedgerEntry]) -> None:
        if _answered(entries, self.comment.id) is not None:
            raise LockedError("another run has just answered this comment", where=self.comment.url)


def _answered(entries: Sequence[LedgerEntry], comment: int) -> LedgerEntry | None:
    """The entry about this comment: the same one again, or what it was edited into, is not executed again."""
    answers = (e for e in entries if e.event is LedgerEvent.COMMAND and e.data.get("comment") == comment)
    return next(answers, None)


def _is_guard(rule: str) -> bool:
    return rule.startswith(f"{MetricRole.GUARD.value}:")


def _unacceptable(rules: Sequence[str], failed: Sequence[str], findings: Sequence[dict[str, Any]]) -> str | None:
    """Why these cannot be accepted; None where each is a guard that failed."""
    known = [str(finding["rule"]) for finding in findings]
    for rule in rules:
        if rule not in known:
            hint = did_you_mean(rule, known)
            return f"there is no {rule} in the gate" + (f": {hint}" if hint else "")
        if not _is_guard(rule):
            return f"{rule} cannot be accepted: only a guard on the golden set can be"
        if rule not in failed:
            return f"{rule} has not failed: there is nothing to accept"
    return None


def _said(asked: CommentCommand) -> str:
    words = [f"/{asked.verb.value}", *asked.rules]
    if asked.duration is not None:
        hours = round(asked.duration / timedelta(hours=1))
        words.append(f"{hours}h" if hours % 24 else f"{hours // 24}d")
    return " ".join([*words, asked.reason]).strip()
