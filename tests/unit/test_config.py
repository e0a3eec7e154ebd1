"""params.yaml: what is refused, and in which words."""

from __future__ import annotations

import copy
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from params_examples import NO_DATA
from remint.config import AgeRule, Check, DriftRule, Prepare, load_params, parse_duration, parse_params
from remint.core.condition import AllOf, AnyOf
from remint.core.trigger import Treatment
from remint.errors import ConfigError, ExitCode, Silence

GOOD: dict[str, Any] = {
    "pipeline": "shop",
    "task": {"data": "data/d.csv", "label": "y", "columns": {"x": "numeric", "day": "ignored"}},
    "prepare": {"golden": {"sha256": "0" * 64}},
    "train": {"estimator": "remint.estimators:linear"},
    "gate": {"rules": [{"metric": "accuracy", "role": "gate", "floor": 0.6}]},
    "check": {
        "no_data": NO_DATA,
        "rules": {"moved": {"kind": "drift", "role": "feature"}, "old": {"kind": "age", "max_age": "90d"}},
    },
}


def changed(path: str, value: Any) -> str:
    """The good params with one key set; ``...`` takes it away."""
    document = copy.deepcopy(GOOD)
    *parents, last = path.split(".")
    place: Any = document
    for key in parents:
        place = place[int(key)] if isinstance(place, list) else place.setdefault(key, {})
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return yaml.safe_dump(document)


def test_the_defaults_are_those_that_are_documented() -> None:
    params = parse_params(yaml.safe_dump(GOOD))
    assert params.check.window == timedelta(days=7)
    assert isinstance(params.check.rules["moved"], DriftRule)
    assert isinstance(params.check.rules["old"], AgeRule)
    assert [c.name for c in params.task.features] == ["x"]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("pipline", "shop", "params.yaml: pipline: unknown key (did you mean 'pipeline'?)"),
        ("prepare.test_shar", 0.2, "params.yaml: prepare.test_shar: unknown key (did you mean 'test_share'?)"),
        ("gate.rules.0.tolerence", 0.1, "params.yaml: gate.rules.0.tolerence: unknown key (did you mean 'tolerance'?)"),
        ("gate.service.p95_latency", 1, "unknown key (did you mean 'p95_latency_seconds'?)"),
        ("prepare.window", "al", "prepare.window: 'al' is neither all nor {rows: N} nor {last: 90d}"),
        ("prepare.window", {}, "prepare.window: {} is neither all nor"),
        ("prepare.window", None, "prepare.window: None is neither all nor"),
        ("prepare.window", {"rwos": 3}, "prepare.window.rwos: unknown key (did you mean 'rows'?)"),
        ("prepare.window", {"rows": 3, "last": "9d"}, "prepare.window: rows and last are two windows: give one"),
        ("prepare.window", {"last": "9d"}, "prepare.window goes by the rows' times, which need task.time"),
        ("prepare.half_life", "9d", "prepare.half_life goes by the rows' times, which need task.time"),
        ("prepare.half_life", 30, "prepare.half_life: 30 is neither a duration such as 30d nor {rows: N}"),
        ("train.candidates", [{"name": "aa"}, {"name": "aa"}], "train: two candidates are named 'aa'"),
        ("train.candidates", [{"name": "aa", "windw": "all"}], "unknown key (did you mean 'window'?)"),
        ("train.candidates", [{"name": "aa", "window": {"last": "9d"}}], "the window of train.candidates 'aa' goes by"),
        ("train.selection", {"metric": "roc_auc"}, "roc_auc need task.positive"),
        ("train.earlier", [{"tag": "a", "commit": "b", "bundle": "c"}], "params.yaml: train.earlier.0.commit"),
        ("check.windw", "7d", "params.yaml: check.windw: unknown key (did you mean 'window'?)"),
        ("check.rules.moved.material_ps", 0.1, "unknown key (did you mean 'material_psi'?)"),
        ("check.rules.old.max_ag", "3d", "unknown key (did you mean 'max_age'?)"),
        ("serve.zzz", 1, "params.yaml: serve.zzz: unknown key"),
    ],
)
def test_an_unknown_key_names_the_one_that_was_meant(path: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_params(changed(path, value))
    assert message in str(refused.value)
    assert refused.value.exit_code is ExitCode.USAGE


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("pipeline", "Shop EU", "params.yaml: pipeline: 'Shop EU' is not a slug"),
        ("pipeline", ..., "params.yaml: pipeline: Field required"),
        ("task.columns.x", "number", "params.yaml: task.columns.x: Input should be 'numeric'"),
        ("task.columns", {"y": "numeric"}, "the label 'y' is also among the columns"),
        ("task.columns", {"day": "ignored"}, "there is nothing to learn from"),
        ("task.time", {"column": "x"}, "the time column 'x' must be 'ignored'"),
        ("task.time", {"column": "day", "zone": "Mars/Base"}, "'Mars/Base' is not a time zone"),
        ("prepare.test_share", 1.5, "params.yaml: prepare.test_share: Input should be less than 1, got 1.5"),
        ("prepare.test_share", 0.8, "leave less than a tenth to train on"),
        ("prepare.test_share", float("nan"), "params.yaml: prepare.test_share: Input should be"),
        ("train.estimator", "linear", "'linear' is not module:function"),
        ("gate.rules", [], "params.yaml: gate.rules:"),
        ("gate.rules.0.role", "guide", "params.yaml: gate.rules.0.role: Input should be 'gate', 'guard' or 'info'"),
        ("gate.rules.0.metric", "recall", "recall need task.positive"),
        ("gate.rules.0.tolerance", -0.1, "params.yaml: gate.rules.0.tolerance:"),
        ("evaluate.metrics", ["log_loss"], "gate.rules name accuracy, which evaluate.metrics does not measure"),
        ("check.window", "7 days", "'7 days' is not a duration such as 90s, 15m, 6h, 7d or 2w"),
        ("check.window", "0d", "'0d' is not a duration"),
        ("check.rules.moved.kind", "drfit", "params.yaml: check.rules.moved"),
        ("check.rules", {}, "params.yaml: check.rules:"),
        ("canary.steps", [0.5, 0.1, 1.0], "steps must rise from above 0 to 1"),
        ("canary.steps", [0.1, 0.5], "steps must rise from above 0 to 1"),
        ("canary.on_timeout", "promote", "params.yaml: canary.on_timeout:"),
    ],
)
def test_what_cannot_be_is_refused_at_its_key(path: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_params(changed(path, value))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_unquoted_date_is_refused_because_dvc_cannot_read_it() -> None:
    text = yaml.safe_dump(GOOD) + "x-note: 2026-11-21T10:00:00Z\n"
    with pytest.raises(ConfigError, match=r"x-note: an unquoted date, which DVC cannot read \(put it in quotes\)"):
        parse_params(text)


@pytest.mark.parametrize(
    ("text", "message"), [("a: [", "line 2: not YAML"), ("", "is empty"), ("- a", "not a mapping")]
)
def test_what_is_no_mapping_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_params(f"{text}\n")


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"not found .*remint init"):
        load_params(tmp_path / "params.yaml")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_params(tmp_path / "binary")


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("6h", 21_600), ("1.5d", 129_600), ("2w", 1_209_600)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)
    assert parse_duration(timedelta(seconds=seconds)) == timedelta(seconds=seconds)


# -- triggers --------------------------------------------------------------------------------------------------------

LATENCY = {"kind": "promql", "query": "max(latency_seconds)", "above": 0.5, "then": "investigate"}


def check_of(**check: Any) -> Check:
    return parse_params(yaml.safe_dump({**GOOD, "check": {**GOOD["check"], **check}})).check


def test_rules_are_joined_by_any_and_all() -> None:
    check = check_of(retrain_when={"any": ["old", {"all": ["moved", "old"]}]})
    assert check.retrain_when == AnyOf(("old", AllOf(("moved", "old"))))


@pytest.mark.parametrize(
    ("check", "words"),
    [
        ({"retrain_when": {"any": ["old", "movd"]}}, "names 'movd', which is no rule (did you mean 'moved'?)"),
        ({"retrain_when": "old"}, "rule 'moved' is not in retrain_when: it would never count"),
        ({"retrain_when": {"some": ["old"]}}, "is not a rule's name, {any: [...]} or {all: [...]}"),
        (
            {
                "rules": {"latency": LATENCY, "old": {"kind": "age", "max_age": "9d"}},
                "retrain_when": {"any": ["old", "latency"]},
            },
            "names 'latency', which asks for a person and never for a retrain",
        ),
        ({"no_data": {**NO_DATA, "nan": "ignore"}}, "check.no_data.nan"),
        ({"no_data": {k: v for k, v in NO_DATA.items() if k != "stale"}}, "check.no_data.stale: Field required"),
        ({"source": "files"}, "source is files, but check.files does not say where they are"),
        ({"rules": {"x": {**LATENCY, "below": 0.1}}}, "give one limit: above or below"),
        ({"rules": {"x": {k: v for k, v in LATENCY.items() if k != "above"}}}, "give one limit: above or below"),
        ({"rules": {"x": {**LATENCY, "clear": 0.6}}}, "clear lies beyond the limit"),
        ({"rules": {"x": {"kind": "wrong", "limit": 5, "clear": 6}}}, "clear is above limit"),
        ({"rules": {"x": {"kind": "age", "max_age": "9d", "fr": "3h"}}}, "unknown key (did you mean 'for'?)"),
    ],
)
def test_a_trigger_that_cannot_work_is_refused(check: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_of(**check)
    assert words in str(caught.value)


def test_silence_is_read_as_declared_and_a_counted_reset_is_no_silence() -> None:
    found = check_of(no_data={**NO_DATA, "stale": "investigate", "too_few": "quiet"}).no_data.treatments()
    assert found[Silence.STALE] is Treatment.INVESTIGATE
    assert found[Silence.TOO_FEW] is Treatment.QUIET
    assert set(found) == set(Silence)


def test_windows_and_half_lives_are_said_in_rows_or_in_time() -> None:
    def prepare(**given: Any) -> Prepare:
        task = {**GOOD["task"], "time": {"column": "day", "zone": "UTC"}}
        return parse_params(yaml.safe_dump({**GOOD, "task": task, "prepare": {**GOOD["prepare"], **given}})).prepare

    assert prepare() == prepare(window="all", half_life=None)
    windows = ("all", {"rows": 9}, {"last": "9d"})
    said = [str(prepare(window=window).window.policy) for window in windows]
    assert said == ["all rows", "the newest 9 rows", "the last 9 days"]
    lives = [prepare(half_life=life).half_life for life in ("30d", {"rows": 5})]
    assert [life.of for life in lives if life is not None] == [timedelta(days=30), 5]


def test_beside_the_keys_of_a_team_all_of_ours_are_one_section() -> None:
    theirs = {"train": {"n_est": 50}, "seed": 1, "built": date(2026, 1, 1)}
    ours = yaml.safe_load(changed("train.seed", 7))
    assert parse_params(yaml.safe_dump({**theirs, "remint": ours})).train.seed == 7
    ours["gaet"] = ours.pop("gate")
    with pytest.raises(ConfigError, match=r"params\.yaml: remint\.gaet: unknown key \(did you mean 'gate'"):
        parse_params(yaml.safe_dump({**theirs, "remint": ours}))
    with pytest.raises(ConfigError, match=r"params\.yaml: remint: is empty or not a mapping"):
        parse_params(yaml.safe_dump({**theirs, "remint": None}))
