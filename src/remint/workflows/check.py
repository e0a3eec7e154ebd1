"""``remint check``: the champion from git, the window's counts, labels and the ledger -> a decision, written down.

A source that fails is the answer of the rules that need it, not the end of the check: age and volume still fire while
Prometheus is down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar, assert_never

from remint import config
from remint.adapters.git import Git
from remint.adapters.ledger import Ledger
from remint.config import Params, Source
from remint.core.budget import YEAR
from remint.core.document import DocumentKind, canonical_json, content_id, format_time, seal
from remint.core.drift import FieldDrift
from remint.core.ledger import LedgerEntry, LedgerEvent, new_run_id, running_retrain
from remint.core.profile import FieldRole
from remint.core.rule_accuracy import accuracy_rule, wrong_rule
from remint.core.rule_drift import drift_rule
from remint.core.rule_integrity import integrity_rule
from remint.core.rule_limits import age_rule, manual_rule, volume_rule
from remint.core.signals import ChampionAccuracy, WindowCounts, no_answer
from remint.core.trigger import Answer, Decision, History, RuleKind, RuleResult, TriggerPolicy, decide
from remint.errors import ConfigError, NoDataError, RemintError
from remint.workflows.champion import ChampionFiles, read_champion
from remint.workflows.evidence import FreshLabels, Gathered, Sources, gather

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What one call of the command asks, beside ``params.yaml``. None takes what the params or the environment say."""

    now: datetime
    since: datetime | None = None
    until: datetime | None = None
    source: Source | None = None
    prometheus_url: str | None = None
    store_url: str | None = None
    manual_reason: str | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The sealed decision document; ``failure`` says why it is INCONCLUSIVE where a rule's source could not answer."""

    document: dict[str, Any]
    answer: Answer
    failure: RemintError | None


def run_check(params: Params, question: Question, *, directory: Path, environ: Mapping[str, str]) -> Checked:
    """Decide, and append the decision to the ledger unless ``dry_run``.

    Raises ConfigError without a champion or its files, ServiceError where git's origin does not answer. A source of
    evidence that fails raises nothing: that stands in the decision, and in ``failure`` where it leaves no answer.
    """
    check = params.check
    git = Git(directory)
    files = read_champion(git, params.pipeline)
    ledger = Ledger(git, params.pipeline)
    end = question.until or question.now
    # From the promotion at the earliest: until then other models met these rows
    start = max(question.since or end - check.window, files.champion.assigned_at)
    sources = Sources(
        source=question.source or check.source,
        prometheus_url=question.prometheus_url or environ.get("REMINT_PROMETHEUS_URL") or check.prometheus.url,
        timeout_seconds=check.prometheus.timeout_seconds,
        store_url=question.store_url or environ.get("REMINT_STORE_URL"),
        environ=environ,
    )
    evidence = gather(sources, files, start=start, end=end, now=question.now)
    judged = judge(check, files, evidence, now=question.now, manual_reason=question.manual_reason)
    decision = decide(
        judged.rules,
        TriggerPolicy(cooldown=check.cooldown, min_fresh_labels=check.min_fresh_labels),
        history=_history(ledger.entries(), now=question.now, timeout=check.retrain_timeout),
        fresh_labels=evidence.fresh.count if isinstance(evidence.fresh, FreshLabels) else None,
        now=question.now,
    )
    body = {
        **_opening(params.pipeline, files, decision, question.now),
        "window": {"start": format_time(start), "end": format_time(end)} if start < end else None,
        "source": sources.source.value,
        **_findings(files, evidence, decision, judged.drift),
    }
    document = seal(DocumentKind.DECISION, params.pipeline, body, parents=[files.reference.id])
    if not question.dry_run:
        data = {key: document[key] for key in ("id", "answer", "summary", "until")}
        entry = LedgerEntry(at=question.now, event=LedgerEvent.DECISION, run_id=document["run_id"], data=data)
        ledger.append(entry, attachments={"decision.json": canonical_json(document) + b"\n"})
    # What somebody has to repair comes before 'no data yet'
    failure = min(judged.failures, key=lambda error: isinstance(error, NoDataError), default=None)
    return Checked(
        document=document,
        answer=decision.answer,
        failure=failure if decision.answer is Answer.INCONCLUSIVE else None,
    )


# -- rules -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What each rule says, every field's drift (the most drifted first), and the failures that silenced rules."""

    rules: tuple[RuleResult, ...]
    drift: tuple[FieldDrift, ...]
    failures: tuple[RemintError, ...]


def judge(
    check: config.Check, files: ChampionFiles, evidence: Gathered, *, now: datetime, manual_reason: str | None = None
) -> Judged:
    """Each declared rule on its evidence, the manual one first where it was asked for.

    The false-alarm budget of a check, ``false_retrains_a_year / checks_a_year``, is split over the drift rules.
    """
    alpha = check.false_retrains_a_year * (check.every / YEAR)
    alpha /= max(1, sum(isinstance(rule, config.DriftRule) for rule in check.rules.values()))
    rules = [] if manual_reason is None else [manual_rule(manual_reason)]
    drift: list[FieldDrift] = []
    failures: list[RemintError] = []
    for name, rule in check.rules.items():
        try:
            if isinstance(rule, config.DriftRule):
                result, fields = _drift(name, rule, check, files, evidence, alpha)
                drift.extend(fields)
            else:
                result = _apply(name, rule, check, files, evidence, alpha, now)
        except RemintError as error:
            failures.append(error)
            result = no_answer(name, RuleKind(rule.kind), error)
        rules.append(result)
    drift.sort(key=lambda field: (not field.drifted, -field.divergence.psi_adjusted, field.field))
    return Judged(rules=tuple(rules), drift=tuple(drift), failures=tuple(failures))


def _drift(
    name: str, rule: config.DriftRule, check: config.Check, files: ChampionFiles, evidence: Gathered, alpha: float
) -> tuple[RuleResult, tuple[FieldDrift, ...]]:
    return drift_rule(
        name,
        _given(evidence.window),
        files.reference,
        role=FieldRole(rule.role),
        material_psi=rule.material_psi,
        alpha=alpha,
        min_rows=check.min_rows,
    )


def _apply(
    name: str,
    rule: config.Rule,
    check: config.Check,
    files: ChampionFiles,
    evidence: Gathered,
    alpha: float,
    now: datetime,
) -> RuleResult:
    match rule:
        case config.IntegrityRule():
            return integrity_rule(
                name,
                _given(evidence.window),
                files.reference,
                missing_share=rule.missing_share,
                unseen_share=rule.unseen_share,
                out_of_range_share=rule.out_of_range_share,
                alpha=alpha,
                min_rows=check.min_rows,
            )
        case config.AccuracyRule():
            return accuracy_rule(
                name,
                _given(evidence.feedback),
                champion_accuracy(files, rule.min_labels),
                drop=rule.drop,
                min_labels=rule.min_labels,
                alpha=alpha,
            )
        case config.WrongRule():
            return wrong_rule(name, _given(evidence.feedback), limit=rule.limit)
        case config.VolumeRule():
            training_rows = int(files.metadata["training_rows"])
            return volume_rule(name, _given(evidence.fresh).count, training_rows, share=rule.share)
        case config.AgeRule():
            return age_rule(name, files.champion.assigned_at, now, max_age=rule.max_age)
        case _:
            raise NotImplementedError(rule)


def _given(answer: T | RemintError) -> T:
    if isinstance(answer, RemintError):
        raise answer
    return answer


def champion_accuracy(files: ChampionFiles, min_rows: int) -> ChampionAccuracy:
    """On the freshest rows of its evaluation where there were ``min_rows``, else on its test rows."""
    rows = files.metrics.get("rows") or {}
    for side, needed in (("fresh", min_rows), ("test", 1)):
        accuracy = (files.metrics.get(side) or {}).get("accuracy")
        if accuracy is not None and rows.get(side, 0) >= needed:
            return ChampionAccuracy(accuracy=float(accuracy), rows=int(rows[side]), measured_on=side)
    raise ConfigError(
        "the champion's accuracy was not measured",
        where=f"{files.champion.tag}:artifacts/metrics.json",
        hint="add accuracy to evaluate.metrics",
    )


# -- the past, and the document --------------------------------------------------------------------------------------


def _history(entries: Sequence[LedgerEntry], *, now: datetime, timeout: timedelta) -> History:
    running = running_retrain(entries, now=now, timeout=timeout)
    retrain = Answer.RETRAIN.value
    decided = [e.at for e in entries if e.event is LedgerEvent.DECISION and e.data.get("answer") == retrain]
    return History(retrains_at=tuple(decided), running=running.run_id if running else None)


def _opening(pipeline: str, files: ChampionFiles, decision: Decision, now: datetime) -> dict[str, Any]:
    champion = files.champion
    created_at = format_time(now)
    token = content_id([created_at, champion.commit, decision.summary, decision.reasons]).removeprefix("sha256:")
    return {
        "created_at": created_at,
        "run_id": new_run_id(pipeline, now, token),
        "answer": decision.answer.value,
        "summary": decision.summary,
        "reasons": list(decision.reasons),
        "champion": {
            "tag": champion.tag,
            "version": champion.version,
            "commit": champion.commit,
            "bundle": files.bundle,
            "reference": files.reference.id,
        },
    }


def _findings(
    files: ChampionFiles, evidence: Gathered, decision: Decision, drift: Sequence[FieldDrift]
) -> dict[str, Any]:
    fresh, window = evidence.fresh, evidence.window
    until = {key: files.metadata["until"].get(key) for key in ("sequence", "arrived_at")}  # all that is known for sure
    if isinstance(fresh, FreshLabels) and fresh.sequence > until["sequence"]:
        arrived_at = None if fresh.arrived_at is None else format_time(fresh.arrived_at)
        until = {"sequence": fresh.sequence, "arrived_at": arrived_at}
    return {
        "until": until,
        "rows": window.rows if isinstance(window, WindowCounts) else 0,
        "fresh_labels": fresh.count if isinstance(fresh, FreshLabels) else None,
        "rules": [rule.to_json() for rule in decision.rules],
        "drift": [field.to_json() for field in drift],
    }
