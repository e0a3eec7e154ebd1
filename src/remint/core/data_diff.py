"""What differs between the commit that a retrain started from and what it made: rows, schema, profile, params, files.

Everything is compared as it is recorded (``summary.json``, ``metadata.json``, ``reference.json``, ``params.yaml``,
``dvc.lock``); a side that is not there is None, and what is only on one side came or went.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from remint.core.divergence import divergence
from remint.core.profile import Counts, FieldRole, Measure, Reference

Json = Mapping[str, Any]

_MOST_FIELDS: Final = 10
_LONGEST_VALUE: Final = 200  # characters of a parameter's value


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One named thing before and now; None where it is not there."""

    name: str
    before: str | None
    now: str | None

    def to_json(self) -> dict[str, str | None]:
        return {"name": self.name, "before": self.before, "now": self.now}


@dataclass(frozen=True, slots=True, kw_only=True)
class CountChange:
    """How many rows of one kind there were and are; ``before`` None where it was not recorded."""

    side: str
    name: str
    before: int | None
    now: int

    def to_json(self) -> dict[str, str | int | None]:
        return {"side": self.side, "name": self.name, "before": self.before, "now": self.now}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileMove:
    """One field of the training rows over the bins of before. ``psi`` in nats, less what chance adds; at least 0."""

    field: str
    psi: float
    before: tuple[int, ...]
    now: tuple[int, ...]

    @property
    def sigmas(self) -> float:
        """The shift of a Gaussian that has this PSI."""
        return math.sqrt(self.psi)

    def to_json(self) -> dict[str, Any]:
        return {"field": self.field, "psi": self.psi, "before": list(self.before), "now": list(self.now)}


def row_changes(before: Json | None, now: Json, *, by: str) -> tuple[CountChange, ...]:
    """Two ``summary.json`` compared by side and ``by``: ``sources`` or ``labels``."""
    found = []
    for side, counts in now[by].items():
        earlier = None if before is None else before[by].get(side, {})
        for name in [*counts, *(name for name in earlier or {} if name not in counts)]:
            was = None if earlier is None else int(earlier.get(name, 0))
            found.append(CountChange(side=str(side), name=str(name), before=was, now=int(counts.get(name, 0))))
    return tuple(found)


def schema_changes(before: tuple[Json, Json] | None, now: tuple[Json, Json]) -> tuple[Change, ...]:
    """Columns with their kind, and classes; only what differs. Each side is (``reference.json``, ``metadata.json``)."""
    if before is None:
        return ()
    return tuple(_differing(dict(_parts(*before)), dict(_parts(*now))))


def _parts(reference: Json, metadata: Json) -> Iterator[tuple[str, str]]:
    for field in reference["fields"]:
        if field["role"] == FieldRole.FEATURE.value:
            is_text = field["measure"] != Measure.VALUE.value
            kind = "text" if is_text else "categorical" if field["edges"] is None else "numeric"
            yield f"column {field['column']}", kind
    for label in metadata["classes"]:
        yield f"class {label}", "there"


def params_changes(before: Any, now: Any) -> tuple[Change, ...]:
    """Two parameter documents, key by key (``train.seed``); only what differs."""
    return tuple(_differing(dict(_flat(before)), dict(_flat(now))))


def profile_moves(before: Reference, counts: Counts) -> tuple[ProfileMove, ...]:
    """The features that moved most, the most first. ``counts`` are the new training rows over the bins of ``before``.

    No test is made: training rows are no sample of anything, they are what was taken.
    """
    found = []
    for profile in before.fields:
        if profile.role is not FieldRole.FEATURE or profile.name not in counts:
            continue
        now = tuple(int(count) for count in counts[profile.name])
        if sum(now) and sum(profile.counts):
            psi = max(0.0, divergence(profile.counts, now).psi_adjusted)
            found.append(ProfileMove(field=profile.name, psi=round(psi, 6), before=profile.counts, now=now))
    return tuple(sorted((f for f in found if f.psi > 0), key=lambda f: (-f.psi, f.field))[:_MOST_FIELDS])


@dataclass(frozen=True, slots=True, kw_only=True)
class LockChanges:
    """Two ``dvc.lock``: the files that no stage makes and that differ, and for each stage what it has anew."""

    files: tuple[Change, ...]  # their hashes
    stages: Mapping[str, tuple[str, ...]]


def lock_changes(before: Json | None, now: Json) -> LockChanges:
    """Of two ``dvc.lock`` documents. A stage that was not there before has all of it anew: ``first run``."""
    old, new = (before or {}).get("stages") or {}, now.get("stages") or {}
    made = {str(out["path"]) for stage in new.values() for out in stage.get("outs", [])}
    files: dict[str, Change] = {}
    stages: dict[str, tuple[str, ...]] = {}
    for name, stage in new.items():
        was = old.get(name)
        if was is None:
            stages[str(name)] = ("first run",)
            continue
        deps = list(_differing(_hashes(was), _hashes(stage)))
        params = list(_differing(dict(_flat(_keys(was))), dict(_flat(_keys(stage)))))
        said = ["command"] if was.get("cmd") != stage.get("cmd") else []
        stages[str(name)] = (*said, *(change.name for change in (*deps, *params)))
        files |= {change.name: change for change in deps if change.name not in made}
    return LockChanges(files=tuple(files[path] for path in sorted(files)), stages=stages)


def _hashes(stage: Json) -> dict[str, str]:
    return {str(dep["path"]): str(dep.get("md5") or dep.get("hash")) for dep in stage.get("deps", [])}


def _keys(stage: Json) -> dict[str, Any]:
    """The parameters of all files together, by key: the file is nearly always params.yaml."""
    return {str(key): value for file in (stage.get("params") or {}).values() for key, value in file.items()}


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    elif prefix:
        yield prefix, _short(value)


def _short(value: Any) -> str:
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"


def _differing(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Change]:
    names: Sequence[str] = [*new, *(name for name in old if name not in new)]
    for name in names:
        if old.get(name) != new.get(name):
            yield Change(name=name, before=old.get(name), now=new.get(name))
