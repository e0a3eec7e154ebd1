"""Files as contracts: every JSON file that Remint writes names its schema, its content's id and its parents.

A document is a plain JSON object with at least::

    {"schema": "remint/decision/1.0", "id": "sha256:...", "pipeline": "slug", "parents": ["sha256:..."], ...}

``id`` is the SHA-256 of the document without its ``id``, in canonical JSON, so that a document that was changed by hand
is noticed, and so that ``parents`` ties evidence together. Minor versions only add keys; version N reads N-1 through
``UPGRADES``; an unknown major is refused.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from remint.errors import DocumentError

_SCHEMA = re.compile(r"remint/(?P<kind>[a-z]+)/(?P<major>\d+)\.(?P<minor>\d+)")
_SLUG = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")


class DocumentKind(StrEnum):
    DECISION = "decision"
    REFERENCE = "reference"
    GATE = "gate"
    VERDICT = "verdict"
    METADATA = "metadata"
    RUN = "run"
    USAGE = "usage"
    BACKTEST = "backtest"
    CHANGES = "changes"


CURRENT: Final[Mapping[DocumentKind, tuple[int, int]]] = {
    **dict.fromkeys(DocumentKind, (1, 0)),
    DocumentKind.REFERENCE: (1, 1),  # windows, calibration
    DocumentKind.GATE: (1, 1),  # rules_id, slices, flips, calibration, size_bytes, evaluation; two more verdicts
    DocumentKind.RUN: (1, 1),  # cost, energy_kwh, co2e_grams, workflow
    DocumentKind.METADATA: (1, 1),  # newest_event_at, choice, reused, hashes.split
}

#: (kind, major read) -> function that lifts a document of that major to the next one.
UPGRADES: Final[Mapping[tuple[DocumentKind, int], Callable[[dict[str, Any]], dict[str, Any]]]] = {}


def is_slug(text: str) -> bool:
    """Lower-case words joined by single dashes, 2 to 40 characters: fits a git tag, a branch, a Kubernetes name."""
    return 2 <= len(text) <= 40 and _SLUG.fullmatch(text) is not None


def canonical_json(value: Any) -> bytes:
    """The same value always gives the same bytes. NaN and infinity are refused: they are not JSON."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def content_id(value: Any) -> str:
    """``sha256:`` and the hex digest of the value's canonical JSON."""
    return "sha256:" + hashlib.sha256(canonical_json(value)).hexdigest()


def seal(
    kind: DocumentKind, pipeline: str | None, body: Mapping[str, Any], *, parents: Sequence[str] = ()
) -> dict[str, Any]:
    """Put the envelope around ``body`` and compute the id. Values that are not JSON (NaN too) raise ValueError.

    ``pipeline`` is None only where a ``usage`` has none.
    """
    major, minor = CURRENT[kind]
    document = {
        "schema": f"remint/{kind.value}/{major}.{minor}",
        "pipeline": pipeline,
        "parents": list(parents),
        **body,
    }
    return {**document, "id": content_id(document)}


def unseal(
    document: Any, kind: DocumentKind, *, pipeline: str | None = None, where: str | None = None
) -> dict[str, Any]:
    """Check the envelope and return the document in today's version.

    Raises DocumentError on anything that is not a document of this kind, of an unknown major version, of another
    pipeline than ``pipeline`` (where given), or whose content does not give its id.
    """
    if not isinstance(document, dict):
        raise DocumentError("not a JSON object", where=where, hint=f"expected a {kind.value} document")
    match = _SCHEMA.fullmatch(str(document.get("schema")))
    if match is None or match["kind"] != kind.value:
        raise DocumentError(
            f"schema is {document.get('schema')!r}, expected remint/{kind.value}/{CURRENT[kind][0]}.x", where=where
        )
    claimed = document.get("id")
    if claimed != content_id({k: v for k, v in document.items() if k != "id"}):
        raise DocumentError("content does not give its id: changed after it was written", where=where)
    if pipeline is not None and document.get("pipeline") != pipeline:
        raise DocumentError(f"belongs to pipeline {document.get('pipeline')!r}, not {pipeline!r}", where=where)
    major = int(match["major"])
    while major < CURRENT[kind][0] and (kind, major) in UPGRADES:
        document = UPGRADES[kind, major](document)
        major += 1
    if major != CURRENT[kind][0]:
        raise DocumentError(
            f"major version {major} of {kind.value} is unknown here",
            where=where,
            hint="install the Remint that wrote it",
        )
    return dict(document)


def format_time(at: datetime) -> str:
    """RFC 3339 in UTC with microseconds and ``Z``. A naive time is a bug and raises ValueError."""
    if at.tzinfo is None:
        raise ValueError("a time without a zone")
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def readable_time(at: datetime) -> str:
    """For sentences: ``2026-05-01 00:00Z``, with seconds where there are any. Not to be parsed."""
    if at.tzinfo is None:
        raise ValueError("a time without a zone")
    at = at.astimezone(UTC)
    return at.strftime("%Y-%m-%d %H:%M:%SZ" if at.second or at.microsecond else "%Y-%m-%d %H:%MZ")


def parse_time(text: str, *, where: str | None = None) -> datetime:
    """An aware UTC datetime from RFC 3339; raises DocumentError for anything else, also for a time without a zone."""
    try:
        at = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise DocumentError(f"{text!r} is not an RFC 3339 time", where=where) from None
    if at.tzinfo is None:
        raise DocumentError(f"{text!r} has no time zone", where=where, hint="end it in Z")
    return at.astimezone(UTC)


def finite(value: float) -> float | None:
    """JSON has no NaN and no infinity: None stands for 'no number'."""
    return float(value) if math.isfinite(value) else None
