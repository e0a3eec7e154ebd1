"""Which rules together are a reason to retrain: names joined by ``any`` and ``all``, with three-valued truth.

A rule without an answer is neither true nor false (Kleene): ``any`` holds if one part does, whatever the others would
have said; ``all`` fails if one part does. Where it matters what a silent rule would have said, the answer is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, assert_never


@dataclass(frozen=True, slots=True)
class AnyOf:
    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    parts: tuple[Condition, ...]


Condition = str | AnyOf | AllOf  # a string is a rule's name


def parse_condition(value: Any) -> Condition:
    """From YAML: a rule's name, ``{any: [...]}`` or ``{all: [...]}``, nested. ValueError for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, AnyOf | AllOf):
        return value
    if isinstance(value, dict) and len(value) == 1:
        (how, parts), *_ = value.items()
        if how in {"any", "all"} and isinstance(parts, list) and parts:
            parsed = tuple(parse_condition(part) for part in parts)
            return AnyOf(parsed) if how == "any" else AllOf(parsed)
    raise ValueError(f"{value!r} is not a rule's name, {{any: [...]}} or {{all: [...]}}")


def names(condition: Condition) -> Iterator[str]:
    """Every rule that the condition names, in order, repeated where it is."""
    match condition:
        case str():
            yield condition
        case AnyOf(parts) | AllOf(parts):
            for part in parts:
                yield from names(part)
        case _:
            assert_never(condition)


def holds(condition: Condition, truth: Mapping[str, bool | None]) -> bool | None:
    """Whether it holds, None where that is unknown. Raises KeyError for a name that ``truth`` has not."""
    match condition:
        case str():
            return truth[condition]
        case AnyOf(parts):
            found = [holds(part, truth) for part in parts]
            return True if True in found else None if None in found else False
        case AllOf(parts):
            found = [holds(part, truth) for part in parts]
            return False if False in found else None if None in found else True
        case _:
            assert_never(condition)
