"""Claims about init with real git and real DVC: what it makes is a pipeline, and making it again changes nothing."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from remint.adapters.examples import Example, example_csv
from remint.cli.main import main

EXAMPLE = ["init", "--example", "breast-cancer"]
ODD_NAMES = "x y,a.b,né,on,${task} 🎉"


def run(*command: str, cwd: Path) -> str:
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout


def dvc(*arguments: str, cwd: Path) -> str:
    return run(sys.executable, "-m", "dvc", *arguments, cwd=cwd)


def snapshot(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.rglob("*")
        if path.is_file() and not {".git", "tmp", "cache", "runs"} & set(path.relative_to(directory).parts)
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's pipeline, made once and committed; tests that change it work on a clone."""
    directory = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("home")  # the guards of conftest.py begin only after a module's fixtures
        for variable in ("HOME", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR", "DVC_SITE_CACHE_DIR"):
            patch.setenv(variable, str(home))
        for variable in ("GIT_AUTHOR", "GIT_COMMITTER"):
            patch.setenv(f"{variable}_NAME", "Test")
            patch.setenv(f"{variable}_EMAIL", "test@example.invalid")
        patch.chdir(directory)
        assert main([*EXAMPLE, "--commit"]) == 0
    return directory


def test_everything_is_committed_and_the_data_is_tracked(made: Path) -> None:
    assert run("git", "status", "--porcelain", cwd=made) == ""
    tracked = run("git", "ls-files", cwd=made).splitlines()
    assert {
        "params.yaml",
        "dvc.yaml",
        "golden/golden.jsonl",
        "data/breast-cancer.csv.dvc",
        ".remint/manifest.json",
    } <= {*tracked}
    assert "data/breast-cancer.csv" not in tracked
    assert "deploy/state.yaml" not in tracked
    assert dvc("config", "core.analytics", cwd=made).strip() == "false"
    assert dvc("remote", "list", cwd=made) == ""


def test_dvc_reads_the_pipeline_as_written(made: Path) -> None:
    stages = dvc("stage", "list", "--name-only", cwd=made).split()
    assert stages == ["prepare", "train", "evaluate"]
    assert dvc("dag", "--dot", cwd=made).count("data/breast-cancer.csv.dvc") >= 1


def test_making_it_again_changes_nothing(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = snapshot(made)
    monkeypatch.chdir(made)
    assert main([*EXAMPLE, "--commit"]) == 0
    assert snapshot(made) == before
    assert run("git", "rev-list", "--count", "HEAD", cwd=made).strip() == "1"


def test_a_changed_file_is_never_overwritten(
    made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(made)
    stage = made / "stages/train.py"
    original = stage.read_text()
    try:
        stage.write_text(f"{original}# mine\n")
        before = snapshot(made)
        assert main(EXAMPLE) == 2
        assert "differ from what init would write: stages/train.py (" in capsys.readouterr().err
        assert snapshot(made) == before
    finally:
        stage.write_text(original)


def test_params_that_a_person_went_on_with_stay_unless_they_are_of_another_task(
    made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(made)
    params = made / "params.yaml"
    original = params.read_text()
    try:
        params.write_text(original.replace("seed: 0", "seed: 1"))
        before = snapshot(made)
        assert main([*EXAMPLE, "--dry-run"]) == 0
        assert main([*EXAMPLE, "--pipeline", "another"]) == 2
        assert "differ from what init would write: params.yaml (" in capsys.readouterr().err
        assert snapshot(made) == before
    finally:
        params.write_text(original)


def test_prepare_runs_and_its_sides_hold_no_golden_row(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    dvc("repro", "prepare", cwd=made)
    summary = json.loads((made / "artifacts/prepared/summary.json").read_text())
    assert summary["rows"] == {"train": 296, "held_out": 67, "test": 106, "fresh": 0, "golden": 100}
    assert summary["classes"] == ["benign", "malignant"]
    assert "up to date" in dvc("repro", "prepare", cwd=made)


def test_a_stage_says_a_mistake_in_one_line(made: Path) -> None:
    (made / "requirements.txt").rename(made / "elsewhere.txt")
    try:
        done = subprocess.run(
            [sys.executable, "stages/prepare.py"], cwd=made, capture_output=True, text=True, check=False
        )
    finally:
        (made / "elsewhere.txt").rename(made / "requirements.txt")
    assert done.returncode == 2
    assert done.stderr.startswith("remint: error: requirements.txt: not found")
    assert len(done.stderr.splitlines()) == 1


def test_redrawing_the_golden_set_follows_changed_columns(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made)
    kept = {name: (made / name).read_bytes() for name in ("params.yaml", "golden/golden.jsonl")}
    try:
        text = kept["params.yaml"].decode().replace("mean_radius: numeric", "mean_radius: ignored")
        (made / "params.yaml").write_text(text)
        assert main(["init", "--redraw-golden"]) == 0
        golden = (made / "golden/golden.jsonl").read_bytes()
        assert b"mean_radius" not in golden
        assert hashlib.sha256(golden).hexdigest() in (made / "params.yaml").read_text()
    finally:
        for name, content in kept.items():
            (made / name).write_bytes(content)


def test_a_pipeline_in_a_subdirectory_joins_the_repository_it_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("git", "init", "--quiet", cwd=tmp_path)
    (tmp_path / ".gitignore").write_text("*.log\n")
    rows = "".join(f"{i / 7},{i % 5},{i % 11},{i % 3},text {i % 4},{i % 2}\n" for i in range(400))
    (tmp_path / "my data (1).csv").write_text(f"{ODD_NAMES},the label?\n{rows}")
    here = tmp_path / "models" / "shop"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    arguments = ["init", "--data", "../../my data (1).csv", "--label", "the label?", "--pipeline", "shop", "--commit"]
    assert main(arguments) == 0
    assert not (here / ".git").exists()
    assert not (here / ".github").exists()
    assert "models/shop/golden/golden.jsonl" in run("git", "ls-files", cwd=tmp_path)
    assert ".github/workflows/watch.yml" in run("git", "ls-files", cwd=tmp_path)
    assert (tmp_path / ".gitignore").read_text() == "*.log\n"
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    dvc("repro", "prepare", cwd=here)
    assert json.loads((here / "artifacts/prepared/summary.json").read_text())["classes"] == ["0", "1"]


def test_the_example_is_what_was_tracked(made: Path) -> None:
    assert (made / "data/breast-cancer.csv").read_bytes() == example_csv(Example.BREAST_CANCER)


@pytest.mark.parametrize(
    ("file", "label", "estimator", "rows", "distinct"),
    [
        ("elec.csv", "target", "boosting", 45312, 45303),
        ("liver.csv", "Dataset", "linear", 9577, 572),
        ("restaurant_reviews.tsv", "Liked", "linear", 1000, 994),
    ],
)
def test_real_files_are_understood(
    file: str,
    label: str,
    estimator: str,
    rows: int,
    distinct: int,
    shared_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init", "--data", str(shared_data / file), "--label", label, "--dry-run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["estimator"] == f"remint.estimators:{estimator}"
    assert (found["rows"]["all"], found["rows"]["distinct"]) == (rows, distinct)
    assert len(found["warnings"]) == (distinct < rows / 2)
    assert list(tmp_path.iterdir()) == []
