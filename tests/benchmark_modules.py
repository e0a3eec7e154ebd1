"""Benchmarks as modules: a reduced run of each is a test."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

_DIRECTORY = str(Path(__file__).parents[1] / "benchmarks")


def load_benchmark(name: str) -> Any:
    """The module ``benchmarks/<name>.py``."""
    if _DIRECTORY not in sys.path:
        sys.path.append(_DIRECTORY)  # they import one another
    return importlib.import_module(name)
