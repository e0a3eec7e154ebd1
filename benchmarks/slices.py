"""How often slices fail a challenger that is as good as its champion, and one that is not.

Both models answer drawn rows; the challenger loses a share of the champion's right answers and gains a share of the
wrong ones. A failure is a gate with any slice that fails: a rate a gate, not a slice. Beside it stands what a gate
would do that compares point estimates with the tolerance, slice by slice.

    python benchmarks/slices.py [--runs 200]
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
from rich.progress import track

from remint.core.gate import Direction, GateRule, MetricRole, exceeds
from remint.core.paired import Scored
from remint.core.slices import Cut, Part, SliceRule, look
from remint.core.verdict import Verdict

ACCURACY = 0.8  # of the champion


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    what: str
    slices: int
    rows: int  # in each
    loses: float  # share of all rows: right before, wrong now
    gains: float  # share of all rows: wrong before, right now
    tolerance: float
    metric: str = "accuracy"
    direction: Direction = Direction.HIGHER


CASES = (
    Case(what="as good", slices=50, rows=60, loses=0.08, gains=0.08, tolerance=0.02),
    Case(what="as good", slices=50, rows=60, loses=0.08, gains=0.08, tolerance=0.0),
    Case(what="worse by the tolerance", slices=10, rows=100, loses=0.10, gains=0.08, tolerance=0.02),
    Case(what="worse by the tolerance", slices=50, rows=60, loses=0.10, gains=0.08, tolerance=0.02),
    Case(what="as good", slices=10, rows=40, loses=0.05, gains=0.05, tolerance=0.0, metric="balanced_accuracy"),
    Case(
        what="as good", slices=10, rows=40, loses=0.05, gains=0.05, tolerance=0.0,
        metric="log_loss", direction=Direction.LOWER,
    ),
    Case(what="worse by 0.18", slices=10, rows=100, loses=0.20, gains=0.02, tolerance=0.02),
)  # fmt: skip


def models(rows: int, case: Case, random: np.random.Generator) -> tuple[Scored, Scored]:
    labels = random.integers(0, 2, rows)
    right = random.random(rows) < ACCURACY
    draw = random.random(rows)
    after = np.where(right, draw >= case.loses / ACCURACY, draw < case.gains / (1 - ACCURACY))

    def scored(is_right: np.ndarray) -> Scored:
        said = np.where(is_right, labels, 1 - labels)
        confidence = random.uniform(0.55, 0.95, rows)
        probabilities = np.empty((rows, 2))
        probabilities[np.arange(rows), said] = confidence
        probabilities[np.arange(rows), 1 - said] = 1 - confidence
        return Scored(labels.astype(np.int64), probabilities, 1)

    return scored(right), scored(after)


def fails(case: Case, runs: int) -> tuple[float, float]:
    """Share of gates that a slice fails, and that point estimates alone would fail."""
    judged = pointed = 0
    rule = GateRule(metric=case.metric, role=MetricRole.GATE, direction=case.direction, tolerance=case.tolerance)
    for seed in track(range(runs), description=f"{case.what}, {case.slices} x {case.rows}", transient=True):
        rows = case.slices * case.rows
        champion, challenger = models(rows, case, np.random.default_rng(seed))
        group = np.repeat(np.arange(case.slices), case.rows)
        cut = Cut(
            rule=SliceRule(column="c", min_rows=20),
            rows_name="test",
            parts=tuple(Part(name=str(k), rows=group == k) for k in range(case.slices)),
            champion=champion,
            challenger=challenger,
            keys=np.array([f"k{i}" for i in range(rows)]),
        )
        looks = look([((cut,), (rule,))], seed=0)
        judged += any(found.verdict is Verdict.FAIL for found in looks)
        pointed += any(exceeds(f.rule, f.champion, f.challenger) for f in looks if f.champion is not None)
    return judged / runs, pointed / runs


def main() -> None:
    parser = argparse.ArgumentParser(description="False failures of a gate by its slices")
    parser.add_argument("--runs", type=int, default=200, help="gates a line (default: 200)")
    runs = parser.parse_args().runs
    print("| challenger | metric | slices x rows | tolerance | gates failed | by point estimates |")
    print("|---|---|---|---|---|---|")
    for case in CASES:
        share, naive = fails(case, runs)
        cells = (case.what, case.metric, f"{case.slices} x {case.rows}", f"{case.tolerance:g}")
        print(f"| {' | '.join(cells)} | {share:.1%} | {naive:.1%} |".replace("%", " %"), flush=True)


if __name__ == "__main__":
    main()
