"""Git, by its own command line: list arguments, the C locale, one clear error for each way to fail."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Final

from remint.core.registry import Tag
from remint.errors import ConfigError, PermissionDeniedError, ServiceError, ShallowCloneError

ORIGIN: Final = "origin"
ZERO: Final = "0" * 40
#: Before the verb: a team's hooks are for people. They may change files, and DVC's would check everything out again.
HOOKLESS: Final = ("-c", f"core.hooksPath={os.devnull}")
_TIMEOUT_SECONDS: Final = 600.0
#: What git exports to hooks and aliases; inherited, it would point our commands at another repository or index.
_FOREIGN: Final = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY")


class PushRejected(Exception):  # noqa: N818 - an answer of the remote which the caller handles, never shown
    """The remote ref moved since it was read: somebody else was first."""


class Git:
    """The repository that holds ``path``, which may be a subdirectory of it: paths are relative to ``path``.

    Raises ConfigError where there is no git or no repository.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        try:
            answer = self._call("rev-parse", "--show-toplevel", "--show-prefix", "--git-common-dir")
        except FileNotFoundError:
            raise ConfigError("git is not installed, or the directory is missing", where=str(path)) from None
        if answer.returncode != 0:
            if b"dubious ownership" in answer.stderr:
                raise ConfigError(_last_line(answer.stderr), where=str(path), hint="git config safe.directory")
            raise ConfigError("not inside a git repository's working tree", where=str(path), hint="git init")
        top, prefix, common = answer.stdout.decode().split("\n")[:3]
        self.toplevel = Path(top)
        #: Of the pipeline directory inside the repository: ``""`` or ``"models/churn/"``.
        self.prefix = prefix
        self.common_dir = (self.path / common).resolve()

    # -- running -----------------------------------------------------------------------------------------------------

    def run(self, *args: str, stdin: bytes | None = None, env: Mapping[str, str] | None = None) -> str:
        """Standard output without its last line end. A failure raises ConfigError with git's own last line."""
        return self.run_bytes(*args, stdin=stdin, env=env).decode("utf-8", "surrogateescape").rstrip("\n")

    def run_bytes(self, *args: str, stdin: bytes | None = None, env: Mapping[str, str] | None = None) -> bytes:
        answer = self._call(*args, stdin=stdin, env=env)
        if answer.returncode != 0:
            raise ConfigError(f"git {_verb(args)} failed: {_last_line(answer.stderr)}", where=str(self.path))
        return answer.stdout

    def succeeds(self, *args: str) -> bool:
        """Whether the command answers yes (exit code 0); for questions such as ``merge-base --is-ancestor``."""
        return self._call(*args).returncode == 0

    def _call(
        self, *args: str, stdin: bytes | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(
                ["git", *args],
                cwd=self.path,
                input=b"" if stdin is None else stdin,
                capture_output=True,
                check=False,
                timeout=_TIMEOUT_SECONDS,
                env={**clean_environment(), "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", **(env or {})},
            )
        except subprocess.TimeoutExpired:
            raise ServiceError(f"git {_verb(args)} took more than {_TIMEOUT_SECONDS:.0f} s") from None

    # -- reading -----------------------------------------------------------------------------------------------------

    @property
    def is_shallow(self) -> bool:
        return self.run("rev-parse", "--is-shallow-repository") == "true"

    def require_full_history(self) -> None:
        """Raises ShallowCloneError: in a shallow clone a tag that is not there would read as 'there is no champion'."""
        if self.is_shallow:
            raise ShallowCloneError(
                "a shallow clone: tags and history are missing",
                where=str(self.path),
                hint="fetch-depth: 0 in actions/checkout, or git fetch --unshallow",
            )

    def head(self) -> str:
        """The commit that is checked out. Raises ConfigError where there is none yet."""
        try:
            return self.resolve("HEAD")
        except ConfigError:
            raise ConfigError("the repository has no commit yet", where=str(self.path), hint="git commit") from None

    def resolve(self, rev: str) -> str:
        """The full id of the commit that ``rev`` names; raises ConfigError for an unknown one."""
        if not rev.startswith("-"):
            answer = self._call("rev-parse", "--verify", "--quiet", f"{rev}^{{commit}}")
            if answer.returncode == 0:
                return answer.stdout.decode().strip()
        hint = "a shallow clone: use fetch-depth: 0" if self.is_shallow else "git fetch --tags?"
        raise ConfigError(f"unknown revision {rev!r}", where=str(self.path), hint=hint)

    def ref(self, name: str) -> str | None:
        """The object that the full ref ``name`` points at, or None."""
        answer = self._call("rev-parse", "--verify", "--quiet", name)
        return answer.stdout.decode().strip() if answer.returncode == 0 else None

    def show(self, rev: str, path: str | Path) -> bytes | None:
        """The file's bytes at ``rev``, or None where that commit lacks it; an unknown rev raises ConfigError."""
        return self.show_from_top(rev, f"{self.prefix}{Path(path).as_posix()}")

    def show_from_top(self, rev: str, path: str) -> bytes | None:
        """As ``show``, the path relative to the top of the repository."""
        answer = self._call("cat-file", "blob", f"{self.resolve(rev)}:{path}")
        return answer.stdout if answer.returncode == 0 else None

    def tags(self, *patterns: str) -> list[Tag]:
        """The tags whose names match any of the globs (none: all), with the commit behind each (annotated or not)."""
        fields = ("refname:strip=2", "objectname", "*objectname", "creatordate:iso-strict", "taggername")
        wanted = "%00".join(f"%({field})" for field in fields)
        found = []
        refs = [f"refs/tags/{pattern}" for pattern in patterns or ("",)]
        for line in self.run("for-each-ref", f"--format={wanted}", *refs).splitlines():
            name, own, peeled, at, by = line.split("\0")
            if at:  # a tag of a tree or a blob has no date and is not ours
                made_at = datetime.fromisoformat(at)
                tag = Tag(name=name, commit=peeled or own, at=made_at, by=by or None, annotated=bool(peeled))
                found.append(tag)
        return found

    # -- writing -----------------------------------------------------------------------------------------------------

    @cached_property
    def identity(self) -> dict[str, str]:
        """Environment that names Remint as author and committer, but only where git knows nobody."""
        missing: dict[str, str] = {}
        for role in ("AUTHOR", "COMMITTER"):
            known = self._call("-c", "user.useConfigOnly=true", "var", f"GIT_{role}_IDENT")
            if known.returncode != 0:
                missing |= {f"GIT_{role}_NAME": "Remint", f"GIT_{role}_EMAIL": "remint@localhost"}
        return missing

    def update_ref(self, name: str, new: str, old: str | None) -> bool:
        """Move ``name`` from ``old`` (None: it must not exist) to ``new``; False where somebody else was first."""
        return self._call("update-ref", name, new, old or ZERO).returncode == 0

    def add_worktree(self, path: Path, commit: str) -> Git:
        """A second checkout of ``commit``, on no branch, in ``path``; what a killed run left there is thrown away.

        Returns the same directory of the repository (the prefix) in the new checkout.
        """
        self.remove_worktree(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.run(*HOOKLESS, "worktree", "add", "--quiet", "--force", "--detach", str(path), commit)
        inside = path / self.prefix
        if not inside.is_dir():
            raise ConfigError(f"{commit[:12]} has no directory {self.prefix!r}", where=str(self.toplevel))
        return Git(inside)

    def remove_worktree(self, path: Path) -> None:
        """Remove the checkout, whatever is in it; nothing happens where there is none."""
        if path.exists():
            shutil.rmtree(path)
        self.run("worktree", "prune")

    # -- the remote --------------------------------------------------------------------------------------------------

    @property
    def has_origin(self) -> bool:
        return ORIGIN in self.run("remote").split()

    def remote_ref(self, name: str) -> str | None:
        """What the full ref ``name`` is on origin now, or None. Raises ServiceError when origin does not answer."""
        out = self._talk("ls-remote", "--quiet", ORIGIN, name)
        for line in out.splitlines():
            commit, found = line.split("\t")
            if found == name:
                return commit
        return None

    def remote_default_branch(self) -> str | None:
        """The branch that origin's HEAD names, None where it names none. Raises ServiceError as ``remote_ref``."""
        for line in self._talk("ls-remote", "--quiet", "--symref", ORIGIN, "HEAD").splitlines():
            if line.startswith("ref: refs/heads/"):
                return line.removeprefix("ref: refs/heads/").partition("\t")[0]
        return None

    def fetch(self, *refspecs: str) -> None:
        """Fetch exactly these refspecs. Raises ServiceError when origin does not answer or refuses."""
        self._talk("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", ORIGIN, *refspecs)

    def push(self, commit: str, name: str, *, lease: str | None = None, force: bool = False) -> None:
        """Set origin's full ref ``name`` to ``commit``.

        Without ``force`` only forwards; with it, only from ``lease`` (None: the ref must not exist), compare-and-swap.
        Raises PushRejected where the ref moved, PermissionDeniedError where we may not, else ServiceError.
        """
        options = [f"--force-with-lease={name}:{lease or ''}"] if force else []
        # DVC's pre-push hook would push data again; the caller has done that and proved it.
        args = ["push", "--porcelain", "--no-verify", *options, ORIGIN, f"{commit}:{name}"]
        answer = self._call(*args)
        if answer.returncode == 0:
            return
        report = answer.stdout.decode(errors="replace")
        line = next((line for line in report.splitlines() if line.startswith("!")), "")
        races = ("fetch first", "non-fast-forward", "stale info", "already exists", "cannot lock ref", "incorrect old")
        if any(race in line or race.encode() in answer.stderr for race in races):
            raise PushRejected(line)
        said = line.split(chr(9))[-1] or _last_line(answer.stderr)
        if _may_not_write(f"{said} {answer.stderr.decode(errors='replace')}"):
            hint = f"the token or key needs contents: write, and a rule that lets it push {name}"
            raise PermissionDeniedError(f"git push was refused: {said}", where=ORIGIN, hint=hint)
        raise ServiceError(f"git push failed: {said}", where=ORIGIN)

    def _talk(self, *args: str) -> str:
        answer = self._call(*args)
        if answer.returncode != 0:
            raise ServiceError(f"git {args[0]} failed: {_last_line(answer.stderr)}", where=ORIGIN)
        return answer.stdout.decode("utf-8", "surrogateescape")


def clean_environment() -> dict[str, str]:
    """Our environment without what git sets for hooks and aliases, which would redirect the commands that we start."""
    return {key: value for key, value in os.environ.items() if key not in _FOREIGN}


def _verb(args: Sequence[str]) -> str:
    return next(arg for arg in args if arg not in HOOKLESS)


def _may_not_write(said: str) -> bool:
    """Whether a push was refused for who we are, in the words of git over HTTP, of SSH, of GitHub and of Gitea."""
    words = ("error: 401", "error: 403", "Permission denied", "Authentication failed", "could not read Username")
    return any(word in said for word in (*words, "protected branch", "Write access to repository not granted"))


def _last_line(text: bytes) -> str:
    """The most telling line of git's complaint: the first fatal or error line, else the last."""
    lines: Sequence[str] = [line.strip() for line in text.decode(errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("fatal:", "error:"))]
    return (telling or list(lines[-1:]) or ["no message"])[0]
