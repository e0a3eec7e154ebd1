"""The ledger in git: lines on an orphan branch that nobody checks out."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from remint.adapters.git import ORIGIN, Git
from remint.adapters.orphan import OrphanRef
from remint.core.document import is_slug
from remint.core.ledger import LedgerEntry, is_run_id, parse_ledger
from remint.errors import ConfigError, ServiceError

FILE: Final = "ledger.jsonl"
_TRIES: Final = 20

Guard = Callable[[Sequence[LedgerEntry]], None]


class Ledger:
    """The entries of one pipeline, and the files attached to its runs (``runs/<run_id>/<name>``)."""

    def __init__(self, git: Git, pipeline: str) -> None:
        if not is_slug(pipeline):
            raise ConfigError(f"{pipeline!r} is not a pipeline's slug")
        self._git = git
        self.pipeline = pipeline
        self.branch = f"remint/ledger/{pipeline}"
        self._store = OrphanRef(
            git,
            ref=f"refs/heads/{self.branch}",
            tracking=f"refs/remotes/{ORIGIN}/{self.branch}",
            name="ledger",
        )

    def entries(self) -> tuple[LedgerEntry, ...]:
        """All entries in their order; none where the ledger was never written.

        Raises ServiceError when origin does not answer, DocumentError for a line that cannot be read.
        """
        return self._entries_at(self._store.tip())

    def attachment(self, run_id: str, name: str) -> bytes | None:
        """The file ``name`` attached to ``run_id``, or None."""
        tip = self._store.tip()
        return None if tip is None else self._git.show_from_top(tip, _attachment_path(run_id, name))

    def names(self, run_id: str) -> tuple[str, ...]:
        """The names of the files that are attached to ``run_id``."""
        tip = self._store.tip()
        if tip is None:
            return ()
        folder = _attachment_path(run_id, "x").removesuffix("x")
        listed = self._git.run("ls-tree", "--name-only", "-z", "--full-tree", tip, folder)
        return tuple(path.rpartition("/")[2] for path in listed.split("\0") if path)

    def attachments(self, name: str) -> dict[str, bytes]:
        """The file ``name`` of every run that has one, by run id: two calls of git, however many runs there are."""
        tip = self._store.tip()
        if tip is None:
            return {}
        listed = self._git.run("ls-tree", "-r", "-z", "--full-tree", tip, "runs/").split("\0")
        blobs: dict[str, str] = {}
        for line in filter(None, listed):
            kind, path = line.split("\t", 1)
            run_id, _, file = path.removeprefix("runs/").partition("/")
            if file == name and is_run_id(run_id):
                blobs[run_id] = kind.split()[2]
        if not blobs:
            return {}
        stream = self._git.run_bytes("cat-file", "--batch", stdin="\n".join(blobs.values()).encode() + b"\n")
        found, at = {}, 0
        for run_id in blobs:
            header_end = stream.index(b"\n", at)
            size = int(stream[at:header_end].split()[2])
            found[run_id] = stream[header_end + 1 : header_end + 1 + size]
            at = header_end + 1 + size + 1  # each object ends in a line end of its own
        return found

    def append(
        self, entry: LedgerEntry, *, attachments: Mapping[str, bytes] | None = None, guard: Guard | None = None
    ) -> LedgerEntry:
        """Add ``entry`` behind all that is there now and attach files to its run; safe to repeat with the same entry.

        ``guard`` sees the entries that the new one would follow and raises to refuse (a lock that is held). It is
        asked again after each lost race, so that what it allowed is still true when the entry lands.
        Raises ServiceError when origin does not answer or every try lost its race.
        """
        files = {_attachment_path(entry.run_id, name): data for name, data in (attachments or {}).items()}
        for _ in range(_TRIES):
            tip = self._store.tip()
            known = self._entries_at(tip)
            if guard is not None:
                guard(known)
            lines = "" if tip is None else (self._git.show_from_top(tip, FILE) or b"").decode()
            if entry not in known:
                files[FILE] = (lines + entry.to_line()).encode()
            message = f"{entry.event.value} {entry.run_id}"
            commit = self._store.commit(tip, files, message=message, at=entry.at)
            if commit == tip or self._store.publish(commit, tip):
                return entry
        raise ServiceError(f"lost {_TRIES} races in a row", where=self.branch, hint="try again")

    def _entries_at(self, tip: str | None) -> tuple[LedgerEntry, ...]:
        if tip is None:
            return ()
        text = self._git.show_from_top(tip, FILE)
        if text is None:
            raise ConfigError(f"the branch has no {FILE}: it is not a ledger", where=self.branch)
        return parse_ledger(text.decode(), where=f"{self.branch}:{FILE}")


def _attachment_path(run_id: str, name: str) -> str:
    if not is_run_id(run_id) or name != os.path.basename(name) or name in {"", ".", ".."}:  # noqa: PTH119
        raise ValueError(f"{run_id!r} / {name!r} is not a run id and a file name")
    return f"runs/{run_id}/{name}"
