"""How a DVC stage runs: the pipeline's directory is importable, and a user's mistake is one line, not a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from remint.config import Params, load_params
from remint.errors import ExitCode, RemintError


def run_stage(stage: Callable[[Params, Path], None]) -> None:
    """Read ``params.yaml`` of the current directory, run ``stage`` there, exit with its code."""
    sys.path.insert(0, str(Path.cwd()))  # `train.estimator: my_model:make` finds my_model.py beside params.yaml
    try:
        stage(load_params(), Path())
    except RemintError as error:
        print(f"remint: error: {error.line}", file=sys.stderr)
        sys.exit(error.exit_code)
    sys.exit(ExitCode.ANSWERED)
