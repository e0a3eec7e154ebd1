"""What a run took of this machine."""

from __future__ import annotations

import os
import re
import resource
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_BLOCK_BYTES: Final = 512  # the kernel counts block I/O in these, whatever the disk's own


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Since the process began, its own and that of the children that it waited for.

    ``disk_*_bytes`` went to and came from block devices: what the page cache served, pipes and the network are not in
    it. None where the system counts operations and not bytes.
    """

    cpu_seconds: float
    peak_memory_bytes: int  # of the largest single process
    disk_read_bytes: int | None
    disk_written_bytes: int | None


def measure() -> Usage:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in KiB elsewhere
    blocks = sys.platform == "linux"
    return Usage(
        cpu_seconds=own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime,
        peak_memory_bytes=max(own.ru_maxrss, children.ru_maxrss) * unit,
        disk_read_bytes=(own.ru_inblock + children.ru_inblock) * _BLOCK_BYTES if blocks else None,
        disk_written_bytes=(own.ru_oublock + children.ru_oublock) * _BLOCK_BYTES if blocks else None,
    )


def usage() -> tuple[float, int]:
    """CPU seconds and peak resident bytes of this process and of the children that it waited for."""
    used = measure()
    return used.cpu_seconds, used.peak_memory_bytes


def cpus() -> int:
    """How many CPUs this process may use; a container's share of them (a quota) is not seen."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def workflow_run_url(environ: Mapping[str, str]) -> str | None:
    """The address of the forge's workflow run that this is part of; None elsewhere.

    Gitea (from 1.26) and Forgejo set GitHub's variables too; Forgejo's addresses hold the run's number, not its id.
    """
    server, repository = environ.get("GITHUB_SERVER_URL", ""), environ.get("GITHUB_REPOSITORY", "")
    run = environ.get("GITHUB_RUN_NUMBER" if environ.get("FORGEJO_ACTIONS") else "GITHUB_RUN_ID", "")
    if not run.isdigit() or not re.fullmatch(r"https?://[\w.:\[\]/-]+", f"{server}/{repository}"):
        return None
    return f"{server}/{repository}/actions/runs/{run}"
