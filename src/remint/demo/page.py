"""One HTML page that tells the story: no network, no script, readable in light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader

from remint import __version__
from remint.demo import plots
from remint.demo.story import Act


def render(acts: Sequence[Act], *, note: str, source: str, commands: Sequence[str], finished_at: datetime) -> str:
    environment = Environment(
        loader=PackageLoader("remint.demo"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html").render(
        acts=[_shown(act) for act in acts],
        timeline=plots.timeline(acts),
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
        "tone": {"as it should": "good", "this file cannot show it": "open", "not as it should": "bad"}[act.outcome],
        "drift": plots.drift(decision["drift"]) if decision else "",
        "rules": decision["rules"] if decision else [],
        "reasons": decision["reasons"] if decision else [],
        "metrics": plots.metrics(gate) if gate else "",
        "findings": [*(gate["findings"] if gate else []), *(verdict["findings"] if verdict else [])],
    }
