"""The report: sealed documents in, Markdown for a pull request or one self-contained HTML page out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from remint.core.document import DocumentKind, unseal
from remint.core.markdown import clean
from remint.core.report import CHART, Evidence, markdown, sections
from remint.core.report_drift import drifted_fields
from remint.errors import UsageError
from remint.workflows.html_page import drift_figure, figure, page, require_extra, to_html


def render_report(
    *,
    gate: Mapping[str, Any] | None,
    decision: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    summary: Mapping[str, Any] | None = None,
    verdict: Mapping[str, Any] | None = None,
) -> str:
    """Markdown, at most 60,000 characters. ``summary`` is artifacts/prepared/summary.json; ``verdict`` a canary's.

    Raises DocumentError for a document that was changed or cannot be read, UsageError where there is none at all or
    where they are of different pipelines.
    """
    return markdown(_evidence(gate, decision, metadata, summary, verdict))


def render_html(
    *,
    gate: Mapping[str, Any] | None,
    decision: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    summary: Mapping[str, Any] | None = None,
    verdict: Mapping[str, Any] | None = None,
) -> str:
    """The same content with plots, as one page that needs no network and runs no script.

    Raises as ``render_report`` does, and UsageError where the extra ``report`` is not installed.
    """
    evidence = _evidence(gate, decision, metadata, summary, verdict)
    require_extra()
    parts = []
    for section in sections(evidence):
        if section.name != CHART:
            parts.append(to_html(section.text))
        if section.name == "metrics":
            parts.append(_gain_plot(evidence))
        if section.name == "drift":
            parts.append(_drift_plot(evidence))
    return page(f"{evidence.pipeline}: report", parts)


def _evidence(
    gate: Mapping[str, Any] | None,
    decision: Mapping[str, Any] | None,
    metadata: Mapping[str, Any] | None,
    summary: Mapping[str, Any] | None,
    verdict: Mapping[str, Any] | None,
) -> Evidence:
    given = {
        DocumentKind.GATE: gate,
        DocumentKind.DECISION: decision,
        DocumentKind.METADATA: metadata,
        DocumentKind.VERDICT: verdict,
    }
    read = {kind: unseal(dict(d), kind, where=kind.value) for kind, d in given.items() if d is not None}
    documents = [*read.values(), *([summary] if summary is not None else [])]
    if not documents:
        raise UsageError("there is nothing to report", hint="--gate gate.json, --decision decision.json, ...")
    pipelines = sorted({str(document["pipeline"]) for document in documents})
    if len(pipelines) > 1:
        raise UsageError(f"the documents are of different pipelines: {', '.join(pipelines)}")
    return Evidence(
        gate=read.get(DocumentKind.GATE),
        decision=read.get(DocumentKind.DECISION),
        metadata=read.get(DocumentKind.METADATA),
        summary=summary,
        verdict=read.get(DocumentKind.VERDICT),
    )


def _drift_plot(evidence: Evidence) -> str:
    assert evidence.decision is not None
    return drift_figure(drifted_fields(evidence.decision), name="drift")


def _gain_plot(evidence: Evidence) -> str:
    """The ruled metrics' differences; nothing without a champion."""
    from remint.adapters.plots import Difference, differences

    assert evidence.gate is not None
    rows = []
    for finding in evidence.gate["findings"]:
        seen = finding["evidence"]
        if seen.get("difference") is None or seen.get("interval") is None:
            continue
        low, high = seen["interval"]["low"], seen["interval"]["high"]
        sign = 1 if seen["direction"] == "higher" else -1
        low, high = sorted((sign * low, sign * high))
        rows.append(Difference(label=clean(finding["rule"]), gain=sign * seen["difference"], low=low, high=high))
    return figure(differences(rows), "Gain over the champion by metric") if rows else ""
