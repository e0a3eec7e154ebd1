"""The demo page's plots, as SVG to stand inside the page."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

_BLUE, _ORANGE, _GREY, _RED = "#4c78a8", "#f58518", "#9aa5b1", "#d64550"

# the same figure gives the same bytes, and text stays text
mpl.rcParams.update({"svg.hashsalt": "remint", "svg.fonttype": "none", "font.size": 9, "axes.spines.top": False})
mpl.rcParams.update({"axes.spines.right": False, "figure.facecolor": "none", "axes.facecolor": "none"})


def drift(scores: Sequence[dict[str, Any]], *, most: int = 3) -> str:
    """Reference against current window, share of rows by bin, for the fields that moved most."""
    shown = sorted(scores, key=lambda s: -s["sigmas"])[:most]
    if not shown:
        return ""
    figure = Figure(figsize=(3.1 * len(shown), 2.3), layout="constrained")
    for axes, score in zip(np.atleast_1d(figure.subplots(1, len(shown))), shown, strict=True):
        before = np.array(score["reference_counts"], dtype=float)
        now = np.array(score["current_counts"], dtype=float)
        place = np.arange(before.size)
        axes.bar(place - 0.2, before / max(before.sum(), 1), 0.4, color=_BLUE, label="reference")
        axes.bar(place + 0.2, now / max(now.sum(), 1), 0.4, color=_ORANGE, label="current window")
        axes.set_title(f"{score['field'][:28]}: {score['sigmas']:.2f} sigmas", fontsize=9)
        axes.set_xticks(place, [label[:12] for label in score["bin_labels"]], rotation=60, ha="right", fontsize=6)
    figure.axes[0].set_ylabel("share of rows")
    figure.axes[0].legend(frameon=False, fontsize=7)
    return _svg(figure)


def metrics(gate: dict[str, Any]) -> str:
    """Champion and challenger side by side on each set of rows."""
    shown = [
        (f"{rows} {metric}", pair)
        for rows, values in gate["metrics"].items()
        for metric, pair in values.items()
        if metric != "log_loss" and pair["challenger"] is not None
    ]
    if not shown:
        return ""
    figure = Figure(figsize=(7.5, 0.34 * len(shown) + 0.6), layout="constrained")
    axes = figure.subplots()
    place = np.arange(len(shown))
    champion = [pair["champion"] if pair["champion"] is not None else np.nan for _, pair in shown]
    axes.barh(place - 0.2, champion, 0.4, color=_GREY, label="champion")
    axes.barh(place + 0.2, [pair["challenger"] for _, pair in shown], 0.4, color=_BLUE, label="challenger")
    axes.set_yticks(place, [name for name, _ in shown])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.legend(frameon=False, fontsize=7, loc="lower right")
    return _svg(figure)


def timeline(acts: Sequence[Any]) -> str:
    """How long each act took."""
    figure = Figure(figsize=(9, 1.3), layout="constrained")
    axes = figure.subplots()
    left = 0.0
    colours = {"as it should": _BLUE, "this file cannot show it": _GREY, "not as it should": _RED}
    for act in acts:
        axes.barh(0, act.seconds, left=left, color=colours[act.outcome.value], edgecolor="white")
        axes.text(left + act.seconds / 2, 0, act.title.split(".")[0], ha="center", va="center", color="white")
        left += act.seconds
    axes.set_yticks([])
    axes.set_xlabel("seconds; the number is the act's")
    return _svg(figure)


def _svg(figure: Figure) -> str:
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]
