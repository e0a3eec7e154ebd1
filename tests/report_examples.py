"""Sealed documents made by the code that makes them, for reports and contracts."""

from __future__ import annotations

from typing import Any

import numpy as np

from remint.core.data_diff import lock_changes, params_changes, profile_moves, row_changes, schema_changes
from remint.core.document import DocumentKind, seal
from remint.core.drift import measure_drift
from remint.core.gate import (
    Acceptance,
    Comparison,
    Direction,
    GateRule,
    MetricRole,
    Pair,
    accept,
    judge,
    verdict_of,
)
from remint.core.gate_service import ServiceLimits, ServiceProbe, judge_service
from remint.core.paired import Noise
from remint.core.profile import FieldRole, Reference, build_reference
from remint.core.schema import Column, Kind, Schema
from remint.core.stage_runs import read_stage_runs
from remint.core.table import Table
from remint.core.trigger import Answer, RuleKind, RuleResult, RuleState

PIPELINE = "shop"
BUNDLE, OLD_BUNDLE = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def reference(name: str = "age", *, shift: float = 0.0, rows: int = 500) -> tuple[Reference, dict[str, Any]]:
    """A reference profile of one numeric column, and the counts of a window that moved by ``shift`` sigmas."""
    schema = Schema(
        pipeline=PIPELINE, features=(Column(name=name, kind=Kind.NUMERIC),), label="y", classes=("no", "yes")
    )
    values = np.random.default_rng(0).normal(size=rows)
    said = np.where(values > 0, "yes", "no").astype(object)
    sure = 0.5 + np.abs(np.tanh(values)) / 2
    found = build_reference(
        schema, Table(schema.features, {name: values}), held_out_predicted=said, held_out_confidence=sure
    )
    return found, dict(found.count(Table(schema.features, {name: values + shift}), said, sure))


def decision(name: str = "age", *, shift: float = 1.0, **changes: Any) -> dict[str, Any]:
    profile, counts = reference(name, shift=shift)
    drift = measure_drift(profile, counts, role=FieldRole.FEATURE, material_psi=0.02, alpha=0.001)
    reason = f"features drifted: {name} by 0.95 sigma"
    rules = [RuleResult(name="drift", kind=RuleKind.DRIFT, state=RuleState.OK, fired=True, reason=reason)]
    body = {
        "created_at": "2026-11-21T10:00:00.000000Z",
        "run_id": "shop-20261121T100000Z-0a1b2c",
        "answer": Answer.RETRAIN.value,
        "summary": f"Retrain: {reason}",
        "reasons": [reason],
        "champion": {
            "tag": "shop#stable#1",
            "version": "v1.0.0",
            "commit": "c" * 40,
            "bundle": OLD_BUNDLE,
            "reference": profile.id,
        },
        "window": {"start": "2026-11-14T10:00:00.000000Z", "end": "2026-11-21T10:00:00.000000Z"},
        "source": "log",
        "until": {"sequence": 900, "arrived_at": "2026-11-21T09:30:00.000000Z"},
        "rows": 500,
        "fresh_labels": 900,
        "rules": [rule.to_json() for rule in rules],
        "drift": [field.to_json() for field in drift],
    }
    return seal(DocumentKind.DECISION, PIPELINE, {**body, **changes}, parents=[profile.id])


def comparison(rows_name: str, champion: float | None, challenger: float, *, rows: int = 270) -> Comparison:
    difference = challenger - (champion or 0)
    noise = {"accuracy": Noise(low=difference - 0.02, high=difference + 0.02)} if champion is not None else {}
    pair = Pair(champion=champion, challenger=challenger)
    return Comparison(
        rows_name=rows_name,
        rows=rows,
        keys=rows,
        has_champion=champion is not None,
        metrics={"accuracy": pair},
        noise=noise,
    )


def gate(
    *,
    fresh: tuple[float | None, float] = (0.72, 0.81),
    golden: tuple[float | None, float] = (0.85, 0.84),
    rows: int = 270,
    accepted_by: str | None = None,
    service: ServiceProbe | None = None,
    boot: bool = True,
    notes: tuple[str, ...] = (),
) -> dict[str, Any]:
    judged, guarded = comparison("fresh", *fresh, rows=rows), comparison("golden", *golden)
    rules = [
        GateRule(metric="accuracy", role=role, direction=Direction.HIGHER, tolerance=0.02, floor=0.6)
        for role in (MetricRole.GATE, MetricRole.GUARD)
    ]
    findings = judge(rules, judged=judged, golden=guarded, min_rows=50)
    probe = service or ServiceProbe(
        boot_seconds=1.5,
        p95_latency_seconds=0.004,
        memory_bytes=220_000_000,
        golden_rows=50,
        golden_mismatches=0,
        requests=100,
    )
    if boot:
        findings += judge_service(
            probe, ServiceLimits(p95_latency_seconds=0.5, memory_bytes=1_500_000_000, boot_seconds=60)
        )
    acceptances = []
    if accepted_by is not None:
        from gate_examples import NOW

        acceptances = [Acceptance(rule="guard:accuracy", reason="a new world", by=accepted_by, bundle=BUNDLE, at=NOW)]
    findings, used = accept(findings, acceptances, bundle=BUNDLE)
    profile, _ = reference()

    def shown(found: Comparison) -> dict[str, Any]:
        return {
            name: {
                **pair.to_json(),
                "interval": {"low": noise.low, "high": noise.high} if (noise := found.noise.get(name)) else None,
            }
            for name, pair in found.metrics.items()
        }

    body = {
        "created_at": "2026-11-21T12:00:00.000000Z",
        "verdict": verdict_of(findings).value,
        "judged_on": "fresh",
        "notes": list(notes),
        "findings": [finding.to_json() for finding in findings],
        "challenger": {"bundle": BUNDLE, "reference": profile.id, "training_rows": 786},
        "champion": None if fresh[0] is None else {"tag": "shop#stable#1", "version": "v1.0.0", "bundle": OLD_BUNDLE},
        "rows": {"fresh": rows, "golden": 270, "test": 0},
        "metrics": {"fresh": shown(judged), "golden": shown(guarded), "test": {}},
        "service": probe.to_json() if boot else None,
        "accepted": [acceptance.to_json() for acceptance in used],
    }
    return seal(DocumentKind.GATE, PIPELINE, body, parents=[profile.id])


def with_more(
    document: dict[str, Any], *, slices: int = 4, name: str = "plan", metric: str = "accuracy"
) -> dict[str, Any]:
    """The gate as version 1.1 has it: so many slices of one column, flips, calibration, size, and three columns."""
    looked = [
        {
            "slice": f"{name}={i}",
            "metric": metric,
            "rows_name": "fresh",
            "rows": 100 + i,
            "distinct_rows": 100 + i,
            "champion": 0.8,
            "challenger": 0.8 - 0.01 * i if i % 2 else 0.8 + 0.01 * i,
            "interval": {"low": -0.05, "high": 0.05},
            "verdict": ("pass", "inconclusive", "missing", "no_champion")[i % 4],
        }
        for i in range(slices)
    ]
    columns = {"champion_before": 0.85, "champion_now": 0.72, "challenger_now": 0.81}
    more = {
        "slices": looked,
        "flips": {"rows": 270, "worse": 9, "better": 33, "share": 0.033, "interval": {"low": 0.015, "high": 0.062}},
        "calibration": {"champion": 0.09, "challenger": 0.04, "interval": {"low": -0.08, "high": -0.02}},
        "size_bytes": {"champion": 48_000, "challenger": 1_300_000},
        "evaluation": {
            "changed": True,
            "judged_on": {"before": "test", "now": "fresh"},
            "metrics": {metric: columns},
            "rows": {"before": 200, "now": 270},
        },
    }
    body = {key: value for key, value in document.items() if key not in {"schema", "id", "pipeline", "parents"}}
    return seal(DocumentKind.GATE, document["pipeline"], {**body, **more}, parents=document["parents"])


def summary(**changes: Any) -> dict[str, Any]:
    sides = ("train", "held_out", "test", "fresh", "golden")
    return {
        "pipeline": PIPELINE,
        "classes": ["no", "yes"],
        "rows": dict.fromkeys(sides, 10),
        "sources": {side: {"data": 4, "feedback": 6} for side in sides},
        "labels": {side: {"no": 3, "yes": 7} for side in sides},
        "dropped": {"missing_label": 0, "golden": 60},
        "feedback": {"rows": 900, "until": 900, "quarantine": {"contradiction": 12, "no_label": 0}},
        **changes,
    }


def changes(**more: Any) -> dict[str, Any]:
    """What a retrain changed: 120 rows of feedback more, one parameter, and one stage that was only restored."""
    profile, counts = reference(shift=0.5)
    old = {"stages": {"prepare": {"cmd": "a", "deps": [{"path": "data/feedback.parquet", "md5": "1"}]}}}
    new = {
        "stages": {
            "prepare": {"cmd": "a", "deps": [{"path": "data/feedback.parquet", "md5": "2"}]},
            "train": {"cmd": "b"},
        }
    }
    lock = lock_changes(old, new)
    printed = [(1.0, "Stage 'prepare' is cached - skipping run, checking out outputs"), (3.5, "Running stage 'train':")]
    before = summary(sources={"train": {"data": 4}}, labels={"train": {"no": 1, "yes": 3}})
    now = summary(sources={"train": {"data": 4, "feedback": 120}}, labels={"train": {"no": 51, "yes": 73}})
    kinds = [
        (
            {"fields": [{"role": "feature", "column": c, "measure": "value", "edges": e} for c, e in columns]},
            {"classes": classes},
        )
        for columns, classes in (
            ([("age", None)], ["no", "yes"]),
            ([("age", [0.0, 1.0]), ("city", None)], ["no", "yes", "maybe"]),
        )
    ]
    body = {
        "created_at": "2026-11-21T11:00:00.000000Z",
        "run_id": "shop-20261121T100000Z-0a1b2c",
        "base": "c" * 40,
        "bundle": {"before": OLD_BUNDLE, "now": BUNDLE},
        "rows": [c.to_json() for c in row_changes(before, now, by="sources")],
        "labels": [c.to_json() for c in row_changes(before, now, by="labels")],
        "schema_changes": [c.to_json() for c in schema_changes(kinds[0], kinds[1])],
        "profile": [m.to_json() for m in profile_moves(profile, counts)],
        "params": [c.to_json() for c in params_changes({"until": {"sequence": 0}}, {"until": {"sequence": 900}})],
        "files": [c.to_json() for c in lock.files],
        "stages": [s.to_json() for s in read_stage_runs(printed, ended_at=9.0, changed=lock.stages)],
        "notes": [],
    }
    return seal(DocumentKind.CHANGES, PIPELINE, {**body, **more})
