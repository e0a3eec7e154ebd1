"""One call of ``remint backtest``: the past, one or two policies over it, limits for a budget; a sealed document."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, assert_never

from remint.adapters.git import Git
from remint.adapters.prometheus import PrometheusClient
from remint.config import Check, Params, Source
from remint.core.backtest import Prices, Suggestion
from remint.core.budget import YEAR
from remint.core.document import DocumentKind, seal
from remint.core.report_backtest import BacktestReport, day
from remint.errors import UsageError
from remint.workflows.backtest import Progress, ReplayOptions, declared_prices, replay
from remint.workflows.backtest_recording import Chapter
from remint.workflows.backtest_sources import ledger_chapters, log_chapter, log_of, prometheus_chapters, step_of
from remint.workflows.backtest_suggest import suggest
from remint.workflows.champion import read_champion

Track = Callable[[str], Progress]  # begins a bar of that name


class Past(StrEnum):
    """Where the history is read."""

    PROMETHEUS = "prometheus"
    LEDGER = "ledger"
    LOG = "log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A ``params.yaml`` by the name that tells it from another one."""

    name: str
    params: Params


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestQuestion:
    """What one call asks. None takes what ``params.yaml`` says."""

    now: datetime
    since: datetime | None = None
    until: datetime | None = None
    past: Past | None = None
    prometheus_url: str | None = None
    log: Path | None = None
    log_columns: Mapping[str, Any] | None = None  # of ``backtest_sources.Log``
    options: ReplayOptions = ReplayOptions()  # noqa: RUF009 - frozen
    error_cost: float | None = None
    retrain_cost: float | None = None
    suggest: float | None = None  # false retrains a year


def run_backtest(
    policies: Sequence[Policy],
    question: BacktestQuestion,
    *,
    directory: Path,
    environ: Mapping[str, str],
    track: Track | None = None,
) -> BacktestReport:
    """Replay one policy, or two of the same pipeline over the same past.

    Raises ConfigError without a champion, NoDataError where the past is shorter than one window, ServiceError where
    Prometheus or git's origin does not answer, UsageError for questions that contradict each other.
    """
    pipelines = sorted({policy.params.pipeline for policy in policies})
    if len(pipelines) > 1:
        raise UsageError(f"the policies are of different pipelines: {', '.join(pipelines)}")
    if question.suggest is not None and len(policies) > 1:
        raise UsageError("--suggest and --compare do not go together", hint="suggest for one policy at a time")
    first = policies[0].params
    past = _past(first.check, question)
    chapters = _chapters(past, [policy.params for policy in policies], question, directory, environ)
    results = []
    for policy in policies:
        progress = None if track is None else track(policy.name)
        check = policy.params.check
        results.append(replay(check, chapters, policy=policy.name, options=question.options, progress=progress))
    suggestions: tuple[Suggestion, ...] = ()
    if question.suggest is not None:
        suggestions = suggest(
            first.check,
            chapters,
            false_retrains_a_year=question.suggest,
            options=question.options,
            progress=None if track is None else track("limits"),
        )
    return BacktestReport(
        pipeline=first.pipeline,
        source=_named(past, question),
        start=results[0].start,
        end=results[0].end,
        results=tuple(results),
        prices=_prices([policy.params.check for policy in policies], question),
        references=tuple(dict.fromkeys(chapter.watched.reference.id for chapter in chapters)),
        assumptions=(*_taken(past, chapters, question), *question.options.assumptions()),
        budget=question.suggest,
        suggestions=suggestions,
    )


def sealed(report: BacktestReport) -> dict[str, Any]:
    """The ``backtest`` document; its parents are the references that the past was counted over."""
    return seal(DocumentKind.BACKTEST, report.pipeline, report.body(), parents=report.references)


def _past(check: Check, question: BacktestQuestion) -> Past:
    if question.log is not None:
        if question.past not in {None, Past.LOG}:
            raise UsageError(f"--log and --source {question.past} do not go together")
        return Past.LOG
    if question.past is Past.LOG and check.files is None:
        raise UsageError("--source log needs --log FILE", hint="or check.files in params.yaml")
    if question.past is not None:
        return question.past
    match check.source:
        case Source.PROMETHEUS:
            return Past.PROMETHEUS
        case Source.FILES:
            return Past.LOG
        case Source.LOG:
            return Past.LEDGER
        case _:
            assert_never(check.source)


def _chapters(
    past: Past,
    params: Sequence[Params],
    question: BacktestQuestion,
    directory: Path,
    environ: Mapping[str, str],
) -> list[Chapter]:
    first, git = params[0], Git(directory)
    until = question.until or question.now
    step = step_of(
        [p.check for p in params], question.options.retrain_takes, question.options.reference_window or timedelta()
    )
    match past:
        case Past.LEDGER:
            return ledger_chapters(git, first.pipeline, since=question.since, until=until)
        case Past.LOG:
            files = read_champion(git, first.pipeline)
            columns = dict(question.log_columns or {})
            path = question.log
            declared = first.check.files
            if path is None:
                assert declared is not None
                path = Path(declared.path)
                columns = {**declared.model_dump(include={"time", "predicted", "confidence", "label"}), **columns}
            log = log_of(first, path if path.is_absolute() else directory / path, **columns)
            return [log_chapter(first, files, log, step=step, since=question.since, until=question.until)]
        case Past.PROMETHEUS:
            url = question.prometheus_url or environ.get("REMINT_PROMETHEUS_URL") or first.check.prometheus.url
            timeout = first.check.prometheus.timeout_seconds
            return prometheus_chapters(
                PrometheusClient(url, timeout_seconds=timeout, environ=environ),
                git,
                first.pipeline,
                [p.check for p in params],
                step=step,
                since=question.since or until - YEAR,
                until=until,
            )
        case _:
            assert_never(past)


def _prices(checks: Sequence[Check], question: BacktestQuestion) -> Prices | None:
    """Those given, else those of the first policy that declares a cost rule; both must be known."""
    declared = next((prices for prices in map(declared_prices, checks) if prices is not None), None)
    error = question.error_cost if question.error_cost is not None else declared.error if declared else None
    retrain = question.retrain_cost if question.retrain_cost is not None else declared.retrain if declared else None
    if (error is None) != (retrain is None):
        raise UsageError("--error-cost and --retrain-cost go together", hint="or declare a cost rule in params.yaml")
    return None if error is None or retrain is None else Prices(error=error, retrain=retrain)


def _named(past: Past, question: BacktestQuestion) -> str:
    match past:
        case Past.PROMETHEUS:
            return "Prometheus"
        case Past.LEDGER:
            return "the ledger's decisions"
        case Past.LOG:
            return question.log.name if question.log is not None else "check.files"
        case _:
            assert_never(past)


def _taken(past: Past, chapters: Sequence[Chapter], question: BacktestQuestion) -> tuple[str, ...]:
    """What this source takes for granted."""
    match past:
        case Past.PROMETHEUS | Past.LEDGER:
            tags = ", ".join(f"{c.watched.where} from {day(c.recording.start)}" for c in chapters)
            said = f"The champions are the recorded ones: {tags}."
            if past is Past.PROMETHEUS:
                return (said,)
            return (
                said,
                "The ledger holds windows, not hours: after a replayed retrain a check is inconclusive until a whole "
                "recorded window has passed.",
            )
        case Past.LOG:
            delay = (question.log_columns or {}).get("label_delay") or timedelta()
            hours = delay / timedelta(hours=1)
            return (
                f"The champion {chapters[0].watched.where} is taken as promoted at the log's first row, and to have "
                f"predicted all of it. A label arrives {hours:g} h after its row.",
            )
        case _:
            assert_never(past)
