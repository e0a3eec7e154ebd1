"""Plots as SVG that stands inside an HTML page and takes its colours from the page, so that they suit light and dark.

For where only files can be shown there is PNG, in the colours of a light page on white.

The same numbers give the same bytes: no date, no random id. Needs matplotlib, the extra ``report``.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import matplotlib as mpl
from matplotlib.colors import is_color_like, to_hex
from matplotlib.figure import Figure

#: matplotlib wants colours, the page has variables: each of these stands for one and is replaced in the SVG.
INK: Final = "#010203"
REFERENCE: Final = "#040506"
CURRENT: Final = "#070809"
GOOD: Final = "#0a0b0c"
BAD: Final = "#0d0e0f"
MUTED: Final = "#101112"
_VARIABLES: Final = {
    INK: "--ink",
    REFERENCE: "--reference",
    CURRENT: "--current",
    GOOD: "--good",
    BAD: "--bad",
    MUTED: "--muted",
}
_ON_WHITE: Final = {
    INK: "#1f2328",
    REFERENCE: "#8c96a3",
    CURRENT: "#d9730d",
    GOOD: "#1a7f37",
    BAD: "#cf222e",
    MUTED: "#7d8590",
}
_DOTS_PER_INCH: Final = 110
STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",  # text stays text: it can be found, copied and read aloud
    "svg.hashsalt": "remint",
    "font.size": 9,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "text.color": INK,
    "text.parse_math": False,  # a dollar in a column's name is a dollar
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
_COLUMNS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """One field's share of rows by bin, in training and in the window."""

    title: str
    labels: Sequence[str]
    reference: Sequence[float]
    current: Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One metric's gain with its interval; ``gain`` is above 0 where the challenger is better, whatever the metric."""

    label: str
    gain: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One metric of both models, 0 to 1; ``champion`` is None where there is none."""

    label: str
    champion: float | None
    challenger: float


def histograms(fields: Sequence[Histogram], *, name: str = "drift") -> str:
    """Small multiples: training beside the window, bin by bin. ``name`` is unique on the page."""
    with mpl.rc_context(STYLE):
        return to_svg(_histograms(fields), name)


def histograms_png(fields: Sequence[Histogram]) -> bytes:
    with mpl.rc_context(STYLE):
        return to_png(_histograms(fields))


def _histograms(fields: Sequence[Histogram]) -> Figure:
    rows = -(-len(fields) // _COLUMNS)
    figure = Figure(figsize=(4.6 * _COLUMNS, 2.6 * rows), layout="constrained")
    for i, field in enumerate(fields):
        axes = figure.add_subplot(rows, _COLUMNS, i + 1)
        places = range(len(field.labels))
        axes.bar([p - 0.2 for p in places], field.reference, 0.4, color=REFERENCE, label="training")
        axes.bar([p + 0.2 for p in places], field.current, 0.4, color=CURRENT, label="window")
        axes.set_title(field.title, fontsize=10, loc="left")
        axes.set_xticks(list(places), list(field.labels), rotation=45, ha="right", fontsize=7)
        axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
        if i == 0:
            axes.legend(  # above the bars, never on one
                frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 0.98), ncols=2, borderaxespad=0
            )
    return figure


def differences(rows: Sequence[Difference]) -> str:
    """Each metric's gain as a point, its 95 % interval as a line; to the right of 0 the challenger is better."""
    with mpl.rc_context(STYLE):
        return to_svg(_differences(rows), "gain")


def differences_png(rows: Sequence[Difference]) -> bytes:
    with mpl.rc_context(STYLE):
        return to_png(_differences(rows))


def _differences(rows: Sequence[Difference]) -> Figure:
    figure = Figure(figsize=(7.5, 0.36 * len(rows) + 0.9), layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(rows):
        colour = MUTED if row.low <= 0 <= row.high else GOOD if row.gain > 0 else BAD
        axes.plot([row.low, row.high], [place, place], color=colour, linewidth=2.5, solid_capstyle="round")
        axes.plot([row.gain], [place], marker="o", color=colour, markersize=6)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(range(len(rows)), [row.label for row in rows])
    axes.invert_yaxis()
    axes.margins(y=0.15)
    axes.set_xlabel("worse  ←  gain over the champion, with its 95 % interval  →  better")
    return figure


def pairs(rows: Sequence[Pair], *, name: str) -> str:
    """Champion beside challenger, metric by metric."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.5, 0.4 * len(rows) + 0.7), layout="constrained")
        axes = figure.subplots()
        for place, row in enumerate(rows):
            if row.champion is not None:
                axes.barh(place - 0.2, row.champion, 0.4, color=REFERENCE, label="champion")
            axes.barh(place + 0.2, row.challenger, 0.4, color=CURRENT, label="challenger")
        axes.set_yticks(range(len(rows)), [row.label for row in rows])
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        handles, labels = axes.get_legend_handles_labels()
        unique = dict(zip(labels, handles, strict=True))
        # above the bars, never on one
        axes.legend(
            unique.values(), unique.keys(), frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=2
        )
        return to_svg(figure, name)


def timeline(parts: Sequence[tuple[str, float, str]], *, name: str) -> str:
    """One bar of (label, seconds, colour), end to end."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.2, 1.2), layout="constrained")
        axes = figure.subplots()
        left = 0.0
        for label, seconds, colour in parts:
            axes.barh(0, seconds, left=left, color=colour, alpha=0.75, edgecolor=MUTED)
            axes.text(left + seconds / 2, 0, label, ha="center", va="center")
            left += seconds
        axes.set_yticks([])
        axes.set_xlabel("seconds; the number is the act's")
        return to_svg(figure, name)


def to_svg(figure: Figure, name: str) -> str:
    """The figure without its size, its ids made ``name``'s own, its colours the page's variables."""
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    # Several plots share a page: their ids must not.
    text = re.sub(r'id="(?=[\w.-]+")', f'id="{name}-', text)
    text = text.replace("url(#", f"url(#{name}-").replace('href="#', f'href="#{name}-')
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    # No size of its own: the page decides, the viewBox keeps the shape.
    return re.sub(r"^<svg[^>]*>", lambda tag: re.sub(r' (?:width|height)="[^"]*"', "", tag[0]), text, count=1)


def to_png(figure: Figure) -> bytes:
    """The figure on white, in the light page's colours; the same numbers give the same bytes."""
    for artist in figure.findobj():
        for part in ("color", "facecolor", "edgecolor", "markerfacecolor", "markeredgecolor"):
            read, write = getattr(artist, f"get_{part}", None), getattr(artist, f"set_{part}", None)
            if read is None or write is None:
                continue
            colour = read()
            if not is_color_like(colour):  # of several, or none
                continue
            wanted = _ON_WHITE.get(to_hex(colour))
            if wanted is not None:
                write(wanted)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=_DOTS_PER_INCH, facecolor="white", metadata={"Software": None})
    return out.getvalue()
