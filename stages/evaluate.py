"""Evaluate: measure artifacts/bundle/ on rows it has not seen, write artifacts/metrics.json and the plots."""

from remint.workflows.evaluate import evaluate
from remint.workflows.stage import run_stage

if __name__ == "__main__":
    run_stage(evaluate)
