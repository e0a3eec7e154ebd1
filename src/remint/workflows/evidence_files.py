"""Logged predictions in files as a source of evidence: ``check.source: files``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from remint.adapters.engine import FileSource, count_feedback, count_files
from remint.core.document import readable_time
from remint.core.signals import FeedbackCounts, WindowCounts
from remint.errors import ConfigError, NoDataError, Silence
from remint.workflows.champion import ChampionFiles
from remint.workflows.evidence import FreshLabels


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesEvidence:
    """What the files say of the champion; an ``Evidence``.

    Files do not say which model answered, so rows before the promotion are never looked at, and every row since then is
    taken for the champion's on the stable track. ``directory`` is the pipeline's.
    """

    source: FileSource
    files: ChampionFiles
    directory: Path
    now: datetime
    memory_bytes: int | None = None  # see count_files

    def counts(self, start: datetime, end: datetime) -> WindowCounts:
        begin, end = self._window(start, end)
        return count_files(
            self.source,
            self.files.reference,
            start=begin,
            end=end,
            directory=self.directory,
            memory_bytes=self.memory_bytes,
        )

    def feedback(self, start: datetime, end: datetime) -> FeedbackCounts:
        """By the prediction's time: a file does not say when a label arrived."""
        begin, end = self._window(start, end)
        return count_feedback(self.source, start=begin, end=end, directory=self.directory)

    def fresh(self) -> FreshLabels:
        """Rows since the promotion with a label by now. Files have no sequence: it stays where training stopped."""
        labels = self.feedback(self.files.champion.assigned_at, self.now).labels
        trained_until = int(self.files.metadata["until"]["sequence"])
        return FreshLabels(count=labels, sequence=trained_until, arrived_at=None)

    def signal(self, promql: str) -> float:
        raise ConfigError("files cannot answer a query", where="check.rules", hint=f"source: prometheus for {promql!r}")

    def _window(self, start: datetime, end: datetime) -> tuple[datetime, datetime]:
        begin = max(start, self.files.champion.assigned_at)
        if begin >= end:
            raise NoDataError(
                f"the champion was promoted at {readable_time(begin)}, after the window's end at {readable_time(end)}",
                silence=Silence.EMPTY,
                where=self.files.champion.tag,
            )
        return begin, end
