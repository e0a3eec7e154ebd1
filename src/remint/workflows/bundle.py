"""Bundles out of DVC, into the directory that ``remint serve`` loads from."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from remint.adapters.bundle import Bundle, read_bundle
from remint.adapters.dvc import Dvc, Progress
from remint.adapters.git import Git
from remint.adapters.registry import known_registry
from remint.config import Params
from remint.core.release import is_bundle_id
from remint.errors import BundleError
from remint.workflows.place import MANIFEST, named_bundle
from remint.workflows.thread import run_of_commit

BUNDLE = "artifacts/bundle"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedBundle:
    """``path`` is ``<bundles>/<hex of the id>``; ``present``: it was there already, whole."""

    bundle: Bundle
    path: Path
    commit: str
    present: bool


def image_labels(params: Params, directory: Path, *, rev: str) -> dict[str, str | None]:
    """What an image that serves the model of the commit ``rev`` says of itself, by git alone: no network, no DVC.

    The version is that of this clone's tags, the run that of the commit that brought the model; None where there is
    none. Raises ConfigError where the commit has no bundle, BundleError where what it names is no bundle id.
    """
    git = Git(directory)
    commit = git.resolve(rev)
    bundle = named_bundle(git, commit, rev)
    if not is_bundle_id(bundle):
        raise BundleError(f"{bundle!r:.90} is not a bundle id", where=f"{rev}: {MANIFEST}")
    registered = known_registry(git, params.pipeline).version_of(commit)
    return {
        "dev.remint.pipeline": params.pipeline,
        "dev.remint.version": None if registered is None else str(registered.version),
        "dev.remint.bundle": bundle,
        "dev.remint.run": run_of_commit(git, commit),
        "org.opencontainers.image.revision": commit,
    }


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
