"""Programs that some tests need and that scripts/setup and scripts/check fetch; without one, a test is skipped."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_PLACES = (".cache/bin", ".cache/prometheus/x/usr/bin", ".venv/bin")


def binary(name: str) -> str:
    """The program's path; skips the test, with how to get it, where there is none."""
    places = os.pathsep.join([os.environ["PATH"], *(str(ROOT / place) for place in _PLACES)])
    found = shutil.which(name, path=places)
    if found is None:
        pytest.skip(f"{name} is not on this machine: scripts/setup and scripts/check fetch it where they can")
    return found
