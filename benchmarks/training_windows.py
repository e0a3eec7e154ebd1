"""Is less history better? Each model is trained on the past and scored on the week after, week by week.

    python benchmarks/training_windows.py --data elec.csv --label target [--every 3]

The file is in time order, a row each half an hour, all other columns numbers; a week is 336 rows.
"""

from __future__ import annotations

import argparse
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from remint.core.recency import Window, newest, weights
from remint.core.rows import LabelledRows, data_rows, objects
from remint.core.schema import Column, Kind
from remint.core.table import Table

WEEK = 336
FIRST = 12  # weeks of history before the first score
WAYS: dict[str, tuple[Window, timedelta | None]] = {
    "all history": (Window(), None),
    "last 26 weeks": (Window(last=timedelta(weeks=26)), None),
    "last 12 weeks": (Window(last=timedelta(weeks=12)), None),
    "last 4 weeks": (Window(last=timedelta(weeks=4)), None),
    "half-life 10 d": (Window(), timedelta(days=10)),
    "half-life 30 d": (Window(), timedelta(days=30)),
    "half-life 90 d": (Window(), timedelta(days=90)),
}


def linear() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000))


def boosting() -> Any:
    return HistGradientBoostingClassifier(max_iter=100, random_state=0)


def read(path: Path, label: str) -> LabelledRows:
    frame = pd.read_csv(path)
    features = [name for name in frame.columns if name != label]
    columns = tuple(Column(name=name, kind=Kind.NUMERIC) for name in features)
    table = Table(columns, {name: frame[name].to_numpy(dtype=np.float64) for name in features})
    start = np.datetime64("2000-01-03", "us")  # a Monday; only differences count
    at = start + np.arange(len(frame)) * np.timedelta64(30, "m")
    return data_rows(table, objects([str(value) for value in frame[label]]), event_at=at)


def score(make: Any, rows: LabelledRows, *, every: int) -> dict[str, list[float]]:
    """Accuracy on each scored week, by way of training."""
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for week in range(FIRST, rows.rows // WEEK, every):
        past = rows.take(np.arange(week * WEEK))
        coming = rows.take(np.arange(week * WEEK, (week + 1) * WEEK))
        for way, (window, half_life) in WAYS.items():
            train = newest(past, window)
            weight = None if half_life is None else weights(train, half_life)
            model = make()
            last = model.steps[-1][0] if hasattr(model, "steps") else None
            given = {} if weight is None else {f"{last}__sample_weight" if last else "sample_weight": weight}
            model.fit(train.table.matrix().astype(np.float64), train.labels.astype(str), **given)
            said = model.predict(coming.table.matrix().astype(np.float64))
            found[way].append(float((said == coming.labels.astype(str)).mean()))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--label", required=True)
    parser.add_argument("--every", type=int, default=3, help="for boosting, score each so manieth week")
    args = parser.parse_args()
    rows = read(args.data, args.label)
    results = {
        "linear": score(linear, rows, every=1),
        "boosting": score(boosting, rows, every=args.every),
    }
    weeks = {name: len(found["all history"]) for name, found in results.items()}
    print("| trained on | " + " | ".join(f"{name}, {weeks[name]} weeks" for name in results) + " |")
    print("|---|" + "--:|" * len(results))
    for way in WAYS:
        cells = []
        for found in results.values():
            gain = np.array(found[way]) - np.array(found["all history"])
            error = gain.std(ddof=1) / np.sqrt(len(gain))
            more = "" if way == "all history" else f" ({gain.mean():+.3f} ± {error:.3f})"
            cells.append(f"{np.mean(found[way]):.4f}{more}")
        print(f"| {way} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
