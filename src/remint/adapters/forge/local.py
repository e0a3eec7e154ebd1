"""A forge in one file: pull requests, comments, statuses, runs as JSON on ``refs/remint/forge`` of a bare repository.

For those who have no forge, and for trying everything without one. What a person would do on a forge's pages is here
as methods: ``approve``, ``merge``, ``finish``. ``git show refs/remint/forge:forge.json`` reads it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, Final, TypeVar

from remint.adapters.forge.protocol import (
    Approval,
    Comment,
    CommitStatus,
    ForgeKind,
    Permission,
    Protection,
    PullRequest,
    PullState,
    Repository,
    RunState,
    StatusState,
    WorkflowRun,
)
from remint.adapters.git import ORIGIN, Git, PushRejected
from remint.adapters.orphan import OrphanRef
from remint.core.document import format_time, parse_time
from remint.errors import ConfigError, LockedError, ServiceError

REF: Final = "refs/remint/forge"
_FILE: Final = "forge.json"
_TRIES: Final = 20

State = dict[str, Any]
T = TypeVar("T")


class LocalForge:
    """The forge in ``git``'s origin, or in ``git`` itself where it has none. ``user`` is who we are."""

    def __init__(self, git: Git, *, clock: Callable[[], datetime], user: str = "remint") -> None:
        self._git = git
        self._clock = clock
        self._user = user
        self._store = OrphanRef(git, ref=REF, tracking=f"refs/remint/{ORIGIN}/forge", name="forge")

    @property
    def kind(self) -> ForgeKind:
        return ForgeKind.LOCAL

    # -- the repository ----------------------------------------------------------------------------------------------

    def whoami(self) -> str:
        return self._user

    def repository(self) -> Repository:
        """The default branch is origin's HEAD; without an origin the branch that is checked out."""
        git = self._git
        if git.has_origin:
            url, branch = git.run("remote", "get-url", ORIGIN), git.remote_default_branch()
        else:
            url, branch = str(git.toplevel), git.run("branch", "--show-current")
        if not branch:
            raise ConfigError("has no default branch", where=url, hint="git symbolic-ref HEAD refs/heads/main")
        name = PurePosixPath(url.rstrip("/")).name.removesuffix(".git")
        return Repository(name=f"local/{name}", url=url, default_branch=branch, auto_merge=False)

    def protection(self, branch: str) -> Protection | None:  # noqa: ARG002 - nothing is protected here
        return None

    def permission(self, user: str) -> Permission:  # noqa: ARG002 - whoever can write the repository can write it
        return Permission.WRITE

    # -- pull requests -----------------------------------------------------------------------------------------------

    def pulls(self, head: str) -> Sequence[PullRequest]:
        found = [self._pull(pull) for pull in self._read()["pulls"].values() if pull["head"] == head]
        return sorted(found, key=lambda pull: -pull.number)

    def pull(self, number: int) -> PullRequest:
        return self._get(number)

    def open_pulls_at(self, commit: str) -> Sequence[PullRequest]:
        """There are no forks here."""
        found = [p for p in self._read()["pulls"].values() if p["state"] == PullState.OPEN]
        return [pull for pull in map(self._pull, found) if pull.commit == commit]

    def create_pull(self, *, head: str, base: str, title: str, body: str) -> PullRequest:
        commit = self._branch(head)
        if commit is None:
            raise ConfigError("there is no such branch", where=head, hint="git push it first")

        def change(state: State) -> int:
            if any(p["head"] == head and p["state"] == PullState.OPEN for p in state["pulls"].values()):
                raise LockedError("somebody opened a pull request of this branch just now", where=head)
            number = len(state["pulls"]) + 1
            state["pulls"][str(number)] = {
                "number": number,
                "url": _url(number),
                "title": title,
                "body": body,
                "author": self._user,
                "head": head,
                "commit": commit,
                "base": base,
                "state": PullState.OPEN.value,
                "comments": [],
                "approvals": [],
            }
            return number

        return self._get(self._write(change, f"Open a pull request of {head}"))

    def update_pull(self, number: int, *, body: str | None = None, title: str | None = None) -> PullRequest:
        asked = {key: value for key, value in (("body", body), ("title", title)) if value is not None}
        self._write(lambda state: _of(state, number).update(asked), f"Update #{number}")
        return self._get(number)

    def enable_auto_merge(self, number: int, *, commit: str) -> None:  # noqa: ARG002 - nothing would wait for it
        raise ConfigError(
            "no auto-merge: a bare repository has no required checks",
            where=_url(number),
            hint=f"remint pull-request merge {number} --forge local, or auto_merge: never",
        )

    def disable_auto_merge(self, number: int) -> None:
        """It is never enabled."""

    def close_pull(self, number: int) -> PullRequest:
        return self._end(number, PullState.CLOSED)

    def approvals(self, number: int) -> Sequence[Approval]:
        return [Approval(**approval) for approval in _of(self._read(), number)["approvals"]]

    # -- comments and statuses ---------------------------------------------------------------------------------------

    def comments(self, number: int) -> Sequence[Comment]:
        return [Comment(**comment, pull=number) for comment in _of(self._read(), number)["comments"]]

    def comment(self, comment: int) -> Comment:
        for pull in self._read()["pulls"].values():
            for found in pull["comments"]:
                if found["id"] == comment:
                    return Comment(**found, pull=pull["number"])
        raise ConfigError(f"there is no comment {comment}", where=REF)

    def create_comment(self, number: int, body: str) -> Comment:
        def change(state: State) -> int:
            made = sum(len(pull["comments"]) for pull in state["pulls"].values()) + 1
            comment = {"id": made, "author": self._user, "body": body, "url": f"{_url(number)} comment {made}"}
            _of(state, number)["comments"].append(comment)
            return made

        return self.comment(self._write(change, f"Comment on #{number}"))

    def update_comment(self, comment: int, body: str) -> Comment:
        def change(state: State) -> None:
            for found in (found for pull in state["pulls"].values() for found in pull["comments"]):
                if found["id"] == comment:
                    found["body"] = body
                    return
            raise ConfigError(f"there is no comment {comment}", where=REF)

        self._write(change, f"Update comment {comment}")
        return self.comment(comment)

    def status(self, commit: str, context: str) -> CommitStatus | None:
        found = self._read()["statuses"].get(commit, {}).get(context)
        return None if found is None else CommitStatus(**{**found, "state": StatusState(found["state"])})

    def set_status(self, commit: str, status: CommitStatus) -> None:
        def change(state: State) -> None:
            state["statuses"].setdefault(commit, {})[status.context] = asdict(status)

        self._write(change, f"Status of {commit[:12]}")

    # -- workflows ---------------------------------------------------------------------------------------------------

    def dispatch(self, workflow: str, *, ref: str, inputs: Mapping[str, str]) -> str | None:
        """A run that waits for somebody to do it: ``finish`` says that it was done."""
        short = [value for value in inputs.values() if len(value) <= 100]
        at = format_time(self._clock())

        def change(state: State) -> str:
            runs = state["runs"].setdefault(workflow, [])
            number = sum(len(known) for known in state["runs"].values()) + 1
            title = " ".join([PurePosixPath(workflow).stem, *short])
            run = {"id": number, "title": title, "state": RunState.UNFINISHED.value, "created_at": at}
            runs.append({**run, "ref": ref, "inputs": dict(inputs)})
            return f"{REF} run {number}"

        return self._write(change, f"Dispatch {workflow}")

    def runs(self, workflow: str, *, most: int = 50) -> Sequence[WorkflowRun]:
        return [
            WorkflowRun(
                id=run["id"],
                url=f"{REF} run {run['id']}",
                title=run["title"],
                state=RunState(run["state"]),
                created_at=parse_time(run["created_at"]),
            )
            for run in reversed(self._read()["runs"].get(workflow, []))
        ][:most]

    # -- what people and runners do ----------------------------------------------------------------------------------

    def waiting(self, workflow: str) -> Sequence[tuple[int, Mapping[str, str]]]:
        """The runs that nobody has finished, oldest first: id and inputs."""
        known = self._read()["runs"].get(workflow, [])
        return [(run["id"], run["inputs"]) for run in known if run["state"] == RunState.UNFINISHED]

    def approve(self, number: int, *, by: str) -> None:
        """``by`` approves what the branch is now."""

        def change(state: State) -> None:
            pull = _of(state, number)
            approval = {"author": by, "commit": self._branch(pull["head"]) or pull["commit"]}
            pull["approvals"] = [a for a in pull["approvals"] if a["author"] != by] + [approval]

        self._write(change, f"Approve #{number}")

    def merge(self, number: int, *, commit: str | None = None) -> str:
        """Merge the branch into its base with a merge commit and return that; only while it is at ``commit``, if given.

        LockedError where branch or base move.
        """
        git, pull = self._git, self._get(number)
        if commit not in {None, pull.commit}:
            raise LockedError("its branch was moved just now", where=pull.url, hint="look at it again")
        if pull.state is not PullState.OPEN:
            raise ConfigError(f"#{number} is {pull.state.value}", where=REF)
        base, ref = self._branch(pull.base), f"refs/heads/{pull.base}"
        if base is None:
            raise ConfigError("there is no such branch", where=pull.base)
        if git.has_origin:
            git.fetch(pull.commit, base)
        try:
            tree = git.run("merge-tree", "--write-tree", base, pull.commit).splitlines()[0]
        except ConfigError as error:
            raise ConfigError(
                f"does not merge: {error.message}", where=f"#{number}", hint="retrain on the base"
            ) from None
        message = f"Merge pull request #{number} from {pull.head}\n\n{pull.title}"
        dates = dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), format_time(self._clock()))
        parents = ("-p", base, "-p", pull.commit)
        merged = git.run("commit-tree", tree, *parents, "-m", message, env={**git.identity, **dates})
        if not self._move(ref, merged, base):
            raise LockedError("somebody moved the branch just now", where=pull.base, hint="try again")
        self._end(number, PullState.MERGED)
        return merged

    def finish(self, run: int, state: RunState) -> None:
        def change(known: State) -> None:
            for found in (found for runs in known["runs"].values() for found in runs if found["id"] == run):
                found["state"] = state.value

        self._write(change, f"Run {run}: {state.value}")

    # -- files -------------------------------------------------------------------------------------------------------

    def _get(self, number: int) -> PullRequest:
        return self._pull(_of(self._read(), number))

    def _pull(self, pull: State) -> PullRequest:
        """While it is open, the branch says what its commit is."""
        state = PullState(pull["state"])
        tip = self._branch(pull["head"]) if state is PullState.OPEN else None
        known = {key: pull[key] for key in ("number", "url", "title", "body", "author", "head", "base")}
        return PullRequest(**known, commit=tip or pull["commit"], state=state)

    def _end(self, number: int, state: PullState) -> PullRequest:
        def change(known: State) -> None:
            pull = _of(known, number)
            pull.update(state=state.value, commit=self._branch(pull["head"]) or pull["commit"])

        self._write(change, f"#{number}: {state.value}")
        return self._get(number)

    def _branch(self, name: str) -> str | None:
        ref = f"refs/heads/{name}"
        return self._git.remote_ref(ref) if self._git.has_origin else self._git.ref(ref)

    def _move(self, ref: str, new: str, old: str) -> bool:
        if not self._git.has_origin:
            return self._git.update_ref(ref, new, old)
        with suppress(PushRejected):
            self._git.push(new, ref, lease=old, force=True)
            return True
        return False

    def _read(self) -> State:
        return self._read_at(self._store.tip())

    def _read_at(self, tip: str | None) -> State:
        if tip is None:
            return {"pulls": {}, "statuses": {}, "runs": {}}
        try:
            state = json.loads(self._git.show_from_top(tip, _FILE) or b"")
            return {"pulls": state["pulls"], "statuses": state["statuses"], "runs": state["runs"]}
        except (ValueError, LookupError, TypeError):
            raise ConfigError(f"{_FILE} cannot be read", where=REF, hint="is it the local forge's?") from None

    def _write(self, change: Callable[[State], T], message: str) -> T:
        """``change`` is made again on what is there after each lost race."""
        for _ in range(_TRIES):
            tip = self._store.tip()
            state = self._read_at(tip)
            answer = change(state)
            text = json.dumps(state, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
            commit = self._store.commit(tip, {_FILE: text.encode()}, message=message, at=self._clock())
            if commit == tip or self._store.publish(commit, tip):
                return answer
        raise ServiceError(f"lost {_TRIES} races in a row", where=REF, hint="try again")


def _of(state: State, number: int) -> State:
    try:
        pull: State = state["pulls"][str(number)]
    except KeyError:
        raise ConfigError(f"there is no pull request {number}", where=REF) from None
    return pull


def _url(number: int) -> str:
    return f"{REF} #{number}"
