"""One at a time on this machine: a lock that the operating system frees with its last holder, however that one dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from remint.errors import LockedError


@contextmanager
def hold(path: Path, *, what: str) -> Iterator[int]:
    """Hold the lock on ``path`` and yield its file descriptor; raises LockedError where somebody else holds it.

    A child that inherits the descriptor (``pass_fds``) keeps the lock when its parent is killed: work that goes on is
    still work in progress. That is why this is not a library's lock: none hands its descriptor out.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = path.read_text(errors="replace").strip() or "another process"
            raise LockedError(
                f"{what} is running already ({holder})", where=str(path), hint="try again later"
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()}\n".encode())
        yield descriptor
    finally:
        os.close(descriptor)
