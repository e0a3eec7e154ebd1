"""Counts over a reference's frozen bins from files, by the engine that a team has: Polars, DuckDB or Spark.

Files are only another way to the counts that Prometheus keeps: whatever the engine, they are equal, bin for bin, to
``Reference.count`` of the same rows, and no row leaves the place where it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from remint.adapters.datafile import MISSING_CATEGORY, canonical_texts
from remint.adapters.engine_files import FileGroup, first_line, group_files
from remint.adapters.engine_open import Engine, open_group, require
from remint.core.document import readable_time
from remint.core.profile import PREDICTION, Counts, Reference
from remint.core.schema import canonical_label
from remint.core.signals import FeedbackCounts, WindowCounts
from remint.errors import ConfigError, DataError, MissingExtraError, NoDataError, Silence

__all__ = ["Engine", "FileSource", "count_feedback", "count_files", "count_frame"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSource:
    """A log of predictions in files: one row a prediction, the features under the names that training knew them by.

    ``path`` is a glob or a directory of Parquet, CSV or TSV files, relative to the pipeline's directory or absolute;
    columns may stand in the names of directories (``date=2026-01-31/region=eu``). ``time`` holds timestamps, naive ones
    taken as UTC, or dates, taken as their midnight UTC. ``label`` is the true class, missing until it is known.
    """

    path: str
    predicted: str
    confidence: str
    time: str | None = None  # None: every row is in the window
    label: str | None = None
    engine: Engine = Engine.POLARS


def count_files(
    source: FileSource,
    reference: Reference,
    *,
    start: datetime | None,
    end: datetime | None,
    directory: Path,
    memory_bytes: int | None = None,
) -> WindowCounts:
    """Rows of ``[start, end)`` (aware; None is unbounded) counted over the reference's bins.

    ``memory_bytes`` is what the whole process may hold (some 250 MB at least); without it the engine takes what it
    likes, and is faster. DataError names the file and the column; NoDataError where no row is in the window.
    """
    _check_window(source, start, end)
    engine_plan = _plan(source.engine)
    names = engine_plan.column_names(reference, predicted=source.predicted, confidence=source.confidence)
    counts = {f.name: np.zeros(f.bins, dtype=np.int64) for f in reference.fields}
    for group, frame in _frames(source, list(names.values()), start, end, directory, memory_bytes):
        found = engine_plan.count_lazy(frame, reference, names, text_file=group.text_file, where=_shown(group))
        for name, more in found.items():
            counts[name] += more
    rows = int(counts[PREDICTION].sum())
    if rows == 0:
        raise _empty(source, start, end)
    return WindowCounts(rows=rows, counts=counts)


def count_feedback(
    source: FileSource, *, start: datetime | None, end: datetime | None, directory: Path
) -> FeedbackCounts:
    """Right and wrong among the predictions of ``[start, end)`` that have a label by now; all of them for coverage.

    A file does not say when a label arrived, so the window is by the prediction's time. Labels and predictions are
    compared as text: ``1``, ``1.0`` and ``"1"`` are the same class.
    """
    _check_window(source, start, end)
    if source.label is None:
        raise NoDataError("no column of labels is declared", silence=Silence.NO_SERIES, where="check.files.label")
    engine_plan = _plan(source.engine)
    import narwhals as nw

    right = wrong = rows = 0
    for group, frame in _frames(source, [source.predicted, source.label], start, end, directory, None):
        frame, columns = engine_plan.plain_names(frame)
        said, true = (nw.col(columns[name]) for name in (source.predicted, source.label))
        pair = [said.alias("predicted"), true.alias("label")]
        groups = frame.select(*pair).group_by("predicted", "label").agg(nw.len().alias("rows"))
        try:
            found = engine_plan.rows_of(groups.select("predicted", "label", "rows"))
        except engine_plan.engine_errors(frame) as error:
            raise DataError(first_line(error), where=_shown(group)) from None
        predicted, labels = (_classes([row[i] for row in found], group) for i in (0, 1))
        for predicted_class, label, n in zip(predicted, labels, [int(row[2]) for row in found], strict=True):
            rows += n
            if predicted_class is not None and label is not None:
                right, wrong = (right + n, wrong) if predicted_class == label else (right, wrong + n)
    if rows == 0:
        raise _empty(source, start, end)
    return FeedbackCounts(right=right, wrong=wrong, predictions=rows)


def count_frame(frame: Any, reference: Reference, *, predicted: str, confidence: str) -> Counts:
    """The counts of a frame that the caller opened: a Polars LazyFrame, a DuckDB relation, a PySpark DataFrame, ...

    For whoever has a session of their own; anything that Narwhals wraps will do, with the window's rows already chosen.
    """
    try:
        import narwhals as nw
    except ImportError:
        raise MissingExtraError("narwhals is not installed", hint="uv pip install 'remint[files]'") from None
    from remint.adapters import engine_plan

    names = engine_plan.column_names(reference, predicted=predicted, confidence=confidence)
    lazy = nw.from_native(frame).lazy()
    return engine_plan.count_lazy(lazy, reference, names, text_file=None, where=type(frame).__name__)


def _frames(
    source: FileSource,
    wanted: list[str],
    start: datetime | None,
    end: datetime | None,
    directory: Path,
    memory_bytes: int | None,
) -> Iterator[tuple[FileGroup, Any]]:
    import narwhals as nw

    for group in group_files(source.path, directory, wanted=wanted, time=source.time, start=start, end=end):
        for native in open_group(group, source.engine, start=start, end=end, memory_bytes=memory_bytes):
            yield group, nw.from_native(native)


def _plan(engine: Engine) -> Any:
    require(engine)
    from remint.adapters import engine_plan

    return engine_plan


def _check_window(source: FileSource, start: datetime | None, end: datetime | None) -> None:
    if source.time is None and (start is not None or end is not None):
        raise ConfigError("a window needs a time column", where="check.files.time")


def _classes(values: list[Any], group: FileGroup) -> list[str | None]:
    if group.text_file is None:
        return [canonical_label(v) for v in values]
    texts = [None if v is None or v.strip() in MISSING_CATEGORY else v.strip() for v in values]
    return canonical_texts(texts)


def _empty(source: FileSource, start: datetime | None, end: datetime | None) -> NoDataError:
    after = "" if start is None else f" from {readable_time(start)}"
    before = "" if end is None else f" until {readable_time(end)}"
    return NoDataError(f"no rows{after}{before}", silence=Silence.EMPTY, where=source.path)


def _shown(group: FileGroup) -> str:
    more = f" and {len(group.files) - 1} more" if len(group.files) > 1 else ""
    return f"{group.files[0]}{more}"
