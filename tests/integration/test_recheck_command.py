"""One gate, one bundle, one champion, one set of rules: what is stale runs anew, and the page follows."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from github_server import ME, GitHub
from pull_world import CONTEXT, HEAD, LATER, Trained, ask, look_again
from remint.adapters.forge.github import GitHubForge
from remint.adapters.forge.local import LocalForge
from remint.adapters.git import Git
from remint.adapters.ledger import Ledger
from remint.adapters.registry import assign, register
from remint.cli import main
from remint.core.ledger import LedgerEvent
from remint.core.pull_request import read_proposal
from remint.core.version import Version
from remint.errors import ServiceError
from remint.workflows.freeze import freeze, unfreeze
from remint.workflows.recheck import Rechecked, RecheckRequest, Standing, recheck

pytestmark = pytest.mark.usefixtures("nobodys_home", "served_at_once", "data_is_there")


def look(two: Trained, rev: str, **more: Any) -> Rechecked:
    return recheck(two.world.repo, RecheckRequest(clock=lambda: LATER, rev=rev, **more))


def promote(two: Trained, commit: str, version: str = "v1.3.0") -> None:
    git = Git(two.world.repo)
    register(git, "churn", commit, now=LATER, version=Version.parse(version))
    assign(git, "churn", commit, now=LATER)


# -- a revision ------------------------------------------------------------------------------------------------------


def test_a_recorded_gate_that_still_holds_is_the_answer_and_nothing_is_written(two: Trained) -> None:
    entries = two.ledger().entries()
    found = look(two, two.first)
    assert (found.standing, found.changed) == (Standing.CURRENT, ())
    assert found.gate == two.gate(1)
    assert two.ledger().entries() == entries


def test_another_champion_makes_it_stale_and_it_runs_anew_once(two: Trained) -> None:
    promote(two, two.first)
    assert look(two, two.second, dry_run=True).verdict is None
    found = look(two, two.second)
    assert (found.standing, found.changed) == (Standing.STALE, ("the champion is now v1.3.0",))
    assert found.gate is not None
    assert found.gate["champion"]["version"] == "v1.3.0"
    assert found.gate["challenger"]["bundle"] == two.gate(2)["challenger"]["bundle"]
    (entry,) = two.events(LedgerEvent.GATE)
    assert (entry["gate"], entry["changed"]) == (found.gate["id"], ["the champion is now v1.3.0"])
    again = look(two, two.second)
    assert (again.standing, again.gate) == (Standing.CURRENT, found.gate)
    assert len(two.events(LedgerEvent.GATE)) == 1


def test_other_rules_make_it_stale_by_the_rules_of_the_revision(two: Trained) -> None:
    two.world.git("checkout", "-q", "-B", "merged", two.first)
    two.on_main(rules=("min_rows: 30 ", "min_rows: 29 "))
    found = look(two, "HEAD", dry_run=True)
    assert found.changed == ("the rules of the gate have changed",)
    assert look(two, two.first, dry_run=True).standing is Standing.CURRENT


def test_a_gate_of_an_older_remint_that_names_no_rules_is_stale(two: Trained) -> None:
    two.judged(1, "pass", rules_id=None)
    assert look(two, two.first, dry_run=True).changed == ("the recorded gate does not say by which rules it judged",)


def test_the_champion_itself_is_nothing_to_judge(two: Trained) -> None:
    found = look(two, "main")
    assert (found.standing, found.gate) == (Standing.CHAMPION, None)


def test_the_command_says_what_changed_and_ends_in_the_gates_code(
    two: Trained, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(two.world.repo)
    for verdict, code in (("pass", 0), ("fail", 11), ("inconclusive", 13)):
        two.judged(1, verdict)
        assert main(["recheck", "--rev", two.first, "--exit-code", "--json"]) == code
        printed = capsys.readouterr()
        assert json.loads(printed.out)["verdict"] == verdict
        assert f"the recorded gate holds: {verdict}" in printed.err
    promote(two, two.second)
    assert main(["recheck", "--rev", two.first, "--dry-run"]) == 0
    assert "stale (the champion is now v1.3.0), it has to run anew" in capsys.readouterr().err
    assert main(["recheck", "--pull-request", "--forge", "local", "--exit-code"]) == 0
    assert "no open pull request" in capsys.readouterr().err


# -- the pull request ------------------------------------------------------------------------------------------------


def test_status_title_text_and_comment_follow_the_gate_that_ran_anew(
    two: Trained, github: GitHub, forge: GitHubForge
) -> None:
    two.shows(2)
    two.judged(2, "pass")
    ask(two, forge, 2)
    assert github.statuses[-1]["state"] == "success"
    assert github.pulls[1]["title"].startswith("Retrain churn: passed")
    promote(two, two.first)
    found = look_again(two, forge, run_url="https://ci.example.org/8")
    assert (found.standing, found.number) == (Standing.STALE, 1)
    assert found.gate is not None
    pending, final = github.statuses[-2:]
    assert (pending["state"], pending["description"]) == ("pending", "stale: the champion is now v1.3.0")
    assert {status["context"] for status in github.statuses} == {CONTEXT}
    states = {"pass": "success", "fail": "failure", "inconclusive": "error"}
    assert (final["state"], final["target_url"]) == (states[found.gate["verdict"]], "https://ci.example.org/8")
    proposal = read_proposal(github.pulls[1]["body"], "churn")
    assert proposal is not None
    assert proposal.bundle == found.bundle
    assert "Judged pass" not in github.pulls[1]["body"]
    assert "gate anew: the champion is now v1.3.0" in github.comments[1]["body"]
    writes = len(github.writes)
    assert look_again(two, forge).standing is Standing.CURRENT
    ask(two, forge, 2)  # the retrain's own gate.json is older, and brings nothing back
    assert len(github.writes) == writes


@pytest.mark.parametrize("lost", range(3))  # text, comment, status
def test_killed_after_any_write_and_repeated_it_ends_in_one_of_each(
    two: Trained, github: GitHub, forge: GitHubForge, lost: int
) -> None:
    ask(two, forge)
    two.judged(1, "pass")  # what a recheck recorded before it was killed
    github.lose = {len(github.writes) + lost}
    for _ in range(2):
        try:
            look_again(two, forge)
        except ServiceError:
            continue
    assert github.statuses[-1]["state"] == "success"
    assert "Judged pass" in github.pulls[1]["body"]
    assert (len(github.pulls), len(github.comments)) == (1, 1)


def test_killed_after_the_ledger_the_gate_does_not_run_a_second_time(
    two: Trained, github: GitHub, forge: GitHubForge, monkeypatch: pytest.MonkeyPatch
) -> None:
    two.shows(2)
    ask(two, forge, 2)
    promote(two, two.first)
    append = Ledger.append

    def killed(self: Ledger, *arguments: Any, **more: Any) -> None:
        append(self, *arguments, **more)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "append", killed)
        with pytest.raises(KeyboardInterrupt):
            look_again(two, forge)
    assert github.statuses[-1]["state"] == "pending"
    assert look_again(two, forge).standing is Standing.CURRENT
    assert github.statuses[-1]["state"] != "pending"
    assert len(two.events(LedgerEvent.GATE)) == 1


def test_the_rules_are_those_of_the_base_and_not_of_the_branch(
    two: Trained, github: GitHub, forge: GitHubForge
) -> None:
    ask(two, forge)
    two.on_main(rules=("min_rows: 30 ", "min_rows: 29 "))
    found = look_again(two, forge, dry_run=True)
    assert found.changed == ("the rules of the gate have changed",)
    assert [call["call"] for call in found.calls] == ["set_status"]


def test_while_the_brake_is_on_it_judges_and_no_status_says_yes(
    two: Trained, github: GitHub, forge: GitHubForge
) -> None:
    two.judged(1, "pass")
    ask(two, forge)
    git = Git(two.world.repo)
    freeze(git, "churn", reason="labels <b>swapped</b>", by="ann", now=LATER)
    found = look_again(two, forge)
    assert found.verdict == "pass"
    assert (github.statuses[-1]["state"], "frozen by ann" in github.statuses[-1]["description"]) == ("pending", True)
    assert "The brake is on" in github.comments[1]["body"]
    assert "<b>" not in github.comments[1]["body"]
    unfreeze(git, "churn", reason="mended", by="ann", now=LATER)
    look_again(two, forge)
    assert github.statuses[-1]["state"] == "success"
    assert "brake" not in github.comments[1]["body"]


def test_nothing_of_another_pipelines_is_touched(two: Trained, github: GitHub, forge: GitHubForge) -> None:
    theirs = {"head": "remint/retrain/fraud", "base": "main", "title": "Retrain fraud", "state": "open"}
    github.pulls[7] = {**theirs, "number": 7, "merged_at": None, "author": ME, "commit": two.second, "body": "fraud"}
    github.comments[7] = {"id": 7, "number": 7, "author": ME, "body": "<!-- remint:story pipeline=fraud -->"}
    github.statuses.append({"sha": two.first, "context": "remint/gate/fraud", "state": "failure", "description": "x"})
    before = copy.deepcopy((github.pulls[7], github.comments[7], github.statuses[0]))
    two.judged(1, "pass")
    ask(two, forge)
    look_again(two, forge)
    assert (github.pulls[7], github.comments[7], github.statuses[0]) == before
    assert len(github.comments) == 2


def test_the_same_on_the_local_forge(
    two: Trained, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    local = LocalForge(Git(two.world.repo), clock=lambda: LATER)
    ask(two, local)
    two.judged(1, "pass")
    monkeypatch.chdir(two.world.repo)
    assert main(["recheck", "--pull-request", "--forge", "local", "--exit-code", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["number"] == 1
    status = local.status(two.first, CONTEXT)
    assert status is not None
    assert status.state == "success"
    assert local.pulls(HEAD)[0].title.startswith("Retrain churn: passed")


def test_freezing_with_a_forge_at_hand_holds_the_open_pull_request_at_once(
    two: Trained, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    local = LocalForge(Git(two.world.repo), clock=lambda: LATER)
    two.judged(1, "pass")
    ask(two, local)
    monkeypatch.chdir(two.world.repo)
    assert main(["freeze", "--reason", "incident", "--by", "ann", "--forge", "local"]) == 0
    status = local.status(two.first, CONTEXT)
    assert status is not None
    assert (status.state, "frozen by ann" in status.description) == ("pending", True)
    assert main(["unfreeze", "--reason", "mended", "--by", "ann"]) == 0
    assert "remint recheck --pull-request" in capsys.readouterr().err
