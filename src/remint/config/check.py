"""``check``: when to retrain. Sources, rules, what silence means."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, InstanceOf, model_validator

from remint.config.base import Count, Duration, OpenShare, PositiveCount, Section
from remint.core.condition import AllOf, AnyOf, Condition, parse_condition
from remint.core.condition import names as condition_names
from remint.core.divergence import Method
from remint.core.trigger import Treatment
from remint.errors import Silence, did_you_mean


def _condition(value: object) -> Condition | None:
    return None if value is None else parse_condition(value)


class Source(StrEnum):
    PROMETHEUS = "prometheus"
    LOG = "log"
    FILES = "files"


class RuleSection(Section):
    """What every rule may be told. ``for``: fires only once its condition held at each check for that long."""

    hold_for: Duration | None = Field(default=None, alias="for")


class DriftRule(RuleSection):
    kind: Literal["drift"]
    role: Literal["feature", "prediction", "confidence"]
    method: Method = Method.PSI
    material_psi: Annotated[float, Field(ge=0)] = 0.02  # a smaller true shift is real but not worth a retrain
    clear_psi: Annotated[float, Field(ge=0)] | None = None  # once it fired, it stays so down to here
    windows: Annotated[int, Field(ge=1, le=10)] = 1  # in a row that have to show it

    @model_validator(mode="after")
    def _clear_below(self) -> DriftRule:
        _refuse_clear(self.clear_psi, self.material_psi, "clear_psi", "material_psi")
        return self


class SlowDriftRule(RuleSection):
    """Drift too slow for one window: evidence is gathered since the promotion, and valid at every look."""

    kind: Literal["slow_drift"]
    role: Literal["feature", "prediction", "confidence"] = "feature"
    material_psi: Annotated[float, Field(ge=0)] = 0.005


class IntegrityRule(RuleSection):
    """Values that cannot be: the pipeline before the model broke. Answers INVESTIGATE, never trains."""

    kind: Literal["integrity"]
    missing_share: OpenShare = 0.1  # more than the reference's own share by this much
    unseen_share: OpenShare = 0.2
    out_of_range_share: OpenShare = 0.2


class AccuracyRule(RuleSection):
    """Accuracy from feedback against the champion's at its gate, as a confidence sequence."""

    kind: Literal["accuracy"]
    drop: OpenShare = 0.05
    clear_drop: OpenShare | None = None
    min_labels: PositiveCount = 50

    @model_validator(mode="after")
    def _clear_below(self) -> AccuracyRule:
        _refuse_clear(self.clear_drop, self.drop, "clear_drop", "drop")
        return self


class EstimatedAccuracyRule(RuleSection):
    """Accuracy without labels, from calibrated confidence. Cannot see concept drift."""

    kind: Literal["estimated_accuracy"]
    drop: OpenShare = 0.05
    clear_drop: OpenShare | None = None

    @model_validator(mode="after")
    def _clear_below(self) -> EstimatedAccuracyRule:
        _refuse_clear(self.clear_drop, self.drop, "clear_drop", "drop")
        return self


class CostRule(RuleSection):
    """What waiting costs (accuracy surely lost x predictions x cost of an error) against what a retrain costs."""

    kind: Literal["cost"]
    error_cost: Annotated[float, Field(gt=0)]  # of one wrong prediction, in any currency
    retrain_cost: Annotated[float, Field(gt=0)]  # of one retrain, review included, in the same currency
    horizon: Duration = timedelta(days=7)  # how long one would wait
    min_labels: PositiveCount = 50


class WrongRule(RuleSection):
    """Number of predictions that users called wrong in the window."""

    kind: Literal["wrong"]
    limit: PositiveCount
    clear: Count | None = None

    @model_validator(mode="after")
    def _clear_below(self) -> WrongRule:
        _refuse_clear(self.clear, self.limit, "clear", "limit")
        return self


class VolumeRule(RuleSection):
    """New labelled rows since the champion was trained, divided by its training rows."""

    kind: Literal["volume"]
    share: Annotated[float, Field(gt=0)] = 0.5


class AgeRule(RuleSection):
    kind: Literal["age"]
    max_age: Duration


class PromqlRule(RuleSection):
    """A signal of one's own: a query that answers with one number, and the limit beyond which it fires."""

    kind: Literal["promql"]
    query: Annotated[str, Field(min_length=1)]
    above: float | None = None  # fires above it
    below: float | None = None  # or below it: one of the two
    clear: float | None = None  # once it fired, it stays so until here
    then: Literal["retrain", "investigate"]

    @model_validator(mode="after")
    def _one_limit(self) -> PromqlRule:
        if (self.above is None) == (self.below is None):
            raise ValueError("give one limit: above or below")
        if self.clear is not None:
            beyond = self.clear > self.above if self.above is not None else self.clear < (self.below or 0.0)
            if beyond:
                raise ValueError("clear lies beyond the limit: the rule would clear before it fires")
        return self


Rule = Annotated[
    DriftRule
    | SlowDriftRule
    | IntegrityRule
    | AccuracyRule
    | EstimatedAccuracyRule
    | CostRule
    | WrongRule
    | VolumeRule
    | AgeRule
    | PromqlRule,
    Field(discriminator="kind"),
]


def _refuse_clear(clear: float | None, limit: float, name: str, limit_name: str) -> None:
    if clear is not None and clear > limit:
        raise ValueError(f"{name} is above {limit_name}: the rule would clear before it fires")


class PrometheusSource(Section):
    url: str = "http://127.0.0.1:9090"  # REMINT_PROMETHEUS_URL wins; credentials come from the environment only
    timeout_seconds: Annotated[float, Field(gt=0, le=300)] = 30.0


class FilesSource(Section):
    """Logged predictions in Parquet or CSV files."""

    path: str  # a file, a directory or a glob
    time: str  # column of the prediction's time
    predicted: str  # column of the predicted class
    confidence: str  # column of its probability
    label: str | None = None  # column of the label, null where there is none yet
    engine: Literal["polars", "duckdb", "spark"] = "polars"
    memory_bytes: PositiveCount | None = None  # polars: of the whole process; null is faster


class NoData(Section):
    """What each kind of silence means. All of them have to be declared: silence is never health by accident."""

    no_series: Treatment
    empty: Treatment
    too_few: Treatment
    nan: Treatment
    stale: Treatment
    counter_reset: Treatment | Literal["count"]  # count: what a process had counted until its last scrape is enough
    server_error: Treatment

    def treatments(self) -> dict[Silence, Treatment]:
        found = {Silence(name): getattr(self, name) for name in type(self).model_fields}
        return {s: t if isinstance(t, Treatment) else Treatment.INCONCLUSIVE for s, t in found.items()}


class Check(Section):
    source: Source = Source.PROMETHEUS
    prometheus: PrometheusSource = PrometheusSource()
    files: FilesSource | None = None
    window: Duration = timedelta(days=7)
    every: Duration = timedelta(hours=6)  # the schedule; checks that come faster share its false-alarm budget
    min_rows: PositiveCount = 200  # fewer predictions in the window: no drift answer
    min_fresh_labels: PositiveCount = 100  # fewer new labels: drift answers NEED_LABELS, there is nothing to learn from
    cooldown: Duration = timedelta(hours=24)
    retrains_a_week: PositiveCount = 3
    false_retrains_a_year: Annotated[float, Field(gt=0, le=52)] = 1.0  # the budget of all statistical rules together
    retrain_timeout: Duration = timedelta(hours=6)  # a retrain that started longer ago is taken for dead
    no_data: NoData
    retrain_when: Annotated[InstanceOf[AnyOf] | InstanceOf[AllOf] | str | None, BeforeValidator(_condition)] = None
    rules: Annotated[dict[str, Rule], Field(min_length=1)]

    @model_validator(mode="after")
    def _coherent(self) -> Check:
        if self.source is Source.FILES and self.files is None:
            raise ValueError("source is files, but check.files does not say where they are")
        if self.retrain_when is not None:
            named = set(condition_names(self.retrain_when))
            for name in sorted(named - self.rules.keys()):
                advice = did_you_mean(name, self.rules)
                raise ValueError(f"retrain_when names {name!r}, which is no rule{f' ({advice})' if advice else ''}")
            for name in sorted(named & self.investigating):
                raise ValueError(f"retrain_when names {name!r}, which asks for a person and never for a retrain")
            for name in sorted(self.rules.keys() - named - self.investigating):
                raise ValueError(f"rule {name!r} is not in retrain_when: it would never count")
        return self

    @property
    def investigating(self) -> frozenset[str]:
        """Rules that ask for a person instead of a retrain."""
        return frozenset(
            name
            for name, rule in self.rules.items()
            if isinstance(rule, IntegrityRule) or (isinstance(rule, PromqlRule) and rule.then == "investigate")
        )
