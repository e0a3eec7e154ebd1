"""The report's account of a choice: who competed for the gate, on which rows, and why one of them stands there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from remint.core.markdown import escape, table
from remint.core.report_words import NOTHING, prose, signed

Json = Mapping[str, Any]


def choice_table(metadata: Json) -> str:
    """One line a candidate, out of ``metadata.json``; nothing where there was nothing to choose from."""
    choice = metadata.get("choice")
    if choice is None:
        return ""
    rows = []
    for found in choice["candidates"]:
        name = f"**{escape(found['name'])}**" if found["name"] == choice["chosen"] else escape(found["name"])
        kind = "an earlier champion" if found["kind"] == "earlier" else escape(found["source"])
        score = NOTHING if found["score"] is None else f"{found['score']:.4f}"
        rows.append([name, kind, score, f"{found['rows']}", _against(found)])
    columns = ["candidate", "what", escape(choice["metric"]), "rows", "against the leader"]
    lines = [
        "### Chosen for the gate",
        "",
        f"On the {choice['rows']} newest training rows, which the gate does not use: {prose(choice['reason'])}.",
    ]
    reused = metadata.get("reused")
    if reused is not None:
        lines.append(f"The model is that of {escape(reused['tag'])}, unchanged; only its reference is new.")
    return "\n".join([*lines, "", table(columns, rows, right=(2, 3))])


def _against(found: Json) -> str:
    if found["difference"] is None:
        return prose(found["note"] or "led from the start")
    text = f"{signed(found['difference'], digits=4)} against {escape(found['rival'])}"
    if found["low"] is None:
        return text
    low, high = signed(found["low"], digits=4), signed(found["high"], digits=4)
    return f"{text}, {low} to {high} at {100 * found['confidence']:.1f} % confidence"
