"""The text of a new ``params.yaml``: what the data suggest, with every threshold and its comment."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from string import Template
from typing import Any, Final

import yaml

from remint.config import Evaluate, Gate, parse_params
from remint.core.golden import golden_hash
from remint.workflows.inspection import Inspection, series_estimate

FEEDBACK: Final = "data/feedback.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the user said or their repository says, beside what is in the data."""

    parameters: Mapping[str, Any] = field(default_factory=dict)
    trusted_types: tuple[str, ...] = ()
    feedback: str = FEEDBACK
    info_files: tuple[str, ...] = ()


def render_params(pipeline: str, data: str, found: Inspection, golden: bytes, told: Told | None = None) -> str:
    """``params.yaml`` with its comments; checked, so that init never writes what the stages would refuse."""
    told = told or Told()
    template = Template((files("remint") / "templates" / "params.yaml.template").read_text(encoding="utf-8"))
    golden_rows = golden.count(b"\n")
    splits = found.splits
    metrics = [metric.value for metric in Evaluate().metrics] + (["roc_auc"] if found.positive is not None else [])
    chance = (
        f"{found.majority_share:.3f} of the rows have the most frequent label"
        if found.balanced
        else f"{found.majority_share:.3f} of the rows have one label, so accuracy alone would flatter; chance is "
        f"{1 / len(found.classes):.3f}"
    )
    text = template.substitute(
        pipeline=pipeline,
        data=_scalar(data),
        label=_scalar(found.label),
        label_note=f"{len(found.classes)} classes",
        columns="\n".join(f"    {_scalar(c.name)}: {c.kind.value}  # {_comment(c.reason)}" for c in found.columns),
        time=_time_lines(found),
        positive=(
            f"  positive: {_scalar(found.positive)}  # the class that roc_auc is about"
            if found.positive is not None
            else "  positive: null  # a class, for precision, recall and roc_auc; needs two classes"
        ),
        duplicates="drop" if found.drop_duplicates else "keep",
        duplicates_note=f"{found.distinct_rows} of {found.rows} rows are distinct; equal rows never straddle a split",
        golden_rows=golden_rows,
        golden_sha256=_scalar(golden_hash(golden)),
        feedback=_scalar(told.feedback),
        estimator=found.estimator,
        parameters=_flow(told.parameters),
        trusted_types=_flow(list(told.trusted_types)),
        metrics=", ".join(metrics),
        info_files=_flow(list(told.info_files)),
        min_rows=min(Gate.model_fields["min_rows"].default, golden_rows, splits.test.rows),  # what the file can show
        gate_metric=found.gate_metric,
        floor=found.floor,
        majority_note=chance,
        wrong_limit=max(500, splits.train.rows // 4),
        max_series=series_estimate(found),
    )
    parse_params(text)
    return text


def _time_lines(found: Inspection) -> str:
    if found.time is None:
        return "  time: null  # with a time column the split is by time: {column: ..., zone: Europe/Amsterdam}"
    lines = ["  time:  # the split is by time: the oldest rows train", f"    column: {_scalar(found.time.column)}"]
    if found.zone_declared:
        lines.append(f"    zone: {found.time.zone}  # of times that name none")
    return "\n".join(lines)


def _flow(value: Any) -> str:
    """A list or mapping on one line, in JSON's words, which YAML reads too."""
    return json.dumps(value, ensure_ascii=False)


def _scalar(text: str) -> str:
    """A YAML scalar that both PyYAML and DVC read back as this very string."""
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_./-]*", text) and yaml.safe_load(text) == text and not _yaml_1_1_bool(text):
        return text
    quoted: str = yaml.safe_dump(text, default_style='"', allow_unicode=True, width=10**6)
    return quoted.strip()


def _yaml_1_1_bool(text: str) -> bool:
    return text.lower() in {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}


def _comment(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
