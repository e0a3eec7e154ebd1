"""``run.json`` of a command: begun before it starts, written and pushed when it ended. Never changes how it ended."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from remint import __version__
from remint.adapters.usage import cpus, measure, workflow_run_url

if TYPE_CHECKING:
    from remint.config import Params
    from remint.core.command_run import CommandRun

VARIABLE: Final = "REMINT_RUN_JSON"
_LAST: Final = ".remint/runs/last/"
_IGNORED: Final = frozenset({"/.remint/*", "/.remint/", "/.remint", ".remint/", ".remint"})  # as `remint init` does
_PUSHES: Final = ("REMINT_PUSHGATEWAY_URL", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


class Record:
    """What a command takes, from here to ``finish``. ``given`` is ``--run-json``, ``directory`` where it runs."""

    def __init__(self, command: str, *, given: str | None = None, directory: str | None = None) -> None:
        self._command = command
        self._directory = Path(directory or "").absolute()
        self._given = given or os.environ.get(VARIABLE, "").strip() or None
        self._started_at = datetime.now(UTC)
        self._clock = time.monotonic()
        self._before = measure()

    def finish(self, outcome: str, exit_code: int, arguments: argparse.Namespace) -> None:
        """Write, then push. What fails is one line on stderr, and nothing at all where nobody asked for a record."""
        try:
            target = self._given or _usual_place(self._directory)
            pushes = any(os.environ.get(name, "").strip() for name in _PUSHES)
            if target is None and not pushes:
                return
            run = self._run(outcome, exit_code, arguments)
            if target is not None:
                self._write(target, run)
            if pushes:
                from remint.adapters.run_push import push

                for warning in push(run, os.environ):
                    _warn(warning)
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the record is less than what it records
            _warn(f"no record of this run: {type(error).__name__}")

    def _run(self, outcome: str, exit_code: int, arguments: argparse.Namespace) -> CommandRun:
        from remint.core.command_run import CommandRun

        before, now, params = self._before, measure(), _params(arguments)
        return CommandRun(
            command=self._command,
            subcommand=getattr(arguments, "subcommand", None),
            outcome=outcome,
            exit_code=exit_code,
            started_at=self._started_at,
            finished_at=datetime.now(UTC),
            wall_seconds=time.monotonic() - self._clock,
            cpu_seconds=now.cpu_seconds - before.cpu_seconds,
            peak_memory_bytes=now.peak_memory_bytes,
            disk_read_bytes=_since(now.disk_read_bytes, before.disk_read_bytes),
            disk_written_bytes=_since(now.disk_written_bytes, before.disk_written_bytes),
            pipeline=None if params is None else params.pipeline,
            factors=None if params is None else params.resources.factors,
            workflow=workflow_run_url(os.environ),
            runner={
                "remint": __version__,
                "python": platform.python_version(),
                "system": sys.platform,
                "machine": platform.machine(),
                "cpus": cpus(),
            },
        )

    def _write(self, target: str, run: CommandRun) -> None:
        """To the file, or into the directory under the command's name."""
        from remint.cli.common import dump_json, write_atomically

        path = self._directory / target
        if target.endswith("/") or path.is_dir():
            path /= f"{run.name}.json"
        try:
            write_atomically(path, dump_json(run.to_json()))
        except OSError as error:
            if self._given is not None:  # a read-only directory is no news to who asked for nothing
                _warn(f"{path}: the record of this run cannot be written: {error.strerror}")


def _usual_place(directory: Path) -> str | None:
    """Only beside a params.yaml, and where git is told to look away."""
    try:
        if not (directory / "params.yaml").is_file():
            return None
        return _LAST if _IGNORED & set((directory / ".gitignore").read_text().split()) else None
    except (OSError, ValueError):
        return None


def _params(arguments: argparse.Namespace) -> Params | None:
    """Only what the command has read too: a command that needs no params.yaml does not wait for pydantic."""
    if "remint.config" not in sys.modules:
        return None
    from remint.config import load_params
    from remint.errors import RemintError

    given = getattr(arguments, "params", None)
    try:
        return load_params(given if isinstance(given, Path) else Path("params.yaml"))
    except RemintError:
        return None


def _since(now: int | None, before: int | None) -> int | None:
    return None if now is None or before is None else now - before


def _warn(text: str) -> None:
    print(f"remint: warning: {text}", file=sys.stderr)
