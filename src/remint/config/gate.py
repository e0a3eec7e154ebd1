"""Section ``gate``: what a challenger has to pass before it may replace the champion."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import Field, model_validator

from remint.config.base import PositiveCount, Section, Share
from remint.config.training import MetricName
from remint.core.gate import Direction, GateRule, MetricRole, SliceRule
from remint.core.schema import Kind


class MetricRule(Section):
    """How a challenger's metric may compare with the champion's. Where both tolerances are given, both must hold."""

    metric: MetricName
    role: MetricRole
    direction: Direction | None = None  # the metric's own; another one is refused
    tolerance: Annotated[float, Field(ge=0)] | None = None  # how much worse is still accepted; neither: nothing
    relative_tolerance: Annotated[float, Field(ge=0)] | None = None  # the same as a share of the champion's value
    floor: float | None = None  # absolute; what the first model, without a champion, has to reach
    min_rows: PositiveCount | None = None  # distinct rows; default: gate.min_rows
    slices: tuple[str, ...] | None = None  # columns of gate.slices; default: all for role gate, none for the others

    @model_validator(mode="after")
    def _one_way(self) -> MetricRule:
        if self.direction not in {None, self.metric.direction}:
            raise ValueError(f"{self.metric.value} is better {self.metric.direction.value}: leave direction out")
        return self

    @property
    def as_core(self) -> GateRule:
        return GateRule(
            metric=self.metric.value,
            role=self.role,
            direction=self.metric.direction,
            tolerance=self.tolerance,
            relative_tolerance=self.relative_tolerance,
            floor=self.floor,
            min_rows=self.min_rows,
            slices=self.slices,
        )


class Slice(Section):
    """A column whose parts are judged each by itself: by value, or a numeric one by edges."""

    column: str
    edges: tuple[float, ...] | None = None  # default of a numeric feature: quantiles of the training reference
    parts: Annotated[int, Field(ge=2, le=10)] = 4  # how many quantiles
    tolerance: Annotated[float, Field(ge=0)] | None = None  # in the metric's unit; default: those of the metric's rule
    min_rows: PositiveCount = 30  # distinct rows; a smaller slice is shown and not judged

    @model_validator(mode="after")
    def _ascending(self) -> Slice:
        if self.edges is not None and (not self.edges or list(self.edges) != sorted(set(self.edges))):
            raise ValueError("edges must ascend, and there must be one at least")
        return self

    @property
    def as_core(self) -> SliceRule:
        return SliceRule(column=self.column, min_rows=self.min_rows, tolerance=self.tolerance)


class FlipsRule(Section):
    """How many distinct rows the challenger may have wrong that the champion has right."""

    max_share: Share


class CalibrationRule(Section):
    """How much larger than the champion's the expected calibration error may be."""

    tolerance: Annotated[float, Field(ge=0)]


class Reproducibility(StrEnum):
    """Whether the gate trains again, to see whether the same bundle comes out."""

    NEVER = "never"
    ALWAYS = "always"  # costs a second training


class ServiceRule(Section):
    """The challenger is booted and asked over HTTP before it may pass; its bundle is weighed."""

    p95_latency_seconds: Annotated[float, Field(gt=0)] = 0.5
    memory_bytes: PositiveCount = 1_500_000_000
    boot_seconds: Annotated[float, Field(gt=0)] = 60.0
    bundle_bytes: PositiveCount | None = None  # of all files of the bundle
    max_growth_share: Annotated[float, Field(ge=0)] | None = None  # of the bundle beyond the champion's


class Gate(Section):
    min_rows: PositiveCount = 30  # distinct rows; with fewer a rule is inconclusive, and that never passes
    rules: Annotated[tuple[MetricRule, ...], Field(min_length=1)]
    slices: tuple[Slice, ...] = ()
    flips: FlipsRule | None = None  # None: shown, never fails
    calibration: CalibrationRule | None = None  # None: shown, never fails
    reproducibility: Reproducibility = Reproducibility.NEVER
    service: ServiceRule = ServiceRule()

    @model_validator(mode="after")
    def _slices_declared(self) -> Gate:
        columns = [declared.column for declared in self.slices]
        if twice := sorted({name for name in columns if columns.count(name) > 1}):
            raise ValueError(f"slices: the column {twice[0]!r} is cut twice")
        for rule in self.rules:
            if unknown := [name for name in rule.slices or () if name not in columns]:
                raise ValueError(
                    f"the {rule.role.value} rule of {rule.metric.value} names slices by {unknown[0]!r}, which "
                    "gate.slices does not declare"
                )
        names = [rule.as_core.id for rule in self.rules]
        if self.slices and (same := [name for i, name in enumerate(names) if name in names[:i]]):
            raise ValueError(f"two rules are {same[0]}: their slices could not be told apart")
        return self

    def check_columns(self, columns: Mapping[str, Kind]) -> None:
        """Raises ValueError where a slice is by a column that no row keeps, or by one that has no such parts."""
        for declared in self.slices:
            kind = columns.get(declared.column)
            if kind not in {Kind.NUMERIC, Kind.CATEGORICAL, Kind.SENSITIVE}:
                said = "no column of task.columns" if kind is None else kind.value
                raise ValueError(
                    f"gate.slices: {declared.column!r} is {said}; a slice is of a numeric, categorical or sensitive one"
                )
            if declared.edges is not None and kind is Kind.CATEGORICAL:
                raise ValueError(f"gate.slices: {declared.column!r} is categorical, and edges are for numbers")
