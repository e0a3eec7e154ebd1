"""What a model costs to run: its service's start, answers, latency and memory, and the size of its bundle."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from remint.core.gate_words import share
from remint.core.verdict import Absence, Finding, FindingVerdict, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLimits:
    """What the booted service may take."""

    p95_latency_seconds: float
    memory_bytes: int
    boot_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceProbe:
    """What was seen of the challenger's own service over HTTP. None is "could not be measured"."""

    boot_seconds: float | None
    p95_latency_seconds: float | None
    memory_bytes: int | None
    golden_rows: int
    golden_mismatches: int | None
    requests: int
    problem: str | None = None  # why it did not start or did not answer

    def to_json(self) -> dict[str, float | int | None]:
        return {
            "p95_latency_seconds": self.p95_latency_seconds,
            "memory_bytes": self.memory_bytes,
            "boot_seconds": self.boot_seconds,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeRule:
    """How large a bundle may be, and by which share of the champion's it may have grown. None: no such limit."""

    bundle_bytes: int | None = None
    max_growth_share: float | None = None


def judge_size(rule: SizeRule, *, champion: int | None, challenger: int) -> tuple[Finding, ...]:
    """The size of the bundle's files in bytes against both limits; no finding where none is declared."""
    if rule.bundle_bytes is None and rule.max_growth_share is None:
        return ()
    grown = None if champion is None or rule.max_growth_share is None else champion * (1 + rule.max_growth_share)
    limit = min((bound for bound in (rule.bundle_bytes, grown) if bound is not None), default=None)
    words = f"{_megabytes(challenger)} of bundle"
    if champion is not None:
        words += f", {_megabytes(champion)} the champion's"
        words += f" ({(challenger - champion) / champion:+.0%})".replace("%", " %") if champion else ""
    verdict: FindingVerdict
    if limit is None:
        verdict = Absence.NO_CHAMPION
        words += ", no champion to have grown beyond"
    else:
        verdict = Verdict.PASS if challenger <= limit else Verdict.FAIL
        words += f", limit {_megabytes(limit)}"
        if rule.max_growth_share is not None and limit == grown:
            words += f": {share(rule.max_growth_share)} more than the champion's"
    return (
        Finding(
            rule="bundle:size",
            verdict=verdict,
            reason=words,
            observed=float(challenger),
            limit=None if limit is None else float(limit),
            evidence={
                "champion": champion,
                "challenger": challenger,
                "bundle_bytes": rule.bundle_bytes,
                "max_growth_share": rule.max_growth_share,
            },
        ),
    )


def _megabytes(count: float) -> str:
    return f"{count / 1e3:.3g} kB" if count < 1e6 else f"{count / 1e6:,.1f} MB"


def judge_service(probe: ServiceProbe, limits: ServiceLimits) -> tuple[Finding, ...]:
    """Did the challenger start, answer its golden predictions over HTTP, and stay within latency and memory?"""
    boot = _measured("service:boot", probe.boot_seconds, limits.boot_seconds, "s to be ready")
    if probe.boot_seconds is None:
        problem = probe.problem or f"not ready after {limits.boot_seconds:g} s"
        boot = replace(boot, verdict=Verdict.FAIL, reason=f"the service did not start: {problem}")
    golden_evidence = {"rows": probe.golden_rows, "mismatches": probe.golden_mismatches}
    if probe.golden_mismatches is None or probe.golden_rows == 0:
        golden = Finding(
            rule="service:golden",
            verdict=Absence.MISSING,
            reason=f"golden predictions could not be compared: {probe.problem or 'there are none'}",
            evidence=golden_evidence,
        )
    else:
        right = probe.golden_rows - probe.golden_mismatches
        golden = Finding(
            rule="service:golden",
            verdict=Verdict.FAIL if probe.golden_mismatches else Verdict.PASS,
            reason=f"{right} of {probe.golden_rows} golden predictions came back over HTTP as the bundle has them",
            observed=float(probe.golden_mismatches),
            limit=0.0,
            evidence=golden_evidence,
        )
    milliseconds = None if probe.p95_latency_seconds is None else probe.p95_latency_seconds * 1e3
    latency = _measured("service:latency", milliseconds, limits.p95_latency_seconds * 1e3, "ms for 95 % of requests")
    latency = replace(
        latency,
        observed=_finite(probe.p95_latency_seconds),
        limit=limits.p95_latency_seconds,
        evidence={"requests": probe.requests},
    )
    megabytes = None if probe.memory_bytes is None else probe.memory_bytes / 1e6
    memory = _measured("service:memory", megabytes, limits.memory_bytes / 1e6, "MB of memory at the peak")
    memory = replace(
        memory,
        observed=None if probe.memory_bytes is None else float(probe.memory_bytes),
        limit=float(limits.memory_bytes),
    )
    return (boot, golden, latency, memory)


def _measured(rule: str, value: float | None, limit: float, unit: str) -> Finding:
    observed = _finite(value)
    if observed is None:
        return Finding(rule=rule, verdict=Absence.MISSING, reason=f"could not be measured ({unit})", limit=limit)
    return Finding(
        rule=rule,
        verdict=Verdict.PASS if observed <= limit else Verdict.FAIL,
        reason=f"{_amount(observed)} {unit}, limit {_amount(limit)}",
        observed=observed,
        limit=limit,
    )


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
