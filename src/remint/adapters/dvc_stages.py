"""The stages that a repository has, as DVC understands them: templates, ``foreach`` and ``matrix`` resolved."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remint.adapters.dvc_status import translated


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnStage:
    """A stage of ``dvc.yaml``, or a ``.dvc`` file (``is_data``). Paths are relative to the pipeline's directory."""

    name: str
    is_data: bool
    deps: tuple[str, ...]
    outs: tuple[str, ...]  # all of them, metrics and plots too
    metrics: tuple[str, ...]


def own_stages(directory: Path) -> tuple[OwnStage, ...]:
    """The stages in ``directory``'s ``dvc.yaml`` and every ``.dvc`` file of the repository; nothing is run or hashed.

    Raises ConfigError where DVC cannot read them.
    """
    place = directory.resolve()
    with translated(place):
        from dvc.repo import Repo

        with Repo(str(place)) as repo:
            return tuple(
                OwnStage(
                    name=str(stage.name) if stage.cmd else _path(stage.outs[0], place),
                    is_data=not stage.cmd,
                    deps=tuple(_path(dep, place) for dep in stage.deps if getattr(dep, "fs_path", None)),
                    outs=tuple(_path(out, place) for out in stage.outs),
                    metrics=tuple(_path(out, place) for out in stage.outs if out.metric),
                )
                for stage in repo.index.stages
                if not stage.cmd or Path(stage.path) == place / "dvc.yaml"
            )


def _path(item: Any, place: Path) -> str:
    return Path(os.path.relpath(item.fs_path, place)).as_posix() if item.is_in_repo else str(item)
