"""The report: sealed documents in, Markdown for a pull request or one self-contained HTML page out."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any, Final

from remint.core.document import DocumentKind, unseal
from remint.core.markdown import clean
from remint.core.report import CHART, Evidence, markdown, sections
from remint.core.report_drift import drifted_fields, shares
from remint.errors import UsageError

_PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --ink: #1f2328; --paper: #ffffff; --line: #d1d9e0; --muted: #7d8590;
  --reference: #8c96a3; --current: #d9730d; --good: #1a7f37; --bad: #cf222e; --tint: #f6f8fa; }}
@media (prefers-color-scheme: dark) {{ :root {{ --ink: #e6edf3; --paper: #0d1117; --line: #30363d; --muted: #8d96a0;
  --reference: #6e7681; --current: #f0883e; --good: #3fb950; --bad: #f85149; --tint: #161b22; }} }}
body {{ margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 62rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, sans-serif; }}
h2 {{ margin-top: 0; font-size: 1.7rem; }} h3 {{ margin-top: 2.2rem; font-size: 1.15rem; }}
.scroll {{ overflow-x: auto; }} table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .35rem .7rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }}
th {{ font-weight: 600; border-bottom-width: 2px; white-space: nowrap; }}
code {{ font: .88em ui-monospace, monospace; background: var(--tint); padding: .1em .3em; border-radius: 4px;
  overflow-wrap: anywhere; }}
summary {{ cursor: pointer; font-weight: 600; margin-top: 1rem; }} svg {{ width: 100%; height: auto; }}
figure {{ margin: 1rem 0; }}
</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


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
    try:
        from markdown_it import MarkdownIt

        from remint.adapters import plots  # noqa: F401 - that it can be had is seen before anything is rendered
    except ModuleNotFoundError as error:
        raise UsageError(f"{error.name} is not installed", hint="pip install 'remint[report]'") from None
    # The report's own <details> are HTML; every text from data in it is escaped (core.markdown), and the page's
    # Content-Security-Policy runs no script and loads nothing even if one were not.
    renderer = MarkdownIt("commonmark", {"html": True}).enable("table")
    parts = []
    for section in sections(evidence):
        if section.name != CHART:
            parts.append(renderer.render(section.text).replace("<table>", '<div class="scroll"><table>'))
            parts[-1] = parts[-1].replace("</table>", "</table></div>")
        if section.name == "metrics":
            parts.append(_gain_plot(evidence))
        if section.name == "drift":
            parts.append(_drift_plot(evidence))
    return _PAGE.format(title=html.escape(f"{evidence.pipeline}: report"), body="\n".join(parts))


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
    from remint.adapters.plots import Histogram, histograms

    assert evidence.decision is not None
    fields = [
        Histogram(
            title=f"{clean(field['field'], longest=40)}: {field['sigmas']:.2f} σ",
            labels=[clean(label, longest=16) for label in field["bin_labels"]],
            reference=shares(field["reference_counts"]),
            current=shares(field["current_counts"]),
        )
        for field in drifted_fields(evidence.decision)
    ]
    return _figure(histograms(fields), "Share of rows by bin, in training and in the window")


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
    return _figure(differences(rows), "Gain over the champion by metric") if rows else ""


def _figure(svg: str, description: str) -> str:
    return f'<figure role="img" aria-label="{html.escape(description)}">{svg}</figure>'
