"""``prepare.until`` is written, and nothing else in params.yaml moves."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest
import yaml
from ruamel.yaml import YAML

from remint.adapters.params_file import write_earlier, write_until
from remint.errors import ConfigError

TEXT = """\
# thresholds
pipeline: churn   # the slug

task:
    positive: "yes"      # quoted, or it is a boolean
    columns: {age: numeric}
    time: null
prepare:
    golden:
        sha256: 'ab'
    until:  # feedback up to here trains
        sequence: 0
        arrived_at: null
check:
    rules:
      - kind: drift   # a list, indented by two
"""


def changed_lines(path: Path, before: str) -> list[str]:
    diff = difflib.unified_diff(before.splitlines(), path.read_text().splitlines(), n=0, lineterm="")
    return [line for line in diff if line[0] in "+-" and not line.startswith(("+++", "---"))]


def test_only_two_lines_change(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(TEXT)
    write_until(path, sequence=42, arrived_at="2026-11-20T11:00:00+01:00")
    assert changed_lines(path, TEXT) == [
        "-        sequence: 0",
        "-        arrived_at: null",
        "+        sequence: 42",
        '+        arrived_at: "2026-11-20T10:00:00.000000Z"',
    ]


@pytest.mark.parametrize(
    "section",
    [
        "prepare:\n  seed: 0\n",
        "prepare:\n  until:\n  seed: 0\n",
        "prepare:\n  until: ~  # none\n  seed: 0\n",
        "prepare:\n  until: {sequence: 3}\n  seed: 0\n",
        "prepare:\n  until: {}\n  seed: 0\n",
        'prepare:\n  seed: 0\n  until:\n    arrived_at: "2020-01-01T00:00:00Z"\n',
        "prepare: {seed: 0}\n",
        "prepare: {until: {sequence: 3, arrived_at: null}, seed: 0}\n",
    ],
)
def test_whatever_form_the_section_has(tmp_path: Path, section: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(section + "check: 1\n")
    write_until(path, sequence=42, arrived_at="2026-11-20T10:00:00Z")
    until = {"sequence": 42, "arrived_at": "2026-11-20T10:00:00.000000Z"}
    assert yaml.safe_load(path.read_text()) == {"prepare": {"seed": 0, "until": until}, "check": 1}


def test_both_yaml_libraries_read_the_time_as_text(tmp_path: Path) -> None:
    """DVC reads params.yaml with ruamel, Remint with PyYAML; an unquoted date crashes the former."""
    path = tmp_path / "params.yaml"
    path.write_text(TEXT)
    write_until(path, sequence=42, arrived_at="2026-11-20T10:00:00Z")
    expected = {"sequence": 42, "arrived_at": "2026-11-20T10:00:00.000000Z"}
    assert yaml.safe_load(path.read_text())["prepare"]["until"] == expected
    assert YAML(typ="safe").load(path.read_text())["prepare"]["until"] == expected
    assert yaml.safe_load(path.read_text())["task"] == {"positive": "yes", "columns": {"age": "numeric"}, "time": None}


def test_writing_the_same_again_changes_no_byte(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(TEXT)
    write_until(path, sequence=42, arrived_at=None)
    before = path.read_text()
    write_until(path, sequence=42, arrived_at=None)
    assert path.read_text() == before


EARLIER = [{"tag": "churn#stable#1", "commit": "a" * 40, "bundle": "sha256:" + "b" * 64}]


@pytest.mark.parametrize(
    "section",
    [
        "train:\n  seed: 0\n",
        "train:\n  earlier: []  # written by remint\n  seed: 0\n",
        "train:\n  seed: 0\n  earlier: [{tag: x}]\n",
        "train: {seed: 0}\n",
    ],
)
def test_the_earlier_champions_are_written_on_one_line(tmp_path: Path, section: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(section + "check: 1\n")
    write_earlier(path, EARLIER)
    assert yaml.safe_load(path.read_text()) == {"train": {"seed": 0, "earlier": EARLIER}, "check": 1}
    write_earlier(path, [])
    assert yaml.safe_load(path.read_text())["train"] == {"seed": 0, "earlier": []}
    assert len(path.read_text().splitlines()) <= len(section.splitlines()) + 2
    assert ("# written by remint" in section) == ("# written by remint" in path.read_text())


def test_a_list_that_somebody_laid_out_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("train:\n  earlier:\n    - tag: x\n  seed: 0\n")
    with pytest.raises(ConfigError, match="on one line"):
        write_earlier(path, EARLIER)
    path.write_text("pipeline: churn\n")
    with pytest.raises(ConfigError, match="no section 'train'"):
        write_earlier(path, EARLIER)


def test_a_file_without_the_section_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("pipeline: churn\n")
    with pytest.raises(ConfigError, match="no section 'prepare'"):
        write_until(path, sequence=1, arrived_at=None)


def test_in_a_file_of_a_team_only_the_section_remint_is_written(tmp_path: Path) -> None:
    theirs = "prepare: {split: 0.2}  # ours\ntrain:\n  until: 2020\n"
    before = theirs + "remint:\n" + "".join(f"  {line}\n" if line else "\n" for line in TEXT.splitlines())
    path = tmp_path / "params.yaml"
    path.write_text(before)
    write_until(path, sequence=42, arrived_at=None)
    assert changed_lines(path, before) == ["-          sequence: 0", "+          sequence: 42"]
    with pytest.raises(ConfigError, match=r"has no section 'remint\.train'"):
        write_earlier(path, [])
