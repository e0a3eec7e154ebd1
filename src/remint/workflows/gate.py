"""The gate: both models on the same rows, the challenger's service booted and asked, one sealed ``gate`` document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from remint.adapters.bundle import Bundle, read_bundle
from remint.adapters.frames import read_rows
from remint.adapters.modules import importable
from remint.adapters.service_probe import probe_service
from remint.config import Params
from remint.core.document import DocumentKind, content_id, format_time, parse_time, seal
from remint.core.gate import (
    Acceptance,
    Comparison,
    GateRule,
    Pair,
    ServiceLimits,
    ServiceProbe,
    accept,
    judge,
    judge_service,
    verdict_of,
)
from remint.core.paired import Scored, disagreement, distinct, intervals
from remint.core.performance import measure
from remint.core.rows import LabelledRows
from remint.errors import BundleError, DataError

BUNDLE: Final = Path("artifacts/bundle")
MANIFEST: Final = Path("artifacts/manifest.json")
PREPARED: Final = Path("artifacts/prepared")


def gate_rules_id(params: Params) -> str:
    """The content id of what the gate judges by, the sections gate and evaluate: other rules, another answer."""
    return content_id(params.model_dump(mode="json", include={"gate", "evaluate"}))


def run_gate(
    params: Params,
    *,
    directory: Path,
    champion_bundle: Path | None,
    champion: Mapping[str, Any] | None,
    acceptances: Sequence[Mapping[str, Any]] = (),
    now: datetime,
    parents: Sequence[str] = (),
    boot_service: bool = True,
) -> dict[str, Any]:
    """Judge the challenger in ``directory`` and return the sealed ``gate`` document.

    ``directory`` is a pipeline directory with ``artifacts/`` materialised. ``champion_bundle`` is a bundle's directory,
    ``champion`` what the registry says of it: ``{"tag", "version", "bundle"}``; both None is the first model, which
    faces the declared floors. Each acceptance is ``{"rule", "reason", "by"}``, with ``"bundle"`` where it was given for
    a certain challenger: one for another bundle is ignored. ``boot_service=False`` leaves the service unjudged, and the
    document says so.

    The judged rows are the fresh ones: labelled feedback, newest by arrival, that neither model was trained on. What
    had arrived when the champion was trained may be among its training rows and is left out. Without any, the test
    rows stand in, and the document says so.

    Raises BundleError where a bundle is not whole, DataError where the rows do not fit the models, UsageError for an
    acceptance of what cannot be accepted.
    """
    with importable(directory):
        challenger = _challenger(params, directory)
        current = None if champion_bundle is None else _champion(params, champion_bundle, champion)
        judged, golden, test, notes = _compare_all(params, directory, challenger, current)
    findings = judge(_rules(params), judged=judged, golden=golden, min_rows=params.gate.min_rows)
    service = _probe(params, directory, challenger) if boot_service else None
    if service is None:
        notes.append("the service check was left out: latency, memory and the answers over HTTP are not judged")
    else:
        findings += judge_service(service, _limits(params))
    findings, accepted = accept(
        findings, [_acceptance(a, challenger.id, now) for a in acceptances], bundle=challenger.id
    )
    comparisons = {"fresh": judged if judged.rows_name == "fresh" else None, "golden": golden, "test": test}
    body = {
        "created_at": format_time(now),
        "verdict": verdict_of(findings).value,
        "judged_on": judged.rows_name,
        "rules_id": gate_rules_id(params),
        "notes": notes,
        "findings": [finding.to_json() for finding in findings],
        "challenger": {
            "bundle": challenger.id,
            "reference": challenger.reference.id,
            "training_rows": challenger.reference.training_rows,
        },
        "champion": None if current is None else _champion_json(current, champion),
        "rows": {name: 0 if found is None else found.rows for name, found in comparisons.items()},
        "metrics": {name: {} if found is None else _metrics_json(found) for name, found in comparisons.items()},
        "service": None if service is None else service.to_json(),
        "accepted": [acceptance.to_json() for acceptance in accepted],
    }
    evidence = [*parents, challenger.reference.id]
    return seal(DocumentKind.GATE, params.pipeline, body, parents=list(dict.fromkeys(evidence)))


def _challenger(params: Params, directory: Path) -> Bundle:
    """The bundle that git names: ``artifacts/manifest.json`` is tracked by git, ``artifacts/bundle`` by DVC."""
    bundle = read_bundle(directory / BUNDLE, trusted_types=params.train.trusted_types)
    if bundle.pipeline != params.pipeline:
        raise BundleError(f"belongs to pipeline {bundle.pipeline!r}, not {params.pipeline!r}", where=str(directory))
    tracked = directory / MANIFEST
    try:
        is_same = tracked.read_bytes() == (directory / BUNDLE / MANIFEST.name).read_bytes()
    except OSError as error:
        raise BundleError(f"cannot be read: {error.strerror}", where=str(tracked), hint="dvc repro makes it") from None
    if not is_same:
        raise BundleError("is not that of artifacts/bundle", where=str(tracked), hint="dvc checkout, or dvc repro")
    return bundle


def _champion(params: Params, directory: Path, champion: Mapping[str, Any] | None) -> Bundle:
    expected = None if champion is None else champion.get("bundle")
    try:
        bundle = read_bundle(directory, trusted_types=params.train.trusted_types, expected_id=expected)
    except BundleError as error:
        hint = "; ".join(h for h in (error.hint, "or gate by floors alone: --no-champion") if h)
        raise BundleError(f"the champion's bundle: {error.message}", where=error.where, hint=hint) from error
    if bundle.pipeline != params.pipeline:
        raise BundleError(f"belongs to pipeline {bundle.pipeline!r}, not {params.pipeline!r}", where=str(directory))
    return bundle


@dataclass(frozen=True, slots=True)
class _Side:
    """The same labelled rows, as each of the two models sees them."""

    challenger: LabelledRows
    champion: LabelledRows | None

    @property
    def rows(self) -> int:
        return self.challenger.rows

    def after(self, sequence: int) -> _Side:
        """The rows of feedback that arrived later than ``sequence``."""
        late = self.challenger.sequence > sequence
        return _Side(self.challenger.take(late), None if self.champion is None else self.champion.take(late))


def _compare_all(
    params: Params, directory: Path, challenger: Bundle, champion: Bundle | None
) -> tuple[Comparison, Comparison, Comparison, list[str]]:
    """The judged rows, the golden set and the test rows compared, and what a reader has to know about them."""
    sides = {name: _side(directory, name, challenger, champion) for name in ("fresh", "golden", "test")}
    notes: list[str] = []
    fresh = sides["fresh"]
    if champion is not None:
        until = _until(champion)
        fresh = fresh.after(until)
        if dropped := sides["fresh"].rows - fresh.rows:
            notes.append(
                f"{dropped} fresh rows had arrived when the champion was trained (number {until} and before): left out"
            )
    golden, test = (_compare(name, sides[name], params, challenger, champion) for name in ("golden", "test"))
    if fresh.rows:
        return _compare("fresh", fresh, params, challenger, champion), golden, test, notes
    since = "yet" if champion is None else "since the champion was trained"
    notes.append(f"no labelled feedback has arrived {since}: judged on the test rows instead of fresh ones")
    return test, golden, test, notes


def _side(directory: Path, name: str, challenger: Bundle, champion: Bundle | None) -> _Side:
    path = directory / PREPARED / f"{name}.parquet"
    rows = read_rows(path, challenger.schema.features)
    if champion is None or champion.schema.features == challenger.schema.features:
        return _Side(rows, None if champion is None else rows)
    try:
        return _Side(rows, read_rows(path, champion.schema.features))
    except DataError as error:
        raise DataError(
            f"the champion needs other columns than these rows have: {error.message}",
            where=error.where,
            hint="models of different columns cannot be compared: gate by floors with --no-champion",
        ) from error


def _until(champion: Bundle) -> int:
    """Feedback up to this number may be among the champion's training rows."""
    try:
        return int(champion.metadata["until"]["sequence"])
    except (KeyError, TypeError, ValueError):
        raise BundleError("its metadata does not say up to where feedback trained it", where="champion") from None


def _compare(name: str, side: _Side, params: Params, challenger: Bundle, champion: Bundle | None) -> Comparison:
    metrics = [metric.value for metric in params.evaluate.metrics]
    after, after_metrics = _scored(params, metrics, challenger, side.challenger)
    keys = side.challenger.keys
    if champion is None or side.champion is None:
        return Comparison(
            rows_name=name,
            rows=side.rows,
            keys=distinct(keys)[1],
            has_champion=False,
            metrics={m: Pair(champion=None, challenger=after_metrics[m]) for m in metrics},
        )
    before, before_metrics = _scored(params, metrics, champion, side.champion)
    comparable = [m for m in metrics if before_metrics[m] is not None and after_metrics[m] is not None]
    return Comparison(
        rows_name=name,
        rows=side.rows,
        keys=distinct(keys)[1],
        has_champion=True,
        metrics={m: Pair(champion=before_metrics[m], challenger=after_metrics[m]) for m in metrics},
        noise=intervals(comparable, before, after, keys, seed=params.prepare.seed),
        disagreement=disagreement(before, after, keys) if comparable else None,
    )


def _scored(
    params: Params, metrics: Sequence[str], bundle: Bundle, rows: LabelledRows
) -> tuple[Scored, Mapping[str, float | None]]:
    classes, positive = bundle.schema.classes, params.task.positive
    probabilities = bundle.predict(rows.table).probabilities
    code = {label: i for i, label in enumerate(classes)}
    labels = np.array([code.get(label, -1) for label in rows.labels.tolist()], dtype=np.int64)
    scored = Scored(labels, probabilities, None if positive is None else code.get(positive))
    return scored, measure(metrics, rows.labels, probabilities, classes, positive)


def _probe(params: Params, directory: Path, challenger: Bundle) -> ServiceProbe:
    return probe_service(
        challenger,
        directory / BUNDLE,
        params=directory / "params.yaml",
        boot_seconds=params.gate.service.boot_seconds,
        python_path=[directory],
    )


def _rules(params: Params) -> list[GateRule]:
    return [
        GateRule(
            metric=rule.metric.value,
            role=rule.role,
            direction=rule.direction,
            tolerance=rule.tolerance,
            floor=rule.floor,
        )
        for rule in params.gate.rules
    ]


def _limits(params: Params) -> ServiceLimits:
    declared = params.gate.service
    return ServiceLimits(
        p95_latency_seconds=declared.p95_latency_seconds,
        memory_bytes=declared.memory_bytes,
        boot_seconds=declared.boot_seconds,
    )


def _acceptance(given: Mapping[str, Any], bundle: str, now: datetime) -> Acceptance:
    return Acceptance(
        rule=given["rule"],
        reason=given["reason"],
        by=given["by"],
        bundle=given.get("bundle") or bundle,
        at=parse_time(given["at"]) if given.get("at") else now,
    )


def _champion_json(bundle: Bundle, champion: Mapping[str, Any] | None) -> dict[str, Any]:
    known = champion or {}
    return {"tag": known.get("tag"), "version": known.get("version"), "bundle": bundle.id}


def _metrics_json(comparison: Comparison) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for metric, pair in comparison.metrics.items():
        noise = comparison.noise.get(metric)
        interval = None if noise is None else {"low": noise.low, "high": noise.high}
        found[metric] = {**pair.to_json(), "interval": interval}
    return found
