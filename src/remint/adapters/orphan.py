"""Files on a ref that nobody checks out: read and written with plumbing, moved by compare-and-swap, origin first.

With an origin the remote ref is the truth: it is read first and written first, so that runners without a past agree.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from remint.adapters.git import Git, PushRejected
from remint.core.document import format_time
from remint.errors import ConfigError


class OrphanRef:
    """The full ref ``ref``; what origin has is kept at ``tracking``. ``name`` is for messages."""

    def __init__(self, git: Git, *, ref: str, tracking: str, name: str) -> None:
        self._git = git
        self._ref = ref
        self._tracking = tracking
        self._name = name

    def tip(self) -> str | None:
        """The newest commit: origin's where there is one, else the local ref's; None where it was never written.

        Raises ServiceError when origin does not answer, ConfigError where this clone has commits that origin lacks.
        """
        git = self._git
        local = git.ref(self._ref)
        if not git.has_origin:
            return local
        remote = git.remote_ref(self._ref)
        if remote is None:
            return local  # written before there was an origin: the next write publishes it
        if git.ref(self._tracking) != remote:
            git.fetch(f"+{self._ref}:{self._tracking}")
            remote = git.ref(self._tracking) or remote
        if local is not None and local != remote and not git.succeeds("merge-base", "--is-ancestor", local, remote):
            raise ConfigError(
                f"the local {self._name} has entries that origin's has not",
                where=self._ref.removeprefix("refs/heads/"),
                hint=f"after a look at them: git update-ref -d {self._ref}",
            )
        return remote

    def commit(self, tip: str | None, files: Mapping[str, bytes], *, message: str, at: datetime) -> str:
        """A commit on ``tip`` with ``files`` written over its tree; ``tip`` itself where that changes nothing."""
        git = self._git
        with tempfile.TemporaryDirectory(prefix="remint-ref-") as scratch:
            index = {"GIT_INDEX_FILE": str(Path(scratch) / "index")}
            git.run("read-tree", *(["--empty"] if tip is None else [tip]), env=index)
            for path, data in sorted(files.items()):
                blob = git.run("hash-object", "-w", "--stdin", stdin=data)
                git.run("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", env=index)
            tree = git.run("write-tree", env=index)
        if tip is not None and git.run("rev-parse", f"{tip}^{{tree}}") == tree:
            return tip
        parents = [] if tip is None else ["-p", tip]
        dates = {"GIT_AUTHOR_DATE": format_time(at), "GIT_COMMITTER_DATE": format_time(at)}
        return git.run("commit-tree", tree, *parents, "-m", message, env={**git.identity, **dates})

    def publish(self, commit: str, tip: str | None) -> bool:
        """Move the ref from ``tip`` to ``commit``; False where somebody else was first."""
        git = self._git
        local = git.ref(self._ref)
        if git.has_origin:
            try:
                git.push(commit, self._ref)
            except PushRejected:
                return False
            # Origin has it: the local ref only follows, and a neighbour that moved it first moved it as far.
            git.update_ref(self._tracking, commit, git.ref(self._tracking))
            git.update_ref(self._ref, commit, local)
            return True
        return git.update_ref(self._ref, commit, tip)
