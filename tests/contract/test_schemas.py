"""Files as contracts: what the code writes fits its schema; what was changed or is of another version is refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError

from backtest_examples import ACCURACY, DRIFT, chapter, check_of, make_history
from backtest_examples import make_reference as make_backtest_reference
from gate_examples import NOW, make_model
from remint.adapters.state import write_state
from remint.config import load_params
from remint.core import document as documents
from remint.core.backtest import Prices
from remint.core.command_run import CommandRun
from remint.core.document import DocumentKind, content_id, seal, unseal
from remint.core.judge import JudgePolicy, OnTimeout, Outcome, judge
from remint.core.release import ReleaseState, Track
from remint.core.report_backtest import BacktestReport
from remint.core.resources import Factors, footprint
from remint.errors import DocumentError
from remint.workflows.backtest import ReplayOptions, replay
from remint.workflows.backtest_run import sealed
from remint.workflows.backtest_suggest import suggest
from remint.workflows.verdict import OutcomeSource, judge_canary
from report_examples import BUNDLE, OLD_BUNDLE, changes, decision, gate, reference

SCHEMAS = Path(__file__).parents[2] / "schemas"
KINDS = [*(kind.value for kind in DocumentKind), "state"]


def validator(kind: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((SCHEMAS / f"{kind}.schema.json").read_text()))


def verdict() -> dict[str, Any]:
    """As ``workflows.verdict`` seals it, of a judgement that the judge made."""
    policy = JudgePolicy(
        alpha=0.05, margin=0.05, min_units=50, max_duration=timedelta(days=3), on_timeout=OnTimeout.ROLLBACK
    )
    seen = [
        Outcome(step=0, track=track, signal="error", bucket=bucket, units=units)
        for track, bucket, units in ((Track.STABLE, "ok", 450), (Track.CANARY, "ok", 20), (Track.CANARY, "error", 30))
    ]
    found = judge(seen, steps=(0.1, 1.0), step=0, policy=policy, elapsed=timedelta(hours=1))
    assert found.answer.value == "ROLLBACK"
    body = {
        "created_at": "2026-11-21T12:00:00.000000Z",
        "release": "r3",
        "step": 0,
        "share": 0.1,
        "answer": found.answer.value,
        "summary": found.summary,
        "stable": OLD_BUNDLE,
        "canary": BUNDLE,
        "started_at": "2026-11-21T11:00:00.000000Z",
        "source": "store",
        "policy": {
            "alpha": policy.alpha,
            "margin": policy.margin,
            "min_units": policy.min_units,
            "max_duration_seconds": policy.max_duration.total_seconds(),
            "on_timeout": policy.on_timeout.value,
        },
        "findings": [finding.to_json() for finding in found.findings],
        "evidence": {e.signal.value: e.to_json() for e in found.evidence},
        "until": {"at": "2026-11-21T12:00:00.000000Z", "sequence": 12},
    }
    return seal(DocumentKind.VERDICT, "shop", body)


def run() -> dict[str, Any]:
    body = {
        "command": "retrain",
        "run_id": "shop-20261121T100000Z-0a1b2c",
        "started_at": "2026-11-21T10:00:00.000000Z",
        "finished_at": "2026-11-21T10:05:00.000000Z",
        "outcome": "published",
        "cpu_seconds": 12.5,
        "peak_memory_bytes": 400_000_000,
        "decision": BUNDLE,
        "base": "c" * 40,
        "branch": "remint/retrain/shop",
        "commit": "d" * 40,
        "bundle": BUNDLE,
        "gate": {"id": BUNDLE, "verdict": "pass"},
    }
    return seal(DocumentKind.RUN, "shop", body, parents=[BUNDLE])


def usage() -> dict[str, Any]:
    """As ``remint`` writes it around each command."""
    started = datetime(2026, 11, 21, 10, tzinfo=UTC)
    return CommandRun(
        command="registry",
        subcommand="promote",
        outcome="not-admitted",
        exit_code=2,
        started_at=started,
        finished_at=started + timedelta(seconds=2),
        wall_seconds=2.0,
        cpu_seconds=1.25,
        peak_memory_bytes=90_000_000,
        disk_read_bytes=4096,
        disk_written_bytes=None,
        pipeline="shop",
        factors=Factors(currency="EUR", cpu_hour_cost=0.04, watts_per_cpu=12.0, grams_co2e_per_kwh=None),
        workflow="https://github.com/acme/shop/actions/runs/7",
        runner={"remint": "0.1.0", "python": "3.11.7", "system": "linux", "machine": "x86_64", "cpus": 2},
    ).to_json()


def backtest() -> dict[str, Any]:
    """Two policies over a month in which the data moved and the model got worse."""
    moves = {"shifts": [(12, 0.6)], "accuracies": [(0, 0.9), (12, 0.7)]}
    history = make_history(make_backtest_reference(), 24, labels=20, **moves)
    past = [chapter(make_backtest_reference(), history)]
    options = ReplayOptions()
    check = check_of({"drift": DRIFT, "accuracy": ACCURACY}, every="1d")
    results = tuple(replay(check, past, policy=name, options=options) for name in ("a.yaml", "b.yaml"))
    assert results[0].retrains
    report = BacktestReport(
        pipeline="shop",
        source="Prometheus",
        start=results[0].start,
        end=results[0].end,
        results=results,
        prices=Prices(error=0.5, retrain=200),
        references=(BUNDLE,),
        assumptions=options.assumptions(),
        budget=1.0,
        suggestions=suggest(check, past, false_retrains_a_year=1.0, options=options),
    )
    return sealed(report)


SAMPLES: dict[str, Callable[[], dict[str, Any]]] = {
    "decision": decision,
    "gate": gate,
    "reference": lambda: reference()[0].to_json(),
    "verdict": verdict,
    "run": run,
    "usage": usage,
    "backtest": backtest,
    "changes": changes,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("trained")
    make_model(directory)
    return directory


@pytest.mark.parametrize("kind", KINDS)
def test_the_schema_is_valid_and_closed(kind: str) -> None:
    schema = json.loads((SCHEMAS / f"{kind}.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize("kind", SAMPLES)
def test_what_the_code_makes_fits_its_schema(kind: str) -> None:
    sample = json.loads(json.dumps(SAMPLES[kind]()))
    validator(kind).validate(sample)
    assert unseal(sample, DocumentKind(kind), pipeline="shop") == sample


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_key_too_many_or_too_few_does_not_fit(kind: str) -> None:
    sample = SAMPLES[kind]()
    with pytest.raises(ValidationError, match="surprise"):
        validator(kind).validate({**sample, "surprise": 1})
    for key in ("schema", "id", "pipeline", "parents"):
        with pytest.raises(ValidationError, match=key):
            validator(kind).validate({k: v for k, v in sample.items() if k != key})


@pytest.mark.parametrize("first", [True, False])
def test_a_gate_without_champion_and_one_with_acceptance_fit(first: bool) -> None:
    sample = gate(fresh=(None, 0.8), golden=(None, 0.8)) if first else gate(golden=(0.9, 0.5), accepted_by="Ada")
    validator("gate").validate(sample)
    assert len(sample["accepted"]) == (0 if first else 1)


def test_what_training_writes_fits(trained: Path) -> None:
    for kind in ("metadata", "reference"):
        written = json.loads((trained / f"artifacts/{kind}.json").read_text())
        validator(kind).validate(written)
        assert unseal(written, DocumentKind(kind), pipeline="shop") == written


def test_a_verdict_without_a_canary_fits(trained: Path) -> None:
    state = ReleaseState(pipeline="shop", release="r1", stable=OLD_BUNDLE, canary=None, steps=(1.0,), step=-1)
    written = judge_canary(
        load_params(trained / "params.yaml"),
        state,
        source=OutcomeSource.STORE,
        store_url=None,
        environ={},
        started_at=None,
        now=NOW,
    )
    assert written["answer"] == "HOLD"
    validator("verdict").validate(written)


def test_a_run_of_version_1_0_and_one_with_its_cost_are_read() -> None:
    old = in_version(run(), "run", "1.0")
    factors = Factors(currency="EUR", cpu_hour_cost=0.04, watts_per_cpu=12.0, grams_co2e_per_kwh=300.0)
    body = {k: v for k, v in run().items() if k not in {"schema", "id", "pipeline", "parents"}}
    new = seal(DocumentKind.RUN, "shop", {**body, **footprint(12.5, factors).to_json(), "workflow": None})
    for document in (old, new):
        validator("run").validate(document)
        assert unseal(document, DocumentKind.RUN)["cpu_seconds"] == 12.5


def test_a_command_outside_of_a_pipeline_has_none() -> None:
    sample = usage()
    body = {k: v for k, v in sample.items() if k not in {"schema", "id", "pipeline", "parents"}}
    validator("usage").validate(seal(DocumentKind.USAGE, None, body))


@pytest.mark.parametrize("runs", [{}, {BUNDLE: "shop-20261121T100000Z-0a1b2c"}])
def test_the_state_file_fits(tmp_path: Path, runs: dict[str, str]) -> None:
    state = ReleaseState(
        pipeline="shop", release="r2", stable=OLD_BUNDLE, canary=BUNDLE, steps=(0.1, 0.5, 1.0), step=1, runs=runs
    )
    write_state(tmp_path / "state.yaml", state)
    written = yaml.safe_load((tmp_path / "state.yaml").read_text())
    validator("state").validate(written)
    with pytest.raises(ValidationError):
        validator("state").validate({**written, "stable": "latest"})


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_changed_document_is_refused(kind: str) -> None:
    sample = SAMPLES[kind]()
    for changed in ({**sample, "pipeline": "other"}, {**sample, "extra": 1}, {**sample, "id": BUNDLE}):
        with pytest.raises(DocumentError, match="changed after it was written"):
            unseal(changed, DocumentKind(kind))


@pytest.mark.parametrize("kind", SAMPLES)
@pytest.mark.parametrize("major", [0, 2, 17])
def test_an_unknown_major_is_refused(kind: str, major: int) -> None:
    with pytest.raises(DocumentError, match=rf"major version {major} of {kind} is unknown here"):
        unseal(in_version(SAMPLES[kind](), kind, f"{major}.0"), DocumentKind(kind))


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_newer_minor_is_read(kind: str) -> None:
    newer = in_version({**SAMPLES[kind](), "added_later": True}, kind, "1.7")
    assert unseal(newer, DocumentKind(kind))["added_later"] is True


@pytest.mark.parametrize("kind", list(DocumentKind))
def test_version_n_reads_version_n_minus_1(kind: DocumentKind, monkeypatch: pytest.MonkeyPatch) -> None:
    old = seal(kind, "shop", {"rows": 3})

    def lift(document: dict[str, Any]) -> dict[str, Any]:
        lifted = copy.deepcopy(document)
        lifted["row_count"] = lifted.pop("rows")
        return lifted

    monkeypatch.setattr(documents, "CURRENT", {**documents.CURRENT, kind: (2, 0)})
    monkeypatch.setattr(documents, "UPGRADES", {(kind, 1): lift})
    assert unseal(old, kind)["row_count"] == 3
    with pytest.raises(DocumentError, match="major version 3"):
        unseal(in_version(old, kind.value, "3.0"), kind)


def in_version(sample: dict[str, Any], kind: str, version: str) -> dict[str, Any]:
    body = {key: value for key, value in sample.items() if key != "id"} | {"schema": f"remint/{kind}/{version}"}
    return {**body, "id": content_id(body)}
