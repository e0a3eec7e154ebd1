"""The golden set: drawn once, reviewed, and never trained on. One JSON object a line, so that a review shows rows."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from remint.core.rows import LabelledRows, data_rows, objects
from remint.core.schema import Column, Kind, Schema, canonical_label
from remint.core.table import table_from_rows, unit_interval
from remint.errors import DataError, RemintError


def golden_size(distinct_rows: int) -> int:
    """A tenth of the distinct rows, at least 100 and at most 1,000, but never more than a quarter of them."""
    return min(max(distinct_rows // 10, 100), 1000, distinct_rows // 4)


def draw_golden(rows: LabelledRows, *, size: int, salt: str) -> npt.NDArray[np.int64]:
    """Positions of ``size`` rows with distinct features: each class by its share, at least one where it has four.

    Where rows with equal features disagree about the label, one of the most frequent label is taken. The draw is by
    hash: the same rows and ``salt`` always give the same set. The number of rows may differ from ``size`` by rounding.
    Rows with an infinite number are left out: JSON has none, so nobody could send such a row to the service.
    """
    infinite = _has_infinity(rows)
    label_of = _majority_labels(rows)
    candidates: dict[str, list[int]] = {}
    taken: set[str] = set()
    labels, keys = rows.labels.tolist(), rows.keys.tolist()
    for i in np.argsort(unit_interval(rows.keys, salt=f"{salt}:golden"), kind="stable").tolist():
        if keys[i] not in taken and label_of[keys[i]] == labels[i] and not infinite[i]:
            taken.add(keys[i])
            candidates.setdefault(labels[i], []).append(i)
    share = size / max(1, len(taken))
    chosen: list[int] = []
    for label in sorted(candidates):
        positions = candidates[label]
        wanted = max(round(share * len(positions)), 1 if len(positions) >= 4 else 0)
        chosen.extend(positions[:wanted])
    return np.array(sorted(chosen), dtype=np.int64)


def _has_infinity(rows: LabelledRows) -> npt.NDArray[np.bool_]:
    numeric = [rows.table.columns[c.name] for c in rows.table.features if c.kind is Kind.NUMERIC]
    return np.any([np.isinf(values) for values in numeric], axis=0) if numeric else np.zeros(rows.rows, dtype=bool)


def _majority_labels(rows: LabelledRows) -> dict[str, str]:
    """The most frequent label of each key; of equally frequent ones the first in alphabetical order."""
    counts: dict[str, Counter[str]] = {}
    for key, label in zip(rows.keys.tolist(), rows.labels.tolist(), strict=True):
        counts.setdefault(key, Counter())[label] += 1
    return {key: min(found, key=lambda label: (-found[label], label)) for key, found in counts.items()}


def format_golden(rows: LabelledRows) -> bytes:
    """The golden file's bytes. ASCII: a review tool or an editor can change no character by accident."""
    lines = [
        json.dumps({"features": features, "label": label}, ensure_ascii=True, allow_nan=False)
        for features, label in zip(rows.table.to_rows(), rows.labels.tolist(), strict=True)
    ]
    return "".join(f"{line}\n" for line in lines).encode()


def golden_hash(content: bytes) -> str:
    """What ``prepare.golden.sha256`` says."""
    return hashlib.sha256(content).hexdigest()


def parse_golden(content: bytes, *, sha256: str, features: Sequence[Column], where: str) -> LabelledRows:
    """The golden rows. Raises DataError where the hash is not ``sha256`` or a line is not a row of these features."""
    found = golden_hash(content)
    if found != sha256:
        raise DataError(
            f"has changed: its SHA-256 is {found[:12]}..., params.yaml says {sha256[:12]}...",
            where=where,
            hint="a changed golden set is a reviewed change of prepare.golden.sha256",
        )
    lines = content.decode("utf-8", "replace").splitlines()
    if not lines:
        raise DataError("holds no rows", where=where)
    schema = Schema(pipeline="golden", features=tuple(features), label="label", classes=())
    rows, labels = [], []
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
            row, label = entry["features"], canonical_label(entry["label"])
        except (ValueError, TypeError, KeyError):
            row, label = None, None
        if not isinstance(row, dict) or label is None:
            raise DataError('is not {"features": {...}, "label": "..."}', where=f"{where}: line {number}")
        rows.append(row)
        labels.append(label)
    try:
        table = table_from_rows(schema, rows)
    except RemintError as error:
        raise DataError(
            f"{error.where}: {error.message}",
            where=where,
            hint="for changed columns draw the golden set again: remint init --redraw-golden",
        ) from None
    return data_rows(table, objects(labels))
