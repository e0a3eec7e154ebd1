"""Train: fit the estimator on artifacts/prepared/, write artifacts/bundle/."""

from remint.workflows.stage import run_stage
from remint.workflows.train import train

if __name__ == "__main__":
    run_stage(train)
