"""Comments that ask for something: on GitHub, played from its description, and on the local forge."""

from __future__ import annotations

import copy
import json
from datetime import timedelta
from typing import Any

import pytest

from github_server import ME, GitHub
from pull_world import HEAD, LATER, Trained, ask
from remint.adapters.forge import Forge
from remint.adapters.forge.github import GitHubForge
from remint.adapters.forge.local import LocalForge
from remint.adapters.git import Git
from remint.adapters.ledger import Ledger
from remint.cli import main
from remint.core.document import format_time
from remint.core.ledger import LedgerEvent, last_snooze
from remint.core.markdown import LONGEST
from remint.errors import ServiceError
from remint.workflows.comment_command import CommandRequest, CommandResult, Dealt, answer_comment
from remint.workflows.freeze import freeze
from remint.workflows.gate_context import recorded_acceptances

pytestmark = pytest.mark.usefixtures("nobodys_home", "served_at_once", "data_is_there")

NUMBER = 50


@pytest.fixture
def opened(two: Trained, github: GitHub, forge: GitHubForge) -> Trained:
    """The pull request of the first retrain, in which Ann may write."""
    ask(two, forge)
    github.permissions["ann"] = "write"
    return two


def say(github: GitHub, text: str, *, author: str = "ann", number: int = 1, id: int = NUMBER) -> None:  # noqa: A002
    github.comments[id] = {"id": id, "number": number, "author": author, "body": text}


def obey(two: Trained, forge: Forge, comment: int = NUMBER, **more: Any) -> CommandResult:
    return answer_comment(two.world.repo, CommandRequest(comment=comment, forge=forge, clock=lambda: LATER, **more))


def story(github: GitHub) -> str:
    return str(github.comments[1]["body"])


# -- what each does --------------------------------------------------------------------------------------------------


def test_snooze_is_recorded_answered_and_not_done_a_second_time(
    opened: Trained, github: GitHub, forge: GitHubForge
) -> None:
    say(github, "/snooze 14d the call centre moves\r\nand more text")
    result = obey(opened, forge)
    assert (result.outcome, result.by, result.number) == (Dealt.DONE, "ann", 1)
    (snooze,) = opened.events(LedgerEvent.SNOOZE)
    assert snooze["until"] == format_time(LATER + timedelta(days=14))
    assert (snooze["by"], snooze["reason"], snooze["number"]) == ("ann", "the call centre moves", 1)
    (command,) = opened.events(LedgerEvent.COMMAND)
    assert (command["comment"], command["by"], command["answer"]) == (NUMBER, "ann", result.answer)
    assert "the call centre moves" in story(github)
    assert "no retrain until 2026-12-05" in story(github)
    entries, writes = opened.ledger().entries(), len(github.writes)
    for text in ("/snooze 14d the call centre moves", "/snooze 90d edited since", "/retrain"):
        say(github, text)
        assert obey(opened, forge).outcome is Dealt.ALREADY
    assert opened.ledger().entries() == entries
    assert (len(github.writes), github.dispatches) == (writes, [])


def test_a_later_snooze_replaces_an_earlier_one(opened: Trained, github: GitHub, forge: GitHubForge) -> None:
    say(github, "/snooze 14d holidays")
    say(github, "/snooze 1h back already", id=NUMBER + 1)
    obey(opened, forge)
    obey(opened, forge, NUMBER + 1)
    snooze = last_snooze(opened.ledger().entries())
    assert snooze is not None
    assert (snooze.until, snooze.reason) == (LATER + timedelta(hours=1), "back already")
    rows = [line for line in story(github).splitlines() if "/snooze" in line]
    assert ["back already" in row for row in rows] == [True, False]


def test_retrain_starts_the_workflow_once_for_this_pipeline_alone(
    opened: Trained, github: GitHub, forge: GitHubForge
) -> None:
    say(github, '/retrain "; rm -rf / #` $(id) ${{ secrets.X }}')
    assert obey(opened, forge).outcome is Dealt.DONE
    (sent,) = github.dispatches
    assert (sent["workflow"], sent["ref"], sent["inputs"]["directory"]) == ("retrain.yml", "main", "models/churn")
    assert sent["inputs"]["reason"].startswith('asked for by ann in #1: "; rm -rf / #')
    assert "decision" not in sent["inputs"]


def test_the_brake_stops_retrain_and_the_answer_says_who_pulled_it(
    opened: Trained, github: GitHub, forge: GitHubForge
) -> None:
    freeze(Git(opened.world.repo), "churn", reason="incident", by="bob", now=LATER)
    say(github, "/retrain")
    result = obey(opened, forge)
    assert (result.outcome, github.dispatches) == (Dealt.ANSWERED, [])
    assert "frozen by bob" in story(github)


def test_an_accepted_regression_judges_the_bundle_again_and_the_page_follows(
    opened: Trained, github: GitHub, forge: GitHubForge
) -> None:
    gate = opened.judged(1, "fail", failing="guard")
    say(github, "/accept-regression the golden set is from before the price change")
    result = obey(opened, forge)
    assert result.outcome is Dealt.DONE
    (accepted,) = opened.events(LedgerEvent.ACCEPTANCE)
    assert (accepted["rule"], accepted["by"], accepted["gate"]) == ("guard:accuracy", "ann", gate["id"])
    assert accepted["bundle"] == opened.gate(1)["challenger"]["bundle"]
    (again,) = [e for e in opened.events(LedgerEvent.GATE) if e.get("changed")]
    assert again["changed"] == ["ann has accepted guard:accuracy"]
    assert f"the gate now says {again['verdict']}" in story(github)
    assert again["verdict"] in github.statuses[-1]["description"]
    assert [a["rule"] for a in recorded_acceptances(opened.ledger(), accepted["bundle"])] == ["guard:accuracy"]


def test_what_cannot_be_done_is_answered_and_nothing_else(opened: Trained, github: GitHub, forge: GitHubForge) -> None:
    said = {
        "/accept-regression because I say so": "no guard has failed",
        "/accept-regression gate:accuracy because I say so": "only a guard on the golden set",
        "/accept-regression guard:acuracy typo": "did you mean 'guard:accuracy'?",
        "/accept-regression guard:accuracy it is fine": "has not failed",
        "/snooze 1000d too long": "at most 90d",
        "/snoze 3d typo": "did you mean /snooze 14d REASON?",
        "/help": "/accept-regression [RULE...] REASON",
    }
    for number, (text, answer) in enumerate(said.items(), start=NUMBER):
        say(github, text, id=number)
        result = obey(opened, forge, number)
        assert (result.outcome, answer in str(result.answer)) == (Dealt.ANSWERED, True), text
    for event in (LedgerEvent.SNOOZE, LedgerEvent.ACCEPTANCE, LedgerEvent.GATE, LedgerEvent.AUTO_MERGE):
        assert opened.events(event) == []
    assert github.dispatches == []
    assert len(opened.events(LedgerEvent.COMMAND)) == len(said)


# -- whose, and where ------------------------------------------------------------------------------------------------


def test_who_may_not_write_is_not_obeyed_and_leaves_no_trace(
    opened: Trained, github: GitHub, forge: GitHubForge
) -> None:
    say(github, "/snooze 90d ha ha", author="mallory")
    entries, writes = opened.ledger().entries(), len(github.writes)
    assert obey(opened, forge).outcome is Dealt.REFUSED
    github.permissions["mallory"] = "read"
    assert obey(opened, forge).outcome is Dealt.REFUSED
    assert (opened.ledger().entries(), len(github.writes)) == (entries, writes)


def test_a_comment_elsewhere_is_none_of_our_business(opened: Trained, github: GitHub, forge: GitHubForge) -> None:
    github.permissions[ME] = "write"
    github.pulls[7] = {**github.pulls[1], "number": 7, "head": "remint/retrain/fraud"}  # another pipeline's
    github.pulls[8] = {**github.pulls[1], "number": 8, "fork": 2}
    github.pulls[9] = {**github.pulls[1], "number": 9, "state": "closed"}
    for number in (7, 8, 9):
        say(github, "/retrain", number=number, id=NUMBER + number)
    say(github, "/retrain", author=ME, id=NUMBER)
    say(github, "I would /retrain\n/retrain", id=NUMBER + 1)
    before = copy.deepcopy((github.pulls, github.comments, github.statuses))
    for comment in (NUMBER, NUMBER + 1, NUMBER + 7, NUMBER + 8, NUMBER + 9):
        assert obey(opened, forge, comment).outcome is Dealt.IGNORED
    assert (github.pulls, github.comments, github.statuses, github.dispatches) == (*before, [])
    assert opened.events(LedgerEvent.COMMAND) == []


def test_a_hostile_reason_is_text_and_bounded(opened: Trained, github: GitHub, forge: GitHubForge) -> None:
    hostile = "</details> | <img src=x onerror=1> @everyone [a](http://b) `c` \u202e\x1b[31m " + "x" * 9_000
    say(github, f"/snooze 2d {hostile}")
    assert obey(opened, forge).outcome is Dealt.DONE
    (snooze,) = opened.events(LedgerEvent.SNOOZE)
    assert len(snooze["reason"]) <= LONGEST
    for dangerous in ("<img", "</details>", "@everyone", "[a](", "http://", "\x1b", "\u202e"):
        assert dangerous not in story(github)


# -- killed anywhere -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["/snooze 14d holidays", "/retrain", "/accept-regression old golden set"])
def test_killed_between_any_two_writes_and_repeated_there_is_one_of_each(
    opened: Trained, github: GitHub, forge: GitHubForge, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    opened.judged(1, "fail", failing="guard")
    say(github, text)
    append = Ledger.append

    def killed(self: Ledger, *arguments: Any, **more: Any) -> None:
        append(self, *arguments, **more)
        raise KeyboardInterrupt

    while opened.events(LedgerEvent.COMMAND) == []:  # after each append
        with monkeypatch.context() as patch:
            patch.setattr(Ledger, "append", killed)
            with pytest.raises(KeyboardInterrupt):
                obey(opened, forge)
    github.lose = {len(github.writes)}
    with pytest.raises(ServiceError):
        obey(opened, forge)  # the answer was written, and nobody hears of it
    assert obey(opened, forge).outcome is Dealt.ALREADY
    wanted = {"/snooze": (1, 0, 0), "/retrain": (0, 1, 0), "/accept-regression": (0, 0, 1)}
    snoozes, accepted = (len(opened.events(e)) for e in (LedgerEvent.SNOOZE, LedgerEvent.ACCEPTANCE))
    assert (snoozes, len(github.dispatches), accepted) == wanted[text.split()[0]]
    assert len(opened.events(LedgerEvent.COMMAND)) == 1
    assert len([e for e in opened.events(LedgerEvent.GATE) if e.get("changed")]) == accepted
    assert story(github).count(text.split()[0]) == 1


# -- the local forge, by the command line ----------------------------------------------------------------------------


def test_the_command_obeys_on_the_local_forge_and_shows_first_what_it_would_do(
    two: Trained, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    git = Git(two.world.repo)
    ask(two, LocalForge(git, clock=lambda: LATER))
    ann = LocalForge(git, clock=lambda: LATER, user="ann")
    comment = ann.create_comment(1, "/retrain new price list")
    monkeypatch.chdir(two.world.repo)
    command = ["command", "--comment", str(comment.id), "--forge", "local", "--json"]
    outcomes = []
    for more in (["--dry-run"], [], []):
        assert main([*command, *more]) == 0
        outcomes.append(json.loads(capsys.readouterr().out)["outcome"])
    assert outcomes == ["done", "done", "already"]
    (run,) = ann.runs("retrain.yml")
    assert "comment-2" in run.title.split()
    assert HEAD in ann.pull(1).head
    assert main(["command", "--comment", "99", "--forge", "local"]) == 2
    with pytest.raises(SystemExit):
        main(["command", "--comment", "$(id)", "--forge", "local"])
