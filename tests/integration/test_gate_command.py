"""``remint gate`` and ``remint report`` in a real repository: git, DVC, the registry's tags, the ledger."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gate_examples import make_model
from remint.adapters import registry
from remint.adapters.git import Git
from remint.adapters.ledger import Ledger
from remint.cli import main
from remint.core.ledger import LedgerEvent

DVC_YAML = "stages:\n  train:\n    cmd: exit 1\n    outs:\n      - artifacts/bundle\n"


def run(directory: Path, *command: str) -> None:
    subprocess.run(command, cwd=directory, check=True, capture_output=True)


def dvc(directory: Path, *command: str) -> None:
    run(directory, sys.executable, "-m", "dvc", *command)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("models")
    make_model(directory / "old")
    make_model(directory / "new", feedback=900)
    return directory


@pytest.fixture
def repository(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The challenger checked out in a repository that has no champion yet."""
    place = tmp_path / "repository"
    shutil.copytree(models / "new", place)
    run(place, "git", "init", "--quiet")
    (place / ".gitignore").write_text("/artifacts/bundle\n/artifacts/prepared\n*.json\n!/artifacts/*.json\n")
    run(place, "git", "add", ".")
    run(place, "git", "commit", "--quiet", "-m", "Challenger\n\nRemint-Run: shop-20261121T100000Z-0a1b2c")
    monkeypatch.chdir(place)
    return place


def gate(capsys: pytest.CaptureFixture[str], *options: str, code: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["gate", "--no-service", "--json", "--exit-code", *options]) == code
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def old_bundle(models: Path) -> str:
    return str(models / "old/artifacts/bundle")


ACCEPT = ("--accept", "guard:accuracy", "--reason", "a new world", "--by", "Ada")


def test_an_acceptance_is_recorded_and_found_again_by_the_next_gate(
    repository: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    against = ("--champion-bundle", old_bundle(models))
    assert gate(capsys, *against, code=11)["verdict"] == "fail"
    assert gate(capsys, *against, *ACCEPT, "--dry-run")["verdict"] == "pass"
    ledger = Ledger(Git(repository), "shop")
    assert ledger.entries() == ()

    accepted = gate(capsys, *against, *ACCEPT)
    (entry,) = ledger.entries()
    assert entry.event is LedgerEvent.ACCEPTANCE
    assert entry.run_id == "shop-20261121T100000Z-0a1b2c"
    assert entry.data == {
        "rule": "guard:accuracy",
        "reason": "a new world",
        "by": "Ada",
        "bundle": accepted["challenger"]["bundle"],
        "gate": accepted["id"],
    }

    git = Git(repository)
    old = commit_model(repository, models / "old")
    registry.assign(git, "shop", old, now=datetime(2026, 11, 1, tzinfo=UTC))
    commit_model(repository, models / "new")
    again = gate(capsys)
    assert again["verdict"] == "pass"
    assert again["accepted"][0]["by"] == "Ada"
    assert again["champion"]["tag"] == "shop#stable#1"
    assert again["metrics"]["fresh"] == accepted["metrics"]["fresh"]
    assert len(ledger.entries()) == 1
    assert gate(capsys, "--champion-rev", old)["champion"]["bundle"] == again["champion"]["bundle"]


def commit_model(repository: Path, model: Path) -> str:
    """Commit the artifacts of ``model`` as DVC's stage would have left them."""
    if not (repository / ".dvc").is_dir():
        dvc(repository, "init", "--quiet")
        (repository / "dvc.yaml").write_text(DVC_YAML)
    shutil.rmtree(repository / "artifacts")
    shutil.copytree(model / "artifacts", repository / "artifacts")
    dvc(repository, "commit", "--force", "--quiet")
    run(repository, "git", "add", ".")
    run(repository, "git", "commit", "--quiet", "-m", "Model")
    return Git(repository).head()


def test_without_a_champion_the_floors_decide(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = gate(capsys)
    assert document["champion"] is None
    assert document["judged_on"] == "fresh"
    assert document["verdict"] == "pass"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--reason", "x"], "say nothing without --accept"),
        (["--accept", "guard:accuracy"], "takes a name and a reason"),
        (["--no-champion", "--accept", "gate:accuracy", "--reason", "x", "--by", "y"], "only a guard"),
        (["--champion-rev", "nowhere"], "not inside a DVC repository"),
    ],
)
def test_a_mistake_is_one_line(
    repository: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main(["gate", "--no-service", *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_the_report_is_made_of_the_files_that_the_gate_wrote(
    repository: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gate", "--no-service", "--champion-bundle", old_bundle(models), "--output", "gate.json"]) == 0
    assert main(["report", "--gate", "gate.json", "--html", "out/report.html", "--output", "out/report.md"]) == 0
    text = Path("out/report.md").read_text()
    assert "## ❌ Gate failed: shop" in text
    assert "| to train | 786 | 156 | 630 |" in text  # the summary beside the gate's own challenger
    assert "<svg" in Path("out/report.html").read_text()
    capsys.readouterr()
    assert main(["report", "--gate", "gate.json"]) == 0
    assert capsys.readouterr().out == text
    assert main(["report", "--gate", "params.yaml"]) == 2
    assert "params.yaml: not a JSON object" in capsys.readouterr().err
