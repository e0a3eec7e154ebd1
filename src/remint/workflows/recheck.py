"""``remint recheck``: is the recorded gate still about this bundle, this champion and these rules? Else it runs anew.

It reads and judges, and moves nothing forward: it is allowed while the brake is on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from remint.adapters.dvc import Progress
from remint.adapters.forge import Forge
from remint.core.verdict import Verdict


class Standing(StrEnum):
    """How the newest recorded gate stood when it was looked at."""

    CURRENT = "current"  # of this bundle, against this champion, by these rules
    STALE = "stale"  # it was not: the gate ran anew (with ``dry_run``: would have)
    CHAMPION = "champion"  # the bundle is the champion: there is nothing to judge
    NONE = "none"  # there is no open pull request


@dataclass(frozen=True, slots=True, kw_only=True)
class RecheckRequest:
    """``rev`` is whose bundle is looked at; ``run_url`` is what the commit status links to."""

    clock: Callable[[], datetime]
    rev: str = "HEAD"
    dry_run: bool = False
    run_url: str | None = None
    progress: Progress = field(default=lambda _: None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rechecked:
    """``gate`` is the document that holds now: recorded or made anew; None for a champion and for a dry run."""

    standing: Standing
    pipeline: str
    commit: str | None = None
    bundle: str | None = None
    run_id: str | None = None  # under which the gate stands in the ledger
    changed: tuple[str, ...] = ()  # why it was stale, in sentences
    gate: Mapping[str, Any] | None = None
    champion: Mapping[str, Any] | None = None  # {tag, version, bundle}
    number: int | None = None  # of the pull request
    url: str | None = None
    auto_merge: str | None = None
    calls: tuple[dict[str, Any], ...] = ()

    @property
    def verdict(self) -> Verdict | None:
        return None if self.gate is None else Verdict(self.gate["verdict"])


def recheck(directory: Path, request: RecheckRequest) -> Rechecked:
    """The bundle at ``request.rev`` against its newest recorded gate; no forge is needed."""
    raise NotImplementedError


def recheck_pull_request(directory: Path, request: RecheckRequest, forge: Forge) -> Rechecked:
    """The same for the open pull request of the pipeline's branch, whose status, title, body and comment follow."""
    raise NotImplementedError
