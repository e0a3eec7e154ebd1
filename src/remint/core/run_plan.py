"""What a run of the pipeline would do: which stages run and why, what stays, and what has to be downloaded for it.

DVC says what differs from ``dvc.lock``; here it is put together along the graph. Data that are only not on this machine
are no change: what is recorded of them is compared instead (``dvc repro --allow-missing`` reads it so).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Cause(StrEnum):
    """Why a stage has to run."""

    DEPENDENCY = "dependency"
    PARAMETER = "parameter"
    OUTPUT = "output"  # was changed by hand, or cannot be had
    COMMAND = "command"
    ALWAYS = "always"
    NEVER_RUN = "never_run"


class Action(StrEnum):
    RUN = "run"  # or brought from DVC's run-cache, where it was run like this before
    MAY_RUN = "may_run"  # a stage before it runs, and nobody knows yet whether its output changes
    STAY = "stay"


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    cause: Cause
    what: str  # a path, or a parameter such as params.yaml:train.seed
    how: str  # modified, new, deleted, ...

    def to_json(self) -> dict[str, str]:
        return {"cause": self.cause.value, "what": self.what, "how": self.how}

    def __str__(self) -> str:
        match self.cause:
            case Cause.COMMAND | Cause.ALWAYS | Cause.NEVER_RUN:
                return self.how
            case _:
                return f"{self.what} {self.how}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A file or directory that a stage reads or makes. ``here``: in the checkout; ``cached``: in this machine's cache.

    ``size_bytes`` is None where nobody recorded it, ``tracked`` False where git and not DVC keeps it.
    """

    path: str
    size_bytes: int | None = None
    here: bool = True
    cached: bool = True
    tracked: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class StageFacts:
    """One stage, or one ``.dvc`` file (``is_data``), as DVC sees it. ``upstream``: names of the stages right before."""

    name: str
    is_data: bool = False
    changed: tuple[Why, ...] = ()
    reads: tuple[Item, ...] = ()
    makes: tuple[Item, ...] = ()
    upstream: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStage:
    name: str
    action: Action
    why: tuple[Why, ...]
    after: tuple[str, ...] = ()  # stages before it that run: the reason of MAY_RUN

    @property
    def reason(self) -> str:
        return "; ".join(map(str, self.why)) or (f"runs if {' or '.join(self.after)} changes" if self.after else "")

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "action": self.action.value,
            "why": [why.to_json() for why in self.why],
            "after": list(self.after),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    path: str
    size_bytes: int | None
    needed_by: tuple[str, ...]
    certain: bool  # False: only where a stage that may run does run

    def to_json(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "bytes": self.size_bytes,
            "needed_by": list(self.needed_by),
            "certain": self.certain,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """``missing`` is all that DVC tracks and this machine lacks: what a bare ``dvc pull`` would bring."""

    stages: tuple[PlannedStage, ...]  # in the order in which they would run
    downloads: tuple[Download, ...]
    missing: tuple[Item, ...]

    @property
    def runs(self) -> bool:
        return any(stage.action is not Action.STAY for stage in self.stages)

    def to_json(self) -> dict[str, Any]:
        return {
            "runs": self.runs,
            "stages": [stage.to_json() for stage in self.stages],
            "downloads": [download.to_json() for download in self.downloads],
            "download_bytes": total_bytes(d.size_bytes for d in self.downloads),
            "missing_bytes": total_bytes(item.size_bytes for item in self.missing),
        }


def total_bytes(sizes: Any) -> int:
    """The sum of what is known; unrecorded sizes count nothing."""
    return sum(size for size in sizes if size is not None)


def plan_run(stages: Sequence[StageFacts], *, touched: Mapping[str, str] | None = None, pulls: bool) -> RunPlan:
    """The plan. ``stages`` come in an order in which they can run.

    ``touched``: path -> how a step before the run is going to change it. ``pulls``: the run fetches what a stage reads
    (``dvc repro --pull --allow-missing``); without it, a stage whose output is neither here nor cached runs again, and
    the data files (``.dvc``) are fetched all at once before, as ``remint retrain`` does.
    """
    touched = touched or {}
    planned: dict[str, PlannedStage] = {}
    for stage in stages:
        if stage.is_data:
            continue
        why = [*stage.changed]
        why += [
            Why(cause=Cause.DEPENDENCY, what=item.path, how=touched[item.path])
            for item in stage.reads
            if item.path in touched and not any(known.what == item.path for known in stage.changed)
        ]
        if not pulls:
            why += [
                Why(cause=Cause.OUTPUT, what=item.path, how="is not in this machine's cache")
                for item in stage.makes
                if item.tracked and not item.here and not item.cached
            ]
        after = tuple(name for name in stage.upstream if name in planned and planned[name].action is not Action.STAY)
        action = Action.RUN if why else Action.MAY_RUN if after else Action.STAY
        planned[stage.name] = PlannedStage(name=stage.name, action=action, why=tuple(why), after=after)
    return RunPlan(
        stages=tuple(planned.values()),
        downloads=tuple(_needed(stages, planned) if pulls else _data_files(stages, touched)),
        missing=tuple(item for stage in stages for item in stage.makes if _is_missing(item)),
    )


def _is_missing(item: Item) -> bool:
    return item.tracked and not item.here and not item.cached


def _needed(stages: Sequence[StageFacts], planned: Mapping[str, PlannedStage]) -> list[Download]:
    """What the stages that run read, and no stage before them makes anew."""
    by_path: dict[str, list[tuple[str, Item, bool]]] = {}
    for stage in stages:
        mine = planned.get(stage.name)
        if mine is None or mine.action is Action.STAY:
            continue
        remade = {item.path for other in stages if other.name in mine.after for item in other.makes}
        for item in stage.reads:
            certain = mine.action is Action.RUN and item.path not in remade
            sure_to_be_remade = item.path in remade and any(
                planned[other.name].action is Action.RUN and any(made.path == item.path for made in other.makes)
                for other in stages
                if other.name in mine.after
            )
            if _is_missing(item) and not sure_to_be_remade:
                by_path.setdefault(item.path, []).append((stage.name, item, certain))
    return [
        Download(
            path=path,
            size_bytes=found[0][1].size_bytes,
            needed_by=tuple(name for name, _, _ in found),
            certain=any(certain for _, _, certain in found),
        )
        for path, found in by_path.items()
    ]


def _data_files(stages: Sequence[StageFacts], touched: Mapping[str, str]) -> list[Download]:
    readers: dict[str, list[str]] = {}
    for stage in stages:
        for item in stage.reads:
            readers.setdefault(item.path, []).append(stage.name)
    return [
        Download(
            path=item.path,
            size_bytes=item.size_bytes,
            needed_by=tuple(readers.get(item.path, ())),
            certain=True,
        )
        for stage in stages
        if stage.is_data
        for item in stage.makes
        if _is_missing(item) and item.path not in touched
    ]
