"""A decision starts the retrain workflow once, a merged model the release: on GitHub, played from its description."""

from __future__ import annotations

import json
from typing import Any

import pytest

from github_server import Answer, GitHub
from pull_world import LATER, Trained
from remint.adapters.forge import Forge, RunState
from remint.adapters.forge.github import GitHubForge
from remint.adapters.forge.local import LocalForge
from remint.adapters.git import Git
from remint.cli import main
from remint.core.ledger import LedgerEvent
from remint.core.packing import unpack
from remint.workflows.dispatch import (
    DispatchRequest,
    ReleaseDispatch,
    ReleaseDispatchRequest,
    Started,
    dispatch,
    dispatch_release,
)
from remint.workflows.freeze import freeze

pytestmark = pytest.mark.usefixtures("nobodys_home")


def start(two: Trained, forge: Forge, decision: dict[str, Any], **more: Any) -> Any:
    return dispatch(two.world.repo, DispatchRequest(decision=decision, forge=forge, **more))


def test_a_decision_starts_the_workflow_once(two: Trained, github: GitHub, forge: GitHubForge) -> None:
    decision = two.world.decision(run_id="churn-20261124T115900Z-7a8b9c")
    assert start(two, forge, decision, ref="feature/$(id)").action is Started.STARTED
    (sent,) = github.dispatches
    assert (sent["workflow"], sent["ref"], sent["inputs"]["directory"]) == (
        "retrain.yml",
        "feature/$(id)",
        "models/churn",
    )
    assert unpack(sent["inputs"]["decision"], where="input") == decision
    again = start(two, forge, decision)
    assert (again.action, again.url) == (Started.ALREADY, github.runs[0]["html_url"])
    github.runs[0] |= {"status": "completed", "conclusion": "failure"}
    assert start(two, forge, decision).action is Started.STARTED  # it did not do its work


def test_a_decision_that_was_dealt_with_or_is_not_to_retrain_starts_nothing(
    two: Trained, github: GitHub, forge: GitHubForge
) -> None:
    assert start(two, forge, two.world.decision(until=100)).action is Started.ALREADY
    hold = two.world.decision(answer="HOLD", run_id="churn-20261124T115900Z-7a8b9c")
    assert start(two, forge, hold).action is Started.NONE
    assert github.seen == []


def test_an_older_forge_that_knows_no_run_details_is_asked_without(
    two: Trained, github: GitHub, forge: GitHubForge
) -> None:
    refused: list[str] = []

    def old(method: str, path: str) -> Answer | None:
        if method == "POST" and not refused:
            refused.append(path)
            return Answer(400, {"message": '"return_run_details" is not a permitted key.'})
        return None

    github.refuse = old
    decision = two.world.decision(run_id="churn-20261124T115900Z-7a8b9c")
    assert start(two, forge, decision).action is Started.STARTED
    assert "return_run_details" not in github.dispatches[0]


# -- the release -----------------------------------------------------------------------------------------------------


def start_release(two: Trained, forge: Forge, **more: Any) -> ReleaseDispatch:
    return dispatch_release(two.world.repo, ReleaseDispatchRequest(forge=forge, clock=lambda: LATER, **more))


def merge(two: Trained, verdict: str = "pass") -> None:
    """What a forge does when a person, or its own auto-merge, merges: no workflow hears of it."""
    two.judged(1, verdict)
    two.world.git("update-ref", "refs/heads/main", two.first, at=two.world.root / "origin.git")
    two.world.git("merge", "-q", "--ff-only", two.first)


def test_what_serves_already_is_not_released_again(
    two: Trained, github: GitHub, forge: GitHubForge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(two.world.repo)
    bundle = json.loads((two.world.repo / "artifacts" / "manifest.json").read_text())["id"]
    assert main(["canary", "init", "--bundle", bundle]) == 0
    found = start_release(two, forge)
    assert (found.action, "it is released" in found.reason) == (Started.NONE, True)
    assert github.dispatches == []


def test_a_merged_model_starts_the_release_once(two: Trained, github: GitHub, forge: GitHubForge) -> None:
    merge(two)
    first = start_release(two, forge)
    assert (first.action, first.commit) == (Started.STARTED, two.first)
    assert "no version yet" in first.reason
    (sent,) = github.dispatches
    assert (sent["workflow"], sent["ref"], sent["inputs"]) == ("release.yml", "main", {})
    again = start_release(two, forge)
    assert (again.action, again.url) == (Started.ALREADY, github.runs[0]["html_url"])
    github.runs[0] |= {"status": "completed", "conclusion": "failure"}
    assert start_release(two, forge).action is Started.STARTED


def test_a_model_whose_gate_failed_is_not_released(two: Trained, github: GitHub, forge: GitHubForge) -> None:
    merge(two, "fail")
    assert start_release(two, forge).action is Started.NONE
    assert github.dispatches == []


def test_the_brake_holds_the_release_and_is_no_failure(two: Trained, github: GitHub, forge: GitHubForge) -> None:
    merge(two)
    freeze(Git(two.world.repo), "churn", reason="incident", by="ann", now=LATER)
    found = start_release(two, forge)
    assert (found.action, "incident" in found.reason, github.dispatches) == (Started.NONE, True, [])


def test_the_command_starts_it_on_the_local_forge(
    two: Trained, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    merge(two)
    monkeypatch.chdir(two.world.repo)
    for expected in ("started", "already"):
        assert main(["dispatch", "--release", "--forge", "local", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["action"] == expected
    (run,) = LocalForge(Git(two.world.repo), clock=lambda: LATER).runs("release.yml")
    assert run.state is RunState.UNFINISHED
    assert two.events(LedgerEvent.CANARY) == []
