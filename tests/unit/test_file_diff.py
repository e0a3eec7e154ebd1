"""Claims about a diff that a person reads first: git applies it, and gets what would have been written."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from remint.core.file_diff import file_diff


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, b"one\ntwo\n"),
        (None, b"no newline"),
        (None, b""),
        (b"one\ntwo\n", b"one\n2\n"),
        (b"one\r\ntwo\r\n", b"one\r\n2\r\nthree\r\n"),
        (b"no newline", b"no newline\nand more"),
        (b"form\x0cfeed \xe2\x80\xa8 line separator\n", b"form\x0cfeed \xe2\x80\xa8 line separator\nx\n"),
    ],
)
@pytest.mark.parametrize("name", ["a.txt", "a b/é.txt"])
def test_git_applies_it(tmp_path: Path, before: bytes | None, after: bytes, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    if before is not None:
        path.write_bytes(before)
    diff = file_diff(name, before, after)
    assert diff is not None
    subprocess.run(["git", "apply", "-"], cwd=tmp_path, input=diff.encode(), check=True, capture_output=True)
    assert path.read_bytes() == after


def test_nothing_changed_is_empty_and_no_text_has_none() -> None:
    assert file_diff("a", b"x\n", b"x\n") == ""
    assert file_diff("a", None, b"\x00") is None
    assert file_diff("a", None, b"\xff\xfe") is None
