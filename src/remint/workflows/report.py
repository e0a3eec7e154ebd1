"""The report: sealed documents in, Markdown for a pull request or one self-contained HTML page out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypedDict, Unpack

from remint.config import Params
from remint.core.document import DocumentKind, unseal
from remint.core.report import CHARTS, Evidence, Image, leaves_out, markdown, sections
from remint.core.report_drift import drifted_fields
from remint.core.report_head import Setting
from remint.errors import UsageError
from remint.workflows.html_page import drift_figure, figure, page, require_extra, to_html
from remint.workflows.report_plots import metric_gains


def setting_of(params: Params) -> Setting:
    """What ``params.yaml`` says to a report."""
    places = params.places
    return Setting(
        owners=params.pull_request.owners,
        error_cost=params.pull_request.error_cost,
        currency=params.resources.currency,
        environment=places.champion.name if len(places.all) > 1 else None,
    )


class Documents(TypedDict, total=False):
    """What a report is made of; each may be missing, but not all. The JSON ones are sealed, but ``summary``."""

    gate: Mapping[str, Any] | None
    decision: Mapping[str, Any] | None
    metadata: Mapping[str, Any] | None
    summary: Mapping[str, Any] | None  # artifacts/prepared/summary.json
    verdict: Mapping[str, Any] | None  # of a canary
    changes: Mapping[str, Any] | None
    history: Sequence[Mapping[str, Any]]  # earlier gates of the pipeline, the oldest first
    images: Sequence[Image]
    images_note: str | None  # why there are none although they were asked for


def render_report(*, params: Params | None = None, full: bool = False, **documents: Unpack[Documents]) -> str:
    """Markdown, at most 60,000 characters; ``full``: at most 1,000,000 bytes, which a job summary takes.

    Without ``params`` nobody is named and no cost is told in money. Raises as ``read_evidence``.
    """
    return markdown(read_evidence(**documents), setting=_setting(params), full=full)


def render_both(*, params: Params | None = None, **documents: Unpack[Documents]) -> tuple[str, str | None]:
    """The report for a pull request, and the full one where that has to leave parts out."""
    evidence, setting = read_evidence(**documents), _setting(params)
    full = markdown(evidence, setting=setting, full=True) if leaves_out(evidence, setting=setting) else None
    return markdown(evidence, setting=setting), full


def render_html(*, params: Params | None = None, **documents: Unpack[Documents]) -> str:
    """The same content with plots, as one page that needs no network and runs no script.

    Raises as ``read_evidence`` does, and UsageError where the extra ``report`` is not installed.
    """
    evidence = replace(read_evidence(**documents), images=(), images_note=None)  # the page has plots of its own
    require_extra()
    parts = []
    for section in sections(evidence, setting=_setting(params)):
        if section.name not in CHARTS:
            parts.append(to_html(section.text))
        if section.name == "metrics":
            parts.append(_gain_plot(evidence))
        if section.name == "drift":
            parts.append(_drift_plot(evidence))
    return page(f"{evidence.pipeline}: report", parts)


def read_evidence(**documents: Unpack[Documents]) -> Evidence:
    """The documents checked. Raises DocumentError for one that was changed or cannot be read, UsageError where there
    is none at all or where they are of different pipelines.
    """
    summary = documents.get("summary")
    given = {
        DocumentKind.GATE: documents.get("gate"),
        DocumentKind.DECISION: documents.get("decision"),
        DocumentKind.METADATA: documents.get("metadata"),
        DocumentKind.VERDICT: documents.get("verdict"),
        DocumentKind.CHANGES: documents.get("changes"),
    }
    read = {kind: unseal(dict(d), kind, where=kind.value) for kind, d in given.items() if d is not None}
    known = [*read.values(), *([summary] if summary is not None else [])]
    if not known:
        raise UsageError("there is nothing to report", hint="--gate gate.json, --decision decision.json, ...")
    pipelines = sorted({str(document["pipeline"]) for document in known})
    if len(pipelines) > 1:
        raise UsageError(f"the documents are of different pipelines: {', '.join(pipelines)}")
    history = documents.get("history", ())
    return Evidence(
        gate=read.get(DocumentKind.GATE),
        decision=read.get(DocumentKind.DECISION),
        metadata=read.get(DocumentKind.METADATA),
        summary=summary,
        verdict=read.get(DocumentKind.VERDICT),
        changes=read.get(DocumentKind.CHANGES),
        history=tuple(unseal(dict(each), DocumentKind.GATE, where="an earlier gate") for each in history),
        images=tuple(documents.get("images", ())),
        images_note=documents.get("images_note"),
    )


def _setting(params: Params | None) -> Setting | None:
    return None if params is None else setting_of(params)


def _drift_plot(evidence: Evidence) -> str:
    assert evidence.decision is not None
    return drift_figure(drifted_fields(evidence.decision), name="drift")


def _gain_plot(evidence: Evidence) -> str:
    from remint.adapters.plots import differences

    assert evidence.gate is not None
    rows = metric_gains(evidence.gate)
    return figure(differences(rows), "Gain over the champion by metric") if rows else ""
