"""One HTML page that tells the story: no network, no script, readable in light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader

from remint import __version__
from remint.adapters import plots
from remint.demo.act import Act, Outcome

_TONES = {Outcome.AS_IT_SHOULD: "good", Outcome.NOT_SHOWN: "open", Outcome.WRONG: "bad"}
_COLOURS = {Outcome.AS_IT_SHOULD: plots.GOOD, Outcome.NOT_SHOWN: plots.MUTED, Outcome.WRONG: plots.BAD}
_MOST_FIELDS = 4


def render(acts: Sequence[Act], *, note: str, source: str, commands: Sequence[str], finished_at: datetime) -> str:
    loader = PackageLoader("remint.demo")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template("page.html").render(
        acts=[_shown(act) for act in acts],
        timeline=plots.timeline(
            [(act.number, act.seconds, _COLOURS[act.outcome]) for act in acts if act.seconds >= 1], name="timeline"
        ),
        note=note,
        source=source,
        commands=commands,
        version=__version__,
        finished_at=finished_at.strftime("%Y-%m-%d %H:%M UTC"),
        seconds=sum(act.seconds for act in acts),
    )


def _shown(act: Act) -> dict[str, Any]:
    decision = act.documents.get("decision")
    gate = act.documents.get("gate")
    verdict = act.documents.get("verdict")
    return {
        "act": act,
        "tone": _TONES[act.outcome],
        "drift": _drift(decision["drift"], f"drift{act.number}") if decision and decision["drift"] else "",
        "rules": decision["rules"] if decision else [],
        "reasons": decision["reasons"] if decision else [],
        "metrics": _metrics(gate, f"metrics{act.number}") if gate else "",
        "findings": [*(gate["findings"] if gate else []), *(verdict["findings"] if verdict else [])],
    }


def _drift(scores: Sequence[dict[str, Any]], name: str) -> str:
    moved = sorted(scores, key=lambda score: -score["sigmas"])[:_MOST_FIELDS]
    return plots.histograms(
        [
            plots.Histogram(
                title=f"{score['field'][:40]}: {score['sigmas']:.2f} \N{GREEK SMALL LETTER SIGMA}",
                labels=[label[:16] for label in score["bin_labels"]],
                reference=_shares(score["reference_counts"]),
                current=_shares(score["current_counts"]),
            )
            for score in moved
        ],
        name=name,
    )


def _metrics(gate: dict[str, Any], name: str) -> str:
    rows = [
        plots.Pair(label=f"{metric}, {side}", champion=pair["champion"], challenger=pair["challenger"])
        for side, values in gate["metrics"].items()
        for metric, pair in values.items()
        if metric != "log_loss" and pair["challenger"] is not None
    ]
    return plots.pairs(rows, name=name) if rows else ""


def _shares(counts: Sequence[int]) -> list[float]:
    total = max(sum(counts), 1)
    return [count / total for count in counts]
