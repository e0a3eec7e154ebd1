"""Bundles out of DVC, into the directory that ``remint serve`` loads from."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from remint.adapters.bundle import Bundle, read_bundle
from remint.adapters.dvc import Dvc, Progress
from remint.adapters.git import Git
from remint.config import Params
from remint.errors import BundleError

BUNDLE = "artifacts/bundle"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedBundle:
    """``path`` is ``<bundles>/<hex of the id>``; ``present``: it was there already, whole."""

    bundle: Bundle
    path: Path
    commit: str
    present: bool


def export_bundle(params: Params, directory: Path, *, rev: str, bundles: Path, progress: Progress) -> ExportedBundle:
    """Bring the bundle of the commit ``rev`` to ``bundles/<hex>/`` and verify it there, before it has that name.

    What stands under that name already is verified too; BundleError where it is not whole.
    """
    git = Git(directory)
    commit = git.resolve(rev)
    trusted = params.train.trusted_types
    bundles.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=bundles) as scratch:
        draft = Dvc(directory, progress=progress).materialise(git, commit, BUNDLE, Path(scratch) / "bundle")
        bundle = read_bundle(draft, trusted_types=trusted)
        if bundle.pipeline != params.pipeline:
            raise BundleError(f"is of pipeline {bundle.pipeline!r}, not {params.pipeline!r}", where=rev)
        target = bundles / bundle.id.removeprefix("sha256:")
        present = target.exists()
        if not present:
            draft.replace(target)
    if present:
        bundle = read_bundle(target, trusted_types=trusted, expected_id=bundle.id)
    return ExportedBundle(bundle=bundle, path=target, commit=commit, present=present)
