"""Champions of the past that compete again: found in the registry by ``retrain``, fetched by the train stage.

A concept that comes back needs no training. ``retrain`` writes tag, commit and bundle id of each into ``params.yaml``,
so that the stage's inputs are parameters, the pull request shows who competed, and ``dvc repro`` repeats it anywhere.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from remint.adapters.bundle import MODEL, Bundle, read_bundle, read_manifest
from remint.adapters.dvc import Dvc
from remint.adapters.git import Git
from remint.adapters.packages import library_versions
from remint.adapters.registry import load_registry
from remint.config import EarlierChampion, Params
from remint.core.document import content_id, parse_time
from remint.core.registry import STABLE
from remint.core.rows import LabelledRows
from remint.core.schema import Schema

_BUNDLE: Final = "artifacts/bundle"
_MANIFEST: Final = "artifacts/manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """An earlier champion. ``bundle`` is None where it cannot be asked today, and ``note`` says why."""

    champion: EarlierChampion
    bundle: Bundle | None
    note: str | None = None


def earlier_champions(git: Git, pipeline: str, *, count: int) -> tuple[EarlierChampion, ...]:
    """The newest ``count`` champions whose models are neither today's champion's nor each other's.

    Two bundles may hold the same model (one that came back, say): what counts is the model's own hash.
    """
    if count == 0:
        return ()
    registry = load_registry(git, pipeline)
    champion = registry.champion()
    known = set() if champion is None else {_model(_manifest(git, champion.commit))}
    found: list[EarlierChampion] = []
    for assigned in sorted(registry.assignments, key=lambda a: -a.number):
        manifest = _manifest(git, assigned.commit)
        model = _model(manifest)
        if assigned.stage != STABLE or not assigned.current or model is None or model in known:
            continue
        known.add(model)
        found.append(EarlierChampion(tag=assigned.tag, commit=assigned.commit, bundle=str(manifest["id"])))
        if len(found) == count:
            break
    return tuple(found)


def fetch(params: Params, directory: Path, schema: Schema) -> tuple[Fetched, ...]:
    """The bundles of ``train.earlier`` out of DVC, each verified against its id.

    One that today's libraries cannot load, of other columns, or of another split (whose training rows may be today's
    held-out ones) is not asked. Raises BundleError where a bundle is not the one that was named, ServiceError where
    neither cache nor remote has it.
    """
    if not params.train.earlier:
        return ()
    git, dvc = Git(directory), Dvc(directory)
    fetched = []
    with tempfile.TemporaryDirectory(prefix="remint-earlier-") as scratch:
        for champion in params.train.earlier:
            place = dvc.materialise(git, champion.commit, _BUNDLE, Path(scratch) / champion.commit)
            fetched.append(_fetched(params, schema, champion, place))
    return tuple(fetched)


def _fetched(params: Params, schema: Schema, champion: EarlierChampion, place: Path) -> Fetched:
    made_with = read_manifest(place, expected_id=champion.bundle)["libraries"]
    other = sorted(name for name, version in library_versions().items() if made_with.get(name) != version)
    if other:
        return Fetched(champion=champion, bundle=None, note=f"made with another version of {', '.join(other)}")
    bundle = read_bundle(place, trusted_types=params.train.trusted_types, expected_id=champion.bundle)
    if bundle.schema.features != schema.features:
        return Fetched(champion=champion, bundle=None, note="trained on other columns")
    if bundle.metadata["hashes"].get("split") != split_hash(params):
        note = "trained on another split: its training rows may be held-out ones of today"
        return Fetched(champion=champion, bundle=None, note=note)
    return Fetched(champion=champion, bundle=bundle)


def unseen(metadata: Mapping[str, Any], rows: LabelledRows) -> npt.NDArray[np.bool_]:
    """The rows, shape (rows,), that the model of ``metadata`` was certainly not trained on.

    Feedback that arrived after its ``until``; data whose event is later than its newest one. Of data without a time
    nothing is certain.
    """
    of_model = metadata.get("reused") or metadata
    later = rows.sequence > int(of_model["until"]["sequence"])
    newest = of_model.get("newest_event_at")
    if newest is None:
        return np.asarray(later)
    at = np.datetime64(parse_time(newest).replace(tzinfo=None), "us")
    return np.asarray(later | (rows.event_at > at))


def split_hash(params: Params) -> str:
    """Of what decides on which side a row is; with the same one, no row trains that another model is held out from."""
    prepare, task = params.prepare, params.task
    return content_id(
        {
            "salt": f"{params.pipeline}:{prepare.seed}",
            "shares": [prepare.test_share, prepare.held_out_share, prepare.fresh_share],
            "time": None if task.time is None else task.time.column,
        }
    )


def _manifest(git: Git, commit: str) -> Mapping[str, Any]:
    """Git's copy; empty where the commit has none that can be read, such as a tag on something else."""
    try:
        found = json.loads(git.show(commit, _MANIFEST) or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _model(manifest: Mapping[str, Any]) -> str | None:
    """The hash of the model itself, whatever stands beside it in its bundle."""
    try:
        return str(manifest["files"][MODEL]["sha256"])
    except (LookupError, TypeError):
        return None
