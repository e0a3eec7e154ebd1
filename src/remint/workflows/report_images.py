"""Plots for a pull request, opt-in: PNG files on a branch of the repository itself, shown by their commit.

Nothing goes to a third party, and a picture never changes behind a report's back: its address names a commit.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, assert_never

from remint.adapters.forge import Forge, ForgeKind
from remint.adapters.git import ORIGIN, Git
from remint.adapters.orphan import OrphanRef
from remint.core.report import Image
from remint.core.report_drift import drifted_fields
from remint.errors import RemintError

BRANCH: Final = "remint/images"
_TRIES: Final = 5
_REPOSITORY: Final = re.compile(r"https?://[\w.:-]+(?:/[\w.-]+)+")
_LOG = logging.getLogger(__name__)

Found = tuple[tuple[Image, ...], str | None]  # the images, or why there are none


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plot:
    name: str
    title: str
    png: bytes


def publish_images(
    git: Git, forge: Forge | None, *, gate: Mapping[str, Any], decision: Mapping[str, Any], now: datetime
) -> Found:
    """Draw, push, and return the addresses. What stands in the way is said and stops no retrain."""
    if forge is None or not git.has_origin:
        return (), "nothing is pushed, or there is no forge that could show them"
    try:
        url = forge.repository().url.rstrip("/")
        if raw_address(forge.kind, url, "0" * 40, "x") is None:
            return (), "this forge has no address for files"
        drawn = _draw(gate, decision)
        paths = {f"{gate['pipeline']}/{decision['run_id']}/{plot.name}.png": plot for plot in drawn}
        commit = _push(git, {path: plot.png for path, plot in paths.items()}, now=now)
    except (RemintError, ImportError) as error:
        _LOG.warning("no plots: %s", error)
        return (), f"they could not be made or pushed ({type(error).__name__})"
    if commit is None:
        return (), "somebody else was pushing plots all the time"
    addresses = {path: raw_address(forge.kind, url, commit, path) for path in paths}
    return tuple(Image(title=paths[path].title, url=at) for path, at in addresses.items() if at is not None), None


def raw_address(kind: ForgeKind, repository: str, commit: str, path: str) -> str | None:
    """Where a browser that may see the repository finds a file of a commit; None where nothing serves files."""
    if not _REPOSITORY.fullmatch(repository):
        return None
    match kind:
        case ForgeKind.GITHUB:
            return f"{repository}/blob/{commit}/{path}?raw=true"
        case ForgeKind.GITEA:
            return f"{repository}/raw/commit/{commit}/{path}"
        case ForgeKind.LOCAL:
            return None
        case _:
            assert_never(kind)


def _push(git: Git, files: Mapping[str, bytes], *, now: datetime) -> str | None:
    ref = OrphanRef(git, ref=f"refs/heads/{BRANCH}", tracking=f"refs/remotes/{ORIGIN}/{BRANCH}", name="branch of plots")
    for _ in range(_TRIES):
        tip = ref.tip()
        commit = ref.commit(tip, files, message="Plots of a report", at=now)
        if commit == tip or ref.publish(commit, tip):
            return commit
    return None


def _draw(gate: Mapping[str, Any], decision: Mapping[str, Any]) -> list[_Plot]:
    """Only what there is to draw."""
    from remint.adapters.plots import differences_png, histograms_png
    from remint.workflows.report_plots import drift_histograms, metric_gains

    drawn = []
    if gains := metric_gains(gate):
        title = "Gain over the champion by metric, with its 95 % interval"
        drawn.append(_Plot(name="gain", title=title, png=differences_png(gains)))
    if fields := drift_histograms(drifted_fields(decision)):
        title = "Share of rows by bin, in training and in the window"
        drawn.append(_Plot(name="drift", title=title, png=histograms_png(fields)))
    return drawn
