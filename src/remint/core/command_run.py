"""One run of a command: the document ``usage`` (run.json), and the same as metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from remint.core.document import DocumentKind, format_time, seal
from remint.core.resources import Factors, footprint

ANSWERED: Final = "answered"
INTERRUPTED: Final = "interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One number. ``name`` and ``unit`` make its Prometheus name: ``remint_run_duration`` and ``seconds``."""

    name: str
    unit: str  # base unit as Prometheus spells it; empty: the number has none
    text: str
    value: float
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRun:
    """``outcome`` is ``answered``, ``interrupted`` or the error's code. Usage is that of this run alone, with children.

    ``pipeline`` and ``factors`` are None where the command read no params.yaml.
    """

    command: str
    subcommand: str | None
    outcome: str
    exit_code: int
    started_at: datetime
    finished_at: datetime
    wall_seconds: float  # by a clock that nobody sets
    cpu_seconds: float
    peak_memory_bytes: int
    disk_read_bytes: int | None
    disk_written_bytes: int | None
    pipeline: str | None = None
    factors: Factors | None = None
    workflow: str | None = None  # the address of the forge's workflow run
    runner: Mapping[str, Any]

    @property
    def name(self) -> str:
        """``registry-promote``: fit for a file name and a label."""
        return "-".join(filter(None, (self.command, self.subcommand)))

    def to_json(self) -> dict[str, Any]:
        """The sealed document."""
        body = {
            "command": self.command,
            "subcommand": self.subcommand,
            "outcome": self.outcome,
            "exit_code": self.exit_code,
            "started_at": format_time(self.started_at),
            "finished_at": format_time(self.finished_at),
            "wall_seconds": round(self.wall_seconds, 3),
            "cpu_seconds": round(self.cpu_seconds, 3),
            "peak_memory_bytes": self.peak_memory_bytes,
            "disk_read_bytes": self.disk_read_bytes,
            "disk_written_bytes": self.disk_written_bytes,
            **footprint(self.cpu_seconds, self.factors).to_json(),
            "workflow": self.workflow,
            "runner": dict(self.runner),
        }
        return seal(DocumentKind.USAGE, self.pipeline, body)

    def samples(self) -> list[Sample]:
        """What is not known is not there: an absent series, never a zero."""
        took, ended = footprint(self.cpu_seconds, self.factors), self.finished_at.timestamp()
        answered = ended if self.outcome == ANSWERED else None
        found: list[tuple[str, str, str, float | None, dict[str, str]]] = [
            ("duration", "seconds", "How long the last run took.", self.wall_seconds, {}),
            ("cpu", "seconds", "CPU time of the last run, with its children.", self.cpu_seconds, {}),
            ("peak_memory", "bytes", "Memory of its largest process.", self.peak_memory_bytes, {}),
            ("disk_read", "bytes", "Read from block devices.", self.disk_read_bytes, {}),
            ("disk_written", "bytes", "Written to block devices.", self.disk_written_bytes, {}),
            ("cost", "", "By resources.cpu_hour_cost.", took.cost, {"currency": took.currency or ""}),
            ("co2e", "grams", "By resources.watts_per_cpu and grams_co2e_per_kwh.", took.co2e_grams, {}),
            ("outcome", "", "1 for how the last run ended.", 1.0, {"outcome": self.outcome}),
            ("exit_code", "", "Of the last run.", float(self.exit_code), {}),
            ("timestamp", "seconds", "When the last run ended.", ended, {}),
            ("answered_timestamp", "seconds", "When a run last had an answer.", answered, {}),
        ]
        return [
            Sample(name=f"remint_run_{name}", unit=unit, text=text, value=float(value), labels=labels)
            for name, unit, text, value, labels in found
            if value is not None
        ]
