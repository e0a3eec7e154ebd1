"""Prepare: read the data file and the feedback, split them, write artifacts/prepared/."""

from remint.workflows.prepare import prepare
from remint.workflows.stage import run_stage

if __name__ == "__main__":
    run_stage(prepare)
