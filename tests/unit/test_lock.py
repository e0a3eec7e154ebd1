"""One at a time, and free when the last holder is gone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from remint.adapters.lock import hold
from remint.errors import LockedError


def test_the_second_is_told_who_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "a" / "lock"
    told = pytest.raises(LockedError, match=r"a retrain is running already \(process \d+\)")
    with hold(path, what="a retrain"), told, hold(path, what="a retrain"):
        pass
    with hold(path, what="a retrain"):
        pass


def test_a_child_that_outlives_its_parent_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with hold(path, what="a retrain") as descriptor:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(descriptor,))
    with child:
        with pytest.raises(LockedError), hold(path, what="a retrain"):
            pass
        child.communicate(b"\n")
    with hold(path, what="a retrain"):
        pass
