"""Claims about init in a repository that is there, and about moving pins: with real git and no DVC."""

from __future__ import annotations

import hashlib
import json
import random
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from remint import __version__
from remint.adapters.scaffold import MANIFEST, plan_steps, read_manifest, write_steps
from remint.cli.main import main
from remint.workflows.init_files import Workflows, template_files, workflow_files

Run = Callable[..., dict[str, Any]]
OLD = "uses: actions/checkout@" + "a" * 40 + " # v1.0.0"
CHECKOUT = re.compile(r"uses: actions/checkout@[0-9a-f]{40} # \S+")


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout


def put(path: str, text: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(text.encode())


@pytest.fixture(autouse=True)
def _in_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(0)
    rows = "".join(f"{draw.random():.4f},{i % 2}\n" for i in range(200))
    (tmp_path / "shop.csv").write_text(f"x,y\n{rows}")
    (tmp_path / "repo").mkdir()
    monkeypatch.chdir(tmp_path / "repo")
    git("init", "-q")


@pytest.fixture
def init(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*options: str, code: int = 0, data: str = "../shop.csv") -> dict[str, Any]:
        assert main(["init", "--data", data, "--label", "y", "--dry-run", "--json", *options]) == code
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    return run


def actions(report: dict[str, Any]) -> dict[str, str]:
    return {file["path"]: file["action"] for file in report["files"]}


def test_a_dry_run_prints_what_git_can_apply(capsys: pytest.CaptureFixture[str]) -> None:
    put(".gitignore", "*.log\r\n")
    assert main(["init", "--data", "../shop.csv", "--label", "y", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "shop.csv\n+" not in printed  # the data are never shown
    subprocess.run(["git", "apply", "-"], input=printed.encode(), check=True)
    assert Path("dvc.yaml").read_bytes() == next(f.content for f in template_files() if f.path == "dvc.yaml")
    assert Path(".gitignore").read_bytes().startswith(b"*.log\r\n# Remint")


@pytest.mark.parametrize("name", ["dvc.yaml", "params.yaml"])
def test_a_pipeline_of_ones_own_is_touched_only_where_it_is_asked_for(name: str, init: Run) -> None:
    put(name, "a: 1\n")
    assert f"{name} is yours (remint init --adopt " in init(code=2)["message"]


def test_workflows_of_ones_own_stay(init: Run) -> None:
    put(".github/workflows/ci.yml", "name: mine\n")
    found = init()
    assert actions(found)[".github/workflows/remint-ci.yml"] == "create"
    assert ".github/workflows/ci.yml" not in actions(found)
    put(".github/workflows/release.yml", "name: mine\n")
    message = init(code=2)["message"]
    assert ".github/workflows/release.yml: rename yours, or leave ours out with --workflows none" in message
    assert not any(path.startswith(".github/") for path in actions(init("--workflows", "none")))
    assert actions(init("--without-workflows")) == actions(init("--workflows", "none"))


def test_reusable_workflows_name_whose_they_are_and_keep_it(init: Run) -> None:
    assert any("--workflows-from OWNER/REPOSITORY@COMMIT" in note for note in init("--workflows", "reusable")["notes"])
    source = ["--workflows-from", f"acme/tools@{'b' * 40}"]
    found = init("--workflows", "reusable", *source)
    assert not any("--workflows-from" in note for note in found["notes"])
    diff = next(f["diff"] for f in found["files"] if f["path"] == ".github/workflows/watch.yml")
    assert f"uses: acme/tools/.github/workflows/watch.yml@{'b' * 40}\n" in diff
    steps = plan_steps(Path(), workflow_files(Workflows.REUSABLE, Path(), source=source[1]))
    write_steps(Path(), steps, version="0")
    again = actions(init("--workflows", "reusable"))
    assert {again[path] for path in again if path.startswith(".github/")} == {"keep"}
    assert "is no address" in init("--workflows", "reusable", "--workflows-from", "acme/tools@main", code=2)["message"]


def test_in_a_subdirectory_the_workflows_go_to_the_top(init: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    put("models/shop/readme", "")
    put("models/other/.remint/manifest.json", "{}")
    git("add", ".")
    monkeypatch.chdir("models/shop")
    found = init(data="../../../shop.csv")
    assert actions(found)["../../.github/workflows/watch.yml"] == "create"
    assert "../../.remint/manifest.json" in found["to_commit"]
    assert any('REMINT_DIRECTORIES to ["models/other", "models/shop"]' in note for note in found["notes"])


def test_what_git_is_told_to_ignore_is_found_before_anything_is_written(init: Run) -> None:
    put(".gitignore", "data/\n")
    message = init(code=2)["message"]
    assert "data/shop.csv.dvc (.gitignore:1:data/)" in message
    put(".gitignore", "data/*\n!data/*.dvc\n!data/.gitignore\n")
    init()


def test_data_that_git_holds_are_used_where_they_are(init: Run) -> None:
    put("data/shop.csv", Path("../shop.csv").read_text())
    git("add", "data/shop.csv")
    found = init(data="data/shop.csv")
    assert "data/shop.csv" not in actions(found)
    assert "data/shop.csv.dvc" not in found["to_commit"]


def test_a_commit_needs_an_author_and_none_of_a_persons_changes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["init", "--data", "../shop.csv", "--label", "y", "--commit"]
    put(".gitignore", "*.log\n")
    git("add", ".")
    git("-c", "user.name=a", "-c", "user.email=a@example.invalid", "commit", "-qm", "one")
    put(".gitignore", "*.tmp\n")
    assert main(command) == 2
    assert "changes of yours that are not committed in .gitignore" in capsys.readouterr().err
    for variable in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL", "EMAIL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    git("config", "user.useConfigOnly", "true")
    assert main(command) == 2
    assert "git does not know who you are" in capsys.readouterr().err
    assert git("status", "--porcelain") == " M .gitignore\n"


def test_a_pin_that_is_there_gets_no_second_one(init: Run) -> None:
    put("requirements.txt", "pandas\nremint[serve]==0.0.1  # ours\n")
    found = init()
    assert actions(found)["requirements.txt"] == "keep"


def test_the_chart_can_be_had(init: Run) -> None:
    assert actions(init("--chart"))["helm/remint/Chart.yaml"] == "create"
    assert any("REMINT_CHART" in note for note in init()["notes"])
    assert actions(init())["deploy/values.yaml"] == "create"


def test_estimators_are_checked_now_and_written(init: Run) -> None:
    wrong = init("--estimator", "sklearn.ensemble:RandomForestClasifier", code=2)["message"]
    assert "--estimator: sklearn.ensemble has no" in wrong
    assert "did you mean 'RandomForestClassifier'" in wrong
    found = init("--estimator", "sklearn.ensemble:RandomForestClassifier", "--parameter", "n_estimators=7")
    diff = next(file["diff"] for file in found["files"] if file["path"] == "params.yaml")
    assert '+  parameters: {"n_estimators": 7}' in diff
    assert "is not NAME=VALUE" in init("--parameter", "seven", code=2)["message"]


# -- upgrade ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def made() -> None:
    """The workflows and requirements as an older init wrote them; a person went on with watch.yml."""
    steps = plan_steps(Path(), [*template_files(), *workflow_files(Workflows.FULL, Path())])
    write_steps(Path(), steps, version="0")
    for path in Path(".github/workflows").iterdir():
        path.write_text(CHECKOUT.sub(OLD, path.read_text()))
    put("requirements.txt", "pandas==2.0  # remint==1 is elsewhere\r\nremint[serve]==0.0.1 ; python_version > '3'\r\n")
    document = json.loads(MANIFEST.read_text())
    for path in Path(".github/workflows").iterdir():
        document["files"][path.as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    MANIFEST.write_text(json.dumps(document))
    with Path(".github/workflows/watch.yml").open("a") as watch:
        watch.write("# mine\n")


@pytest.mark.usefixtures("made")
def test_an_upgrade_moves_pins_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    before = {p: p.read_bytes() for p in Path().rglob("*") if p.is_file() and ".git" not in p.parts}
    assert main(["init", "--upgrade", "--dry-run"]) == 0
    printed = capsys.readouterr()
    assert {p: p.read_bytes() for p in before} == before
    assert main(["init", "--upgrade", "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert printed.out == "".join(file["diff"] for file in done["files"])
    assert [file["path"] for file in done["theirs"]] == [".github/workflows/watch.yml"]
    requirements = Path("requirements.txt").read_bytes().decode()
    assert (
        requirements
        == f"pandas==2.0  # remint==1 is elsewhere\r\nremint[serve]=={__version__} ; python_version > '3'\r\n"
    )
    assert OLD not in Path(".github/workflows/ci.yml").read_text()
    assert Path(".github/workflows/watch.yml").read_bytes() == before[Path(".github/workflows/watch.yml")]
    changed = {str(path) for path, content in before.items() if path.read_bytes() != content}
    assert changed == {file["path"] for file in done["files"]} | {MANIFEST.as_posix()}
    for file in done["files"]:
        lines = [line for line in file["diff"].splitlines() if re.match(r"[+-][^+-]", line)]
        assert all("uses:" in line or "remint" in line for line in lines)


@pytest.mark.usefixtures("made")
def test_an_upgrade_again_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--upgrade"]) == 0
    assert "you may want" in capsys.readouterr().err
    manifest = read_manifest(Path())
    assert main(["init", "--upgrade", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == []
    assert read_manifest(Path()) == manifest


def test_there_is_nothing_to_upgrade_where_init_never_was(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--upgrade"]) == 2
    assert "no file that remint init made" in capsys.readouterr().err
