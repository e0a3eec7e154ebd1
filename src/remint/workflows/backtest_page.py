"""A back-test's picture and its page. Needs the extra ``report``."""

from __future__ import annotations

from remint.core.report_backtest import BacktestReport, markdown
from remint.workflows.html_page import figure, page, require_extra, to_html


def render_plot(report: BacktestReport) -> str:
    """A standalone SVG. Raises UsageError where the extra ``report`` is not installed."""
    require_extra()
    from remint.adapters.plots_backtest import backtest_timeline, standalone

    return standalone(backtest_timeline(report.results))


def render_page(report: BacktestReport) -> str:
    """The Markdown with the plot under its first line. Raises as ``render_plot`` does."""
    require_extra()
    from remint.adapters.plots_backtest import backtest_timeline

    head, rest = markdown(report).split("\n\n", 1)
    plot = figure(backtest_timeline(report.results), "Drift, accuracy and the policy's answers over time")
    return page(f"{report.pipeline}: back-test", [to_html(head), plot, to_html(rest)])
