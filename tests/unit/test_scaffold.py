"""Claims about init's files: nothing of somebody else's is overwritten, and all is decided before a byte is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from remint.adapters.scaffold import MANIFEST, Action, Planned, Treatment, plan_steps, read_manifest, write_steps
from remint.errors import UsageError


def carry_out(directory: Path, *files: Planned) -> list[Action]:
    steps = plan_steps(directory, files)
    write_steps(directory, steps, version="0")
    return [step.action for step in steps]


def test_files_are_created_and_then_kept(tmp_path: Path) -> None:
    file = Planned(path="a/b.txt", content=b"one")
    assert carry_out(tmp_path, file) == [Action.CREATE]
    manifest = (tmp_path / MANIFEST).read_bytes()
    assert carry_out(tmp_path, file) == [Action.KEEP]
    assert (tmp_path / MANIFEST).read_bytes() == manifest


def test_what_an_earlier_init_wrote_is_replaced_unless_a_person_changed_it(tmp_path: Path) -> None:
    carry_out(tmp_path, Planned(path="a", content=b"one"), Planned(path="b", content=b"one"))
    assert carry_out(tmp_path, Planned(path="a", content=b"two")) == [Action.UPDATE]
    (tmp_path / "b").write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"differ from what init would write: b \("):
        carry_out(tmp_path, Planned(path="b", content=b"two"))


def test_one_conflict_stops_all_and_every_conflict_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"x")
    (tmp_path / "also mine").write_bytes(b"x")
    files = [Planned(path=name, content=b"y") for name in ("new", "mine", "also mine")]
    with pytest.raises(UsageError, match="mine, also mine"):
        carry_out(tmp_path, *files)
    assert not (tmp_path / "new").exists()


def test_a_file_for_once_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "golden").write_bytes(b"reviewed")
    assert carry_out(tmp_path, Planned(path="golden", content=b"new", treatment=Treatment.ONCE)) == [Action.KEEP]
    assert (tmp_path / "golden").read_bytes() == b"reviewed"


def test_only_missing_lines_are_appended(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_bytes(b"*.log\n.venv/")
    file = Planned(path=".gitignore", content=b".venv/\n.remint/\n", treatment=Treatment.LINES)
    assert carry_out(tmp_path, file) == [Action.APPEND]
    assert (tmp_path / ".gitignore").read_bytes() == b"*.log\n.venv/\n.remint/\n"
    assert carry_out(tmp_path, file) == [Action.KEEP]


def test_a_foreign_manifest_is_refused(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).parent.mkdir()
    (tmp_path / MANIFEST).write_text("[]")
    with pytest.raises(UsageError, match="not a manifest"):
        read_manifest(tmp_path)
