"""Claims about adding to a team's YAML: all that they wrote stays where it is, byte for byte."""

from __future__ import annotations

import pytest

from remint.adapters.yaml_splice import read_mapping, with_section, with_stages
from remint.errors import UsageError

OURS = {"remint-train": {"cmd": "python x.py", "deps": ["a", "${remint.task.data}"]}}
ODD = """\
# ours
vars: [a.yaml]
stages:
    fit:    # indented by four
        cmd: >
          python fit.py
          --deep

        deps: [a, b]   # on one line
        params:
          - fit:
    # between

# of the plots
plots:
    - a.csv
"""


@pytest.mark.parametrize(
    "text",
    [
        ODD,
        ODD.replace("\n", "\r\n"),
        ODD.partition("    # between")[0],
        "stages:\n  a:\n    cmd: x",
        "stages:\n  a:\n    cmd: |\n      x\n      y\n\n\nmetrics: [m.json]\n",
        "stages:\n  a: {cmd: x}  # short\n",
        "",
        "# nothing yet\n",
        "metrics:\n  - m.json\n",
    ],
)
def test_every_line_of_theirs_stays(text: str) -> None:
    made = with_stages(text, OURS, comment="Added.\nBy us.", where="dvc.yaml")
    assert read_mapping(made, where="x")["stages"]["remint-train"] == OURS["remint-train"]
    rest = iter(made.splitlines())
    assert all(line in rest for line in text.splitlines())  # in their order
    assert ("\r\n" in made) == ("\r\n" in text)
    assert "\r" not in made.replace("\r\n", "")
    if "\r\n" in text:
        assert made.count("\r\n") == made.count("\n")
    assert with_stages(made, OURS, comment="Added.", where="dvc.yaml") == made


def test_a_comment_of_what_follows_stays_with_it() -> None:
    made = with_stages(ODD, OURS, comment="Added.", where="dvc.yaml")
    assert made.endswith("# of the plots\nplots:\n    - a.csv\n")
    assert "\n    # Added.\n    remint-train:\n" in made


def test_a_stage_that_is_there_is_theirs() -> None:
    text = "stages:\n  remint-train:\n    cmd: mine\n"
    assert with_stages(text, OURS, comment="", where="dvc.yaml") == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stages: {a: {cmd: x}}\n", "stages stand on one line"),
        ("{stages: {}}\n", "is written on one line"),
        ("stages:\n", "has an empty 'stages'"),
        ("- a\n", "is not a mapping"),
        ("a: [\n", "not YAML"),
        ("stages: [a]\n", "stages is not a mapping"),
        ("metrics: [m]\n...\n", "cannot be added to"),
    ],
)
def test_what_cannot_be_added_to_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        with_stages(text, OURS, comment="", where="dvc.yaml")


@pytest.mark.parametrize("text", ["", "seed: 1", "seed: 1\n", "a: |\n  text\n\n", "seed: 1\r\n"])
def test_a_section_comes_last(text: str) -> None:
    made = with_section(text, "remint", "# why\n\npipeline: shop\n", where="params.yaml")
    assert made.startswith(text)
    assert read_mapping(made, where="x")["remint"] == {"pipeline": "shop"}
    assert ("\r\n" in made) == ("\r\n" in text)
    with pytest.raises(UsageError, match="has a key 'remint' already"):
        with_section(made, "remint", "pipeline: shop\n", where="params.yaml")
