"""Markdown as GitHub renders it, safe for text that comes from data: column names, categories, people's reasons.

Nothing of such a text may become markup: no table cell too many, no HTML, no link, no mention that notifies a stranger,
no reference to an issue. What looks like markup is escaped or broken up by a zero-width space.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

LONGEST: Final = 300  # characters of one text
_INVISIBLE: Final = "\ufffd"  # an empty name would turn `**name**` into a rule
_BREAK: Final = "&#8203;"  # a zero-width space: invisible, and the end of a mention, a link or a reference
_ENTITIES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "$": "&#36;"}
_LEVELS: Final = "▁▂▃▄▅▆▇█"
_BARS: Final = 24  # of a sparkline: as wide as a table cell bears
_BULLET: Final = re.compile(r"^(?:[-+=]+|\d{1,9}[.)])(?:\s|$)")


def clean(text: str, *, longest: int = LONGEST) -> str:
    """One line without control, format and unencodable characters, cut at ``longest`` characters."""
    shown = []
    for char in text:
        category = unicodedata.category(char)
        if category in {"Zs", "Zl", "Zp", "Cc"}:
            shown.append(" ")
        elif category[0] != "C":
            shown.append(char)
    line = " ".join("".join(shown).split())
    return line if len(line) <= longest else f"{line[: longest - 1].rstrip()}…"


def escape(text: object, *, longest: int = LONGEST) -> str:
    """Any text, as a reader should see it and nothing else; ``�`` where it has nothing that can be seen."""
    line = clean(str(text), longest=longest) or (_INVISIBLE if str(text) else "")
    out = []
    for char in line:
        if char in _ENTITIES:
            out.append(_ENTITIES[char])
        elif char in "\\`*_{}[]|~!":
            out.append(f"\\{char}")
        elif char in "@#":
            out.append(f"{char}{_BREAK}")
        else:
            out.append(char)
    escaped = "".join(out).replace("://", f":{_BREAK}//")
    escaped = re.sub(r"\b(www)\.", rf"\1{_BREAK}.", escaped, flags=re.IGNORECASE)
    escaped = re.sub(r"\b(GH)-(?=\d)", rf"\1{_BREAK}-", escaped, flags=re.IGNORECASE)
    return f"{_BREAK}{escaped}" if _BULLET.match(escaped) else escaped


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """A table of texts that are Markdown already; the columns at the indices ``right`` are aligned to the right."""
    rule = ["--:" if i in right else "---" for i in range(len(columns))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, rule, *rows))


def details(summary: str, body: str) -> str:
    """A part that is folded away until somebody opens it."""
    return f"<details><summary>{summary}</summary>\n\n{body}\n\n</details>"


def sparkline(counts: Sequence[int], *, top: float | None = None) -> str:
    """A histogram in one line of text: a block a bin, ``·`` for an empty one. ``top`` is the share of a full block.

    More bins than a cell bears are joined with their neighbours.
    """
    shares = _shares(counts)
    highest = top or max(shares, default=0.0)
    if highest <= 0:
        return "·" * len(shares)
    return "".join(
        "·" if share == 0 else _LEVELS[min(len(_LEVELS) - 1, int(share / highest * len(_LEVELS)))] for share in shares
    )


def sparklines(reference: Sequence[int], current: Sequence[int]) -> tuple[str, str]:
    """Two histograms over the same bins on the same scale."""
    top = max([*_shares(reference), *_shares(current)], default=0.0)
    return sparkline(reference, top=top), sparkline(current, top=top)


def _shares(counts: Sequence[int]) -> list[float]:
    width = -(-len(counts) // _BARS) or 1
    joined = [sum(counts[i : i + width]) for i in range(0, len(counts), width)]
    total = sum(joined)
    return [count / total if total else 0.0 for count in joined]


def mermaid_chart(title: str, labels: Sequence[str], bars: Sequence[float], line: Sequence[float], *, unit: str) -> str:
    """An xychart of bars and a line over the same labels. Mermaid's own syntax in texts is taken out."""
    top = max([*bars, *line, 0.01])
    return "\n".join(
        [
            "```mermaid",
            "xychart-beta",
            f'    title "{_mermaid_text(title, 80)}"',
            f"    x-axis [{', '.join(f'{chr(34)}{_mermaid_text(label, 20)}{chr(34)}' for label in labels)}]",
            f'    y-axis "{_mermaid_text(unit, 40)}" 0 --> {top * 1.05:.4g}',
            f"    bar [{', '.join(f'{value:.4g}' for value in bars)}]",
            f"    line [{', '.join(f'{value:.4g}' for value in line)}]",
            "```",
        ]
    )


def _mermaid_text(text: str, longest: int) -> str:
    words = clean(text, longest=4 * longest).replace("<", "below ").replace(">", "above ")
    kept = "".join(c if c.isalnum() or c in " .,:()+-=/&'" else " " for c in words)
    return clean(kept, longest=longest) or "?"
