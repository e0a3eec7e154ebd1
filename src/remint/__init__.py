"""Remint keeps production models fresh, from git."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from remint.serving.instrument import instrument as instrument

__version__ = version("remint")


def __getattr__(name: str) -> Any:
    """``remint.instrument`` needs the extra ``serve``, and nothing else of Remint should wait for its import."""
    if name == "instrument":
        from remint.serving.instrument import instrument

        return instrument
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
