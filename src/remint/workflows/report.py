"""The report: sealed documents in, Markdown for a pull request or one self-contained HTML page out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def render_report(
    *,
    gate: Mapping[str, Any] | None,
    decision: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    summary: Mapping[str, Any] | None = None,
    verdict: Mapping[str, Any] | None = None,
) -> str:
    """Markdown, at most 60,000 characters. ``summary`` is artifacts/prepared/summary.json; ``verdict`` a canary's."""
    raise NotImplementedError


def render_html(
    *,
    gate: Mapping[str, Any] | None,
    decision: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    summary: Mapping[str, Any] | None = None,
    verdict: Mapping[str, Any] | None = None,
) -> str:
    """The same content with plots, as one page that needs no network and runs no script."""
    raise NotImplementedError
