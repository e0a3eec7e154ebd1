"""The whole loop, played by the demo on real parts: every act has to end as it should."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_every_act_of_the_demo_ends_as_it_should(tmp_path: Path) -> None:
    binary = ROOT / ".cache" / "prometheus" / "x" / "usr" / "bin" / "prometheus"
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "REMINT_PROMETHEUS_BINARY": str(binary),
        "TMPDIR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-m", "remint.demo", "--output", str(tmp_path / "out")],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert page.count("<article>") == 8
    assert "<script" not in page
    assert re.search(r"(?:src|href)=[\"'](?:https?:)?//", page) is None, "the page must not need the network"
