"""The benchmark of the label-free estimate, reduced."""

from __future__ import annotations

from benchmark_modules import load_benchmark


def test_against_the_truth_it_is_near_under_covariate_drift_and_far_under_concept_drift() -> None:
    bench = load_benchmark("estimated_accuracy")
    worlds = {name: bench.WORLDS[name] for name in bench.WORLDS if "0.5 sigma" in name or "45 degrees" in name}
    sizes = {"repeats": 4, "held_out": 1_500, "window": 2_000, "truth_rows": 30_000}
    found = bench.measure(**sizes, seed=0, worlds=worlds, models=("logistic",))
    covariate, concept = found
    assert covariate["error"] < 0.03
    assert concept["error"] > 0.06
