"""``remint init --redraw-golden``: the golden set follows a change of the declared columns."""

from __future__ import annotations

import re
from pathlib import Path

from remint.adapters.files import write_atomically
from remint.config import load_params
from remint.core.golden import draw_golden, format_golden, golden_hash, golden_size
from remint.errors import DataError, UsageError
from remint.workflows.prepare import read_task_data


def redraw_golden(directory: Path) -> int:
    """Draw the golden set again from the declared columns, and put its hash into ``params.yaml``; the number of rows.

    For a change of ``task.columns``. Both files change, so that a review sees it.
    """
    path = directory / "params.yaml"
    params = load_params(path)
    rows = read_task_data(params, directory).rows
    size = golden_size(len(set(rows.keys.tolist())))
    drawn = rows.take(draw_golden(rows, size=size, salt=f"{params.pipeline}:{params.prepare.seed}"))
    if drawn.rows == 0:
        raise DataError("too few distinct rows to draw a golden set from", where=params.task.data)
    content = format_golden(drawn)
    text, changed = re.subn(
        rf"(\bsha256:\s*[\"']?){re.escape(params.prepare.golden.sha256)}\b",
        rf"\g<1>{golden_hash(content)}",
        path.read_text(encoding="utf-8"),
    )
    if changed != 1:
        raise UsageError("cannot find prepare.golden.sha256", where=str(path), hint="write it on a line of its own")
    write_atomically(directory / params.prepare.golden.path, content.decode("ascii"))
    write_atomically(path, text)
    return drawn.rows
