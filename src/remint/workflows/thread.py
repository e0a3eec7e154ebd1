"""The run that made a bundle, found in git alone: what ties an image, a tag and a state file to ``remint trace``."""

from __future__ import annotations

from typing import Final

from remint.adapters.git import Git
from remint.core.ledger import is_run_id
from remint.errors import RemintError
from remint.workflows.retrain_branch import TRAILERS

_RUN: Final = f"--format=%(trailers:key={TRAILERS[0]},valueonly,separator=%x2C)"
_MANIFEST: Final = "artifacts/manifest.json"


def run_of_commit(git: Git, commit: str) -> str | None:
    """The run whose commit brought the bundle's manifest that ``commit`` has; None where no retrain made it."""
    return _only(git.run("log", "-1", _RUN, commit, "--", _MANIFEST))


def run_of_bundle(git: Git, bundle: str) -> str | None:
    """The run whose commit names ``bundle``, on any branch or tag of this clone. None, and no error, where git cannot
    say: whoever asks is about to move traffic.
    """
    try:
        named = [f"--grep=^{TRAILERS[1]}: ", f"--grep=^{TRAILERS[2]}: {bundle}$"]  # a retrain's own, no promotion's
        return _only(git.run("log", "-1", "--all", "--all-match", *named, _RUN))
    except RemintError:
        return None


def run_trailer(git: Git, commit: str) -> str:
    """What a tag's message ends in: ``Remint-Run: ...`` after an empty line, or nothing."""
    run_id = run_of_commit(git, commit)
    return "" if run_id is None else f"\n\n{TRAILERS[0]}: {run_id}"


def _only(said: str) -> str | None:
    said = said.strip()
    return said if is_run_id(said) else None
