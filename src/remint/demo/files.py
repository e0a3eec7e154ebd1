"""The file that the demo is given, cut into history, a pool of unseen rows, and the rows that come later."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from remint.adapters.datafile import RawFile, read_raw
from remint.adapters.examples import Example, example_csv
from remint.core.schema import canonical_label
from remint.errors import DataError, did_you_mean

_MOST_ROWS = 12_000  # a demo of minutes, not of hours; the rows are thinned evenly over the file
_ORDERED_ROWS = 4_000  # from here on the file's own order (or time) is taken for time
_HISTORY_SHARE = 0.6
_POOL_SHARE = {False: 0.4, True: 0.35}


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Files in the same format. ``future`` is None where the file is too small to have a before and an after."""

    history: Path
    pool: Path
    future: Path | None
    note: str


def cut(path: Path, label: str, folder: Path, *, time_column: str | None = None) -> Split:
    """Cut by a hash of the whole row without the label, so that equal rows stay on one side."""
    raw = read_raw(path)
    for name in (label, time_column):
        if name is not None and name not in raw.names:
            raise DataError(f"no column {name!r}", where=str(path), hint=did_you_mean(name, raw.names))
    frame = raw.content if isinstance(raw.content, pd.DataFrame) else raw.content.to_pandas()
    if time_column is not None:
        frame = frame.sort_values(time_column, kind="stable")
    place = _places(frame.drop(columns=[label]))
    total = len(frame)
    share = min(1.0, _MOST_ROWS / total)
    frame, place = frame[place < share], place[place < share] / share
    ordered = len(frame) >= _ORDERED_ROWS
    past = np.arange(len(frame)) < int(len(frame) * (_HISTORY_SHARE if ordered else 1.0))
    in_pool = place < _POOL_SHARE[ordered]
    thinned = f", thinned to {len(frame)}" if share < 1 else ""
    later = f", {int((~past).sum())} later ones" if ordered else ""
    return Split(
        history=_write(raw, frame[past & ~in_pool], folder / path.name),
        pool=_write(raw, frame[past & in_pool], folder / f"pool-{path.name}"),
        future=_write(raw, frame[~past], folder / f"future-{path.name}") if ordered else None,
        note=f"{path.name}: {total} rows{thinned}; {int((past & ~in_pool).sum())} to learn from, "
        f"{int((past & in_pool).sum())} kept unseen as traffic{later}",
    )


def example(folder: Path) -> tuple[Path, str]:
    """scikit-learn's bundled breast-cancer data as a CSV file, and its label."""
    path = folder / f"{Example.BREAST_CANCER.value}.csv"
    path.write_bytes(example_csv(Example.BREAST_CANCER))
    return path, Example.BREAST_CANCER.label


def swap_labels(path: Path, label: str, classes: Sequence[str]) -> None:
    """Each label becomes the next one: what a broken join or a flipped encoding does to a training file."""
    raw = read_raw(path)
    frame = (raw.content if isinstance(raw.content, pd.DataFrame) else raw.content.to_pandas()).copy()
    position = {name: i for i, name in enumerate(classes)}
    names = [canonical_label(value) for value in frame[label].tolist()]
    frame[label] = [None if n is None else classes[(position.get(n, 0) + 1) % len(classes)] for n in names]
    _write(raw, frame, path)


def _write(raw: RawFile, frame: pd.DataFrame, path: Path) -> Path:
    if raw.delimiter is None:
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False, sep=raw.delimiter)
    return path


def _places(frame: pd.DataFrame) -> npt.NDArray[np.float64]:
    """A number in [0, 1) for each row, the same for equal rows."""
    columns = [frame[name].astype(str).tolist() for name in frame.columns]
    digests = [
        hashlib.sha256("\x1f".join(row).encode("utf-8", "surrogatepass")).digest() for row in zip(*columns, strict=True)
    ]
    return np.array([int.from_bytes(digest[:7], "big") / 2**56 for digest in digests])
