"""Killed after every single write, run after run: each gets one step further, and at the end there is one of each.

A write is whatever outlives the process: a request that changes something on the forge, a push, a ref that moves.
Reads leave nothing behind, so that dying before a write is dying after the one before it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from github_server import GitHub
from pull_world import CONTEXT, HEAD, LATER, Trained, ask
from remint.adapters.forge.github import GitHubForge
from remint.adapters.forge.rest import Rest
from remint.adapters.git import Git
from remint.adapters.registry import assign, register
from remint.core.ledger import LedgerEvent
from remint.workflows.dispatch import DispatchRequest, dispatch
from remint.workflows.fork_report import ForkReportRequest, report_fork

MOST_RUNS = 12
QUERIES = ("viewer",)


class KilledError(BaseException):
    """As kill -9: nothing that catches an Exception sees it."""


def run_killed_at_every_write(patch: pytest.MonkeyPatch, run: Callable[[], object]) -> int:
    """How many times it was killed before it came to its end; each time after its first write."""

    def deadly(known: Callable[..., Any], writes: Callable[..., bool] = lambda *a, **m: True) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            answer = known(*arguments, **more)
            if writes(*arguments, **more):
                raise KilledError
            return answer

        return call

    def changes(rest: Rest, method: str, path: str, body: Any, *_: Any, **__: Any) -> bool:
        return not any(query in str((body or {}).get("query")) for query in QUERIES)

    def moves(git: Git, name: str, new: str, old: str | None) -> bool:
        return new != old

    for times in range(MOST_RUNS):
        with patch.context() as dying:
            dying.setattr(Rest, "send", deadly(Rest.send, changes))
            dying.setattr(Git, "push", deadly(Git.push))
            dying.setattr(Git, "update_ref", deadly(Git.update_ref, moves))
            try:
                run()
            except KilledError:
                continue
        return times
    raise AssertionError(f"after {MOST_RUNS} runs it still writes something each time")


def test_publishing_and_refreshing_a_pull_request(
    two: Trained, github: GitHub, forge: GitHubForge, data_is_there: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_killed_at_every_write(monkeypatch, lambda: ask(two, forge)) >= 4
    assert (len(github.pulls), len(github.comments), len(github.statuses)) == (1, 1, 1)
    two.shows(2)
    assert run_killed_at_every_write(monkeypatch, lambda: ask(two, forge, 2)) >= 4
    assert (len(github.pulls), len(github.comments)) == (1, 1)
    assert [(s["sha"], s["context"]) for s in github.statuses] == [(two.first, CONTEXT), (two.second, CONTEXT)]
    assert len(two.events(LedgerEvent.PULL_REQUEST)) == 2
    assert two.run(2).name in github.comments[1]["body"]


def test_closing_what_is_not_needed_any_more(
    two: Trained, github: GitHub, forge: GitHubForge, data_is_there: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(two, forge)
    two.world.git("update-ref", "refs/heads/main", two.first, at=two.world.root / "origin.git")
    assert run_killed_at_every_write(monkeypatch, lambda: ask(two, forge)) >= 2
    assert [pull["state"] for pull in github.pulls.values()] == ["closed"]
    assert len(github.comments) == 1
    assert two.events(LedgerEvent.REFUSAL) == [], "it is closed by us, which is no person's refusal"


def test_dispatching_a_decision(
    two: Trained, github: GitHub, forge: GitHubForge, monkeypatch: pytest.MonkeyPatch
) -> None:
    decision = two.world.decision(run_id="churn-20261124T115900Z-7a8b9c")
    request = DispatchRequest(decision=decision, forge=forge)
    assert run_killed_at_every_write(monkeypatch, lambda: dispatch(two.world.repo, request)) == 1
    assert len(github.dispatches) == 1


def test_reporting_on_a_forks_pull_request(
    two: Trained, github: GitHub, forge: GitHubForge, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "gate.json").write_text(json.dumps(two.gate(1)))
    known = {"title": "", "body": "", "head": HEAD, "base": "main", "state": "open", "merged_at": None}
    github.pulls[1] = {**known, "number": 1, "author": "mallory", "commit": two.first, "fork": 2}
    request = ForkReportRequest(documents=tmp_path, commit=two.first, forge=forge)
    assert run_killed_at_every_write(monkeypatch, lambda: report_fork(two.world.repo, request)) == 1
    assert len(github.comments) == 1
    assert github.statuses == []


def test_registering_a_version_and_giving_it_a_stage(two: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    git = Git(two.world.repo)
    before = set(git.run("tag").splitlines())

    def run() -> None:
        register(git, "churn", two.first, now=LATER)
        assign(git, "churn", two.first, stage="stable", now=LATER)

    assert run_killed_at_every_write(monkeypatch, run) >= 2
    for at in (two.world.repo, two.world.root / "origin.git"):
        made = set(two.world.git("tag", at=at).split()) - before
        assert sorted(name.partition("#")[0].partition("@")[0] for name in made) == ["churn", "churn"], made
