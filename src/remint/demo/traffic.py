"""Traffic for the demo: rows that the model has never seen, with the truth that its users know.

Pure: randomness comes in as a generator. Rows come from a pool that is disjoint from training and golden rows. A small
pool that is replayed with replacement looks like drift by itself, so healthy traffic uses each row once, and only later
acts may smooth the pool (Silverman's bandwidth, halved, on numeric columns; one word dropped from a text).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from remint.core.schema import Kind
from remint.core.table import Table

SHIFT_SIGMAS = 1.0
_DRIFTED_COLUMNS = 3
_SLANG = ("lowkey", "bussin", "rizz", "yeet", "sus", "vibing", "delulu", "slaps", "cheugy", "mid", "goated", "finna")


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Rows to send, what is true of each, and how they were made, in words."""

    table: Table
    truth: tuple[str, ...]
    made: str

    @property
    def rows(self) -> int:
        return self.table.rows


def once(table: Table, truth: Sequence[str], count: int, *, random: np.random.Generator) -> Traffic:
    """At most ``count`` rows, each once, from all over the pool: its order may be time."""
    return drawn(table, truth, min(count, table.rows), random=random)


def drawn(table: Table, truth: Sequence[str], count: int, *, random: np.random.Generator) -> Traffic:
    """``count`` rows: each once where the pool is large enough, else drawn again and smoothed, and it says so."""
    if count <= table.rows:
        index = random.permutation(table.rows)[:count]
        made = f"{count} unseen rows, each once"
        rows = table.take(index)
    else:
        index = random.integers(0, table.rows, count)
        made = f"{count} rows smoothed from a pool of {table.rows} unseen ones"
        rows = _smoothed(table.take(index), table, random)
    return Traffic(table=rows, truth=tuple(truth[i] for i in index.tolist()), made=made)


def _smoothed(rows: Table, pool: Table, random: np.random.Generator) -> Table:
    columns = dict(rows.columns)
    for column in rows.features:
        values = rows.columns[column.name]
        if column.kind is Kind.NUMERIC:
            known = pool.columns[column.name][np.isfinite(pool.columns[column.name])]
            if np.unique(known).size <= 10:
                continue  # a code or a count of few: a value in between would be a new one
            bandwidth = 0.5 * 1.06 * float(known.std()) * known.size**-0.2
            moved = np.clip(values + random.normal(0, bandwidth, rows.rows), known.min(), known.max())
            columns[column.name] = np.round(moved) if np.all(known == np.round(known)) else moved
        elif column.kind is Kind.TEXT:
            columns[column.name] = _objects([_without_a_word(v, random) for v in values.tolist()])
    return Table(rows.features, columns)


def _without_a_word(text: str | None, random: np.random.Generator) -> str | None:
    words = (text or "").split()
    if len(words) < 4:
        return text
    del words[int(random.integers(0, len(words)))]
    return " ".join(words)


def broken(traffic: Traffic) -> tuple[Traffic, str]:
    """The first feature arrives empty, as after a renamed field upstream. Also returns the column's name."""
    name = traffic.table.features[0].name
    numeric = traffic.table.features[0].kind is Kind.NUMERIC
    empty = np.full(traffic.rows, np.nan) if numeric else _objects([None] * traffic.rows)
    table = Table(traffic.table.features, {**traffic.table.columns, name: empty})
    return Traffic(table=table, truth=traffic.truth, made=f"{traffic.made}; column '{name}' arrives empty"), name


def drifted(traffic: Traffic, pool: Table, pool_truth: Sequence[str], *, random: np.random.Generator) -> Traffic:
    """Shift what the label hangs on most: numbers by one sigma, categories to their rarest, texts to new words."""
    columns = dict(traffic.table.columns)
    changed: list[str] = []
    numeric = [c.name for c in pool.features if c.kind is Kind.NUMERIC and _spread(pool, c.name) > 0]
    for name in sorted(numeric, key=lambda n: -_association(pool.columns[n], pool_truth))[:_DRIFTED_COLUMNS]:
        known = pool.columns[name][np.isfinite(pool.columns[name])]
        step = SHIFT_SIGMAS * _spread(pool, name)
        # to the side with more room: rows beyond the range would be broken data, not drift
        sign = 1.0 if known.max() - known.mean() > known.mean() - known.min() else -1.0
        moved = columns[name] + sign * step
        columns[name] = np.round(moved) if np.all(known == np.round(known)) and step >= 1 else moved
        changed.append(name)
    if not changed:
        for column in [c for c in pool.features if c.kind is Kind.CATEGORICAL][:_DRIFTED_COLUMNS]:
            values = [v for v in pool.columns[column.name].tolist() if v is not None]
            found, counts = np.unique(np.array(values, dtype=str), return_counts=True)
            rarest = str(found[int(np.argmin(counts))])
            moved_rows = random.random(traffic.rows) < 0.6
            columns[column.name] = _objects(
                [rarest if m else v for m, v in zip(moved_rows, columns[column.name].tolist(), strict=True)]
            )
            changed.append(column.name)
    for column in [c for c in pool.features if c.kind is Kind.TEXT]:
        columns[column.name] = _objects([_with_slang(v, random) for v in columns[column.name].tolist()])
        changed.append(column.name)
    table = Table(traffic.table.features, columns)
    return Traffic(table=table, truth=traffic.truth, made=f"{traffic.made}; drift injected into {', '.join(changed)}")


def _with_slang(text: str | None, random: np.random.Generator) -> str | None:
    if text is None or random.random() < 0.2:
        return text
    return f"{text} {' '.join(random.choice(_SLANG, size=int(random.integers(4, 9))))}"


def _spread(pool: Table, name: str) -> float:
    known = pool.columns[name][np.isfinite(pool.columns[name])]
    return float(known.std()) if known.size else 0.0


def _association(values: np.ndarray, truth: Sequence[str]) -> float:
    """Share of the column's variance that lies between the classes (eta squared)."""
    known = np.isfinite(values)
    if not known.any():
        return 0.0
    labels = np.array(truth)[known]
    numbers = values[known]
    total = float(((numbers - numbers.mean()) ** 2).sum())
    if total == 0:
        return 0.0
    groups = [numbers[labels == label] for label in np.unique(labels)]
    return float(sum(g.size * (g.mean() - numbers.mean()) ** 2 for g in groups) / total)


def poisoned(truth: Sequence[str], classes: Sequence[str]) -> tuple[str, ...]:
    """Every label replaced by the next class: wrong on purpose."""
    position = {label: i for i, label in enumerate(classes)}
    return tuple(classes[(position[label] + 1) % len(classes)] for label in truth)


def _objects(values: Sequence[str | None]) -> np.ndarray:
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out
