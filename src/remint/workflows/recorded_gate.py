"""What git knows of a model that is proposed or released: its gate in the ledger, the champion of now, its commits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from remint.adapters.dvc import inputs_id
from remint.adapters.git import ORIGIN, Git
from remint.adapters.ledger import Ledger
from remint.adapters.registry import champion as find_champion
from remint.core.document import DocumentKind, unseal
from remint.core.ledger import LedgerEntry, LedgerEvent
from remint.core.pull_request import Proposal
from remint.errors import ConfigError, DataError, DocumentError
from remint.workflows.place import bundle_at, named_bundle
from remint.workflows.retrain_branch import TRAILERS
from remint.workflows.thread import run_of_commit

GATED: Final = frozenset({LedgerEvent.RETRAIN_FINISHED, LedgerEvent.GATE})


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRecord:
    """A gate as the ledger holds it: of a retrain, or of a recheck, under whose ``run_id`` it is attached."""

    run_id: str
    gate: Mapping[str, Any]
    report: str | None  # its Markdown


def newest_gate(ledger: Ledger, entries: Sequence[LedgerEntry], bundle: str) -> GateRecord | None:
    """The last gate that was recorded of this bundle; None where there is none.

    Raises DocumentError where what is attached was changed or cannot be read.
    """
    for entry in reversed(entries):
        if entry.event not in GATED or entry.data.get("bundle") != bundle:
            continue
        data = ledger.attachment(entry.run_id, "gate.json")
        if data is None:
            continue
        where = f"{ledger.branch}: gate.json of {entry.run_id}"
        try:
            document = json.loads(data)
        except ValueError:
            raise DocumentError("not JSON", where=where) from None
        report = ledger.attachment(entry.run_id, "report.md")
        return GateRecord(
            run_id=entry.run_id,
            gate=unseal(document, DocumentKind.GATE, pipeline=ledger.pipeline, where=where),
            report=None if report is None else report.decode(),
        )
    return None


def run_that_made(entries: Sequence[LedgerEntry], git: Git, commit: str, bundle: str) -> str | None:
    """The retrain that made the bundle, by the ledger, else by the commit that brought it."""
    for entry in reversed(entries):
        if entry.event is LedgerEvent.RETRAIN_FINISHED and entry.data.get("bundle") == bundle:
            return entry.run_id
    return run_of_commit(git, commit)


def champion_now(git: Git, pipeline: str) -> dict[str, Any] | None:
    """``{"tag", "version", "bundle"}``, as a gate names it; None where nothing was ever promoted."""
    champion = find_champion(git, pipeline)
    if champion is None:
        return None
    bundle = named_bundle(git, champion.commit, champion.tag)
    return {"tag": champion.tag, "version": champion.version, "bundle": bundle}


def tip_of(git: Git, branch: str) -> str:
    """Where the branch is on origin now, fetched; without an origin where it is here. ConfigError where it is not."""
    name = f"refs/heads/{branch}"
    if git.has_origin:
        tip = git.remote_ref(name)
        if tip is not None:
            git.fetch(f"+{name}:refs/remotes/{ORIGIN}/{branch}")
    else:
        tip = git.ref(name)
    if tip is None:
        raise ConfigError("there is no such branch", where=branch, hint="--base names the one to merge into")
    return tip


def persons_commits(git: Git, base: str, commit: str) -> list[str]:
    """The commits between ``base`` and ``commit`` that no retrain made, as ``abbreviated-id 'subject'``."""
    wanted = f"--format=%h%x09%(trailers:key={TRAILERS[0]},valueonly,separator=%x2C)%x09%s"
    lines = [line.split("\t", 2) for line in git.run("log", wanted, f"{base}..{commit}").splitlines()]
    return [f"{short} {subject!r}" for short, run, subject in lines if not run]


def proposal_of(git: Git, pipeline: str, commit: str) -> Proposal:
    """What a commit proposes. Raises DataError for one without dvc.lock, manifest or the run that made them."""
    lock, bundle, run_id = git.show(commit, "dvc.lock"), bundle_at(git, commit), run_of_commit(git, commit)
    missing = [
        what
        for what, found in (("dvc.lock", lock), ("bundle's manifest", bundle), ("retrain that made it", run_id))
        if not found
    ]
    if lock is None or bundle is None or run_id is None:
        raise DataError(f"has no {missing[0]}", where=commit[:12])
    return Proposal(pipeline=pipeline, run_id=run_id, bundle=bundle, inputs=inputs_id(lock))
