"""What goes wrong on a forge, on purpose: killed runs, two at once, a fork, a token that may not, two pipelines."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from forge_lab import Lab, LabError, wait

#: What is looked for in a command line, in this order: each run of the same decision gets one step further.
KILLS: Final = (
    ("while it trains", ("stages/train.py",), 0.0),
    ("while it pushes the data", ("-m", "dvc", "push"), 0.3),
    ("while it pushes the branch", ("git", "push", "refs/heads/remint/retrain/"), 0.0),
    ("while it publishes", ("remint", "publish"), 1.2),
)
_OURS: Final = re.compile(r"\bremint (retrain|publish|check)\b")


@dataclass
class Killer:
    """Waits for a process of the runner and kills the command that it belongs to, with everything below it."""

    words: Sequence[str]
    after_seconds: float
    place: Path  # only processes whose working directory is below
    killed: str | None = None
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def lurking(self) -> Iterator[Killer]:
        thread = threading.Thread(target=self._lurk, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()

    def _lurk(self) -> None:
        while not self._stop.is_set():
            for pid in _processes():
                line = _command_line(pid)
                if all(word in line for word in self.words) and self._is_below(pid):
                    self._stop.wait(self.after_seconds)
                    if _command_line(pid) == line:  # it is still there
                        self.killed = line
                        _kill_tree(_ours_above(pid))
                        return
            self._stop.wait(0.002)

    def _is_below(self, pid: int) -> bool:
        with suppress(OSError):
            return Path(f"/proc/{pid}/cwd").readlink().is_relative_to(self.place)
        return False


def _processes() -> list[int]:
    return [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit()]


def _command_line(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def _parent(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def _ours_above(pid: int) -> int:
    """The nearest ``remint`` command upwards, else the process itself."""
    at = pid
    while at > 1:
        if _OURS.search(_command_line(at)) and "bash" not in _command_line(at).split(" ")[0]:
            return at
        at = _parent(at)
    return pid


def _kill_tree(top: int) -> None:
    parents = {pid: _parent(pid) for pid in _processes()}
    found, grown = {top}, True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        found, grown = found | more, bool(more)
    for pid in found:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


# -- scenes ----------------------------------------------------------------------------------------------------------


def killed_at_each_step(lab: Lab, begin: Callable[[], int], say: Callable[[str], None]) -> int:
    """``begin`` starts a retrain and gives its run once that is over; it is killed once for each of KILLS and run again
    each time, at last let through. The run.
    """
    run = 0
    for what, words, seconds in KILLS:
        killer = Killer(words, seconds, lab.root / "runner")
        with killer.lurking():
            if run:
                ended = rerun(lab, run)
            else:
                run = begin()
                ended = lab.ended(run)
        if killer.killed is None:
            raise LabError(f"nothing to kill {what}: {ended['conclusion']}\n{lab.log(run)[-3000:]}")
        if ended["conclusion"] == "success":
            raise LabError(f"killed {what}, and the run is green all the same")
        say(f"killed {what}: {killer.killed[:90].strip()}")
    ended = rerun(lab, run)
    if ended["conclusion"] != "success":
        raise LabError(f"not killed, and yet {ended['conclusion']}:\n{lab.log(run)[-4000:]}")
    return run


def rerun(lab: Lab, run: int) -> dict[str, Any]:
    """ "Re-run all jobs", and how it ended."""
    before = int(_run(lab, run).get("run_attempt") or 1)
    lab.call("POST", f"/actions/runs/{run}/rerun")

    def over() -> dict[str, Any] | None:
        now = _run(lab, run)
        again = int(now.get("run_attempt") or 1) > before or now["status"] != "completed"
        started.append(again)
        return now if any(started) and now["status"] == "completed" else None

    started: list[bool] = []
    ended: dict[str, Any] = wait(f"run {run} again", over)
    return ended


def _run(lab: Lab, run: int) -> dict[str, Any]:
    found: dict[str, Any] = lab.call("GET", f"/actions/runs/{run}")
    return found


def fork(lab: Lab, *, owner: str, branch: str, base: str, change: Callable[[Path], None], at: Path) -> int:
    """``owner`` forks the repository, changes it on a branch named as ours and proposes that; the number."""
    server = lab.server
    name = f"fork-of-{server.repository.rpartition('/')[2]}"
    server.call("POST", f"/repos/{server.repository}/forks", {"name": name}, user=owner)
    address = server.clone_url.replace(f"//{server.user}:", f"//{owner}:").replace(server.repository, f"{owner}/{name}")

    def git(*arguments: str) -> None:
        identity = ("-c", f"user.name={owner}", "-c", f"user.email={owner}@example.invalid")
        subprocess.run(["git", *identity, *arguments], cwd=at if at.exists() else at.parent, check=True)

    git("clone", "--quiet", address, str(at))
    git("switch", "--quiet", "--create", branch, f"origin/{base}")
    change(at)
    git("commit", "--quiet", "--all", "--message", "A stranger's idea")
    git("push", "--quiet", "--force", "origin", branch)  # a fork has it already
    body = {"title": "A stranger's idea", "head": f"{owner}:{branch}", "base": base, "body": "Take it"}
    made = lab.call("POST", "/pulls", body, user=owner)
    return int(made["number"])


def log_says(lab: Lab, run: int, *words: str) -> str:
    """The line of the log that has all ``words``; raises LabError where there is none."""
    log = lab.log(run)
    found = next((line for line in log.splitlines() if all(word in line for word in words)), None)
    if found is None:
        raise LabError(f"no line with {words}:\n{log[-4000:]}")
    return found.partition("Z ")[2] or found
