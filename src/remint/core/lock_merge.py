"""Merging two versions of ``dvc.lock`` by stage: the result claims nothing that neither side has produced.

A stage's entry says: this command, on inputs with these hashes, gave outputs with those. It is taken whole or not at
all. Left out, and named, is a stage

- that both sides changed, and not to the same;
- that one side deleted and the other changed;
- whose input is an output of another stage, and the merge brings another version of it than its own side had;
- that reads an output of a stage which was left out.

DVC reproduces what it finds no entry of, from its run-cache where it can. Such files are of one ``dvc.lock``: what
stages of another ``dvc.yaml`` read is seen by ``dvc status`` afterwards.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from remint.errors import DataError

Entry = Mapping[str, Any]

_SCHEMA: Final = "2.0"
#: What an entry of an input or output says beside its content's hash.
_NOT_CONTENT: Final = frozenset({"path", "size", "nfiles", "isexec"})


class Why(StrEnum):
    """Why a stage is left out."""

    BOTH_CHANGED = "both_changed"
    CHANGED_AND_DELETED = "changed_and_deleted"
    INPUT_CHANGED = "input_changed"
    INPUT_UNKNOWN = "input_unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """The stages of one ``dvc.lock`` by name, and its data sets (``dvc ds``) by name."""

    stages: Mapping[str, Entry] = field(default_factory=dict)
    datasets: Mapping[str, Entry] = field(default_factory=dict)

    def to_document(self) -> dict[str, Any]:
        datasets = {"datasets": [dict(d) for d in self.datasets.values()]} if self.datasets else {}
        return {"schema": _SCHEMA, **datasets, "stages": {name: dict(entry) for name, entry in self.stages.items()}}


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    stage: str
    why: Why
    reason: str  # a sentence

    def to_json(self) -> dict[str, str]:
        return {"stage": self.stage, "why": self.why.value, "reason": self.reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedLock:
    lock: Lock
    left_out: tuple[LeftOut, ...]  # in the file's order; empty: a clean merge


def parse_lock(document: Any, *, where: str) -> Lock:
    """The lock file's content as loaded; None (an empty file, none at all) has no stages.

    Schema 1.0 (stages at the top, no ``schema``) and 2.0 are read. Raises DataError for everything else.
    """
    if document is None:
        return Lock()
    if not isinstance(document, Mapping):
        raise DataError("not a mapping", where=where)
    if "schema" not in document:
        return Lock(stages=_stages(document, where))
    if str(document["schema"]) != _SCHEMA:
        raise DataError(f"schema is {document['schema']!r}, known are 1.0 and 2.0", where=where)
    unknown = set(document) - {"schema", "stages", "datasets"}
    if unknown:
        raise DataError(f"unknown key {min(map(str, unknown))!r}", where=where)
    stages, datasets = ({} if document.get("stages") is None else document["stages"]), document.get("datasets") or []
    if not isinstance(datasets, Sequence) or not all(isinstance(d, Mapping) and "name" in d for d in datasets):
        raise DataError("datasets must be a list of mappings with a name", where=where)
    return Lock(stages=_stages(stages, where), datasets={str(d["name"]): d for d in datasets})


def merge_locks(base: Lock, ours: Lock, theirs: Lock, *, wdirs: Mapping[str, str] | None = None) -> MergedLock:
    """Three versions -> one; see the module's text. ``wdirs``: stage -> what its paths are relative to (default ``.``).

    Raises DataError where both sides changed a data set: no stage of ours can produce that.
    """
    merge = _Merge(base, ours, theirs, wdirs or {})
    merge.take_stages()
    merge.leave_out_what_reads_them()
    return merge.result()


class _Merge:
    """One merge; ``kept`` and ``left_out`` are what has been decided."""

    def __init__(self, base: Lock, ours: Lock, theirs: Lock, wdirs: Mapping[str, str]) -> None:
        self.base, self.sides, self.wdirs = base, (ours, theirs), wdirs
        self.kept: dict[str, Entry] = {}
        self.left_out: dict[str, LeftOut] = {}
        self.datasets = self._take_datasets()

    def _names(self) -> list[str]:
        ours, theirs = self.sides
        return list(dict.fromkeys([*ours.stages, *theirs.stages]))

    def _take_datasets(self) -> dict[str, Entry]:
        ours, theirs = self.sides
        taken = {}
        for name in dict.fromkeys([*ours.datasets, *theirs.datasets]):
            versions = (self.base.datasets.get(name), ours.datasets.get(name), theirs.datasets.get(name))
            found = _three_way(*versions)
            if isinstance(found, Why):
                raise DataError(f"both sides changed the data set {name!r}", hint=f"dvc ds update {name}")
            if found is not None:
                taken[name] = found
        return taken

    def take_stages(self) -> None:
        ours, theirs = self.sides
        for name in self._names():
            found = _three_way(self.base.stages.get(name), ours.stages.get(name), theirs.stages.get(name))
            if found is Why.BOTH_CHANGED:
                self._leave_out(name, found, "both sides changed it, and not to the same")
            elif isinstance(found, Why):
                self._leave_out(name, found, "one side deleted it, the other changed it")
            elif found is not None:
                self.kept[name] = found

    def leave_out_what_reads_them(self) -> None:
        """Until nothing more follows: a stage that is left out takes with it whatever reads its outputs."""
        again = True
        while again:
            again = False
            for name in list(self.kept):
                found = self._doubt(name)
                if found is not None:
                    del self.kept[name]
                    self._leave_out(name, *found)
                    again = True

    def result(self) -> MergedLock:
        names = self._names()
        return MergedLock(
            lock=Lock(stages={n: self.kept[n] for n in names if n in self.kept}, datasets=self.datasets),
            left_out=tuple(self.left_out[n] for n in names if n in self.left_out),
        )

    def _leave_out(self, name: str, why: Why, reason: str) -> None:
        self.left_out[name] = LeftOut(stage=name, why=why, reason=reason)

    def _doubt(self, name: str) -> tuple[Why, str] | None:
        """Why the entry of a kept stage does not hold beside the others; it may hold as either side had it."""
        entry = self.kept[name]
        doubts = [self._doubt_from(side, name) for side in self.sides if _same(side.stages.get(name), entry)]
        return None if None in doubts else doubts[0]

    def _doubt_from(self, side: Lock, name: str) -> tuple[Why, str] | None:
        for path, dep in self._paths(name, side.stages[name], "deps"):
            if (found := self._changed_dataset(side, dep)) is not None:
                return found
            for producer in self._names():
                if producer == name:
                    continue
                if producer in self.left_out:
                    versions = [s.stages[producer] for s in self.sides if producer in s.stages]
                    outs = {out for version in versions for out, _ in self._paths(producer, version, "outs")}
                    if any(_overlap(path, out) for out in outs):
                        return Why.INPUT_UNKNOWN, f"it reads {path}, which {producer} has to make first"
                for out, made in self._paths(producer, self.kept.get(producer, {}), "outs"):
                    if not _overlap(path, out):
                        continue
                    known = dict(self._paths(producer, side.stages.get(producer, {}), "outs")).get(out)
                    seen = known is not None and _same_content(known, made)
                    if not seen and not (path == out and _same_content(dep, made)):
                        return Why.INPUT_CHANGED, f"it was made from another {path} than {producer} has made since"
        return None

    def _changed_dataset(self, side: Lock, dep: Entry) -> tuple[Why, str] | None:
        scheme, _, dataset = str(dep.get("path", "")).partition("ds://")
        if scheme or not dataset or _same(side.datasets.get(dataset), self.datasets.get(dataset)):
            return None
        return Why.INPUT_CHANGED, f"it was made from another version of the data set {dataset}"

    def _paths(self, stage: str, entry: Entry, kind: str) -> Iterator[tuple[str, Entry]]:
        wdir = self.wdirs.get(stage, self.wdirs.get(stage.partition("@")[0], "."))
        for item in entry.get(kind) or ():
            yield posixpath.normpath(posixpath.join(wdir, str(item["path"]))), item


def _three_way(base: Entry | None, ours: Entry | None, theirs: Entry | None) -> Entry | Why | None:
    """What three versions of an entry (None: not there) merge to, or why they do not."""
    if _same(ours, theirs) or _same(base, theirs):
        return ours
    if _same(base, ours):
        return theirs
    return Why.CHANGED_AND_DELETED if ours is None or theirs is None else Why.BOTH_CHANGED


def _same(one: Any, other: Any) -> bool:
    """Equal as YAML: 1, 1.0 and true are three values, and the order of keys is nothing."""
    return _text(one) == _text(other)


def _same_content(one: Entry, other: Entry) -> bool:
    first, second = ({k: v for k, v in entry.items() if k not in _NOT_CONTENT} for entry in (one, other))
    return bool(first) and _same(first, second)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=repr)


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def _stages(value: Any, where: str) -> dict[str, Entry]:
    if not isinstance(value, Mapping):
        raise DataError("stages must be a mapping", where=where)
    for name, entry in value.items():
        listed = [entry.get(kind, []) for kind in ("deps", "outs")] if isinstance(entry, Mapping) else None
        if listed is None or "cmd" not in entry or not all(isinstance(items, list) for items in listed):
            raise DataError(f"stage {name!r} is not a stage's entry", where=where)
        if not all(isinstance(item, Mapping) and "path" in item for items in listed for item in items):
            raise DataError(f"stage {name!r} has an input or output without a path", where=where)
    return {str(name): entry for name, entry in value.items()}
