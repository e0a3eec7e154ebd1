"""What ``policies.py`` found, as a Markdown table and as a plot."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

SHOWN: Final = (5, 10, 15, 20, 30, 60)

OURS: Final = "remint: regret, shadow"
OURS_EARLIER: Final = "remint: regret, shadow + earlier champions"
OURS_CPU: Final = "remint: regret, shadow, the shadows' CPU counted as retrains"
OURS_BUDGET: Final = "remint: regret, shadow, budget declared"
PERIODIC: Final = "every k-th window"
PERIODIC_EARLIER: Final = "every k-th window + earlier champions"
ORACLE: Final = "(knows the future)"


def table(result: Mapping[str, Any]) -> str:
    """Markdown: the best accuracy of each method with at most so many retrains."""
    curves: Mapping[str, list[float]] = result["curves"]
    shown = [n for n in SHOWN if n < len(curves[OURS])]
    lines = [
        f"{result['stream']}: {result['rows']:,} rows, {result['windows_served']} windows of {result['window_rows']} "
        f"served, never {result['never']:.4f}, always {result['always']:.4f} with {len(curves[OURS]) - 1} retrains; "
        f"the shadows together took the CPU time of {result['shadow_cpu_retrains']:.1f} retrains.",
        "",
        "| accuracy with at most so many retrains | " + " | ".join(map(str, shown)) + " |",
        "|---|" + "--:|" * len(shown),
    ]
    for name, curve in curves.items():
        bold = "**" if name.startswith("remint") else ""
        lines.append(f"| {bold}{name}{bold} | " + " | ".join(f"{curve[n]:.4f}" for n in shown) + " |")
    for ours, below in result["below"].items():
        lines += ["", f"Where *{ours}* is below another method: " + ("nowhere." if not below else "")]
        lines += [
            f"- {one['who']}, at {_ranges(one['retrains'])} retrains, by {one['largest_gap']:.4f} at most "
            f"(at {one['at_retrains']})"
            for one in below
        ]
    spent = [f"{b}: {d['accuracy']:.4f} with {d['retrains']}" for b, d in result["budget_declared"].items()]
    lines += ["", f"*{OURS_BUDGET}*, one run each, no limit chosen afterwards: {'; '.join(spent)}."]
    return "\n".join(lines)


def _ranges(numbers: Sequence[int]) -> str:
    """1, 2, 3, 7 becomes 1-3, 7."""
    groups: list[list[int]] = []
    for number in numbers:
        if groups and number == groups[-1][1] + 1:
            groups[-1][1] = number
        else:
            groups.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in groups)


def plot(result: Mapping[str, Any]) -> str:
    """The curves as an SVG that reads on light and dark pages."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    ink, grey = "#7a828e", "#9aa2ad"
    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "remint",
        "font.size": 9,
        "font.family": "sans-serif",
        "axes.spines.top": False,
        "axes.spines.right": False,
        **dict.fromkeys(["axes.edgecolor", "axes.labelcolor", "text.color", "xtick.color", "ytick.color"], ink),
    }
    curves: Mapping[str, list[float]] = result["curves"]
    special = {
        OURS: ("#d9480f", 2.4, "-"),
        OURS_EARLIER: ("#2b8a3e", 2.4, "-"),
        PERIODIC: ("#4c7edb", 1.6, "-"),
        PERIODIC_EARLIER: ("#2b8a3e", 1.2, ":"),
        ORACLE: (grey, 1.2, "--"),
    }
    others = [n for n in curves if n not in special and not n.startswith("remint")]
    most = min(60, len(curves[OURS]) - 1)
    with mpl.rc_context(style):
        figure = Figure(figsize=(7.6, 4.6), layout="constrained", facecolor="none")
        axes = figure.subplots()
        axes.set_facecolor("none")
        for i, name in enumerate(others):
            label = "river's detectors and other triggers" if i == 0 else None
            axes.step(*_steps(curves[name], most), where="post", color=grey, linewidth=0.8, alpha=0.7, label=label)
        for name, (colour, width, line) in special.items():
            axes.step(*_steps(curves[name], most), line, where="post", color=colour, linewidth=width, label=name)
        axes.set_xlabel("retrains, at most")
        axes.set_ylabel("accuracy")
        axes.set_xlim(0, most)
        axes.set_title(f"{result['stream']}: accuracy that so many retrains buy", loc="left", fontsize=10)
        axes.legend(frameon=False, fontsize=8, loc="lower right")
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None}, transparent=True)
    return out.getvalue()


def _steps(curve: Sequence[float], most: int) -> tuple[list[int], list[float]]:
    """Only where the curve rises, and its end: a smaller SVG of the same picture."""
    places = [n for n in range(most + 1) if n in (0, most) or curve[n] > curve[n - 1]]
    return places, [curve[n] for n in places]
