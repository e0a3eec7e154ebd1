"""What a run cost on this machine."""

from __future__ import annotations

import resource
import sys


def usage() -> tuple[float, int]:
    """CPU seconds and peak resident bytes of this process and of the children that it waited for."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in KiB elsewhere
    return cpu, max(own.ru_maxrss, children.ru_maxrss) * unit
