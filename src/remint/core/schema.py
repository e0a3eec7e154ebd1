"""What a row is: the declared columns with their kinds, the label, the classes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from remint.errors import DataError


class Kind(StrEnum):
    """What a column holds. Only numeric, categorical and text columns are features."""

    NUMERIC = "numeric"
    CATEGORICAL = "categorical"
    TEXT = "text"
    IGNORED = "ignored"
    SENSITIVE = "sensitive"  # never a feature, never profiled, never logged; kept beside training rows for slices

    @property
    def is_feature(self) -> bool:
        return self in {Kind.NUMERIC, Kind.CATEGORICAL, Kind.TEXT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    name: str
    kind: Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """The features in the order in which a model sees them, and the classes it answers with."""

    pipeline: str
    features: tuple[Column, ...]
    label: str
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.features:
            raise DataError("no feature column is declared", where="task.columns")
        for column in self.features:
            if not column.kind.is_feature:
                raise DataError(f"column {column.name!r} is {column.kind.value}, not a feature", where="task.columns")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.features)

    def to_json(self) -> dict[str, Any]:
        return {
            "pipeline": self.pipeline,
            "features": [{"name": c.name, "kind": c.kind.value} for c in self.features],
            "label": self.label,
            "classes": list(self.classes),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Schema:
        return cls(
            pipeline=data["pipeline"],
            features=tuple(Column(name=c["name"], kind=Kind(c["kind"])) for c in data["features"]),
            label=data["label"],
            classes=tuple(data["classes"]),
        )


def canonical_label(value: object) -> str | None:
    """A label as text, however a file format typed it: ``1``, ``1.0`` and ``"1"`` are ``"1"``; missing is None.

    Surrounding white space is dropped; ``True`` is ``"true"``.
    """
    if value is None:
        return None
    if isinstance(value, str):
        text = value.strip()
        return text or None
    item = getattr(value, "item", None)  # NumPy scalars
    if callable(item):
        value = item()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    return str(value).strip() or None
