"""``params.yaml``: the task, the pipeline's parameters and every threshold there is. Unknown keys are refused.

The file is the one place where a threshold stands. Names carry units: ``_seconds``, ``_share`` (0 to 1), ``_bytes``.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    ValidationError,
    model_validator,
)

from remint.core import recency
from remint.core.condition import AllOf, AnyOf, Condition, parse_condition
from remint.core.condition import names as condition_names
from remint.core.document import is_slug
from remint.core.gate import Direction, MetricRole
from remint.core.schema import Column, Kind
from remint.core.trigger import Treatment
from remint.errors import ConfigError, Silence, did_you_mean

_DURATION = re.compile(r"(?P<count>\d+(?:\.\d+)?)(?P<unit>[smhdw])")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_duration(value: object) -> timedelta:
    """``90s``, ``15m``, ``6h``, ``7d``, ``2w``: a positive duration. Anything else raises ValueError."""
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(str(value))
    if match is None or float(match["count"]) <= 0:
        raise ValueError(f"{value!r} is not a duration such as 90s, 15m, 6h, 7d or 2w")
    return timedelta(seconds=float(match["count"]) * _UNIT_SECONDS[match["unit"]])


def _slug(value: str) -> str:
    if not is_slug(value):
        raise ValueError(f"{value!r} is not a slug: lower-case words joined by dashes, 2 to 40 characters")
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{value!r} is not a time zone such as UTC or Europe/Amsterdam") from None
    return value


def _condition(value: object) -> Condition | None:
    return None if value is None else parse_condition(value)


def _module_function(value: str) -> str:
    if re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", value) is None:
        raise ValueError(f"{value!r} is not module:function")
    return value


Slug = Annotated[str, AfterValidator(_slug)]
Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
Share = Annotated[float, Field(ge=0, le=1)]
OpenShare = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=0)]
PositiveCount = Annotated[int, Field(ge=1)]
ModuleFunction = Annotated[str, AfterValidator(_module_function)]


class Section(BaseModel):
    """Frozen, and no key that is not declared."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TimeColumn(Section):
    column: str
    zone: Annotated[str, AfterValidator(_zone)] = "UTC"  # of naive times; aware ones keep their own


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


class Selection(Section):
    """How the best of several candidates is found: on the newest training rows, never on the gate's."""

    share: OpenShare = 0.2  # of the training rows, the newest
    metric: MetricName = MetricName.ACCURACY
    min_rows: PositiveCount = 30  # distinct rows; with fewer nothing is compared and the first candidate stands


class Train(Section):
    estimator: ModuleFunction
    parameters: dict[str, Any] = {}
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


class MetricRule(Section):
    """How a challenger's metric may compare with the champion's."""

    metric: MetricName
    role: MetricRole
    direction: Direction = Direction.HIGHER
    tolerance: Annotated[float, Field(ge=0)] = 0.0  # how much worse than the champion is still accepted
    floor: float | None = None  # absolute; what the first model, without a champion, has to reach


class ServiceRule(Section):
    """The challenger is booted and asked over HTTP before it may pass."""

    p95_latency_seconds: Annotated[float, Field(gt=0)] = 0.5
    memory_bytes: PositiveCount = 1_500_000_000
    boot_seconds: Annotated[float, Field(gt=0)] = 60.0


class Gate(Section):
    min_rows: PositiveCount = 30  # distinct rows; with fewer a rule is inconclusive, and that never passes
    rules: Annotated[tuple[MetricRule, ...], Field(min_length=1)]
    service: ServiceRule = ServiceRule()


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
    method: Literal["psi", "kl", "js", "chi_square", "ks", "wasserstein"] = "psi"
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
    material_psi: Annotated[float, Field(ge=0)] = 0.02


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
    timeout_seconds: Annotated[float, Field(gt=0, le=300)] = 10.0


class FilesSource(Section):
    """Logged predictions in Parquet or CSV files."""

    path: str  # a file, a directory or a glob
    time: str  # column of the prediction's time
    predicted: str  # column of the predicted class
    confidence: str  # column of its probability
    label: str | None = None  # column of the label, null where there is none yet
    engine: Literal["polars", "duckdb", "spark"] = "polars"


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


class Canary(Section):
    steps: Annotated[tuple[float, ...], Field(min_length=1)] = (0.1, 0.25, 0.5, 1.0)
    alpha: OpenShare = 0.05  # chance of rolling back a release that behaves the same, however often it is looked at
    margin: OpenShare = 0.05  # promoted once it is at most this much less accurate, with confidence 1 - alpha
    min_units: PositiveCount = 100  # fresh units a step needs before the next
    max_duration: Duration = timedelta(days=3)
    on_timeout: Literal["rollback", "hold"] = "rollback"

    @model_validator(mode="after")
    def _rising(self) -> Canary:
        if list(self.steps) != sorted(set(self.steps)) or self.steps[0] <= 0 or self.steps[-1] != 1:
            raise ValueError("steps must rise from above 0 to 1")
        return self


class Serve(Section):
    max_series: PositiveCount = 20_000  # remint_bin_total of all tracks; more is refused at load
    max_rows: PositiveCount = 1_000  # in one request
    max_request_bytes: PositiveCount = 4_000_000
    min_free_bytes: Count = 50_000_000  # less free space on the store's disk answers 507


class Params(Section):
    """The whole of ``params.yaml``."""

    pipeline: Slug
    task: Task
    prepare: Prepare
    train: Train
    evaluate: Evaluate = Evaluate()
    gate: Gate
    check: Check
    canary: Canary = Canary()
    serve: Serve = Serve()

    @model_validator(mode="after")
    def _coherent(self) -> Params:
        if self.prepare.test_share + self.prepare.held_out_share >= 0.9:
            raise ValueError("prepare.test_share and prepare.held_out_share leave less than a tenth to train on")
        wanted = {*self.evaluate.metrics, *(rule.metric for rule in self.gate.rules), self.train.selection.metric}
        needy = sorted(metric.value for metric in wanted if metric.needs_positive)
        if needy and self.task.positive is None:
            raise ValueError(f"{', '.join(needy)} need task.positive: the class they are about")
        missing = sorted(r.metric.value for r in self.gate.rules if r.metric not in self.evaluate.metrics)
        if missing:
            raise ValueError(f"gate.rules name {', '.join(missing)}, which evaluate.metrics does not measure")
        if self.task.time is None and (untimed := self._by_time()):
            raise ValueError(f"{untimed} goes by the rows' times, which need task.time; or count in rows: {{rows: N}}")
        return self

    def _by_time(self) -> str | None:
        """The first key that needs the rows' times."""
        if self.prepare.window.last is not None:
            return "prepare.window"
        if self.prepare.half_life is not None and self.prepare.half_life.time is not None:
            return "prepare.half_life"
        timed = [c.name for c in self.train.candidates if c.window.last is not None]
        return f"the window of train.candidates {timed[0]!r}" if timed else None


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check ``params.yaml``. Raises ConfigError: the key, what is wrong with it, the nearest known key."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            "not found", where=str(path), hint="run it where params.yaml is, or make one: remint init"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", where=str(path)) from None
    return parse_params(text, where=str(path))


def parse_params(text: str, *, where: str = "params.yaml") -> Params:
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        raise ConfigError(f"not YAML: {getattr(error, 'problem', None) or error}", where=f"{where}{line}") from None
    if not isinstance(data, dict):
        raise ConfigError("is empty or not a mapping", where=where)
    _refuse_dates(data, where)
    return _validated(Params, data, where)


def _validated(model: type[Params], data: dict[str, Any], where: str) -> Params:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        # A mistyped key is two errors, and the one that helps is not that the right key is missing
        first = min(error.errors(include_url=False), key=lambda e: e["type"] != "extra_forbidden")
        keys = [str(part) for part in first["loc"]]
        place = f"{where}: {'.'.join(keys)}" if keys else where
        if first["type"] == "extra_forbidden":
            raise ConfigError(
                "unknown key", where=place, hint=did_you_mean(keys[-1], _known_keys(model, first["loc"]))
            ) from None
        message = first["msg"].removeprefix("Value error, ")
        given = "" if first["type"] in {"missing", "value_error"} else f", got {first['input']!r:.60}"
        raise ConfigError(message + given, where=place) from None


def _known_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys that were possible where the unknown one stood."""
    here: list[type[BaseModel]] = [model]
    for part in location[:-1]:
        found: list[type[BaseModel]] = []
        for candidate in here:
            field = candidate.model_fields.get(str(part))
            found.extend(_models_in(field.annotation) if field is not None else [])
        here = found or here
        tagged = [m for m in here if "kind" in m.model_fields and part in get_args(m.model_fields["kind"].annotation)]
        here = tagged or here
    return sorted({field.alias or name for candidate in here for name, field in candidate.model_fields.items()})


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]


def _refuse_dates(value: Any, where: str) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            _refuse_dates(inner, f"{where}: {key}")
    elif isinstance(value, datetime) or type(value).__name__ == "date":
        raise ConfigError("an unquoted date, which DVC cannot read", where=where, hint="put it in quotes")
