"""The checkout that ``remint loop`` works in: a clone of its own, on no branch, as new as origin's base branch.

The service may follow a state file in it, so what stands there is never turned back by a fetch: what was moved and
not pushed yet is carried on top of what origin has learned meanwhile.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Final

from remint.adapters.dvc import Dvc
from remint.adapters.git import HOOKLESS, ORIGIN, Git, PushRejected
from remint.config import Params, load_params
from remint.errors import ConfigError, LockedError

_TRIES: Final = 5
_ELSEWHERE: Final = re.compile(r"[a-z+]+://|[^/]+:")  # an address with a scheme or a host, against a path


class LoopCheckout:
    """``home`` is the pipeline's directory in a person's checkout, which is never touched; ``place`` is ours."""

    def __init__(self, home: Git, place: Path, *, base: str) -> None:
        if not home.has_origin:
            raise ConfigError(
                "no origin: the pull requests live in a bare repository",
                where=str(home.toplevel),
                hint="git init --bare ../origin.git && git remote add origin ../origin.git && git push -u origin main",
            )
        home.require_full_history()
        self._home = home
        self._place = place
        self._branch = f"refs/heads/{base}"
        self._tracking = f"refs/remotes/{ORIGIN}/{base}"
        self.base = base

    @property
    def directory(self) -> Path:
        """The pipeline's directory in it."""
        return self._place / self._home.prefix

    @property
    def git(self) -> Git:
        return Git(self.directory)

    def params(self) -> Params:
        return load_params(self.directory / "params.yaml")

    def follow(self) -> str | None:
        """Bring it to origin's tip; what is ours and unpushed stays on top. What had to be given up, in a sentence.

        Raises ServiceError where origin does not answer; then all stays as it is.
        """
        if self._home.remote_ref(self._branch) is None:
            raise ConfigError("is not on origin", where=self.base, hint=f"git push -u {ORIGIN} {self.base}")
        if not (self._place / ".git").is_dir():
            self._clone()
        whole = Git(self._place)
        whole.run("remote", "set-url", ORIGIN, self._address())
        whole.fetch(f"+{self._branch}:{self._tracking}")
        tip = whole.resolve(self._tracking)
        if not (self.directory / "params.yaml").is_file():
            self._check_out(whole, tip)
            if not (self.directory / "params.yaml").is_file():
                where = f"{self.base}:{self._home.prefix}params.yaml"
                raise ConfigError("is not on origin", where=where, hint="remint init, commit, push")
            return None
        git = self.git
        self._keep_states(git)
        head = git.head()
        if git.succeeds("merge-base", "--is-ancestor", tip, head):
            return None
        lost = None
        if not git.succeeds("merge-base", "--is-ancestor", head, tip):
            try:
                tip = self._joined(git, head, tip)
            except ConfigError:  # both moved the same state file: what everybody sees is what counts
                lost = f"{head[:12]} does not go together with {self.base}, which holds: judge again"
        self._check_out(git, tip)
        return lost

    def tracked(self) -> str | None:
        """Origin's base branch, as it was at the last look."""
        return self.git.ref(self._tracking)

    def push(self) -> bool:
        """Push what is ours, and say whether there was any. Raises LockedError where the base never stands still."""
        for _ in range(_TRIES):
            git = self.git
            head = git.head()
            if head == self.tracked():
                return False
            try:
                git.push(head, self._branch)
            except PushRejected:
                self.follow()
                continue
            git.update_ref(self._tracking, head, git.ref(self._tracking))
            return True
        raise LockedError(f"lost {_TRIES} races in a row", where=self.base, hint="the next tick tries again")

    def _clone(self) -> None:
        """Whole or not at all: what a killed clone left is thrown away."""
        draft = self._place.with_name(f"{self._place.name}.draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.parent.mkdir(parents=True, exist_ok=True)
        if self._place.exists() and any(self._place.iterdir()):
            raise ConfigError("is no clone of ours", where=str(self._place), hint="--workdir names an empty one")
        self._home.run("clone", "--quiet", "--no-checkout", self._address(), str(draft))
        shutil.rmtree(self._place, ignore_errors=True)
        draft.replace(self._place)

    def _address(self) -> str:
        """Origin's address. A relative path is meant from a person's checkout, and would be another place from ours."""
        address = self._home.run("remote", "get-url", ORIGIN)
        return address if _ELSEWHERE.match(address) else str((self._home.toplevel / address).resolve())

    def _check_out(self, git: Git, commit: str) -> None:
        git.run(*HOOKLESS, "checkout", "--quiet", "--force", "--detach", commit)
        if (self.directory / "params.yaml").is_file():
            Dvc(self.directory).share_cache_with(Dvc(self._home.path))

    def _keep_states(self, git: Git) -> None:
        """A command that was killed wrote a state file and did not commit it: that is the traffic, so it is kept."""
        states = [e.state for e in self.params().places.all if (self.directory / e.state).is_file()]
        if states and git.run("status", "--porcelain", "--", *states):
            git.run("add", "--", *states)
            message = f"Release state of {self.params().pipeline}, recorded after an interruption"
            git.run(*HOOKLESS, "commit", "--quiet", "--only", "-m", message, "--", *states, env=git.identity)

    def _joined(self, git: Git, head: str, tip: str) -> str:
        """A merge made without touching any file, so that no state file is another one for a moment."""
        tree = git.run("merge-tree", "--write-tree", tip, head).splitlines()[0]
        message = f"Merge the release state into {self.base}"
        return git.run("commit-tree", tree, "-p", tip, "-p", head, "-m", message, env=git.identity)
