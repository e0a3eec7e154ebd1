"""The head of the report: what a person needs to decide, in the first lines and in the pull request's title."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from remint.core.markdown import clean
from remint.core.verdict import Verdict

LONGEST_TITLE: Final = 100  # characters: GitHub shows no more of a squash commit's first line
_SAID: Final = {Verdict.PASS: "passed", Verdict.FAIL: "failed", Verdict.INCONCLUSIVE: "inconclusive"}
_SHORTCODE: Final = re.compile(r":(?!\s|$)|(?<!\w):")  # a colon that is no punctuation: ``:tada:``
_REFERENCE: Final = re.compile(r"\b(GH)-(?=\d)", re.IGNORECASE)
_OUTER_UNDERSCORE: Final = re.compile(r"(?<![^\W_])_+|_+(?![^\W_])")  # inside a word it is no markup

Json = Mapping[str, Any]


# -- the title ---------------------------------------------------------------------------------------------------------


def pull_title(decision: Json | None, gate: Json | None) -> str:
    """The pull request's title: pipeline, verdict and its reason, in at most ``LONGEST_TITLE`` characters.

    It may become the first line of a commit, so nothing in it mentions, refers to or closes anything. Raises
    ValueError where there is neither document.
    """
    known = gate if gate is not None else decision
    if known is None:
        raise ValueError("a title of nothing: neither a decision nor a gate")
    why = "" if decision is None else _because(str(decision["summary"]))
    parts = [f"Retrain {known['pipeline']}"]
    if gate is not None:
        verdict = Verdict(gate["verdict"])
        detail = _gain(gate) if verdict is Verdict.PASS else _stopped_by(gate, verdict)
        parts.append(" ".join(part for part in (_SAID[verdict], detail) if part))
    title = ": ".join(parts)
    return plain(f"{title} ({why})" if why else title, longest=LONGEST_TITLE)


def plain(text: str, *, longest: int) -> str:
    """One line of letters, digits and harmless signs: no Markdown, HTML, mention, reference, shortcode or address."""
    kept = _SHORTCODE.sub(" ", _REFERENCE.sub(r"\1 ", clean(text, longest=4 * longest).replace("://", " ")))
    kept = "".join(c if c.isalnum() or c in " .,;:()+-−=/%&'→_" else " " for c in kept)
    line = " ".join(_OUTER_UNDERSCORE.sub(" ", kept).split())
    if len(line) <= longest:
        return line
    cut = line[: longest - 1].rpartition(" ")[0] or line[: longest - 1]
    return f"{cut.rstrip(' ,;:(')}…"


def _because(summary: str) -> str:
    """The reason without the answer, which the title says already."""
    answer, colon, reason = summary.partition(": ")
    return reason if colon and answer.isalpha() else summary


def _gain(gate: Json) -> str:
    """``accuracy 0.720 → 0.810`` of the first rule that may stop a release."""
    for finding in gate["findings"]:
        seen = finding["evidence"]
        if finding["rule"].startswith("gate:") and seen.get("challenger") is not None:
            metric = finding["rule"].removeprefix("gate:")
            before = "" if seen.get("champion") is None else f"{seen['champion']:.3f} → "
            return f"with {metric} {before}{seen['challenger']:.3f}"
    return ""


def _stopped_by(gate: Json, verdict: Verdict) -> str:
    rules = [str(f["rule"]) for f in gate["findings"] if f["verdict"] == verdict.value]
    if not rules:
        return ""
    more = f" and {len(rules) - 1} more" if len(rules) > 1 else ""
    return f"by {rules[0].replace(':', ' ')}{more}"
