"""The file that the demo is given, cut into history, a pool of unseen rows, and the rows that come later."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

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
    frame = _read(path)
    if label not in frame.columns:
        raise DataError(
            f"no column {label!r}", where=str(path), hint=did_you_mean(label, list(map(str, frame.columns)))
        )
    if time_column is not None and time_column in frame.columns:
        frame = frame.sort_values(time_column, kind="stable")
    place = _places(frame.drop(columns=[label]))
    total = len(frame)
    share = min(1.0, _MOST_ROWS / total)
    frame, place = frame[place < share], place[place < share] / share
    ordered = len(frame) >= _ORDERED_ROWS
    past = np.arange(len(frame)) < int(len(frame) * (_HISTORY_SHARE if ordered else 1.0))
    in_pool = place < _POOL_SHARE[ordered]
    name = path.name if path.suffix else f"{path.name}.csv"
    thinned = f", thinned to {len(frame)}" if total > _MOST_ROWS else ""
    return Split(
        history=_write(frame[past & ~in_pool], folder / name),
        pool=_write(frame[past & in_pool], folder / f"pool-{name}"),
        future=_write(frame[~past], folder / f"future-{name}") if ordered else None,
        note=f"{path.name}: {total} rows{thinned}; {int((past & ~in_pool).sum())} to learn from, "
        f"{int((past & in_pool).sum())} unseen as traffic" + (f", {int((~past).sum())} later ones" if ordered else ""),
    )


def example(folder: Path) -> tuple[Path, str]:
    """scikit-learn's bundled breast-cancer data as a CSV file, and its label."""
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer(as_frame=True)
    frame: pd.DataFrame = data.frame.copy()
    frame["target"] = frame["target"].map(dict(enumerate(data.target_names)))
    path = folder / "breast-cancer.csv"
    frame.to_csv(path, index=False)
    return path, "target"


def _read(path: Path) -> pd.DataFrame:
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        # every cell as the text that it is: nothing is guessed here, the product itself reads the pieces
        return pd.read_csv(path, sep=None, engine="python", dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError("not found", where=str(path)) from None
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        raise DataError(f"cannot be read: {error}", where=str(path)) from None


def _write(frame: pd.DataFrame, path: Path) -> Path:
    if path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


def _places(frame: pd.DataFrame) -> np.ndarray:
    """A number in [0, 1) for each row, the same for equal rows."""
    lines: Sequence[str] = frame.astype(str).agg("\x1f".join, axis=1).tolist()
    return np.array(
        [
            int.from_bytes(hashlib.sha256(line.encode("utf-8", "surrogatepass")).digest()[:7], "big") / 2**56
            for line in lines
        ]
    )
