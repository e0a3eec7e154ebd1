"""A back-test as one picture: drift, accuracy and each policy's answers over the same time axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from remint.adapters.plots import BAD, CURRENT, GOOD, INK, MUTED, REFERENCE, STYLE, to_svg
from remint.core.backtest import Asked, Backtest, episodes
from remint.core.trigger import Answer

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_POLICY_COLOURS: Final = (CURRENT, REFERENCE)
_ANSWERS: Final[dict[Answer, tuple[str, float, str]]] = {
    Answer.RETRAIN: (CURRENT, 1.0, "retrain"),
    Answer.HOLD: (GOOD, 0.3, "hold"),
    Answer.NEED_LABELS: (CURRENT, 0.4, "labels needed"),
    Answer.INVESTIGATE: (BAD, 0.8, "investigate"),
    Answer.INCONCLUSIVE: (MUTED, 0.35, "inconclusive"),
}
_PALETTE: Final = """<style>
svg { --ink: #1f2328; --reference: #8c96a3; --current: #d9730d; --good: #1a7f37; --bad: #cf222e; --muted: #7d8590;
  background: #ffffff; }
@media (prefers-color-scheme: dark) { svg { --ink: #e6edf3; --reference: #6e7681; --current: #f0883e; --good: #3fb950;
  --bad: #f85149; --muted: #8d96a0; background: #0d1117; } }
</style>"""
_LEAST_LABELS: Final = 30  # of a window whose accuracy is drawn
_MOST_POINTS: Final = 1500  # of a line: more than a screen shows


def backtest_timeline(results: Sequence[Backtest], *, name: str = "backtest") -> str:
    """SVG for a page that defines the report's colours. Lines where there was an answer; triangles mark retrains."""
    has_labels = any(asked.loss is not None for result in results for asked in result.asked)
    heights = [2.0, *([2.0] if has_labels else []), 0.35 + 0.32 * len(results)]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.2, sum(heights) + 0.6), layout="constrained")
        rows: Any = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
        _drift(rows[0], results)
        if has_labels:
            _accuracy(rows[1], results)
        _answers(rows[-1], results)
        for axes in rows[:-1]:
            for result, colour in zip(results, _POLICY_COLOURS, strict=False):
                for retrain in result.retrains:
                    axes.axvline(_day(retrain.asked_at), color=colour, linewidth=0.8, linestyle=(0, (4, 3)), alpha=0.6)
        locator = AutoDateLocator()  # type: ignore[no-untyped-call]
        rows[-1].xaxis.set_major_locator(locator)
        rows[-1].xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
        rows[-1].set_xlim(_day(results[0].start), _day(results[0].end))
        return to_svg(figure, name)


def standalone(svg: str) -> str:
    """The picture as a file of its own, with colours for light and dark."""
    head, rest = svg.split(">", 1)
    return f"{head}>\n{_PALETTE}{rest}"


def _drift(axes: Axes, results: Sequence[Backtest]) -> None:
    for result, colour in _coloured(results):
        asked = _thinned(result.asked)
        scores = [math.nan if a.sigmas is None else a.sigmas for a in asked]
        axes.plot([_day(a.at) for a in asked], scores, color=colour, linewidth=1.1, label=result.policy)
    axes.set_ylabel("drift, σ")
    axes.set_ylim(bottom=0)
    axes.set_title("Most drifted field", fontsize=10, loc="left")
    if len(results) > 1:
        handles, labels = axes.get_legend_handles_labels()
        axes.legend(
            handles[::-1],
            labels[::-1],
            frameon=False,
            fontsize=8,
            loc="lower right",
            bbox_to_anchor=(1, 1),
            ncols=len(results),
        )


def _accuracy(axes: Axes, results: Sequence[Backtest]) -> None:
    """Accuracy of each check's window with its interval, and the accuracy that it is held against."""
    for result, colour in _coloured(results):
        asked = _thinned(result.asked)
        days = [_day(a.at) for a in asked]
        losses = [a.loss if a.loss is not None and a.loss.feedback.labels >= _LEAST_LABELS else None for a in asked]
        seen = [math.nan if loss is None else loss.accuracy for loss in losses]
        low = [math.nan if loss is None else loss.baseline.accuracy - loss.high for loss in losses]
        high = [math.nan if loss is None else loss.baseline.accuracy - loss.low for loss in losses]
        new = [math.nan if loss is None else loss.baseline.accuracy for loss in losses]
        if colour == _POLICY_COLOURS[0]:  # one band is enough: the labels are the same for both
            axes.fill_between(days, low, high, color=colour, alpha=0.18, linewidth=0)
            axes.plot(days, seen, color=INK, linewidth=1.1)
        axes.plot(days, new, color=colour, linewidth=1.1, linestyle=(0, (1, 1.5)))
    axes.set_ylabel("accuracy")
    axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
    axes.set_title("Accuracy in the window, and of the model when it was new (dotted)", fontsize=10, loc="left")


def _answers(axes: Axes, results: Sequence[Backtest]) -> None:
    used: set[Answer] = set()
    for place, result in enumerate(results):
        checks = list(episodes(result.asked))
        ends = [episode.since for episode in checks[1:]] + [result.end]
        for episode, end in zip(checks, ends, strict=True):
            if episode.answer is Answer.RETRAIN:
                continue
            colour, alpha, _ = _ANSWERS[episode.answer]
            left, right = _day(episode.since), _day(end)
            axes.barh(place, right - left, 0.7, left=left, color=colour, alpha=alpha, linewidth=0)
            used.add(episode.answer)
        at = [_day(retrain.asked_at) for retrain in result.retrains]
        axes.plot(at, [place] * len(at), linestyle="none", marker="v", color=INK, markersize=6)
    axes.set_yticks(range(len(results)), [result.policy for result in results])
    axes.invert_yaxis()
    axes.margins(y=0.1)
    handles: list[Any] = [
        Patch(color=_ANSWERS[answer][0], alpha=_ANSWERS[answer][1], label=_ANSWERS[answer][2])
        for answer in Answer
        if answer in used
    ]
    if any(result.retrains for result in results):
        handles.insert(0, Line2D([], [], linestyle="none", marker="v", color=INK, label="retrain"))
    axes.legend(
        handles=handles, frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=max(1, len(handles))
    )


def _coloured(results: Sequence[Backtest]) -> list[tuple[Backtest, str]]:
    """The last one first, so that the first one's line lies on top."""
    return list(zip(results, _POLICY_COLOURS, strict=False))[::-1]


def _thinned(asked: Sequence[Asked]) -> Sequence[Asked]:
    return asked[:: -(-len(asked) // _MOST_POINTS) or 1]


def _day(at: datetime) -> float:
    return float(date2num(at))  # type: ignore[no-untyped-call]
