"""``params.yaml``: the task, the pipeline's parameters and every threshold there is. Unknown keys are refused.

The file is the one place where a threshold stands. Names carry units: ``_seconds``, ``_share`` (0 to 1), ``_bytes``.
Where ``params.yaml`` has a team's own keys, all of it is the section ``remint``, and the rest is not ours.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from remint.config.base import Count, Duration, OpenShare, PositiveCount, Section, Slug, parse_duration
from remint.config.check import (
    AccuracyRule,
    AgeRule,
    Check,
    CostRule,
    DriftRule,
    EstimatedAccuracyRule,
    FilesSource,
    IntegrityRule,
    NoData,
    PrometheusSource,
    PromqlRule,
    Rule,
    SlowDriftRule,
    Source,
    VolumeRule,
    WrongRule,
)
from remint.config.control import AutoMerge, PullRequestPolicy, Resources
from remint.config.gate import Gate, MetricRule, Reproducibility, ServiceRule
from remint.config.registry import DeclaredEnvironments, RegistryPolicy, as_core
from remint.config.training import (
    Candidate,
    Duplicates,
    EarlierChampion,
    Evaluate,
    Golden,
    HalfLife,
    MetricName,
    Prepare,
    Selection,
    Task,
    TimeColumn,
    Train,
    Until,
    Window,
)
from remint.core.environments import Environments
from remint.errors import ConfigError, did_you_mean

__all__ = [
    "SECTION",
    "AccuracyRule",
    "AgeRule",
    "AutoMerge",
    "Canary",
    "Candidate",
    "Check",
    "CostRule",
    "DriftRule",
    "Duplicates",
    "EarlierChampion",
    "EstimatedAccuracyRule",
    "Evaluate",
    "FilesSource",
    "Gate",
    "Golden",
    "HalfLife",
    "IntegrityRule",
    "MetricName",
    "MetricRule",
    "NoData",
    "Params",
    "Prepare",
    "PrometheusSource",
    "PromqlRule",
    "PullRequestPolicy",
    "RegistryPolicy",
    "Reproducibility",
    "Resources",
    "Rule",
    "Selection",
    "Serve",
    "ServiceRule",
    "SlowDriftRule",
    "Source",
    "Task",
    "TimeColumn",
    "Train",
    "Until",
    "VolumeRule",
    "Window",
    "WrongRule",
    "load_params",
    "parse_duration",
    "parse_params",
]

#: The key that holds all of Remint's parameters where ``params.yaml`` is a team's own (``remint init --adopt``).
SECTION: Final = "remint"


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
    pull_request: PullRequestPolicy = PullRequestPolicy()
    resources: Resources = Resources()
    registry: RegistryPolicy = RegistryPolicy()
    environments: DeclaredEnvironments = Field(default_factory=dict)

    @property
    def places(self) -> Environments:
        """Where models serve: the declared environments, else the one that is there without being declared."""
        return as_core(self.environments)

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
        self.gate.check_columns(self.task.columns)
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
    if SECTION not in data:
        _refuse_dates(data, where)
        return _validated(Params, data, where)
    section = data[SECTION]
    if not isinstance(section, dict):
        raise ConfigError("is empty or not a mapping", where=f"{where}: {SECTION}")
    _refuse_dates(section, f"{where}: {SECTION}")
    return _validated(Params, section, where, within=(SECTION,))


def _validated(model: type[Params], data: dict[str, Any], where: str, *, within: tuple[str, ...] = ()) -> Params:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        # A mistyped key is two errors, and the one that helps is not that the right key is missing
        first = min(error.errors(include_url=False), key=lambda e: e["type"] != "extra_forbidden")
        keys = [*within, *(str(part) for part in first["loc"])]
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
