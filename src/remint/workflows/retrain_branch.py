"""The branch that a retrain publishes: Remint overwrites its own commits and nobody else's."""

from __future__ import annotations

from typing import Final

from remint.adapters.git import ORIGIN, Git, PushRejected
from remint.errors import ConfigError, ForeignCommitsError, LockedError

#: At the end of each commit message; a commit without the first is a person's.
TRAILERS: Final = ("Remint-Run", "Remint-Decision", "Remint-Bundle")


class RetrainBranch:
    """``remint/retrain/<pipeline>``, locally and (with ``push``) on origin; ``base`` is what it starts from."""

    def __init__(self, git: Git, pipeline: str, *, base: str, push: bool) -> None:
        self._git = git
        self._base = base
        self._push = push and git.has_origin
        self.name = f"remint/retrain/{pipeline}"
        self._ref = f"refs/heads/{self.name}"

    def check(self) -> str | None:
        """Origin's tip of the branch, None where it has none.

        Raises ForeignCommitsError where the branch has a person's commits, ConfigError where it is checked out: both
        would be lost.
        """
        git = self._git
        if f"branch {self._ref}" in git.run("worktree", "list", "--porcelain").splitlines():
            raise ConfigError(f"{self.name} is checked out", hint="git switch to the branch to retrain from")
        self._refuse_foreign(git.ref(self._ref))
        if not self._push:
            return None
        remote = git.remote_ref(self._ref)
        if remote is not None:
            git.fetch(f"+{self._ref}:refs/remotes/{ORIGIN}/{self.name}")
            self._refuse_foreign(remote)
        return remote

    def publish(self, commit: str) -> None:
        """Set the branch to ``commit``, origin's first. Only what ``check`` just looked at is overwritten.

        Raises LockedError where somebody moved it in between; try again.
        """
        tip = self.check()
        if self._push and tip != commit:
            try:
                self._git.push(commit, self._ref, lease=tip, force=True)
            except PushRejected:
                raise LockedError("somebody moved the branch just now", where=self.name, hint="try again") from None
        if not self._git.update_ref(self._ref, commit, self._git.ref(self._ref)):
            raise LockedError("somebody moved the local branch just now", where=self.name, hint="try again")

    def _refuse_foreign(self, tip: str | None) -> None:
        if tip is None:
            return
        wanted = f"--format=%h%x09%(trailers:key={TRAILERS[0]},valueonly,separator=%x2C)%x09%s"
        for line in self._git.run("log", wanted, f"{self._base}..{tip}").splitlines():
            commit, run, subject = line.split("\t", 2)
            if not run:
                raise ForeignCommitsError(
                    f"has a commit that is not Remint's: {commit} {subject!r}",
                    where=self.name,
                    hint="merge it or delete the branch; nothing of it is overwritten",
                )
