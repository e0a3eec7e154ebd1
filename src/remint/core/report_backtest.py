"""A back-test as Markdown: one policy, or two side by side for the pull request that changes a threshold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from remint.core.backtest import Backtest, Loss, Prices, Retrain, Suggestion, rate_at_most
from remint.core.document import format_time
from remint.core.markdown import details, escape, table
from remint.core.trigger import Answer

_SHOWN: Final = 25  # retrains of a policy in its table; the JSON has all of them
_NONE: Final = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestReport:
    """One or two replays of the same history, and what has to be said beside them."""

    pipeline: str
    source: str  # prometheus, ledger or the log's name
    start: datetime
    end: datetime
    results: tuple[Backtest, ...]
    prices: Prices | None
    references: tuple[str, ...]  # ids
    assumptions: tuple[str, ...]
    budget: float | None = None  # false retrains a year that suggestions were asked for
    suggestions: tuple[Suggestion, ...] = ()

    def body(self) -> dict[str, Any]:
        """What the sealed ``backtest`` document holds."""
        prices = self.prices
        return {
            "source": self.source,
            "start": format_time(self.start),
            "end": format_time(self.end),
            "prices": None if prices is None else {"error": prices.error, "retrain": prices.retrain},
            "policies": [result.to_json(prices) for result in self.results],
            "assumptions": list(self.assumptions),
            "suggest": None
            if self.budget is None
            else {
                "false_retrains_a_year": self.budget,
                "limits": [suggestion.to_json() for suggestion in self.suggestions],
            },
        }


def markdown(report: BacktestReport) -> str:
    """The whole report; its first line is the answer."""
    parts = [
        f"## {_headline(report)}",
        f"`{report.pipeline}`, {day(report.start)} to {day(report.end)}, from {escape(report.source)}.",
        _side_by_side(report),
    ]
    for result in report.results:
        body = retrains_table(result)
        title = f"The retrains of {escape(result.policy)}"
        parts.append(details(title, body) if len(report.results) > 1 else f"### {title}\n\n{body}")
    if report.budget is not None:
        parts.append(_suggestions(report))
    parts.append(details("What the replay takes for granted", "\n".join(f"- {escape(a)}" for a in report.assumptions)))
    return "\n\n".join(parts) + "\n"


def _headline(report: BacktestReport) -> str:
    counts = [len(result.retrains) for result in report.results]
    if len(counts) == 1:
        return f"Back-test: {plural(counts[0], 'retrain')} in {_years(report.results[0].years)}"
    return f"Back-test: {counts[0]} → {counts[1]} retrains in {_years(report.results[0].years)}"


def _side_by_side(report: BacktestReport) -> str:
    columns = ["", *(f"`{escape(result.policy)}`" for result in report.results)]
    cells = [_column(result, report.prices) for result in report.results]
    rows = [[name, *(column[name] for column in cells)] for name in cells[0]]
    return table(columns, rows, right=range(1, len(columns)))


def _column(result: Backtest, prices: Prices | None) -> dict[str, str]:
    """What there is to say of one policy, in the order in which it is read."""
    retrains, answers, checks = result.retrains, result.answers, len(result.asked)
    apart = sorted(retrain.after for retrain in retrains[1:])
    loss, cost = result.loss, result.cost(prices)
    column = {
        "**Retrains**": f"**{len(retrains)}**",
        "a year": f"{len(retrains) / result.years:.1f} (at most {rate_at_most(len(retrains), result.years):.1f})",
        "first": f"{day(retrains[0].asked_at)}, {_rules(retrains[0])}" if retrains else _NONE,
        "by rule": escape(", ".join(f"{name} {count}" for name, count in result.by_rule.items())) or _NONE,
        "apart, least / median": f"{span(apart[0])} / {span(apart[len(apart) // 2])}" if apart else _NONE,
        "Accuracy lost": _NONE if loss is None else _interval(*loss),
    }
    if prices is not None:
        column["Cost"] = _NONE if cost is None else f"{cost.total:,.0f}"
        column["of retrains"] = _NONE if cost is None else f"{cost.retrains:,.0f}"
        errors = _NONE if cost is None else f"{cost.errors:,.0f} ({cost.errors_low:,.0f} to {cost.errors_high:,.0f})"
        column["of errors"] = errors
    column["Checks"] = f"{checks:,}"
    for answer, name in _OTHERS.items():
        column[name] = f"{answers[answer]:,} ({_share(answers[answer], checks)})" if answers[answer] else "0"
    return column


_OTHERS: Final[Mapping[Answer, str]] = {
    Answer.HOLD: "held",
    Answer.NEED_LABELS: "labels needed",
    Answer.INVESTIGATE: "to investigate",
    Answer.INCONCLUSIVE: "inconclusive",
}


def retrains_table(result: Backtest) -> str:
    """When, how long after the one before, why, and how much accuracy was lost in the window before it."""
    if not result.retrains:
        return "None."
    rows = [
        [moment(r.asked_at), span(r.after), _rules(r), escape(r.reason, longest=160), _lost(r.loss)]
        for r in result.retrains[:_SHOWN]
    ]
    text = table(["asked", "after", "rules", "why", "accuracy lost before it"], rows)
    rest = len(result.retrains) - _SHOWN
    return f"{text}\n\n... and {rest} more." if rest > 0 else text


def _suggestions(report: BacktestReport) -> str:
    title = f"### Limits for {report.budget:g} false retrains a year"
    said = (
        "If nothing was wrong in this history, so that each of its retrains was a false one, these limits would have "
        "kept each rule within its share of the budget:"
    )
    rows = [
        [
            "all rules" if s.rule is None else escape(s.rule),
            f"`{s.key}`",
            s.declared,
            _NONE if s.suggested is None else f"**{s.suggested}**" if s.changes else s.suggested,
            f"{s.retrains_declared} → {_NONE if s.retrains_suggested is None else s.retrains_suggested}",
        ]
        for s in report.suggestions
    ]
    if not rows:
        return f"{title}\n\nNo rule of this policy has a limit that could be chosen."
    return f"{title}\n\n{said}\n\n{table(['rule', 'key', 'declared', 'suggested', 'retrains'], rows)}"


def _rules(retrain: Retrain) -> str:
    return escape(", ".join(retrain.rules)) or _NONE


def _lost(loss: Loss | None) -> str:
    if loss is None:
        return "no labels"
    return f"{_interval(loss.lost, loss.low, loss.high)}, {loss.feedback.labels} labels"


# -- numbers in words ------------------------------------------------------------------------------------------------


def points(share: float) -> str:
    """A difference of two shares in percentage points: ``2.1 pp``."""
    return f"{100 * share:.1f} pp"


def _interval(value: float, low: float, high: float) -> str:
    return f"{points(value)} ({100 * low:.1f} to {100 * high:.1f})"


def day(at: datetime) -> str:
    return at.strftime("%Y-%m-%d")


def moment(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M")


def span(duration: timedelta) -> str:
    """``18 h`` below two days, else ``12.5 d``."""
    hours = duration / timedelta(hours=1)
    return f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.1f} d"


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _years(years: float) -> str:
    return f"{365 * years:.0f} days" if years < 2 else f"{years:.1f} years"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else _NONE
