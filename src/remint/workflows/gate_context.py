"""What surrounds a gate that is run by hand or by CI: where the champion comes from, and what people have accepted."""

from __future__ import annotations

import json
import secrets
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from remint.adapters.bundle import read_manifest
from remint.adapters.dvc import Dvc, Progress
from remint.adapters.git import Git
from remint.adapters.ledger import Ledger
from remint.adapters.registry import champion as find_champion
from remint.config import Params
from remint.core.ledger import LedgerEntry, LedgerEvent, is_run_id, new_run_id
from remint.errors import DocumentError
from remint.workflows.retrain_branch import TRAILERS

BUNDLE: Final = "artifacts/bundle"
MANIFEST: Final = "artifacts/manifest.json"
METRICS: Final = "artifacts/metrics.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opponent:
    """The champion's bundle, for as long as it is needed, and what the registry says of it. None: there is none."""

    bundle: Path | None
    known: Mapping[str, Any] | None
    metrics: Mapping[str, Any] | None = None  # what it was measured at when it was trained


@contextmanager
def champion_of_registry(params: Params, directory: Path, progress: Progress) -> Iterator[Opponent]:
    """The newest stable tag's bundle, materialised beside everything else; none where nothing was ever promoted."""
    git = Git(directory)
    champion = find_champion(git, params.pipeline)
    if champion is None:
        yield Opponent(bundle=None, known=None)
        return
    with _materialised(git, directory, champion.commit, progress) as opponent:
        assert opponent.known is not None
        yield Opponent(
            bundle=opponent.bundle,
            known={**opponent.known, "tag": champion.tag, "version": champion.version},
            metrics=opponent.metrics,
        )


@contextmanager
def champion_at(directory: Path, rev: str, progress: Progress) -> Iterator[Opponent]:
    """The bundle of a commit, a branch or a tag."""
    with _materialised(Git(directory), directory, rev, progress) as opponent:
        yield opponent


@contextmanager
def _materialised(git: Git, directory: Path, rev: str, progress: Progress) -> Iterator[Opponent]:
    with tempfile.TemporaryDirectory(prefix="remint-gate-") as scratch:
        dvc = Dvc(directory, progress=progress)
        bundle = dvc.materialise(git, rev, BUNDLE, Path(scratch) / "champion")
        known = {"tag": None, "version": None, "bundle": _bundle_of(git, rev, bundle)}
        yield Opponent(bundle=bundle, known=known, metrics=recorded_metrics(git, rev))


def recorded_metrics(git: Git, rev: str) -> dict[str, Any] | None:
    """``artifacts/metrics.json`` as the evaluate stage wrote it at ``rev``; None where it is not there.

    Raises DocumentError where it is not a JSON object.
    """
    text = git.show(rev, METRICS)
    if text is None:
        return None
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise DocumentError("not a JSON object", where=f"{rev}:{METRICS}")
    return found


def _bundle_of(git: Git, rev: str, bundle: Path) -> str:
    """DVC brings what dvc.lock names; git's own copy of the manifest says which bundle it has to be."""
    tracked = git.show(rev, MANIFEST)
    if tracked is None:
        return str(read_manifest(bundle)["id"])
    try:
        return str(json.loads(tracked)["id"])
    except (ValueError, LookupError, TypeError):
        raise DocumentError("not a bundle's manifest", where=f"{rev}:{MANIFEST}") from None


def recorded_acceptances(ledger: Ledger, bundle: str) -> list[dict[str, Any]]:
    """What people have accepted of this bundle, in whichever run."""
    return [
        {**entry.data, "at": entry.to_json()["at"]}
        for entry in ledger.entries()
        if entry.event is LedgerEvent.ACCEPTANCE and entry.data.get("bundle") == bundle
    ]


def acceptance_entries(
    git: Git, pipeline: str, accepted: Sequence[Mapping[str, Any]], *, gate: str, now: datetime
) -> list[LedgerEntry]:
    """The ledger's entries for newly ``accepted`` rules, of the run whose commit is checked out, else of a new one."""
    run_id = _run_of_head(git) or new_run_id(pipeline, now, secrets.token_hex(3))
    keys = ("rule", "reason", "by", "bundle")
    return [
        LedgerEntry(
            at=now,
            event=LedgerEvent.ACCEPTANCE,
            run_id=run_id,
            data={**{key: acceptance[key] for key in keys}, "gate": gate},
        )
        for acceptance in accepted
    ]


def _run_of_head(git: Git) -> str | None:
    """The run that made the commit which is checked out, from its trailer."""
    said = git.run("log", "-1", f"--format=%(trailers:key={TRAILERS[0]},valueonly)").strip()
    return said if is_run_id(said) else None
