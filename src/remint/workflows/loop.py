"""``remint loop``: all that the workflows of a forge do, one after the other, against a bare repository.

Each step is the workflow function behind the command of the same name, and looks first, so a tick that was killed is
completed by the next. A step that fails is a line in the answer, never the end of the loop.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from remint.adapters.dvc import Progress
from remint.adapters.forge import RunState
from remint.adapters.forge.local import LocalForge
from remint.adapters.git import Git
from remint.adapters.ledger import Ledger
from remint.adapters.lock import hold
from remint.config import Params, Source, load_params
from remint.core.comment_command import parse_comment
from remint.core.judge import Answer as Judged
from remint.core.ledger import LedgerEvent
from remint.core.loop import Line, Outcome
from remint.core.packing import unpack
from remint.core.trigger import Answer
from remint.errors import ExitCode, LockedError, RemintError, ServiceError
from remint.workflows import canary
from remint.workflows.bundle import export_bundle
from remint.workflows.check import Question, run_check
from remint.workflows.comment_command import CommandRequest, answer_comment
from remint.workflows.dispatch import DispatchRequest, Started, dispatch
from remint.workflows.feedback import FeedbackSource
from remint.workflows.loop_checkout import LoopCheckout
from remint.workflows.place import Place, bundle_at
from remint.workflows.publish import PublishRequest, publish
from remint.workflows.pull_page import open_pull
from remint.workflows.recheck import RecheckRequest, Standing, recheck_pull_request
from remint.workflows.release import ReleaseRequest, release
from remint.workflows.retrain import RetrainRequest, retrain
from remint.workflows.verdict import OutcomeSource, judge_canary

RETRAIN: Final = "retrain.yml"
RELEASE: Final = "release.yml"
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopRequest:
    """``feedback`` is asked only by a retrain; ``bundles`` is where the service loads from, None where others see to
    that; ``tell`` gets each line as it comes.
    """

    clock: Callable[[], datetime]
    feedback: Callable[[], FeedbackSource]
    environ: Mapping[str, str]
    workdir: Path | None = None  # default: .remint/loop/<pipeline>
    base: str | None = None  # default: the branch that origin's HEAD names
    source: Source | None = None
    store_url: str | None = None
    prometheus_url: str | None = None
    bundles: Path | None = None
    progress: Progress = field(default=_LOG.info)
    tell: Callable[[Line], None] = field(default=lambda _: None)


@contextmanager
def open_loop(directory: Path, request: LoopRequest) -> Iterator[Loop]:
    """The loop of the pipeline in ``directory``, alone on this repository. LockedError where one runs already."""
    pipeline = load_params(directory / "params.yaml").pipeline
    home = Git(directory)
    with hold(home.common_dir / "remint" / f"loop-{pipeline}.lock", what="a loop"):
        yield Loop(home, pipeline, request)


class Loop:
    """Made by ``open_loop``, which holds its lock."""

    def __init__(self, home: Git, pipeline: str, request: LoopRequest) -> None:
        self._request = request
        base = request.base or LocalForge(home, clock=request.clock).repository().default_branch
        place = request.workdir or home.path / ".remint" / "loop" / pipeline
        self._checkout = LoopCheckout(home, place.resolve(), base=base)
        self._lines: list[Line] = []

    def tick(self) -> list[Line]:
        """All that is due. Where origin is silent a canary is judged all the same: a rollback waits for nobody."""
        self._lines = []
        self._step("sync", self._sync)
        if self._lines[-1].outcome is Outcome.FAILED:
            if (self._checkout.directory / "params.yaml").is_file():
                self._step("canary", self._canaries)
            return self._lines
        self._step("commands", self._commands)
        self._step("canary", self._canaries)
        self._step("release", self._release)
        self._step("check", self._check)
        self._step("retrain", self._retrain)
        self._step("recheck", self._recheck)
        return self._lines

    # -- saying what happened ----------------------------------------------------------------------------------------

    def _step(self, name: str, work: Callable[[], None]) -> None:
        before = len(self._lines)
        self._current = name
        try:
            work()
        except LockedError as error:
            self._say(Outcome.WAITS, str(error), exit_code=error.exit_code, error=error.code)
        except RemintError as error:
            self._say(Outcome.FAILED, str(error), exit_code=error.exit_code, error=error.code)
        except Exception as error:  # noqa: BLE001 - a bug in one step must not end the watch over the others
            _LOG.exception("%s", name)
            self._say(Outcome.FAILED, f"{type(error).__name__}: {error}", exit_code=ExitCode.BUG, error="internal")
        if len(self._lines) == before:
            self._say(Outcome.NOTHING, "-")

    def _say(
        self,
        outcome: Outcome,
        text: str,
        *,
        exit_code: ExitCode = ExitCode.ANSWERED,
        error: str | None = None,
        **facts: Any,
    ) -> None:
        line = Line(
            at=self._request.clock(),
            step=self._current,
            outcome=outcome,
            text=" ".join(text.split()),
            exit_code=exit_code,
            error=error,
            facts=facts,
        )
        self._lines.append(line)
        self._request.tell(line)

    # -- the steps ---------------------------------------------------------------------------------------------------

    @property
    def _forge(self) -> LocalForge:
        return LocalForge(self._checkout.git, clock=self._request.clock)

    @property
    def _directory(self) -> Path:
        return self._checkout.directory

    def _params(self) -> Params:
        return self._checkout.params()

    def _place(self) -> Place:
        return Place(params=self._params(), now=self._request.clock(), directory=self._directory)

    def _sync(self) -> None:
        lost = self._checkout.follow()
        pushed = self._checkout.push()
        commit = self._checkout.git.head()
        text = f"{self._checkout.base} is {commit[:12]}" + (", our state is pushed" if pushed else "")
        self._say(Outcome.DONE if lost is None else Outcome.FAILED, lost or text, commit=commit)

    def _commands(self) -> None:
        """What people ask for in the open pull request's comments, the oldest first."""
        pipeline, git, forge = self._params().pipeline, self._checkout.git, self._forge
        pull = open_pull(forge, f"remint/retrain/{pipeline}")
        if pull is None:
            return
        entries = Ledger(git, pipeline).entries()
        known = {e.data.get("comment") for e in entries if e.event is LedgerEvent.COMMAND}
        for comment in forge.comments(pull.number):
            if comment.id in known or comment.author == forge.whoami() or parse_comment(comment.body) is None:
                continue
            asked = CommandRequest(
                comment=comment.id, forge=forge, clock=self._request.clock, progress=self._request.progress
            )
            result = answer_comment(self._directory, asked)
            text = f"{result.by or comment.author}: {result.command}: {result.answer or result.outcome}"
            self._say(Outcome.DONE, text, comment=comment.id, number=pull.number)

    def _canaries(self) -> None:
        now = self._request.clock()
        for environment in self._params().places.all:
            place = replace(self._place(), environment=environment)
            state = place.state_or_none()
            if state is None:
                continue
            with suppress(ServiceError):  # origin is silent: it is recorded when it answers
                unrecorded = canary.settle(place)
                if unrecorded is not None:
                    self._say(Outcome.DONE, f"{environment.name}: {unrecorded.action} of {state.release} recorded")
            if state.canary is None:
                continue
            verdict = judge_canary(
                place.params,
                state,
                source=OutcomeSource.PROMETHEUS if self._request.store_url is None else OutcomeSource.STORE,
                store_url=self._request.store_url,
                environ=self._request.environ,
                started_at=canary.started_at(place, state),
                now=now,
            )
            canary.step(place, verdict)
            answer = Judged(verdict["answer"])
            self._say(
                Outcome.WAITS if answer is Judged.HOLD else Outcome.DONE,
                f"{environment.name} {state.release}: {answer}: {verdict['summary']}",
                exit_code=ExitCode.CANARY_FAILED if answer is Judged.ROLLBACK else ExitCode.ANSWERED,
                environment=environment.name,
                release=state.release,
                answer=answer.value,
            )
        self._push()

    def _release(self) -> None:
        git, place = self._checkout.git, self._place()
        if bundle_at(git, "HEAD") is None:
            self._say(Outcome.WAITS, f"no model on {self._checkout.base} yet: dvc repro, commit, push")
            return
        request = ReleaseRequest(progress=self._request.progress)
        if self._request.bundles is not None:
            self._export(place, request, self._request.bundles)
        done = release(place, request)
        if done.refused is not None:
            code = ExitCode.GATE_FAILED if done.refused.value == "fail" else ExitCode.INCONCLUSIVE
            text = f"not released: the gate of {done.bundle[:19]} says {done.refused}"
            self._say(Outcome.FAILED, text, exit_code=code, **_release_facts(done.to_json()))
            return
        self._push()
        for run, _ in self._forge.waiting(RELEASE):
            self._forge.finish(run, RunState.SUCCESS)
        moved = [placement for placement in done.environments if placement.action.moves]
        waits = [placement for placement in done.environments if placement.action.value == "waits"]
        said = "; ".join(f"{p.environment.name}: {p.action}: {p.reason}" for p in moved or waits or done.environments)
        outcome = Outcome.DONE if moved else Outcome.WAITS if waits else Outcome.NOTHING
        self._say(outcome, f"{done.version}: {said}", **_release_facts(done.to_json()))

    def _export(self, place: Place, request: ReleaseRequest, bundles: Path) -> None:
        """Before traffic is sent to it, a bundle is where the service loads it from."""
        for bundle, commit in release(replace(place, dry_run=True), request).image:
            if not (bundles / bundle.removeprefix("sha256:")).is_dir():
                export_bundle(
                    place.params, self._directory, rev=commit, bundles=bundles, progress=self._request.progress
                )

    def _check(self) -> None:
        if bundle_at(self._checkout.git, "HEAD") is None:
            return
        checked = run_check(self._params(), self._question(), directory=self._directory, environ=self._request.environ)
        facts = {"answer": checked.answer.value, "run_id": checked.document["run_id"]}
        if checked.failure is not None:
            code, error = checked.failure.exit_code, checked.failure.code
            text = f"{checked.answer}: {checked.failure}"
            waits = code is ExitCode.NO_DATA
            self._say(Outcome.WAITS if waits else Outcome.FAILED, text, exit_code=code, error=error, **facts)
            return
        match checked.answer:
            case Answer.RETRAIN:
                started = dispatch(
                    self._directory, DispatchRequest(decision=checked.document, forge=self._forge, workflow=RETRAIN)
                )
                known = "" if started.action is Started.STARTED else " (under way)"
                self._say(Outcome.DONE, f"{checked.document['summary']}{known}", **facts)
            case Answer.HOLD:
                self._say(Outcome.NOTHING, str(checked.document["summary"]), **facts)
            case Answer.NEED_LABELS | Answer.INCONCLUSIVE:
                text = f"{checked.answer}: {checked.document['summary']}"
                self._say(Outcome.WAITS, text, exit_code=ExitCode.INCONCLUSIVE, **facts)
            case Answer.INVESTIGATE:
                text = f"{checked.answer}: {checked.document['summary']}"
                self._say(Outcome.FAILED, text, exit_code=ExitCode.INVESTIGATE, **facts)

    def _question(self) -> Question:
        request = self._request
        return Question(
            now=request.clock(),
            source=request.source,
            store_url=request.store_url,
            prometheus_url=request.prometheus_url,
        )

    def _retrain(self) -> None:
        """The runs that were dispatched, by a check, by a comment or by hand: this is the forge's runner.

        One that waits for a service, a person or the brake goes on waiting; one that cannot succeed has failed.
        """
        for run, inputs in self._mine():
            if "decision" not in inputs:
                self._decide(str(inputs.get("reason") or "asked for by hand"))
                self._forge.finish(run, RunState.SUCCESS)
        for run, inputs in self._mine():
            try:
                self._one_retrain(inputs)
            except (ServiceError, LockedError):
                raise
            except RemintError:
                self._forge.finish(run, RunState.FAILURE)
                raise
            self._forge.finish(run, RunState.SUCCESS)

    def _mine(self) -> list[tuple[int, Mapping[str, str]]]:
        directory = self._checkout.git.prefix.rstrip("/") or "."
        return [(run, inputs) for run, inputs in self._forge.waiting(RETRAIN) if inputs["directory"] == directory]

    def _decide(self, reason: str) -> None:
        """A person's wish becomes a decision, which is dispatched as any other: asked twice, it is one run."""
        question = replace(self._question(), manual_reason=reason)
        checked = run_check(self._params(), question, directory=self._directory, environ=self._request.environ)
        dispatch(self._directory, DispatchRequest(decision=checked.document, forge=self._forge, workflow=RETRAIN))

    def _one_retrain(self, inputs: Mapping[str, str]) -> None:
        request = self._request
        result = retrain(
            self._directory,
            RetrainRequest(
                decision=unpack(inputs["decision"], where="the dispatched run"),
                source=request.feedback,
                clock=request.clock,
                progress=request.progress,
                forge=self._forge,
            ),
        )
        published = publish(
            self._directory,
            PublishRequest(
                run=result.files,
                forge=self._forge,
                clock=request.clock,
                base=self._checkout.base,
                progress=request.progress,
            ),
        )
        verdict = f", the gate says {result.gate_verdict}" if result.gate_verdict else ""
        url = f" ({published.url})" if published.url else ""
        text = f"{result.document['outcome']}{verdict}; pull request {published.action}{url}"
        self._say(Outcome.DONE, text, run_id=published.run_id, number=published.number, bundle=published.bundle)

    def _recheck(self) -> None:
        asked = RecheckRequest(clock=self._request.clock, progress=self._request.progress)
        found = recheck_pull_request(self._directory, asked, self._forge)
        if found.standing is Standing.NONE:
            return
        changed = f": {'; '.join(found.changed)}" if found.changed else ""
        verdict = "" if found.verdict is None else f", the gate says {found.verdict}"
        text = f"#{found.number}: {found.standing}{changed}{verdict}"
        outcome = Outcome.DONE if found.standing is Standing.STALE else Outcome.NOTHING
        self._say(outcome, text, number=found.number, standing=found.standing.value)

    def _push(self) -> None:
        """After the traffic has moved; where origin is silent, the next tick's sync does it."""
        if self._checkout.git.head() != self._checkout.tracked():
            self._checkout.push()


def _release_facts(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: document[key] for key in ("version", "tag", "bundle", "run_id", "gate", "environments")}
