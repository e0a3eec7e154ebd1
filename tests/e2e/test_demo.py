"""The whole loop, played by the demo on real parts: each act ends as it should, each file keeps its contract."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

ROOT = Path(__file__).parents[2]
KINDS = {"changes", "decision", "reference", "gate", "verdict", "metadata", "run", "state"}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    folder = tmp_path_factory.mktemp("demo")
    binary = ROOT / ".cache" / "prometheus" / "x" / "usr" / "bin" / "prometheus"
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "REMINT_PROMETHEUS_BINARY": str(binary),
        "TMPDIR": str(folder),
    }
    done = subprocess.run(
        [sys.executable, "-m", "remint.demo", "--keep", "--output", str(folder / "out")],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done, folder


@pytest.mark.slow
def test_every_act_of_the_demo_ends_as_it_should(played: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    done, folder = played
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    page = (folder / "out" / "index.html").read_text(encoding="utf-8")
    assert page.count("<article>") == 8
    assert "<script" not in page
    assert re.search(r"(?:src|href)=[\"'](?:https?:)?//", page) is None, "the page must not need the network"


@pytest.mark.slow
def test_every_document_of_the_loop_keeps_its_schema(played: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    repo = next(played[1].glob("remint-demo-*")) / "repo"
    seen = set()
    for where, document in _documents(repo):
        kind = document["schema"].split("/")[1]
        schema = json.loads((ROOT / "schemas" / f"{kind}.schema.json").read_text())
        problems = [error.message for error in Draft202012Validator(schema).iter_errors(document)]
        assert not problems, f"{where}: {problems[:3]}"
        seen.add(kind)
    assert seen == KINDS


def _documents(repo: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """All that the loop wrote: in the work tree, in the runs' folders, and attached to the ledger."""
    for path in (*(repo / ".remint").rglob("*.json"), *(repo / "artifacts").glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        if re.fullmatch(r"remint/(?:decision|reference|gate|metadata|run)/.*", str(content.get("schema"))):
            yield str(path), content
    yield "state", yaml.safe_load((repo / "deploy" / "state.yaml").read_text())
    branch = "remint/ledger/breast-cancer"
    names = _git(repo, "ls-tree", "-r", "--name-only", branch).split()
    for name in names:
        if name.endswith(".json"):
            yield name, json.loads(_git(repo, "show", f"{branch}:{name}"))


def _git(repo: Path, *command: str) -> str:
    return subprocess.run(["git", *command], cwd=repo, capture_output=True, text=True, check=True).stdout
