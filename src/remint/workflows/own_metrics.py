"""The metrics of a team's own stages: read for information, shown beside ours, judged by nobody."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from remint.adapters.git import Git
from remint.errors import DataError

METRICS: Final = "artifacts/metrics.json"
_SHOWN: Final = 20  # of a file, in the notes of a gate; metrics.json holds them all
_MOST: Final = 200


def read_own_metrics(directory: Path, info_files: Sequence[str]) -> dict[str, dict[str, float]]:
    """By file, each number in it by its dotted name (``test.f1``, ``folds.0``); text, booleans and NaN are left out.

    JSON, YAML and TOML, as DVC reads metrics. Raises DataError where a declared file is absent or unreadable.
    """
    return {name: dict(_numbers(_read(directory / name), "")) for name in info_files}


def own_metric_notes(directory: Path, info_files: Sequence[str], champion_rev: str | None) -> list[str]:
    """A line for each of the numbers that the evaluate stage took up, with the champion's where git has it at its tag.

    Each model's numbers are on the rows that the team's own stages chose: they are shown, and decide nothing.
    """
    if not info_files:
        return []
    now = _info(_bytes(directory / METRICS))
    before = _info(None if champion_rev is None else Git(directory).show(champion_rev, METRICS))
    notes = []
    for file in info_files:
        found = list(now.get(file, {}).items())
        for name, value in found[:_SHOWN]:
            earlier = before.get(file, {}).get(name)
            beside = "" if earlier is None else f", at the champion {earlier:.6g}"
            notes.append(f"{file}: {name} is {value:.6g}{beside} (of your own stages, not judged)")
        if len(found) > _SHOWN:
            notes.append(f"{file}: and {len(found) - _SHOWN} more numbers, in {METRICS}")
    return notes


def _info(content: bytes | None) -> Mapping[str, Mapping[str, float]]:
    try:
        found = None if content is None else json.loads(content).get("info")
    except (ValueError, AttributeError):
        found = None
    return found if isinstance(found, dict) else {}


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _read(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
        match path.suffix.lower():
            case ".json":
                return json.loads(text)
            case ".toml":
                return tomllib.loads(text)
            case _:
                return yaml.safe_load(text)
    except FileNotFoundError:
        hint = "a stage of yours makes it: dvc repro, or take it from evaluate.info_files"
        raise DataError("no such file", where=str(path), hint=hint) from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise DataError(f"cannot be read: {' '.join(str(error).split())[:200]}", where=str(path)) from None


def _numbers(value: Any, name: str) -> Iterator[tuple[str, float]]:
    """At most ``_MOST`` of them: a metrics file may hold a curve."""
    todo, count = [(name, value)], 0
    while todo and count < _MOST:
        name, value = todo.pop()
        if isinstance(value, Mapping):
            todo += [(_join(name, str(key)), inner) for key, inner in reversed(list(value.items()))]
        elif isinstance(value, list):
            todo += [(_join(name, str(i)), inner) for i, inner in reversed(list(enumerate(value)))]
        elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            count += 1
            yield name, value


def _join(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key
