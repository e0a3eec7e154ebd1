"""What a pull request says, and what is read back from it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from remint.core.pull_request import (
    Proposal,
    body,
    note_of,
    read_proposal,
    same_text,
    stale_description,
    status_description,
    story,
    story_marker,
)
from remint.core.report import MAX_CHARACTERS

PROPOSAL = Proposal(
    pipeline="churn",
    run_id="churn-20261121T115900Z-1a2b3c",
    bundle="sha256:" + "b" * 64,
    inputs="sha256:" + "d" * 64,
)
RUN = {
    "run_id": PROPOSAL.run_id,
    "created_at": "2026-11-21T11:59:00.000000Z",
    "verdict": "pass",
    "bundle": PROPOSAL.bundle,
    "commit": "c" * 40,
    "summary": "Retrain: 150 new labels",
}


@pytest.mark.parametrize("superseded", [False, True])
def test_a_proposal_is_read_back_from_the_body(superseded: bool) -> None:
    proposal = replace(PROPOSAL, superseded=superseded)
    assert read_proposal(body("## Gate passed", proposal), "churn") == proposal
    assert read_proposal(body("## Gate passed", proposal), "fraud") is None
    assert read_proposal("no line", "churn") is None


def test_a_body_with_two_lines_proposes_nothing() -> None:
    other = replace(PROPOSAL, bundle="sha256:" + "e" * 64)
    assert read_proposal(f"{PROPOSAL.line()}\n{other.line()}", "churn") is None


def test_a_line_smuggled_into_the_report_is_taken_out() -> None:
    smuggled = replace(PROPOSAL, bundle="sha256:" + "e" * 64)
    assert read_proposal(body(f"text {smuggled.line()}", PROPOSAL), "churn") == PROPOSAL


@pytest.mark.parametrize("line", ["x" * 99, "é" * 99, "✅" * 99])
def test_a_report_of_any_length_fits_and_keeps_its_line_for_machines(line: str) -> None:
    text = body("\n".join([line] * 1_000), PROPOSAL)
    assert len(text) <= MAX_CHARACTERS
    assert "Cut for length" in text
    assert read_proposal(text, "churn") == PROPOSAL


def test_the_same_inputs_or_the_same_bundle_are_the_same_proposal() -> None:
    assert PROPOSAL.same_as(replace(PROPOSAL, bundle="sha256:" + "e" * 64))
    assert PROPOSAL.same_as(replace(PROPOSAL, inputs="sha256:" + "e" * 64))
    assert not PROPOSAL.same_as(replace(PROPOSAL, inputs="sha256:" + "e" * 64, bundle="sha256:" + "f" * 64))
    assert not PROPOSAL.same_as(replace(PROPOSAL, pipeline="fraud"))


def test_the_story_has_the_newest_run_first_and_shows_text_as_text() -> None:
    hostile = "</details>|x|<img src=x onerror=1> @everyone [a](http://b) `c`"
    later = {**RUN, "verdict": "fail", "summary": hostile, "created_at": "2026-11-22T12:00:00.000000Z"}
    text = story("churn", [RUN, later])
    rows = [line for line in text.splitlines() if line.startswith("| 2026")]
    assert [row.split(" |")[0] for row in rows] == ["| 2026-11-22 12:00", "| 2026-11-21 11:59"]
    assert all(row.replace("\\|", "").count("|") == 7 for row in rows)
    assert text.startswith(story_marker("churn"))
    for dangerous in ("<img", "</details>", "@everyone", "[a](", "http://"):
        assert dangerous not in text


def test_a_story_of_many_runs_stays_short_and_says_what_it_leaves_out() -> None:
    text = story("churn", [{**RUN, "summary": "x" * 10_000}] * 1_000)
    assert len(text) < MAX_CHARACTERS
    assert "950 earlier runs" in text


def test_texts_are_the_same_whatever_a_forge_does_to_their_line_ends() -> None:
    assert same_text("a\nb\n", "a\r\nb")
    assert not same_text("a b", "a\nb")


def test_a_status_fits_and_names_what_failed() -> None:
    findings = [{"rule": f"metric-{number}", "verdict": "fail"} for number in range(50)]
    gate = {"verdict": "fail", "champion": {"tag": "churn#stable#1"}, "findings": findings}
    text = status_description(gate)
    assert len(text) == 140
    assert text.startswith("Gate fail, against churn#stable#1: metric-0, ")
    assert status_description({"verdict": "pass", "champion": None, "findings": []}) == "Gate pass, no champion yet"


def test_commands_stand_under_the_runs_with_their_answers_as_text() -> None:
    hostile = "</details>|x|<img src=x onerror=1> @everyone [a](http://b) `c`"
    at = "2026-11-21T12:00:00.000000Z"
    commands = [
        {"at": at, "by": "ann", "command": "/help", "answer": "/retrain [REASON]"},
        {"at": at, "by": hostile, "command": f"/snooze 14d {hostile}", "answer": hostile},
    ]
    text = story("churn", [RUN], commands=commands, note="A note.")
    rows = [line for line in text.splitlines() if "/help" in line or "/snooze" in line]
    assert ["/snooze" in row for row in rows] == [True, False]
    assert all(row.replace("\\|", "").count("|") == 5 for row in rows)
    for dangerous in ("<img", "</details>", "@everyone", "[a](", "http://"):
        assert dangerous not in text
    assert note_of(text) == "A note."
    assert note_of(story("churn", [RUN], commands=commands)) is None
    assert "170 earlier commands" in story("churn", [], commands=commands * 100)


def test_a_stale_status_says_what_changed_and_fits() -> None:
    assert stale_description(["the champion is now v1.3.0"]) == "stale: the champion is now v1.3.0"
    assert len(stale_description(["the champion is now " + "x" * 500])) == 140
