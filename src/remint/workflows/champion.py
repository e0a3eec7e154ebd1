"""The champion: the newest stable tag of the registry, and what git holds of it there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from remint.adapters import registry
from remint.adapters.git import Git
from remint.core.document import DocumentKind, content_id, unseal
from remint.core.profile import Reference
from remint.core.registry import Champion
from remint.errors import ConfigError, DocumentError

_ARTIFACTS: Final = Path("artifacts")
_REGISTER: Final = "register the first one: remint registry register && remint registry assign --stage stable"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChampionFiles:
    """What git holds of the champion at its tag."""

    champion: Champion
    bundle: str
    reference: Reference
    metadata: Mapping[str, Any]
    metrics: Mapping[str, Any]


def read_champion(git: Git, pipeline: str) -> ChampionFiles:
    """The champion and its git-tracked files at its commit. ConfigError where there is none, or a file is absent."""
    champion = registry.champion(git, pipeline)
    if champion is None:
        raise ConfigError(f"pipeline {pipeline!r} has no champion yet", where=str(git.path), hint=_REGISTER)
    return read_champion_files(git, pipeline, champion)


def read_champion_files(git: Git, pipeline: str, champion: Champion) -> ChampionFiles:
    """The git-tracked files of one champion, also of an earlier one. ConfigError where a file is absent."""

    def read(name: str) -> tuple[Any, str]:
        path = (_ARTIFACTS / name).as_posix()
        where = f"{champion.tag}:{path}"
        data = git.show(champion.commit, path)
        if data is None:
            raise ConfigError(
                "not in git at the champion's tag", where=where, hint="cache: false in dvc.yaml, committed"
            )
        try:
            return json.loads(data), where
        except ValueError:
            raise DocumentError("not JSON", where=where) from None

    reference, where = read("reference.json")
    reference = Reference.from_json(unseal(reference, DocumentKind.REFERENCE, pipeline=pipeline, where=where))
    metadata, where = read("metadata.json")
    metadata = unseal(metadata, DocumentKind.METADATA, pipeline=pipeline, where=where)
    manifest, where = read("manifest.json")
    if not isinstance(manifest, dict) or manifest.get("id") != content_id(
        {key: value for key, value in manifest.items() if key != "id"}
    ):
        raise DocumentError("content does not give its id: changed after it was written", where=where)
    metrics, where = read("metrics.json")
    if not isinstance(metrics, dict):
        raise DocumentError("not a JSON object", where=where)
    return ChampionFiles(
        champion=champion, bundle=manifest["id"], reference=reference, metadata=metadata, metrics=metrics
    )
