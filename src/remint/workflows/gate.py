"""The gate: both models on the same rows, the challenger's service booted and asked, one sealed ``gate`` document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, assert_never

from remint.adapters.bundle import Bundle, bundle_bytes, read_bundle
from remint.adapters.modules import importable
from remint.adapters.service_probe import probe_service
from remint.config import Params, Reproducibility
from remint.core.calibration import CalibrationPair, compare_calibration, judge_calibration
from remint.core.document import DocumentKind, content_id, format_time, parse_time, seal
from remint.core.evaluation_change import evaluation
from remint.core.flips import Flips, flips_of, judge_flips
from remint.core.gate import Acceptance, Comparison, GateRule, MetricRole, accept, judge, verdict_of
from remint.core.gate_service import ServiceLimits, ServiceProbe, SizeRule, judge_service, judge_size
from remint.core.slices import Look, judge_slices, look
from remint.core.verdict import Finding
from remint.errors import BundleError
from remint.workflows.gate_rows import AllCompared, Compared, compare_all, cuts
from remint.workflows.own_metrics import own_metric_notes
from remint.workflows.reproduce import judge_reproducible

BUNDLE: Final = Path("artifacts/bundle")
MANIFEST: Final = Path("artifacts/manifest.json")


def gate_rules_id(params: Params) -> str:
    """The content id of what the gate judges by, the sections gate and evaluate: other rules, another answer."""
    return content_id(params.model_dump(mode="json", include={"gate", "evaluate"}))


def run_gate(
    params: Params,
    *,
    directory: Path,
    champion_bundle: Path | None,
    champion: Mapping[str, Any] | None,
    champion_metrics: Mapping[str, Any] | None = None,
    acceptances: Sequence[Mapping[str, Any]] = (),
    now: datetime,
    parents: Sequence[str] = (),
    boot_service: bool = True,
) -> dict[str, Any]:
    """Judge the challenger in ``directory`` and return the sealed ``gate`` document.

    ``directory`` is a pipeline directory with ``artifacts/`` materialised. ``champion_bundle`` is a bundle's directory,
    ``champion`` what the registry says of it: ``{"tag", "version", "bundle"}``; both None is the first model, which
    faces the declared floors. ``champion_metrics`` is ``artifacts/metrics.json`` at the champion's commit: with it the
    document says whether the evaluation rows changed since. Each acceptance is ``{"rule", "reason", "by"}``, with
    ``"bundle"`` where it was given for a certain challenger: one for another bundle is ignored. ``boot_service=False``
    leaves the service unjudged, and the document says so.

    The judged rows are the fresh ones: labelled feedback, newest by arrival, that neither model was trained on. What
    had arrived when the champion was trained may be among its training rows and is left out. Without any, the test
    rows stand in, and the document says so.

    Raises BundleError where a bundle is not whole, DataError where the rows do not fit the models, UsageError for an
    acceptance of what cannot be accepted.
    """
    with importable(directory):
        challenger = _challenger(params, directory)
        current = None if champion_bundle is None else _champion(params, champion_bundle, champion)
        compared = compare_all(params, directory, challenger, current)
    judged, golden, test = compared.judged.comparison, compared.golden.comparison, compared.test.comparison
    notes = compared.notes
    rules = [rule.as_core for rule in params.gate.rules]
    findings = judge(rules, judged=judged, golden=golden, min_rows=params.gate.min_rows)
    looks, of_slices = _slices(params, compared, challenger, rules)
    flips, calibration, of_answers = _answers(params, compared.judged)
    sizes = {
        "champion": None if champion_bundle is None else bundle_bytes(champion_bundle),
        "challenger": bundle_bytes(directory / BUNDLE),
    }
    limits = SizeRule(
        bundle_bytes=params.gate.service.bundle_bytes, max_growth_share=params.gate.service.max_growth_share
    )
    of_size = judge_size(limits, champion=sizes["champion"], challenger=sizes["challenger"] or 0)
    findings += (*of_slices, *of_answers, *of_size, *_reproduced(params, directory))
    service = _probe(params, directory, challenger) if boot_service else None
    if service is None:
        notes.append("the service check was left out: latency, memory and the answers over HTTP are not judged")
    else:
        findings += judge_service(service, _limits(params))
    notes += own_metric_notes(directory, params.evaluate.info_files, None if champion is None else champion.get("tag"))
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
        "slices": [look.to_json() for look in looks],
        "flips": None if flips is None else flips.to_json(),
        "calibration": calibration.to_json(),
        "size_bytes": sizes,
        "evaluation": evaluation(champion_metrics, judged=judged, golden=golden),
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


def _slices(
    params: Params, compared: AllCompared, challenger: Bundle, rules: Sequence[GateRule]
) -> tuple[tuple[Look, ...], tuple[Finding, ...]]:
    """Every look at a slice, and a finding for each metric and column; one correction for all looks."""
    guards = [rule for rule in rules if rule.role is MetricRole.GUARD]
    others = [rule for rule in rules if rule.role is not MetricRole.GUARD]
    parts = [
        (cuts(params, compared, challenger, guards=is_guard), chosen)
        for is_guard, chosen in ((False, others), (True, guards))
    ]
    looks = look(parts, seed=params.prepare.seed)
    return looks, tuple(finding for cut, chosen in parts for finding in judge_slices(cut, chosen, looks))


def _answers(params: Params, judged: Compared) -> tuple[Flips | None, CalibrationPair, tuple[Finding, ...]]:
    """Flips and calibration on the judged rows, and a finding of each that has a rule."""
    comparison, declared = judged.comparison, params.gate
    split = comparison.disagreement
    flips = None if split is None else flips_of(split, keys=comparison.keys)
    pair = compare_calibration(judged.champion, judged.challenger, judged.keys, seed=params.prepare.seed)
    known: dict[str, Any] = {
        "min_rows": declared.min_rows,
        "has_champion": comparison.has_champion,
        "rows_name": comparison.rows_name,
    }
    findings: list[Finding] = []
    if declared.flips is not None:
        findings.append(judge_flips(flips, max_share=declared.flips.max_share, **known))
    if declared.calibration is not None:
        findings.append(
            judge_calibration(pair, tolerance=declared.calibration.tolerance, keys=comparison.keys, **known)
        )
    return flips, pair, tuple(findings)


def _reproduced(params: Params, directory: Path) -> tuple[Finding, ...]:
    match params.gate.reproducibility:
        case Reproducibility.NEVER:
            return ()
        case Reproducibility.ALWAYS:
            return (judge_reproducible(directory, directory / BUNDLE),)
        case _:
            assert_never(params.gate.reproducibility)


def _probe(params: Params, directory: Path, challenger: Bundle) -> ServiceProbe:
    return probe_service(
        challenger,
        directory / BUNDLE,
        params=directory / "params.yaml",
        boot_seconds=params.gate.service.boot_seconds,
        python_path=[directory],
    )


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
