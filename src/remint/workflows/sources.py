"""From what was declared, asked and set in the environment to the one source of evidence of a check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import assert_never

from remint import config
from remint.adapters.engine import Engine, FileSource
from remint.adapters.prometheus import PrometheusClient
from remint.config import Source
from remint.errors import ConfigError
from remint.workflows.champion import ChampionFiles
from remint.workflows.evidence import Evidence
from remint.workflows.evidence_files import FilesEvidence
from remint.workflows.evidence_prometheus import PrometheusEvidence
from remint.workflows.evidence_store import StoreEvidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where to ask. Labels come from the feedback store where one is named, else from where the counts are."""

    check: config.Check
    source: Source
    prometheus_url: str
    store_url: str | None
    directory: Path
    environ: Mapping[str, str] = field(repr=False)  # credentials

    @classmethod
    def of(
        cls,
        check: config.Check,
        *,
        source: Source | None = None,
        prometheus_url: str | None = None,
        store_url: str | None = None,
        directory: Path,
        environ: Mapping[str, str],
    ) -> Sources:
        """What the command line says wins over the environment, and that over ``params.yaml``."""
        return cls(
            check=check,
            source=source or check.source,
            prometheus_url=prometheus_url or environ.get("REMINT_PROMETHEUS_URL") or check.prometheus.url,
            store_url=store_url or environ.get("REMINT_STORE_URL") or None,  # an unset variable arrives empty
            directory=directory,
            environ=environ,
        )

    def prometheus(self) -> PrometheusClient:
        timeout_seconds = self.check.prometheus.timeout_seconds
        return PrometheusClient(self.prometheus_url, timeout_seconds=timeout_seconds, environ=self.environ)

    @property
    def memory_bytes(self) -> int | None:
        return None if self.check.files is None else self.check.files.memory_bytes

    def files(self) -> FileSource:
        declared = self.check.files
        if declared is None:
            raise ConfigError("source is files, but nothing says where they are", where="params.yaml: check.files")
        return FileSource(
            path=declared.path,
            time=declared.time,
            predicted=declared.predicted,
            confidence=declared.confidence,
            label=declared.label,
            engine=Engine(declared.engine),
        )


def open_evidence(sources: Sources, champion: ChampionFiles, *, end: datetime, now: datetime) -> Evidence:
    """``end`` is the window's; fresh labels are counted up to ``now``. Nothing is asked yet."""
    store = None if sources.store_url is None else StoreEvidence(sources.store_url, champion)
    match sources.source:
        case Source.PROMETHEUS:
            return PrometheusEvidence(
                sources.prometheus(),
                champion,
                end=end,
                now=now,
                labels=store,
                refuse_resets=sources.check.no_data.counter_reset != "count",
            )
        case Source.LOG:
            return store or StoreEvidence(None, champion)
        case Source.FILES:
            return FilesEvidence(
                source=sources.files(),
                files=champion,
                directory=sources.directory,
                now=now,
                memory_bytes=sources.memory_bytes,
            )
        case _:
            assert_never(sources.source)
