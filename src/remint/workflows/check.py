"""``remint check``: the champion from git, the window's counts, labels and the ledger -> a decision, written down.

A source that fails is the answer of the rules that need it, not the end of the check: age and volume still fire while
Prometheus is down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from remint import config
from remint.adapters.git import Git
from remint.adapters.ledger import Ledger
from remint.config import Params, Source
from remint.core.accuracy import estimate_accuracy
from remint.core.budget import alpha_of_check
from remint.core.document import DocumentKind, canonical_json, content_id, format_time, seal
from remint.core.ledger import CheckMemory, LedgerEntry, LedgerEvent, check_memory, new_run_id
from remint.core.trigger import Answer, Decision, decide
from remint.errors import NoDataError, RemintError
from remint.workflows.champion import ChampionFiles, read_champion
from remint.workflows.evidence import CachedEvidence, FreshLabels, answer_or_error
from remint.workflows.judging import Judged, Moment, Watched, judge, trigger_policy
from remint.workflows.sources import Sources, open_evidence


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
    memory = check_memory(
        ledger.entries(), reference=files.reference.id, now=question.now, timeout=check.retrain_timeout
    )
    moment = moment_of(check, files, memory, question)
    sources = Sources.of(
        check,
        source=question.source,
        prometheus_url=question.prometheus_url,
        store_url=question.store_url,
        directory=directory,
        environ=environ,
    )
    evidence = CachedEvidence(open_evidence(sources, files, end=moment.end, now=question.now))
    judged = judge(check, watched_champion(files), evidence, moment, manual_reason=question.manual_reason)
    fresh = answer_or_error(evidence.fresh)
    decision = decide(
        judged.rules,
        trigger_policy(check),
        history=memory.history,
        fresh_labels=fresh.count if isinstance(fresh, FreshLabels) else None,
        now=question.now,
    )
    body = {
        **_opening(params.pipeline, files, decision, question.now),
        "window": _window(moment),
        "source": sources.source.value,
        "alpha": moment.alpha,
        "rows": window.rows if (window := evidence.known_counts(moment.start, moment.end)) else 0,
        "estimated_accuracy": _estimated(files, evidence, moment),
        **_labels(files, fresh),
        "rules": [rule.to_json() for rule in decision.rules],
        "drift": [field.to_json() for field in judged.drift],
    }
    document = seal(DocumentKind.DECISION, params.pipeline, body, parents=[files.reference.id])
    if not question.dry_run:
        ledger.append(
            LedgerEntry(
                at=question.now,
                event=LedgerEvent.DECISION,
                run_id=document["run_id"],
                data=_remembered(document, files, decision, moment),
            ),
            attachments={"decision.json": canonical_json(document) + b"\n"},
        )
    return Checked(document=document, answer=decision.answer, failure=_failure(judged, decision))


def watched_champion(files: ChampionFiles) -> Watched:
    return Watched(
        reference=files.reference,
        promoted_at=files.champion.assigned_at,
        training_rows=int(files.metadata["training_rows"]),
        metrics=files.metrics,
        where=files.champion.tag,
    )


def moment_of(check: config.Check, files: ChampionFiles, memory: CheckMemory, question: Question) -> Moment:
    """The window ends now and begins at the promotion at the earliest: until then other models met these rows."""
    promoted_at = files.champion.assigned_at
    end = question.until or question.now
    return Moment(
        now=question.now,
        start=max(question.since or end - check.window, promoted_at),
        end=end,
        alpha=alpha_of_check(
            yearly=check.false_retrains_a_year,
            every=check.every,
            age=question.now - promoted_at,
            spent=memory.spent_alpha,
        ),
        active=memory.active,
    )


def _failure(judged: Judged, decision: Decision) -> RemintError | None:
    if decision.answer is not Answer.INCONCLUSIVE:
        return None
    # What somebody has to repair comes before 'no data yet'
    return min(judged.failures, key=lambda error: isinstance(error, NoDataError), default=None)


# -- the document, and what the next check has to know ---------------------------------------------------------------


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


def _window(moment: Moment) -> dict[str, str] | None:
    if moment.start >= moment.end:
        return None
    return {"start": format_time(moment.start), "end": format_time(moment.end)}


def _estimated(files: ChampionFiles, evidence: CachedEvidence, moment: Moment) -> dict[str, Any] | None:
    """For people, whether or not a rule asks for it; None where the window or the reference cannot tell."""
    window = evidence.known_counts(moment.start, moment.end)
    if window is None or files.reference.calibration is None:
        return None
    found = answer_or_error(lambda: estimate_accuracy(files.reference, window.counts))
    if isinstance(found, RemintError):
        return None
    return {
        "estimate": found.estimate,
        "lower": found.lower,
        "upper": found.upper,
        "at_training": found.reference_accuracy,
        "rows": found.rows,
        "sees_concept_drift": False,
    }


def _labels(files: ChampionFiles, fresh: FreshLabels | RemintError) -> dict[str, Any]:
    until = {key: files.metadata["until"].get(key) for key in ("sequence", "arrived_at")}  # all that is known for sure
    if isinstance(fresh, RemintError):
        return {"until": until, "fresh_labels": None}
    if fresh.sequence > until["sequence"]:
        arrived_at = None if fresh.arrived_at is None else format_time(fresh.arrived_at)
        until = {"sequence": fresh.sequence, "arrived_at": arrived_at}
    return {"until": until, "fresh_labels": fresh.count}


def _remembered(
    document: Mapping[str, Any], files: ChampionFiles, decision: Decision, moment: Moment
) -> dict[str, Any]:
    return {
        **{key: document[key] for key in ("id", "answer", "summary", "until")},
        "reference": files.reference.id,
        "alpha": moment.alpha,
        "active": {r.name: format_time(r.active_since) for r in decision.rules if r.active_since is not None},
    }
