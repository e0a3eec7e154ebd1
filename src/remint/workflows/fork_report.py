"""``remint fork-report``: a comment on a fork's pull request, by documents that its own run left behind.

That run had a token that may only read, so it could not comment itself. This one may write, and therefore believes the
other nothing: neither a number nor which pull request it is. The forge says that, by the commit that ran.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from remint.adapters.forge import Forge, PullRequest, Rehearsal
from remint.adapters.schemas import read_untrusted
from remint.config import Params, load_params
from remint.core.document import DocumentKind
from remint.core.fork_report import fork_comment, fork_marker
from remint.core.pull_request import same_text
from remint.errors import ConfigError, DocumentError, UsageError
from remint.workflows.report import Documents, render_report

_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class Said(StrEnum):
    """What became of the comment."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    NONE = "none"  # no open pull request of a fork has this commit: it was closed, pushed to, or is not a fork's


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkReportRequest:
    """``documents`` is a directory with gate.json, perhaps decision.json and metadata.json; ``commit`` a full id."""

    documents: Path
    commit: str
    forge: Forge
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkReportResult:
    action: Said
    pipeline: str
    commit: str
    number: int | None = None
    url: str | None = None  # of the comment
    calls: tuple[dict[str, Any], ...] = ()  # with dry_run: what would have been sent

    def to_json(self) -> dict[str, Any]:
        document = {
            "command": "fork-report",
            "pipeline": self.pipeline,
            "action": self.action.value,
            "number": self.number,
            "url": self.url,
            "commit": self.commit,
        }
        return {**document, "calls": list(self.calls)} if self.calls else document


def report_fork(directory: Path, request: ForkReportRequest) -> ForkReportResult:
    """Make the comment or bring it up to date; no status is ever set.

    Raises UsageError for a commit that is no full id, DocumentError for documents that are not in their form,
    ConfigError where two forks have the commit, and what the forge raises.
    """
    if _COMMIT.fullmatch(request.commit) is None:
        raise UsageError("not a full commit id", where="--commit", hint="github.event.workflow_run.head_sha")
    params = load_params(directory / "params.yaml")
    text = fork_comment(params.pipeline, request.commit, _report(request.documents, params))
    forge: Forge = Rehearsal(request.forge) if request.dry_run else request.forge
    pull = _pull(forge, request.commit)
    if pull is None:
        return ForkReportResult(action=Said.NONE, pipeline=params.pipeline, commit=request.commit)
    action, url = _say(forge, pull.number, fork_marker(params.pipeline), text)
    return ForkReportResult(
        action=action,
        pipeline=params.pipeline,
        commit=request.commit,
        number=pull.number,
        url=url,
        calls=tuple(forge.calls) if isinstance(forge, Rehearsal) else (),
    )


def _report(place: Path, params: Params) -> str:
    """Of the sealed ones: ``summary.json`` has neither an id nor a schema, so that there is no form to check."""

    def read(kind: DocumentKind) -> dict[str, Any]:
        return read_untrusted(place / f"{kind.value}.json", kind, pipeline=params.pipeline)

    def there(kind: DocumentKind) -> dict[str, Any] | None:
        path = place / f"{kind.value}.json"
        return read(kind) if path.exists() or path.is_symlink() else None

    documents: Documents = {
        "gate": read(DocumentKind.GATE),
        "decision": there(DocumentKind.DECISION),
        "metadata": there(DocumentKind.METADATA),
    }
    try:
        return render_report(params=params, **documents)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError):
        # a schema allows more than our code ever writes, and only the stranger knows what it wrote
        raise DocumentError("fits its schema and cannot be told: Remint did not write it", where="gate.json") from None


def _pull(forge: Forge, commit: str) -> PullRequest | None:
    """By the commit that ran, as the forge knows it: a number out of the documents could be anybody's."""
    found = [pull for pull in forge.open_pulls_at(commit) if pull.fork]
    if len(found) > 1:
        numbers = ", ".join(f"#{pull.number}" for pull in sorted(found, key=lambda pull: pull.number))
        raise ConfigError(f"{numbers} have this commit", where=commit[:12], hint="close all but one")
    return found[0] if found else None


def _say(forge: Forge, number: int, marker: str, text: str) -> tuple[Said, str | None]:
    me = forge.whoami()
    mine = [c for c in forge.comments(number) if c.author == me and c.body.lstrip().startswith(marker)]
    if not mine:
        return Said.CREATED, forge.create_comment(number, text).url or None
    if same_text(mine[0].body, text):
        return Said.UNCHANGED, mine[0].url
    return Said.UPDATED, forge.update_comment(mine[0].id, text).url or mine[0].url
