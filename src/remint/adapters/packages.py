"""The libraries that a model's bytes and answers depend on."""

from __future__ import annotations

import sys
from importlib import metadata
from typing import Final

LIBRARIES: Final = ("numpy", "scipy", "scikit-learn", "skops")


def library_versions() -> dict[str, str]:
    """Name -> installed version; ``python`` as major.minor, because patch releases change no answers."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {"python": python, **{name: metadata.version(name) for name in LIBRARIES}}
