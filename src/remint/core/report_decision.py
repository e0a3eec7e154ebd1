"""A decision in full as Markdown: the answer, every rule with its reason, every field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from remint.core.markdown import escape, sparklines, table

Json = Mapping[str, Any]

_SAID: Final = {True: "**fired**", False: "quiet"}


def answer_text(decision: Json) -> str:
    """The answer with its reasons, the window, the champion."""
    lines = [f"## {decision['answer']}: {escape(decision['pipeline'])}", escape(decision["summary"], longest=600)]
    reasons = [reason for reason in decision["reasons"] if reason not in decision["summary"]]
    if reasons:
        lines.append("\n".join(f"- {escape(reason, longest=600)}" for reason in reasons))
    window, champion = decision["window"], decision["champion"]
    span = f"{window['start'][:16]} to {window['end'][:16]} UTC" if window else "empty"
    fresh = "unknown" if decision["fresh_labels"] is None else decision["fresh_labels"]
    lines.append(
        f"{decision['rows']} predictions of {escape(champion['version'] or champion['tag'])} in the window {span}, "
        f"{fresh} fresh labels. By chance alone, this check's statistical rules retrain with a probability of at most "
        f"{decision['alpha']:.2g}, all together."
    )
    return "\n\n".join(lines)


def rules_table(decision: Json) -> str:
    rows = []
    for rule in decision["rules"]:
        silent = f"_{escape((rule['silence'] or rule['state']).replace('_', ' '))}_"
        said = _SAID[rule["fired"]] if rule["state"] == "ok" else silent
        rows.append([escape(rule["name"]), said, escape(rule["reason"], longest=600)])
    return "### Rules\n\n" + table(["rule", "says", "why"], rows)


def fields_table(decision: Json, role: str, title: str) -> str:
    """Every field of a role, the most drifted first; nothing where the decision compared none."""
    rows = []
    for field in decision["drift"]:
        if field["role"] == role:
            smallest = field["smallest_detectable_sigmas"]
            before, now = sparklines(field["reference_counts"], field["current_counts"])
            name = escape(field["field"], longest=60)
            rows.append(
                [
                    f"**{name}**" if field["drifted"] else name,
                    f"{field['sigmas']:.2f} σ",
                    f"{field['psi']:.3f}",
                    "nothing" if smallest is None else f"{smallest:.2f} σ",
                    f"{100 * field['share']:.0f} %",
                    f"{field['p_adjusted']:.2g}",
                    f"`{before}`",
                    f"`{now}`",
                ]
            )
    if not rows:
        return ""
    columns = ["field", "moved by", "PSI", "could see", "share", "p", "training", "window"]
    return f"### {title}\n\n{table(columns, rows)}"
