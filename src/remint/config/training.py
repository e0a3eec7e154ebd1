"""From ``task`` to ``evaluate``: what is learned from what, and what is measured."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from remint.config.base import Count, Duration, ModuleFunction, OpenShare, PositiveCount, Section, Slug, zone_name
from remint.core import recency
from remint.core.gate import Direction
from remint.core.schema import Column, Kind


class TimeColumn(Section):
    column: str
    zone: Annotated[str, AfterValidator(zone_name)] = "UTC"  # of naive times; aware ones keep their own


class Task(Section):
    """What is learned from what."""

    data: str
    label: str
    columns: dict[str, Kind]
    time: TimeColumn | None = None  # where there is one, the split is temporal
    positive: str | None = None  # the class that precision, recall and roc_auc are about; needs two classes

    @model_validator(mode="after")
    def _coherent(self) -> Task:
        if self.label in self.columns:
            raise ValueError(f"the label {self.label!r} is also among the columns: it would leak into the features")
        if self.time is not None and self.columns.get(self.time.column, Kind.IGNORED).is_feature:
            raise ValueError(f"the time column {self.time.column!r} must be 'ignored' among the columns")
        if not any(kind.is_feature for kind in self.columns.values()):
            raise ValueError("no numeric, categorical or text column: there is nothing to learn from")
        return self

    @property
    def features(self) -> tuple[Column, ...]:
        return tuple(Column(name=name, kind=kind) for name, kind in self.columns.items() if kind.is_feature)


class Until(Section):
    """Feedback up to and with this sequence number trains; 0 is none. Written by ``remint retrain``."""

    sequence: Count = 0
    arrived_at: str | None = None  # RFC 3339, quoted: an unquoted date crashes DVC


class Golden(Section):
    path: str = "golden/golden.jsonl"
    sha256: str  # of the file; a change of the golden set is a change of this line, seen in review


class Duplicates(StrEnum):
    KEEP = "keep"
    DROP = "drop"


class Window(Section):
    """Which training rows count: ``all``, the newest ``{rows: 50000}``, or those of the ``{last: 90d}``."""

    rows: PositiveCount | None = None
    last: Duration | None = None  # needs task.time; counts back from the newest training row

    @model_validator(mode="before")
    @classmethod
    def _said(cls, value: Any) -> Any:
        if value == "all":
            return {"rows": None}
        if value == {} or not isinstance(value, dict | Window):
            raise ValueError(f"{value!r:.40} is neither all nor {{rows: N}} nor {{last: 90d}}")
        return value

    @model_validator(mode="after")
    def _one(self) -> Window:
        if self.rows is not None and self.last is not None:
            raise ValueError("rows and last are two windows: give one")
        return self

    @property
    def policy(self) -> recency.Window:
        return recency.Window(rows=self.rows, last=self.last)


class HalfLife(Section):
    """How fast training rows lose weight: ``30d`` (needs task.time), or by how many are newer, ``{rows: 5000}``."""

    rows: PositiveCount | None = None
    time: Duration | None = None

    @model_validator(mode="before")
    @classmethod
    def _said(cls, value: Any) -> Any:
        if isinstance(value, HalfLife) or (isinstance(value, dict) and "rows" in value):
            return value
        if isinstance(value, str | timedelta):
            return {"time": value}
        raise ValueError(f"{value!r:.40} is neither a duration such as 30d nor {{rows: N}}")

    @model_validator(mode="after")
    def _one(self) -> HalfLife:
        if (self.rows is None) == (self.time is None):
            raise ValueError("give either a duration such as 30d or {rows: N}")
        return self

    @property
    def of(self) -> timedelta | int:
        if self.time is not None:
            return self.time
        assert self.rows is not None
        return self.rows


class Prepare(Section):
    seed: Count = 0  # salt of the splits
    test_share: OpenShare = 0.2
    held_out_share: OpenShare = 0.15  # not trained on: the reference profile of predictions and confidence
    duplicates: Duplicates = Duplicates.KEEP
    golden: Golden
    feedback: str = "data/feedback.parquet"
    until: Until = Until()
    fresh_share: OpenShare = 0.3  # of the feedback, the newest by arrival, kept from training for the gate
    reporter_share: OpenShare = 0.2  # the most that one reporter may hold of the curated feedback
    window: Window = Window(rows=None)  # of the training side alone; test and held-out rows stay as they are
    half_life: HalfLife | None = None  # recency weights, for the estimator's sample_weight


class Candidate(Section):
    """One way to train, among several. What it leaves out is the section's own."""

    name: Slug
    estimator: ModuleFunction | None = None
    parameters: dict[str, Any] | None = None  # default: train.parameters, but none for an estimator of its own
    window: Window = Window(rows=None)  # inside prepare.window


class EarlierChampion(Section):
    """A champion of the past that competes again. Written by ``remint retrain``."""

    tag: str
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")]
    bundle: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class MetricName(StrEnum):
    ACCURACY = "accuracy"
    BALANCED_ACCURACY = "balanced_accuracy"
    F1_MACRO = "f1_macro"
    LOG_LOSS = "log_loss"
    PRECISION = "precision"
    RECALL = "recall"
    ROC_AUC = "roc_auc"

    @property
    def needs_positive(self) -> bool:
        return self in {MetricName.PRECISION, MetricName.RECALL, MetricName.ROC_AUC}

    @property
    def direction(self) -> Direction:
        return Direction.LOWER if self is MetricName.LOG_LOSS else Direction.HIGHER


class Selection(Section):
    """How the best of several candidates is found: on the newest training rows, never on the gate's."""

    share: OpenShare = 0.2  # of the training rows, the newest
    metric: MetricName = MetricName.ACCURACY
    min_rows: PositiveCount = 30  # distinct rows; with fewer nothing is compared and the first candidate stands


class Train(Section):
    estimator: ModuleFunction
    parameters: dict[str, Any] = Field(default_factory=dict)
    seed: Count = 0
    bins: Annotated[int, Field(ge=4, le=50)] = 10
    trusted_types: tuple[str, ...] = ()  # further types that a bundle may hold, reviewed here, never read from a bundle
    reference_window: Duration = timedelta(days=7)  # of the reference's windows, by task.time: set it to check.window
    candidates: tuple[Candidate, ...] = ()  # the simplest first: a later one has to be better beyond noise
    selection: Selection = Selection()
    earlier_champions: Annotated[int, Field(ge=0, le=10)] = 0  # how many past champions compete again at a retrain
    earlier: tuple[EarlierChampion, ...] = ()

    @model_validator(mode="after")
    def _named_once(self) -> Train:
        names = [candidate.name for candidate in self.candidates]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two candidates are named {twice[0]!r}")
        return self


class Evaluate(Section):
    metrics: Annotated[tuple[MetricName, ...], Field(min_length=1)] = (
        MetricName.ACCURACY,
        MetricName.BALANCED_ACCURACY,
        MetricName.F1_MACRO,
        MetricName.LOG_LOSS,
    )
    info_files: tuple[str, ...] = ()  # metrics files of a team's own stages: their numbers are shown, never judged
