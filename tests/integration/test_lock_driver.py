"""The merge driver under real git, on a pipeline that real DVC has run (dvc#1015)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from remint.cli.main import main

pytestmark = pytest.mark.usefixtures("nobodys_home")

PIPELINE = """\
stages:
  left:
    cmd: cp a.txt left.txt
    deps: [a.txt]
    outs: [left.txt]
  right:
    cmd: cp b.txt right.txt
    deps: [b.txt]
    outs: [right.txt]
  join:
    cmd: cat left.txt right.txt > join.txt
    deps: [left.txt, right.txt]
    outs: [join.txt]
  count:
    cmd: wc -c join.txt > count.txt
    deps: [join.txt]
    metrics: [{count.txt: {cache: false}}]
"""


class Repo:
    def __init__(self, top: Path) -> None:
        self.top, self.place = top, top / "models" / "x"

    def call(self, *command: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        return subprocess.run(command, cwd=self.place, env=environment, capture_output=True, text=True, check=False)

    def run(self, *command: str) -> str:
        done = self.call(*command)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def commit(self, message: str) -> None:
        self.run("git", "add", "--all")
        self.run("git", "commit", "-q", "-m", message)

    def status(self) -> dict[str, object]:
        """What DVC says is not up to date, once the workspace holds what dvc.lock names."""
        self.run("dvc", "checkout", "--quiet", "--force", "--allow-missing")
        return dict(json.loads(self.run("dvc", "status", "--json")))


def begin(top: Path) -> Repo:
    repo = Repo(top)
    repo.place.mkdir(parents=True)
    repo.run("git", "init", "-q", str(top))
    repo.run("dvc", "init", "-q", "--subdir")
    return repo


@pytest.fixture(scope="module")
def produced(nobodys_home: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """main, and two branches that each changed one end of the pipeline and reproduced all of it."""
    repo = begin(tmp_path_factory.mktemp("produced") / "repo")
    (repo.place / "dvc.yaml").write_text(PIPELINE)
    for name in "ab":
        (repo.place / f"{name}.txt").write_text(f"{name}\n")
    repo.run("dvc", "repro", "-q")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(repo.place)
        assert main(["lock", "install"]) == 0
    repo.commit("base")
    for name in "ab":
        repo.run("git", "checkout", "-q", "-b", f"change-{name}", "main")
        (repo.place / f"{name}.txt").write_text(f"{name} changed\n")
        repo.run("dvc", "repro", "-q")
        repo.commit(name)
    return repo.top


def copy(produced: Path, tmp_path: Path) -> Repo:
    shutil.copytree(produced, tmp_path / "repo", symlinks=True)
    return Repo(tmp_path / "repo")


def test_dvc_agrees_about_what_has_to_be_reproduced_and_then_all_is_well(produced: Path, tmp_path: Path) -> None:
    repo = copy(produced, tmp_path)
    repo.run("git", "checkout", "-q", "change-a")
    merged = repo.call("git", "merge", "-q", "--no-edit", "change-b")
    assert merged.returncode == 1
    assert "join has to be reproduced: both sides changed it" in merged.stderr
    lock = "models/x/dvc.lock"
    assert f"dvc repro models/x/dvc.yaml:join models/x/dvc.yaml:count && git add {lock}" in merged.stderr
    assert "UU dvc.lock" in repo.run("git", "status", "--porcelain", "--", ".").replace(lock, "dvc.lock")
    text = (repo.place / "dvc.lock").read_text()
    assert "<<<<" not in text, "DVC can go on with it"
    assert repo.status().keys() == {"join", "count"}
    ran = repo.run("dvc", "repro", "join", "count")
    assert [word for word in ("left", "right", "join", "count") if f"Running stage '{word}'" in ran] == [
        "join",
        "count",
    ]
    assert (repo.place / "join.txt").read_text() == "a changed\nb changed\n"
    repo.run("git", "add", "dvc.lock", "count.txt")
    repo.run("git", "commit", "-q", "--no-edit")
    assert repo.status() == {}


def test_a_side_that_nobody_else_touched_merges_by_itself(produced: Path, tmp_path: Path) -> None:
    repo = copy(produced, tmp_path)
    repo.run("git", "checkout", "-q", "-b", "other", "main")
    entry = f"  other:\n    cmd: x\n    outs:\n    - path: other.txt\n      hash: md5\n      md5: {'a' * 32}\n"
    with (repo.place / "dvc.lock").open("a") as file:
        file.write(entry)
    repo.commit("a stage of a colleague, at the very end of the file")
    repo.run("git", "merge", "-q", "--no-edit", "change-b")
    assert (repo.place / "dvc.lock").read_text().endswith(entry)
    assert repo.run("git", "diff", "change-b", "--stat", "--", "dvc.lock").endswith("6 insertions(+)")
    assert repo.status() == {}


# -- the file alone, under git ---------------------------------------------------------------------------------------

LOCK = "schema: '2.0'\nstages:\n  one:\n    cmd: x\n    outs:\n    - path: one\n      md5: {one}\n"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    subprocess.run(["git", "init", "-q", "."], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    assert main(["lock", "install"]) == 0
    return tmp_path


def merge(base: bytes, ours: bytes, theirs: bytes) -> tuple[int, bytes]:
    """git's exit code and the file as git leaves it."""

    def git(*arguments: str) -> int:
        return subprocess.run(["git", *arguments], check=False, capture_output=True).returncode

    def commit(content: bytes) -> None:
        Path("dvc.lock").write_bytes(content)
        git("-c", "core.autocrlf=false", "add", "--all")
        assert git("commit", "-q", "--allow-empty", "-m", "x") == 0

    commit(base)
    git("checkout", "-q", "-b", "theirs")
    commit(theirs)
    git("checkout", "-q", "-")
    commit(ours)
    return git("merge", "--no-edit", "theirs"), Path("dvc.lock").read_bytes()


def test_line_ends_are_no_change_and_stay_as_ours_are(place: Path) -> None:
    base, changed = LOCK.format(one="1"), LOCK.format(one="2")
    code, content = merge(base.encode(), base.replace("\n", "\r\n").encode(), changed.encode())
    assert code == 0
    assert content == changed.replace("\n", "\r\n").encode()


def test_an_old_lock_file_merges_with_a_new_one(place: Path) -> None:
    new = LOCK.format(one="1")
    old = new.replace("schema: '2.0'\nstages:\n", "").replace("\n  ", "\n").removeprefix("  ")
    code, content = merge(old.encode(), new.encode(), old.replace("md5: 1", "md5: 2").encode())
    assert (code, content) == (0, LOCK.format(one="2").encode())


def test_what_cannot_be_read_becomes_a_plain_conflict_with_both_sides_in_it(place: Path) -> None:
    code, content = merge(LOCK.format(one="1").encode(), LOCK.format(one="2").encode(), b"schema: '3.0'\nstages: {}\n")
    assert code == 1
    assert b"<<<<<<< ours" in content
    assert b"md5: 2" in content
    assert b"schema: '3.0'" in content


def test_what_is_no_text_stays_ours_and_unmerged(place: Path) -> None:
    code, content = merge(LOCK.format(one="1").encode(), LOCK.format(one="2").encode(), b"\0\xff")
    assert (code, content) == (1, LOCK.format(one="2").encode())
    unmerged = subprocess.run(["git", "ls-files", "--unmerged"], check=True, capture_output=True, text=True).stdout
    assert unmerged.count("dvc.lock") == 3, "all three versions are in the index"


def test_a_clean_text_merge_of_what_cannot_be_read_is_still_asked_about(place: Path) -> None:
    base = LOCK.format(one="1").replace("2.0", "9.0")
    code, content = merge(base.encode(), f"# ours\n{base}".encode(), f"{base}# theirs\n".encode())
    assert code == 1
    assert content == f"# ours\n{base}# theirs\n".encode()


def test_a_clone_without_the_driver_merges_text_as_before(place: Path) -> None:
    subprocess.run(["git", "config", "--remove-section", "merge.remint-lock"], check=True)
    code, content = merge(*(LOCK.format(one=n).encode() for n in "123"))
    assert code == 1
    assert b"<<<<<<<" in content


def test_installing_twice_changes_nothing_and_nobodys_driver_is_replaced(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = Path(".git/config").read_bytes()
    capsys.readouterr()
    assert main(["lock", "install", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) | {"command": ""} == {
        "attributes": "keep",
        "driver": "keep",
        "command": "",
    }
    assert Path(".git/config").read_bytes() == config
    assert Path(".gitattributes").read_text().count("merge=remint-lock") == 1
    subprocess.run(["git", "config", "--remove-section", "merge.remint-lock"], check=True)
    assert main(["lock", "install", "--dry-run"]) == 0
    assert "merge.remint-lock" not in Path(".git/config").read_text()
    Path(".gitattributes").write_text("dvc.lock merge=union\n")
    assert main(["lock", "install"]) == 2
    assert "merged by 'union' already" in capsys.readouterr().err
