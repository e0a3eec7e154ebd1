"""The prepare stage: data file, feedback and golden set in; the sides of the split out."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any, Final

from remint import __version__
from remint.adapters.files import write_atomically
from remint.adapters.frames import DataFile, read_data_file, read_metadata, read_rows, write_rows
from remint.config import Params
from remint.core.golden import parse_golden
from remint.core.recency import weights
from remint.core.rows import LabelledRows, objects
from remint.core.split import SplitPolicy, Splits, split
from remint.errors import ConfigError, DataError

PREPARED: Final = Path("artifacts/prepared")
QUARANTINE: Final = "remint.quarantine"  # key of the feedback file's metadata: JSON, reason -> rows

_PIN = re.compile(r"\s*remint(?:\[[^\]]*\])?\s*==\s*(?P<version>[^\s;#]+)", re.IGNORECASE)


def prepare(params: Params, directory: Path) -> None:
    """Split the labelled rows and write ``artifacts/prepared/``: Parquet for each side, and ``summary.json``.

    Raises DataError where the data contradict the declared task, where the golden file is not the reviewed one, or
    where a side has nothing to learn from or to measure on; ConfigError where another Remint is installed than pinned.
    """
    check_pin(directory / "requirements.txt", installed=__version__)
    features = params.task.features
    data = read_task_data(params, directory)
    golden_path = directory / params.prepare.golden.path
    golden = parse_golden(
        _read_bytes(golden_path),
        sha256=params.prepare.golden.sha256,
        features=features,
        where=str(golden_path),
    )
    feedback_path = directory / params.prepare.feedback
    feedback = read_rows(feedback_path, features)
    splits = split(
        data.rows, feedback, set(golden.keys.tolist()), split_policy(params), by_time=params.task.time is not None
    )
    classes = check_splits(splits, label=params.task.label, where=str(directory / params.task.data))
    if params.task.positive is not None and params.task.positive not in classes:
        raise ConfigError(
            f"{params.task.positive!r} is not a class of {params.task.label!r}: {', '.join(classes[:10])}",
            where="params.yaml: task.positive",
        )
    half_life = params.prepare.half_life
    if half_life is not None:
        splits = dataclasses.replace(
            splits, train=dataclasses.replace(splits.train, weight=weights(splits.train, half_life.of))
        )
    sides = {**_sides(splits), "golden": _with_sensitive(golden, data.rows)}
    for name, rows in sides.items():
        write_rows(directory / PREPARED / f"{name}.parquet", rows)
    summary = {
        "pipeline": params.pipeline,
        "classes": list(classes),
        "rows": {name: rows.rows for name, rows in sides.items()},
        "sources": {name: _counts(rows.source) for name, rows in sides.items()},
        "labels": {name: _counts(rows.labels) for name, rows in sides.items()},
        "dropped": {
            "missing_label": data.missing_labels,
            "missing_time": data.missing_times,
            **dataclasses.asdict(splits.dropped),
        },
        "feedback": {
            "rows": feedback.rows,
            "until": params.prepare.until.sequence,
            "quarantine": _quarantine(feedback_path),
        },
    }
    write_atomically(directory / PREPARED / "summary.json", json.dumps(summary, indent=2, ensure_ascii=False) + "\n")


def read_task_data(params: Params, directory: Path) -> DataFile:
    """The rows of the task's data file. A time column's zone counts only where ``params.yaml`` spells it out."""
    task = params.task
    zone = task.time.zone if task.time is not None and "zone" in task.time.model_fields_set else None
    return read_data_file(
        directory / task.data,
        columns=task.columns,
        label=task.label,
        time_column=task.time.column if task.time is not None else None,
        zone=zone,
    )


def split_policy(params: Params) -> SplitPolicy:
    return SplitPolicy(
        salt=f"{params.pipeline}:{params.prepare.seed}",
        test_share=params.prepare.test_share,
        held_out_share=params.prepare.held_out_share,
        fresh_share=params.prepare.fresh_share,
        until=params.prepare.until.sequence,
        drop_duplicates=params.prepare.duplicates.value == "drop",
        window=params.prepare.window.policy,
    )


def check_splits(splits: Splits, *, label: str, where: str) -> tuple[str, ...]:
    """The classes: all labels among the training rows, sorted. Raises DataError where a side cannot do its work."""
    for name, rows in (("train", splits.train), ("held_out", splits.held_out), ("test", splits.test)):
        if rows.rows == 0:
            raise DataError(
                f"no row is left for the {name} side",
                where=where,
                hint="are there too few distinct rows?",
            )
    classes = tuple(sorted(set(splits.train.labels.tolist())))
    if len(classes) < 2:
        raise DataError(
            f"all training rows have the label {classes[0]!r}", where=f"{where}: {label}", hint="two classes are needed"
        )
    return classes


def check_pin(requirements: Path, *, installed: str) -> None:
    """``requirements.txt`` pins the Remint that runs: it is a dependency of the stages, so a new version retrains."""
    where = str(requirements)
    try:
        lines = requirements.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise ConfigError("not found", where=where, hint=f"it has to pin remint=={installed}") from None
    pins = [match["version"] for match in map(_PIN.match, lines) if match is not None]
    if not pins:
        raise ConfigError("does not pin remint", where=where, hint=f"add the line remint=={installed}")
    if pins != [installed]:
        raise ConfigError(
            f"pins remint=={pins[-1]}, installed is {installed}",
            where=where,
            hint=f"install the pinned one, or change the pin to {installed} and retrain",
        )


def _with_sensitive(golden: LabelledRows, data: LabelledRows) -> LabelledRows:
    """The golden rows with the sensitive values of the data rows that they were drawn from, for slices.

    The golden file holds features and labels alone. Where the data rows of equal features differ, the value is missing.
    """
    found = {}
    for name, values in data.sensitive.items():
        known: dict[str, str | None] = {}
        for key, value in zip(data.keys.tolist(), values.tolist(), strict=True):
            known[key] = value if known.setdefault(key, value) == value else None
        found[name] = objects([known.get(key) for key in golden.keys.tolist()])
    return dataclasses.replace(golden, sensitive=found)


def _sides(splits: Splits) -> dict[str, LabelledRows]:
    return {"train": splits.train, "held_out": splits.held_out, "test": splits.test, "fresh": splits.fresh}


def _counts(values: Any) -> dict[str, int]:
    return dict(sorted(Counter(values.tolist()).items()))


def _quarantine(path: Path) -> dict[str, int]:
    text = read_metadata(path).get(QUARANTINE)
    return {} if text is None else {str(k): int(v) for k, v in json.loads(text).items()}


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError("no such file", where=str(path), hint="it is kept in git: restore it") from None
