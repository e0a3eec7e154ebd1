"""False retrains in a thousand healthy years, and how soon each rule finds what is wrong.

    .venv/bin/python benchmarks/false_alarms.py [--years 1000] [--rules drift,slow_drift,...] [--seed 0]

A year is one champion's: 10,000 reference rows over 60 days, then 1,000 rows a day, 20 features in ten bins each, 50
labels a day against 2,000 rows at the gate. Counts are drawn, not rows. ``false_retrains_a_year: 1`` is shared by five
rules, so each may end one healthy year in five by a false retrain. Worlds: nothing moves; a weekday pattern (0.2 sigma
higher at weekends); days that differ by harmless shifts of the mean with an expected PSI of 0.0045 or 0.018.

Rules are not imitated: what cannot possibly fire is left out by a cheap bound, and the rule itself is asked about the
rest. The policy is five rules together: drift of features and of confidence, slow drift, accuracy, estimated accuracy.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

import numpy as np
from champion_years import (
    BINS,
    DAY,
    FEATURES,
    HEALTHY,
    MONDAY,
    REFERENCE_DAYS,
    REFERENCE_ROWS,
    ROWS_A_DAY,
    Counts,
    Numbers,
    World,
    Year,
    draw_year,
    shares,
    true_accuracies,
)

from remint.core.accuracy import anchored_starts, log_e_below
from remint.core.between_windows import compare_with_windows
from remint.core.budget import YEAR, alpha_of_check
from remint.core.detector import log_e_values, null_radius, restarts, spread_of_windows
from remint.core.divergence import chi_square_critical
from remint.core.profile import CONFIDENCE, FieldRole, Reference
from remint.core.rule_accuracy import accuracy_rule
from remint.core.rule_drift import drift_rule
from remint.core.rule_estimated_accuracy import estimated_accuracy_rule
from remint.core.rule_slow_drift import slow_drift_rule
from remint.core.signals import ChampionAccuracy, FeedbackCounts, WindowCounts

LABELS_A_DAY: Final = 50
GATE_ROWS: Final = 2_000
ACCURACY: Final = 0.9
RULES_THAT_SHARE: Final = 5
YEARLY: Final = 1.0 / RULES_THAT_SHARE
SLACK: Final = 0.95  # of the critical values that rule out: bins are merged here and there


# -- rules: the step of the first alarm, or None ---------------------------------------------------------------------


def drift_alarm(year: Year, *, every: timedelta, window: timedelta, material_psi: float = 0.02) -> int | None:
    """Of the drift rule, asked wherever a field is beyond what is material, and beyond ordinary windows."""
    width, fields = window // every, year.reference.fields
    summed = year.summed
    counts = summed[width:] - summed[:-width]  # (checks, fields, bins)
    ends = np.arange(width, len(summed))
    usual = np.array([f.counts for f in fields]) + 0.5
    usual = usual / usual.sum(axis=-1, keepdims=True)
    now = counts + 0.5
    now = now / now.sum(axis=-1, keepdims=True)
    psi = ((now - usual) * np.log(now / usual)).sum(axis=-1)  # (checks, fields)
    rows, known = counts[0, 0].sum(), sum(fields[0].counts)
    n_eff = known * rows / (known + rows)
    alphas = alpha_by_step(len(summed), every)
    strongest = alphas / len(fields)  # what the strongest field has to reach, by Holm
    possible = psi * n_eff > SLACK * chi_square_critical(float(strongest.max()), BINS - 1, material_psi * n_eff)
    for k in np.flatnonzero(possible.any(axis=1)):
        end, span = int(ends[k]), _span(int(k), width, every)
        suspects = np.flatnonzero(possible[k]).tolist()
        if not any(_differs(year.reference, i, counts[k, i], span, float(strongest[end])) for i in suspects):
            continue
        fired = drift_rule(
            "drift",
            _window(year.reference, counts[k]),
            year.reference,
            role=fields[0].role,
            material_psi=material_psi,
            alpha=float(alphas[end]),
            min_rows=200,
            span=span,
        )[0].fired
        if fired:
            return end
    return None


def _span(first: int, width: int, every: timedelta) -> tuple[datetime, datetime]:
    return MONDAY + first * every, MONDAY + (first + width) * every


def _differs(reference: Reference, field: int, counts: Counts, span: tuple[datetime, datetime], alpha: float) -> bool:
    """Whether one field is further from the reference than ordinary windows: what has to be so for the rule to fire."""
    profile = reference.fields[field]
    windows = None if reference.windows is None else reference.windows.fields[profile.name]
    test = compare_with_windows(profile, windows, counts, period=span)
    return test is None or test.p_value <= alpha


def alpha_by_step(steps: int, every: timedelta) -> Numbers:
    """What each check may spend; the first one is at step 0."""
    spent, found = 0.0, []
    for k in range(steps):
        alpha = alpha_of_check(yearly=YEARLY, every=every, age=k * every, spent=spent)
        spent += alpha
        found.append(alpha)
    return np.array(found)


def slow_drift_alarm(year: Year, *, every: timedelta, material_psi: float = 0.005) -> int | None:
    """Of the slow drift rule, asked where the sum of all fields and starts comes near its limit."""
    reference, summed = year.reference, year.summed
    checks_a_year = YEAR / every
    limit = math.log(checks_a_year / YEARLY)
    ends, starts = _pairs(len(summed), every)
    lasting = reference.windows.fields[reference.fields[0].name].length_seconds if reference.windows else 0
    old_enough = (ends - starts) * every.total_seconds() >= lasting
    ends, starts = ends[old_enough], starts[old_enough]
    total = np.zeros(len(summed))
    for i, profile in enumerate(reference.fields):
        counts = (summed[ends, i] - summed[starts, i]).astype(np.float64)
        spread, slope = 1.0, 0.0
        if reference.windows is not None:
            windows = reference.windows.fields[profile.name].counts
            spread = spread_of_windows(windows)
            slope = (spread - 1) / float(windows.sum(axis=1).mean()) * lasting / every.total_seconds()
        deflated = counts / (1 + slope * counts.sum(axis=1) / (ends - starts))[:, None]
        radius = _radii(len(summed), checks_a_year, material_psi, round(spread, 2))[ends]
        usual = np.asarray(profile.counts, dtype=np.float64)
        held = usual > 0
        with np.errstate(divide="ignore"):
            logs = np.log(usual[held] / usual.sum()) - np.log(counts[:, held] / counts.sum(axis=1, keepdims=True))
        outside = logs @ usual[held] > radius  # within K there is no evidence: log E <= 0
        if outside.any():
            log_e = log_e_values(profile.counts, deflated[outside], radius[outside])
            np.add.at(total, ends[outside], np.exp(np.minimum(log_e, 300)) / len(reference.fields))
    for end in np.flatnonzero(total >= math.exp(limit) / 2):
        fired = slow_drift_rule(
            "slow_drift",
            [
                (start, _window(reference, summed[end] - summed[(start - MONDAY) // every]))
                for start in restarts(MONDAY, MONDAY + int(end) * every, every)
            ],
            reference,
            role=FieldRole.FEATURE,
            material_psi=material_psi,
            yearly=YEARLY,
            checks_a_year=checks_a_year,
            min_rows=200,
            promoted_at=MONDAY,
            now=MONDAY + int(end) * every,
        ).fired
        if fired:
            return int(end)
    return None


@lru_cache
def _pairs(steps: int, every: timedelta) -> tuple[Counts, Counts]:
    """Each check's step, with each of its starts."""
    pairs = [
        (end, (start - MONDAY) // every)
        for end in range(1, steps)
        for start in restarts(MONDAY, MONDAY + end * every, every)
    ]
    ends, starts = np.array(pairs).T
    return ends, starts


@lru_cache
def _radii(steps: int, checks_a_year: float, material_psi: float, spread: float) -> Numbers:
    """The null's radius at each check; for all references alike, which only the rule itself tells apart."""
    usual = np.pad(np.full(BINS, REFERENCE_ROWS / BINS), (2, 1))
    eta = 0.2 * YEARLY * np.arange(steps) / checks_a_year / FEATURES
    return null_radius(usual, eta=eta, material_psi=material_psi, spread=spread)


def accuracy_alarm(
    world: World, random: np.random.Generator, *, days: int, parts: int, drop: float, at_edge: bool, window: timedelta
) -> int | None:
    """Of the accuracy rule. ``at_edge``: all year accuracy is lower by exactly what is allowed."""
    every = DAY / parts
    hits = int(random.binomial(GATE_ROWS, ACCURACY))
    champion = ChampionAccuracy(accuracy=hits / GATE_ROWS, rows=GATE_ROWS, measured_on="test")
    truth = np.full(days * parts, ACCURACY - (drop if at_edge else 0.0))
    truth[world.begins * parts :] -= world.lost
    labels = random.multinomial(LABELS_A_DAY, np.full(parts, 1 / parts), size=days).ravel()
    right = np.concatenate([[0], np.cumsum(random.binomial(labels, truth))])
    seen = np.concatenate([[0], np.cumsum(labels)])
    ends = np.arange(1, days * parts + 1)
    width = window // every
    current = (np.ceil(ends / width) - 1).astype(np.int64)
    suspects: set[int] = set()
    limit = -math.log(YEARLY * (window / YEAR))
    for starts in (np.maximum(0, current - 1) * width, current * width):
        good, all_of = right[ends] - right[starts], seen[ends] - seen[starts]
        log_e = log_e_below(good, all_of - good, champion.accuracy - drop)
        suspects.update(ends[(log_e >= limit) & (all_of >= 50)].tolist())  # at the champion's own share p's e-value < 1
    for end in sorted(suspects):
        now = MONDAY + end * every
        feedback = []
        for start in anchored_starts(MONDAY, now, window):
            k = (start - MONDAY) // every
            good = int(right[end] - right[k])
            feedback.append((start, FeedbackCounts(right=good, wrong=int(seen[end] - seen[k]) - good)))
        if accuracy_rule(
            "accuracy", feedback, champion, drop=drop, min_labels=50, yearly=YEARLY, window=window, now=now
        ).fired:
            return end
    return None


def estimated_accuracy_alarm(year: Year, *, every: timedelta, window: timedelta, drop: float = 0.02) -> int | None:
    """Of the estimated accuracy rule, asked where the estimate is lower by more than ``drop``."""
    width = window // every
    summed = year.summed[:, 0]
    counts = summed[width:] - summed[:-width]
    calibration = year.reference.calibration
    assert calibration is not None
    rows = np.array(calibration.rows)
    by_bin = (np.array(calibration.right) + 0.5) / (rows + 1)
    lower = (rows / rows.sum()) @ by_bin - (counts / counts.sum(axis=1, keepdims=True)) @ by_bin
    alphas = alpha_by_step(len(summed), every)
    for k in np.flatnonzero(lower > drop):
        if estimated_accuracy_rule(
            "estimated",
            WindowCounts(rows=int(counts[k].sum()), counts={CONFIDENCE: counts[k]}),
            year.reference,
            drop=drop,
            alpha=float(alphas[k + width]),
            min_rows=200,
        ).fired:
            return int(k + width)
    return None


def _window(reference: Reference, counts: Counts) -> WindowCounts:
    return WindowCounts(rows=int(counts[0].sum()), counts={f.name: counts[i] for i, f in enumerate(reference.fields)})


# -- tables ----------------------------------------------------------------------------------------------------------

RULES: Final = {
    "drift": "drift, daily windows",
    "drift_rich": "drift, daily windows, 60,000 reference rows",
    "drift_weekly": "drift, 7-day windows every 6 h",
    "slow_drift": "slow drift, every day",
    "slow_drift_blind": "slow drift, no reference windows",
    "accuracy": "accuracy, every 6 h",
    "accuracy_edge": "accuracy at the edge of what is allowed, every 6 h",
    "estimated_accuracy": "estimated accuracy, daily windows",
    "policy": "the policy: five rules, 1 a year declared",
}
WEEK: Final = timedelta(days=7)


def alarm(rule: str, world: World, random: np.random.Generator, *, days: int) -> float | None:
    """Days from the promotion to the first alarm in one year, or None."""
    feature, six_hours = FieldRole.FEATURE, timedelta(hours=6)
    match rule:
        case "drift":
            year = draw_year(world, random, days=days, parts=1, role=feature)
            return drift_alarm(year, every=DAY, window=DAY)
        case "drift_rich":
            rich = replace(world, reference_rows=REFERENCE_DAYS * ROWS_A_DAY)
            return drift_alarm(draw_year(rich, random, days=days, parts=1, role=feature), every=DAY, window=DAY)
        case "drift_weekly":
            year = draw_year(world, random, days=days, parts=4, role=feature)
            found = drift_alarm(year, every=six_hours, window=WEEK)
            return None if found is None else found / 4
        case "policy":
            year = draw_year(world, random, days=days, parts=1, role=feature)
            confidence = draw_year(replace(world, shift=0.0), random, days=days, parts=1, role=FieldRole.CONFIDENCE)
            accuracy = accuracy_alarm(world, random, days=days, parts=4, drop=0.05, at_edge=False, window=WEEK)
            alarms = [
                drift_alarm(year, every=DAY, window=DAY),
                drift_alarm(confidence, every=DAY, window=DAY),
                slow_drift_alarm(year, every=DAY),
                estimated_accuracy_alarm(confidence, every=DAY, window=DAY),
                None if accuracy is None else accuracy / 4,
            ]
            return min((end for end in alarms if end is not None), default=None)
        case "slow_drift":
            return slow_drift_alarm(draw_year(world, random, days=days, parts=1, role=feature), every=DAY)
        case "slow_drift_blind":
            year = draw_year(world, random, days=days, parts=1, role=feature, has_windows=False)
            return slow_drift_alarm(year, every=DAY)
        case "accuracy" | "accuracy_edge":
            edge = rule == "accuracy_edge"
            found = accuracy_alarm(world, random, days=days, parts=4, drop=0.05, at_edge=edge, window=WEEK)
            return None if found is None else found / 4
        case "estimated_accuracy":
            year = draw_year(world, random, days=days, parts=1, role=FieldRole.CONFIDENCE)
            return estimated_accuracy_alarm(year, every=DAY, window=DAY)
        case _:
            raise ValueError(rule)


def healthy(rule: str, world: World, *, years: int, seed: int, days: int = 365) -> tuple[float, float, float]:
    """Share of years with a false retrain, its standard error, and false retrains a year at risk."""
    random = np.random.default_rng([seed, *rule.encode(), *world.name.encode()])
    ends = [alarm(rule, world, random, days=days) for _ in range(years)]
    share = sum(end is not None for end in ends) / years
    exposure = sum(days if end is None else end for end in ends) / 365
    return share, math.sqrt(share * (1 - share) / years), share * years / exposure


def delays(rule: str, world: World, *, years: int, seed: int) -> tuple[float, float]:
    """Median days from the beginning to the alarm (infinite: not in most years), and the share found in 120 days."""
    random = np.random.default_rng([seed, 1, *rule.encode()])
    found = []
    for _ in range(years):
        end = alarm(rule, world, random, days=world.begins + 120)
        found.append(math.inf if end is None or end <= world.begins else end - world.begins)
    return float(np.median(found)), float(np.mean(np.isfinite(found)))


def rows_of_table(rules: list[str], *, years: int, seed: int) -> Iterator[str]:
    yield "| rule | " + " | ".join(world.name for world in HEALTHY) + " |"
    yield "|---|" + "--:|" * len(HEALTHY)
    for rule in rules:
        cells = []
        for world in HEALTHY:
            if rule.startswith("accuracy") and world is not HEALTHY[0]:
                cells.append("")  # counts of features do not enter
                continue
            share, error, rate = healthy(rule, world, years=years, seed=seed)
            cells.append(f"{100 * share:.1f} ± {100 * error:.1f} % ({rate:.3f})")
        yield f"| {RULES[rule]} | " + " | ".join(cells) + " |"


def rows_of_delays(rules: list[str], *, years: int, seed: int) -> Iterator[str]:
    yield "| rule | what happens | own-day PSI | median days to the alarm | found in 120 days |"
    yield "|---|---|--:|--:|--:|"
    for rule in rules:
        for psi in (0.0,) if rule.startswith("accuracy") else (0.0, 0.0045):
            for text, world in _events(rule, psi):
                median, share = delays(rule, world, years=years, seed=seed)
                shown = "-" if math.isinf(median) else f"{median:g}"
                yield f"| {RULES[rule]} | {text} | {psi:g} | {shown} | {100 * share:.0f} % |"


def _events(rule: str, psi: float) -> Iterator[tuple[str, World]]:
    if rule.startswith("accuracy"):
        for lost in (0.07, 0.1, 0.15, 0.2):
            yield f"accuracy falls by {lost:g}, 0.05 allowed", World(name="", lost=lost)
        return
    if rule == "estimated_accuracy":
        for shift in (-0.3, -0.5, -1.0):
            usual, now = (shares(np.array(mean)) @ true_accuracies()[2:-1] for mean in (0.0, shift))
            yield (
                f"confidence falls by {-shift:g} sigma, which costs {usual - now:.3f}, 0.02 allowed",
                World(name="", own_day_psi=psi, shift=shift),
            )
        return
    for shift in (0.1, 0.2, 0.3, 0.5):
        yield f"{shift:g} sigma in 3 of 20 features", World(name="", own_day_psi=psi, shift=shift)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--years", type=int, default=1_000)
    parser.add_argument("--rules", default=",".join(RULES), help=", ".join(RULES))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rules = args.rules.split(",")
    began = time.monotonic()
    print(
        f"Healthy years with a false retrain (in brackets: false retrains a year), {args.years} years; "
        f"declared for each rule: {YEARLY:g} a year\n"
    )
    for line in rows_of_table(rules, years=args.years, seed=args.seed):
        print(line, flush=True)
    print()
    for line in rows_of_delays(
        [r for r in rules if r != "accuracy_edge"], years=max(20, args.years // 10), seed=args.seed
    ):
        print(line, flush=True)
    print(f"\n{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
