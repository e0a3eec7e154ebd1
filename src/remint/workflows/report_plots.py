"""What a report's plots show, as the plots take it: the same for the HTML page and for pictures in a pull request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from remint.core.markdown import clean
from remint.core.report_drift import shares
from remint.core.report_words import metric_findings

if TYPE_CHECKING:
    from remint.adapters.plots import Difference, Histogram


def metric_gains(gate: Mapping[str, Any]) -> list[Difference]:
    """The ruled metrics' differences, turned so that more is better; nothing without a champion."""
    from remint.adapters.plots import Difference

    rows = []
    for finding in metric_findings(gate):
        seen = finding["evidence"]
        if seen["difference"] is None or seen["interval"] is None:
            continue
        sign = 1 if seen["direction"] == "higher" else -1
        low, high = sorted((sign * seen["interval"]["low"], sign * seen["interval"]["high"]))
        rows.append(Difference(label=clean(finding["rule"]), gain=sign * seen["difference"], low=low, high=high))
    return rows


def drift_histograms(fields: Sequence[Mapping[str, Any]]) -> list[Histogram]:
    """Reference beside window for each field of a decision's ``drift``."""
    from remint.adapters.plots import Histogram

    return [
        Histogram(
            title=f"{clean(field['field'], longest=40)}: {field['sigmas']:.2f} σ",
            labels=[clean(label, longest=16) for label in field["bin_labels"]],
            reference=shares(field["reference_counts"]),
            current=shares(field["current_counts"]),
        )
        for field in fields
    ]
