"""Claims about the wheel: what init needs travels in it, and it makes and runs a pipeline in an empty directory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENVIRONMENT = dict(os.environ)  # before the guards of conftest.py: the package client's settings are in the real home
OFFLINE = ("dns error", "failed to fetch", "connection", "timed out", "no matching distribution", "network")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("dist")
    uv = shutil.which("uv", path=ENVIRONMENT.get("PATH"))
    build = (
        [uv, "build", "--wheel", "--out-dir", str(target), str(ROOT)]
        if uv is not None
        else [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(target), str(ROOT)]
    )
    done = subprocess.run(build, capture_output=True, text=True, env=ENVIRONMENT, cwd=target, check=False)
    if done.returncode != 0 and any(sign in done.stderr.lower() for sign in OFFLINE):
        pytest.skip(f"the package index cannot be reached to build a wheel: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    (built,) = target.glob("*.whl")
    return built


def test_templates_schemas_chart_and_error_page_travel_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    templates = ROOT / "src" / "remint" / "templates"
    needed = [f"remint/templates/{p.relative_to(templates)}" for p in templates.rglob("*") if p.is_file()]
    needed += [f"remint/schemas/{p.name}" for p in (ROOT / "schemas").glob("*.json")]
    needed += [f"remint/{p.relative_to(ROOT)}" for p in (ROOT / "helm" / "remint").rglob("*") if p.is_file()]
    needed.append("remint/docs/errors.md")  # what `remint explain` prints
    assert [name for name in needed if "__pycache__" not in name and name not in names] == []


def test_the_wheel_makes_and_runs_a_pipeline_in_an_empty_directory(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, here = tmp_path / "site", tmp_path / "here"
    here.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def python(*arguments: str) -> str:
        done = subprocess.run([sys.executable, *arguments], cwd=here, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert Path(python("-c", "import remint; print(remint.__file__)").strip()).is_relative_to(site)
    python("-c", "from remint.cli import entry; entry()", "init", "--example", "breast-cancer", "--commit")
    python("-m", "dvc", "repro")
    metrics = json.loads((here / "artifacts/metrics.json").read_text())
    assert metrics["test"]["accuracy"] > 0.9
    assert "up to date" in python("-m", "dvc", "repro")
