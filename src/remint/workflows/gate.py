"""The gate: both models on the same rows, the challenger's service booted and asked, one sealed ``gate`` document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from remint.config import Params


def run_gate(
    params: Params,
    *,
    directory: Path,
    champion_bundle: Path | None,
    champion: Mapping[str, Any] | None,
    acceptances: Sequence[Mapping[str, Any]] = (),
    now: datetime,
    parents: Sequence[str] = (),
    boot_service: bool = True,
) -> dict[str, Any]:
    """Judge the challenger in ``directory`` and return the sealed ``gate`` document.

    ``directory`` is a pipeline directory with ``artifacts/`` materialised. ``champion_bundle`` is a bundle's directory,
    ``champion`` what the registry says of it: ``{"tag", "version", "bundle"}``; both None is the first model, which
    faces the declared floors. Each acceptance is ``{"rule", "reason", "by"}``, with ``"bundle"`` where it was given for
    a certain challenger: one for another bundle is ignored.
    """
    raise NotImplementedError
