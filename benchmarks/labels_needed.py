"""How many labels until lost accuracy is seen: a confidence sequence against a test a check.

    .venv/bin/python benchmarks/labels_needed.py [--repeats 200] [--seed 0]

The champion was right on 90 % of its gate rows. Both spend 0.2 false alarms a year. The confidence sequence (the
accuracy rule, a window of 7 days) may be looked at on any schedule. The other one is what a schedule of every 6 hours
leaves for each of its 1,460 checks: Clopper-Pearson limits of both, joined by MOVER; every hour would leave
it a sixth of that. Both are looked at whenever there are a tenth more labels.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import numpy as np

from remint.core.accuracy import clopper_pearson, drop_lower_bound
from remint.core.signals import ChampionAccuracy

YEARLY = 0.2
ALPHA = YEARLY * 7 / 365
ALPHA_A_CHECK = YEARLY / 1460
LOOKS = np.unique(np.round(np.geomspace(20, 4_000, 56)).astype(int))
Drop = Callable[[ChampionAccuracy, int, int], float]


def sequence(champion: ChampionAccuracy, right: int, wrong: int) -> float:
    return drop_lower_bound(champion, right, wrong, alpha=ALPHA)


def by_check(champion: ChampionAccuracy, right: int, wrong: int) -> float:
    observed = right / (right + wrong)
    upper = clopper_pearson(right, right + wrong, alpha=ALPHA_A_CHECK)[1]
    lower = clopper_pearson(round(champion.accuracy * champion.rows), champion.rows, alpha=ALPHA_A_CHECK)[0]
    return champion.accuracy - observed - math.hypot(champion.accuracy - lower, upper - observed)


def needed(
    drop_of: Drop, *, gate_rows: int, now: float, allowed: float, repeats: int, seed: int
) -> tuple[float, float]:
    """Median and ninth decile of the labels at the first look that shows a drop; infinite beyond the last look."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(repeats):
        champion = ChampionAccuracy(
            accuracy=int(random.binomial(gate_rows, 0.9)) / gate_rows, rows=gate_rows, measured_on="test"
        )
        right = np.cumsum(random.random(LOOKS[-1]) < now)[LOOKS - 1]
        seen = zip(LOOKS.tolist(), right.tolist(), strict=True)
        found.append(next((n for n, k in seen if drop_of(champion, k, n - k) > allowed), math.inf))
    median, late = np.quantile(found, [0.5, 0.9], method="higher")
    return float(median), float(late)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print("| accuracy now | drop allowed | gate rows | confidence sequence, median (90 %) | a test a check |")
    print("|--:|--:|--:|--:|--:|")
    for now, allowed in ((0.8, 0.0), (0.7, 0.05), (0.8, 0.05)):
        for gate_rows in (500, 2_000, 20_000):
            cells = []
            for drop_of in (sequence, by_check):
                median, late = needed(
                    drop_of, gate_rows=gate_rows, now=now, allowed=allowed, repeats=args.repeats, seed=args.seed
                )
                cells.append(f"{_number(median)} ({_number(late)})")
            print(f"| {now:g} | {allowed:g} | {gate_rows:,} | {' | '.join(cells)} |", flush=True)


def _number(labels: float) -> str:
    return "> 4,000" if math.isinf(labels) else f"{labels:,.0f}"


if __name__ == "__main__":
    main()
