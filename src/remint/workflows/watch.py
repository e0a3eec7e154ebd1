"""``remint watch``: looks every so often as a check would, publishes what it sees, and decides nothing.

It writes to no ledger, and a look spends nothing of the false-alarm budget: the scheduled check decides. A look that
fails (Prometheus away, git's origin away, a mistake in params.yaml) is counted and shown, and the next one tries anew.
Where there is a forge, it is asked as well when the workflows last ran: a schedule that was switched off says nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from remint.adapters.exporter import Beat, Exporter
from remint.adapters.forge import Forge, RunState, WorkflowRun
from remint.adapters.git import Git
from remint.adapters.ledger import Ledger
from remint.config import load_params
from remint.core.ledger import LedgerEvent
from remint.errors import ConfigError, RemintError
from remint.workflows.check import Question, run_check

_LOG: Final = logging.getLogger(__name__)
_WORKFLOWS: Final = ("watch", "retrain", "canary")
_MOST_RUNS: Final = 30  # looked through for one that was green


def watch(
    exporter: Exporter,
    pipeline: str,
    *,
    directory: Path,
    environ: Mapping[str, str],
    clock: Callable[[], datetime],
    wait: Callable[[], bool],
    question: Callable[[datetime], Question],
    forge: Forge | None = None,
) -> None:
    """Look, then ``wait()``, until that answers True."""
    while True:
        look(exporter, pipeline, directory=directory, environ=environ, clock=clock, question=question)
        if forge is not None:
            listen(exporter, forge, directory=directory)
        if wait():
            return


def look(
    exporter: Exporter,
    pipeline: str,
    *,
    directory: Path,
    environ: Mapping[str, str],
    clock: Callable[[], datetime],
    question: Callable[[datetime], Question],
) -> RemintError | None:
    """One look. Every RemintError is shown in the metrics and given back; anything else is a bug and raised."""
    started = time.monotonic()
    try:
        params = load_params(directory / "params.yaml")  # anew: a pull may have changed it
        if params.pipeline != pipeline:
            raise ConfigError(f"the pipeline is now {params.pipeline!r}", where="params.yaml", hint="start watch anew")
        git = Git(directory)
        checked = run_check(params, question(clock()), directory=directory, environ=environ)
        decided = [e.at for e in Ledger(git, pipeline).entries() if e.event is LedgerEvent.DECISION]
    except RemintError as error:
        _LOG.warning("%s", error)
        exporter.failed(error.code, now=clock(), seconds=time.monotonic() - started)
        return error
    exporter.show(
        checked.document,
        now=clock(),
        seconds=time.monotonic() - started,
        recorded_at=max(decided, default=None),
    )
    if checked.failure is not None:
        _LOG.warning("%s", checked.failure)
    return None


def listen(exporter: Exporter, forge: Forge, *, directory: Path) -> None:
    """The heartbeat of the workflows. A forge that does not answer is shown as such, and stops nothing."""
    try:
        every = load_params(directory / "params.yaml").check.every
    except RemintError:  # the look has told
        every = None
    try:
        told = {name: forge.runs(f"{name}.yml", most=_MOST_RUNS) for name in _WORKFLOWS}
        beats = {name: beat for name, runs in told.items() if (beat := _beat(runs)) is not None}
    except RemintError as error:
        _LOG.warning("%s", error)
        beats = None
    exporter.beat(beats, every=every)


def _beat(runs: Sequence[WorkflowRun]) -> Beat | None:
    """Newest first in. A run that still waits for a runner has not run."""
    ran_at = next((run.created_at for run in runs if run.created_at is not None), None)
    if ran_at is None:
        return None
    ended = [run.state for run in runs if run.state is not RunState.UNFINISHED]
    return Beat(
        ran_at=ran_at,
        succeeded_at=next((run.created_at for run in runs if run.state is RunState.SUCCESS), None),
        failed=ended[0] is RunState.FAILURE if ended else None,
    )
