"""``remint trace``: asks the ledger, git and the registry about one run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from remint.adapters.git import Git
from remint.adapters.ledger import Ledger
from remint.adapters.registry import load_registry
from remint.core.document import DocumentKind, unseal
from remint.core.ledger import is_run_id
from remint.core.trace import Commit, Story, suggestion, tell
from remint.errors import DocumentError, NoDataError, UsageError
from remint.workflows.retrain_branch import TRAILERS

_MANIFEST: Final = "artifacts/manifest.json"
_FIELDS: Final = "%x00".join(["%H", "%cI", "%an", "%s", *(f"%(trailers:key={key},valueonly)" for key in TRAILERS)])


def trace(git: Git, pipeline: str, run_id: str) -> Story:
    """The story of ``run_id``. Origin's ledger and tags are read first; commits are those that this clone has.

    Raises UsageError, naming near or new ones, for a run that nothing knows; NoDataError where the ledger is empty.
    """
    ledger = Ledger(git, pipeline)
    entries = ledger.entries()
    commits = _commits(git, run_id) if is_run_id(run_id) else []
    if not entries and not commits:
        raise NoDataError("nothing is recorded yet", where=ledger.branch, hint="remint check decides and records")
    registry = load_registry(git, pipeline)
    places = {version.commit for version in registry.versions} | {a.commit for a in registry.assignments}
    files = ledger.names(run_id) if is_run_id(run_id) else ()
    usage = _usage(ledger, run_id) if "run.json" in files else None
    story = tell(run_id, entries, commits, registry, _bundles(git, places), files=files, usage=usage)
    if story is None:
        raise UsageError(f"no run {run_id!r}", where=ledger.branch, hint=suggestion(run_id, entries))
    return story


def _usage(ledger: Ledger, run_id: str) -> dict[str, Any] | None:
    """The attached run.json; None where it is none: the story is told without it."""
    try:
        return unseal(json.loads(ledger.attachment(run_id, "run.json") or b""), DocumentKind.RUN)
    except (ValueError, DocumentError):
        return None


def _commits(git: Git, run_id: str) -> list[Commit]:
    """Those whose trailer names the run, on any branch or tag; a squashed merge keeps the trailer in its text."""
    if git.ref("HEAD") is None:
        return []
    wanted = [f"--grep=^{TRAILERS[0]}: {run_id}$", f"--format={_FIELDS}%x01"]
    found = []
    for record in filter(None, (part.strip("\n") for part in git.run("log", "--all", *wanted).split("\x01"))):
        commit, at, author, subject, run, _, bundle = (field.strip() for field in record.split("\0"))
        if run != run_id:  # quoted in the text, and not a trailer
            continue
        in_head = git.succeeds("merge-base", "--is-ancestor", commit, "HEAD")
        merged = _merge_of(git, commit) if in_head else None
        found.append(
            Commit(
                id=commit,
                at=datetime.fromisoformat(at),
                subject=subject,
                author=author,
                run_id=run_id,
                bundle=bundle or None,
                in_head=in_head,
                merged_as=None if merged is None else merged[0],
                merged_at=None if merged is None else merged[1],
            )
        )
    return found


def _merge_of(git: Git, commit: str) -> tuple[str, datetime] | None:
    """The merge that brought ``commit`` into HEAD's first line; None where it stands on that line itself."""
    arguments = ["--first-parent", "--ancestry-path", "--merges", "--reverse", "--format=%H %cI", f"{commit}..HEAD"]
    line = next(iter(git.run("log", *arguments).splitlines()), None)
    on_the_line = commit in git.run("rev-list", "--first-parent", "HEAD").splitlines()
    if line is None or on_the_line:
        return None
    merge, at = line.split(" ", 1)
    return merge, datetime.fromisoformat(at)


def _bundles(git: Git, commits: Iterable[str]) -> dict[str, str]:
    """Commit -> the id of the bundle whose manifest it has; commits without one are left out."""
    found = {}
    for commit in commits:
        content = git.show(commit, _MANIFEST)
        try:
            found[commit] = str(json.loads(content or b"{}")["id"])
        except (ValueError, LookupError, TypeError):
            continue
    return found
