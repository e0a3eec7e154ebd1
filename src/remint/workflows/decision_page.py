"""``remint check --html``: a decision as one page, with each field's window beside its reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from remint.core.report_decision import answer_text, fields_table, rules_table
from remint.workflows.html_page import drift_figure, page, require_extra, to_html

_ROLES: Final = {"feature": "Features", "prediction": "Predicted classes", "confidence": "Confidence"}
_MOST_PLOTS: Final = 24  # of a role; the table has them all


def decision_page(decision: Mapping[str, Any]) -> str:
    """Raises UsageError where the extra ``report`` is not installed."""
    require_extra()
    parts = [to_html(answer_text(decision)), to_html(rules_table(decision))]
    for role, title in _ROLES.items():
        fields = [field for field in decision["drift"] if field["role"] == role]
        if fields:
            parts.append(to_html(fields_table(decision, role, title)))
            parts.append(drift_figure(fields[:_MOST_PLOTS], name=role))
    return page(f"{decision['pipeline']}: {decision['answer']}", parts)
