"""``remint fork-report``: documents of a stranger become a comment that says so, or one clear line; never a status."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from binaries import ROOT
from github_server import TOKEN, GitHub, serve
from remint.adapters.forge.github import GitHubForge
from remint.adapters.forge.rest import Access
from remint.cli.main import main
from remint.config import load_params
from remint.core.document import content_id
from remint.core.markdown import clean
from remint.errors import ConfigError, DocumentError, RemintError, UsageError
from remint.workflows.fork_report import ForkReportRequest, ForkReportResult, Said, _report, report_fork
from report_examples import PIPELINE, decision, gate

PARAMS = (ROOT / "params.yaml").read_text().replace("pipeline: breast-cancer", f"pipeline: {PIPELINE}")
HEAD = "a" * 40  # of the fork's pull request


@pytest.fixture
def github() -> Iterator[GitHub]:
    server = GitHub(commit_of=lambda branch: HEAD)
    for number, fork in ((1, 1), (2, 7)):
        server.pulls[number] = {
            "number": number,
            "title": "Better features",
            "body": "",
            "head": "features",
            "base": "main",
            "state": "open",
            "merged_at": None,
            "author": "mallory",
            "commit": HEAD,
            "fork": fork,
        }
    with serve(server):
        yield server


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A pipeline's directory with documents beside it."""
    (tmp_path / "params.yaml").write_text(PARAMS)
    (tmp_path / "documents").mkdir()
    write(tmp_path, gate())
    return tmp_path


def write(place: Path, document: Any, name: str = "gate.json") -> None:
    (place / "documents" / name).write_text(document if isinstance(document, str) else json.dumps(document))


def ask(place: Path, github: GitHub, **more: Any) -> ForkReportResult:
    forge = GitHubForge(Access(url=github.url, token=TOKEN, variable="GITHUB_TOKEN"), github.name)
    request = {"documents": place / "documents", "commit": HEAD, "forge": forge, **more}
    return report_fork(place, ForkReportRequest(**request))


def test_one_comment_that_says_whose_word_it_is_and_no_status(place: Path, github: GitHub) -> None:
    write(place, decision(), "decision.json")
    assert [ask(place, github).action for _ in range(2)] == [Said.CREATED, Said.UNCHANGED]
    (comment,) = github.comments.values()
    assert comment["number"] == 2, "the fork's, not ours of the same commit"
    first = comment["body"].splitlines()[1]
    assert first.startswith("> ⚠️ **Computed by this pull request's own code, at `aaaaaaaaaaaa`: no verdict.**")
    assert "remint:report" not in comment["body"]
    assert len(comment["body"]) < 65_536
    write(place, resealed(verdict="fail"))
    assert ask(place, github).action is Said.UPDATED
    assert len(github.comments) == 1
    assert not [path for _, path in github.writes if "statuses" in path]


def test_a_comment_of_the_same_marker_by_somebody_else_is_left_alone(place: Path, github: GitHub) -> None:
    text = "<!-- remint:fork-report pipeline=shop -->\nAll is well"
    github.comments[1] = {"id": 1, "number": 2, "author": "mallory", "body": text}
    assert ask(place, github).action is Said.CREATED
    assert github.comments[1]["body"] == text


def test_without_a_pull_request_of_a_fork_there_is_nothing_to_say(place: Path, github: GitHub) -> None:
    github.pulls[2]["state"] = "closed"
    assert ask(place, github).action is Said.NONE
    assert github.writes == []


def test_two_forks_with_one_commit_are_not_guessed_between(place: Path, github: GitHub) -> None:
    github.pulls[3] = {**github.pulls[2], "number": 3, "fork": 8}
    with pytest.raises(ConfigError, match="#2, #3 have this commit"):
        ask(place, github)
    assert github.writes == []


def test_a_dry_run_sends_nothing(place: Path, github: GitHub) -> None:
    result = ask(place, github, dry_run=True)
    assert [call["call"] for call in result.calls] == ["create_comment"]
    assert github.comments == {}


def resealed(**facts: Any) -> dict[str, Any]:
    """What a fork can always do: write anything, and give it its right id."""
    document = {**gate(), **facts}
    del document["id"]
    return {**document, "id": content_id(document)}


def linked(place: Path) -> None:
    (place / "secret").write_text(json.dumps(gate()))
    (place / "documents" / "gate.json").unlink()
    (place / "documents" / "gate.json").symlink_to(place / "secret")


WRONG: dict[str, Callable[[Path], None]] = {
    "changed after it was sealed": lambda p: write(p, {**gate(), "verdict": "pass", "rows": 1}),
    "of another pipeline": lambda p: write(p, resealed(pipeline="fraud")),
    "a key more": lambda p: write(p, resealed(number=1)),
    "a verdict that there is not": lambda p: write(p, resealed(verdict="great")),
    "findings that are none": lambda p: write(p, resealed(findings="all fine")),
    "another kind": lambda p: write(p, decision()),
    "too long": lambda p: write(p, json.dumps(gate()) + " " * 1_000_000),
    "no JSON": lambda p: write(p, "<html>"),
    "not an object": lambda p: write(p, "[]"),
    "NaN": lambda p: write(p, json.dumps(gate()).replace('"rows"', '"rows": NaN, "x"', 1)),
    "infinity": lambda p: write(
        p, resealed() | {"rows": 1e308} if False else '{"schema": "remint/gate/1.0", "x": 1e999}'
    ),
    "half a surrogate": lambda p: write(p, '{"schema": "remint/gate/1.0", "x": "\\ud800"}'),
    "nested without end": lambda p: write(p, "[" * 400_000),
    "a link": linked,
    "none": lambda p: (p / "documents" / "gate.json").unlink(),
    "a decision that is none": lambda p: write(p, "{}", "decision.json"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_not_in_its_form_is_one_line_and_nothing_is_sent(place: Path, github: GitHub, case: str) -> None:
    WRONG[case](place)
    with pytest.raises(DocumentError) as failure:
        ask(place, github)
    assert str(failure.value) == clean(str(failure.value), longest=400)
    assert github.seen == []


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield (*path, key)
            yield from leaves(inner, (*path, key))


POISONS: list[Any] = [None, [], {}, "<script>@everyone</script>", -1, 1e300, True]


@pytest.mark.parametrize("turn", range(2))
def test_no_value_anywhere_ends_in_a_traceback(place: Path, turn: int) -> None:
    """Each value of the gate in turn replaced, and sealed again: a report or one of our errors, never another."""
    params, texts = load_params(place / "params.yaml"), []
    for number, path in enumerate(leaves(gate())):
        if path[0] in {"schema", "id", "pipeline"}:
            continue
        document = json.loads(json.dumps(gate()))
        inner = document
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = POISONS[(number + turn) % len(POISONS)]
        del document["id"]
        write(place, {**document, "id": content_id(document)})
        with suppress(RemintError):
            texts.append(_report(place / "documents", params))
    assert texts, "some of it is text, which may say anything"
    assert not any("<script>" in text or "@everyone" in text for text in texts)


def test_a_commit_that_is_none_is_refused(place: Path, github: GitHub) -> None:
    for commit in ("main", "abc1234", f"{HEAD}\n", "$(id)"):
        with pytest.raises(UsageError, match="full commit id"):
            ask(place, github, commit=commit)


def test_the_command_says_what_it_did(
    place: Path, github: GitHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    subprocess.run(["git", "init", "--quiet"], check=True)
    for name, value in {
        "GITHUB_ACTIONS": "true",
        "GITHUB_REPOSITORY": github.name,
        "GITHUB_SERVER_URL": github.url,
        "GITHUB_API_URL": github.url,
        "GITHUB_TOKEN": TOKEN,
    }.items():
        monkeypatch.setenv(name, value)
    assert main(["fork-report", "--documents", "documents", "--commit", HEAD, "--json"]) == 0
    out = json.loads(capsys.readouterr().out)
    assert (out["action"], out["number"], out["pipeline"]) == ("created", 2, PIPELINE)
