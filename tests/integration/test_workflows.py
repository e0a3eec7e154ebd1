"""The workflows: linted, thin, safe by construction; their shell run here where it can be."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from binaries import ROOT, binary
from remint.adapters.state import write_state
from remint.cli.common import CommandParser
from remint.cli.main import COMMANDS
from remint.core.release import ReleaseState

OWN = ROOT / ".github"
TEMPLATES = ROOT / "src" / "remint" / "templates" / "github"
SHARED = ("workflows/watch.yml", "workflows/retrain.yml", "workflows/release.yml", "workflows/canary.yml")
WORKFLOWS = sorted([*(OWN / "workflows").glob("*.yml"), *(TEMPLATES / "workflows").glob("*.yml")])
ACTIONS = sorted([*(OWN / "actions").glob("*/action.yml"), *(TEMPLATES / "actions").glob("*/action.yml")])

every_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: f"{p.parts[-3]}-{p.stem}")


def load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load(path.read_text(), yaml.BaseLoader)
    return loaded


def steps(path: Path) -> Iterator[dict[str, Any]]:
    document = load(path)
    for job in document.get("jobs", {"": document.get("runs", {})}).values():
        yield from job["steps"]


def step(workflow: str, name: str) -> dict[str, Any]:
    (found,) = [s for s in steps(TEMPLATES / "workflows" / workflow) if s.get("name", "").startswith(name)]
    return found


def shell(command: str, *, at: Path, **variables: str) -> str:
    """Run a step's command as a runner does (bash, errors stop it); the answer is GITHUB_OUTPUT and stdout."""
    output = at / "github-output"
    output.write_text("")
    environment = {**os.environ, "GITHUB_OUTPUT": str(output), **variables}
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", command], cwd=at, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return output.read_text() + done.stdout


@pytest.mark.parametrize("name", [*SHARED, "actions/cluster/action.yml"])
def test_the_projects_own_workflows_are_those_that_init_writes(name: str) -> None:
    assert (OWN / name).read_text() == (TEMPLATES / name).read_text()


def test_actionlint_has_nothing_to_say() -> None:
    program = binary("actionlint")
    done = subprocess.run([program, "-shellcheck=", *map(str, WORKFLOWS)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout


def test_zizmor_has_nothing_to_say() -> None:
    program = binary("zizmor")
    files = [*map(str, WORKFLOWS), *map(str, ACTIONS)]
    done = subprocess.run(
        [program, "--offline", "--quiet", "--no-progress", "--config", str(OWN / "zizmor.yml"), *files],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


@every_workflow
def test_no_permission_is_given_to_a_whole_workflow(path: Path) -> None:
    document = load(path)
    assert document["permissions"] == {}
    for job in document["jobs"].values():
        assert job["permissions"]
        assert int(job["timeout-minutes"]) < 360


@pytest.mark.parametrize("path", [*WORKFLOWS, *ACTIONS], ids=lambda p: str(p.relative_to(ROOT)))
def test_actions_are_pinned_to_commits_and_expressions_never_reach_the_shell(path: Path) -> None:
    for used in re.findall(r"\buses: (.*)", path.read_text()):
        assert used.startswith("./") or re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", used)
    for one in steps(path):
        assert "${{" not in one.get("run", "")


@every_workflow
def test_a_checkout_has_the_whole_history_and_keeps_its_token_only_where_origin_is_asked(path: Path) -> None:
    for job in load(path)["jobs"].values():
        asks_origin = any(re.search(r"^(remint|git push) ", s.get("run", ""), re.MULTILINE) for s in job["steps"])
        (checkout,) = [s for s in job["steps"] if s.get("uses", "").startswith("actions/checkout@")]
        assert checkout["with"]["fetch-depth"] == "0"
        assert checkout["with"]["persist-credentials"] == str(asks_origin).lower()


@every_workflow
def test_schedules_avoid_the_full_hour_where_github_drops_them(path: Path) -> None:
    for entry in load(path)["on"].get("schedule", []):
        assert all(int(minute) % 5 for minute in entry["cron"].split()[0].split(","))


@pytest.mark.parametrize("name", ["watch", "release", "canary"])
def test_a_job_without_its_variable_is_skipped_and_not_faked(name: str) -> None:
    first = next(iter(load(TEMPLATES / "workflows" / f"{name}.yml")["jobs"].values()))
    assert re.search(r"vars\.REMINT_\w+ != ''", first["if"])


@pytest.mark.parametrize("name", ["watch", "retrain", "release", "canary"])
def test_one_pipeline_never_waits_for_or_cancels_another(name: str) -> None:
    document = load(TEMPLATES / "workflows" / f"{name}.yml")
    groups = [document.get("concurrency"), *(job.get("concurrency") for job in document["jobs"].values())]
    (group,) = [g for g in groups if g]
    assert ".directory }}" in group["group"]
    assert group.get("cancel-in-progress", "false") == "false"


def test_the_inputs_that_dispatch_sends_are_those_that_retrain_declares() -> None:
    declared = load(TEMPLATES / "workflows" / "retrain.yml")["on"]["workflow_dispatch"]["inputs"]
    assert set(declared) == {"decision", "directory", "run"}
    assert "${{ inputs.run }}" in load(TEMPLATES / "workflows" / "retrain.yml")["run-name"]  # it is found again by it
    retrain = step("retrain.yml", "Retrain")
    assert retrain["env"]["DECISION"] == "${{ inputs.decision }}"
    assert "--decision-variable DECISION" in retrain["run"]


def test_the_forge_is_talked_to_with_a_token_and_with_the_permissions_that_it_takes() -> None:
    for workflow, permissions in (
        ("watch.yml", {"contents", "actions"}),
        ("retrain.yml", {"contents", "pull-requests", "statuses"}),
    ):
        (job,) = load(TEMPLATES / "workflows" / workflow)["jobs"].values()
        assert job["permissions"] == dict.fromkeys(permissions, "write")
        talking = [s for s in job["steps"] if re.match(r"remint (dispatch|publish|retrain)", s.get("run", ""))]
        assert talking
        assert all("token" in s["env"]["GITHUB_TOKEN"] for s in talking)


@pytest.mark.parametrize("answer", ["RETRAIN", "HOLD", "INVESTIGATE", "NEED_LABELS", "INCONCLUSIVE"])
def test_the_workflow_branches_on_the_answer_and_only_investigate_fails_it(answer: str, tmp_path: Path) -> None:
    binary("jq")
    summary = "age\n::set-env name=X::broke"
    (tmp_path / "decision.json").write_text(json.dumps({"answer": answer, "summary": summary}))
    read = shell(step("watch.yml", "Read the answer")["run"], at=tmp_path)
    assert read == f"answer={answer}\n"
    for name, expected in (("Say what", 0), ("Alert", 14)):
        done = subprocess.run(
            ["bash", "-e", "-c", step("watch.yml", name)["run"]], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == expected
        assert done.stdout.count("\n") == 1  # a second line could be a command to the runner
        assert done.stdout.startswith("::")


def test_every_answer_of_the_check_has_its_place_in_watch() -> None:
    from remint.core.trigger import Answer

    named = set(re.findall(r"answer == '(\w+)'", (TEMPLATES / "workflows" / "watch.yml").read_text()))
    assert named == {answer.value for answer in Answer} - {"HOLD"}


def test_a_release_is_of_the_pipelines_whose_lock_changed(tmp_path: Path) -> None:
    binary("jq")

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    git("init", "--quiet")
    commits = []
    for number, changed in enumerate(["a", "b", "a"]):
        (tmp_path / changed).mkdir(exist_ok=True)
        (tmp_path / changed / "dvc.lock").write_text(str(number))
        git("add", "a", "b") if number else git("add", "a")
        git("commit", "--quiet", "--message", changed)
        commits.append(git("rev-parse", "HEAD").strip())
    found = step("release.yml", "Find the pipelines")
    by_hand = found["env"]["BEFORE"].split("'")[1]
    for before, expected in ((commits[1], ["a"]), (commits[0], ["a", "b"]), (by_hand, ["a", "b"]), (commits[2], [])):
        output = shell(found["run"], at=tmp_path, DIRECTORIES='["a", "b"]', BEFORE=before)
        assert json.loads(output.removeprefix("directories=")) == expected


def test_the_canary_workflow_wakes_up_only_where_a_canary_runs(tmp_path: Path) -> None:
    run = step("canary.yml", "Is there a canary?")["run"]
    assert shell(run, at=tmp_path) == ""  # no release yet
    state = tmp_path / "deploy" / "state.yaml"
    state.parent.mkdir()
    stable, canary = (f"sha256:{digit * 64}" for digit in "bc")
    calm = ReleaseState(pipeline="churn", release="r1", stable=stable, canary=None, steps=(0.1, 1.0), step=-1)
    write_state(state, calm)
    assert shell(run, at=tmp_path) == ""
    write_state(state, replace(calm, release="r2", canary=canary, step=0))
    assert shell(run, at=tmp_path) == f"canary={canary}\n"


def test_traffic_moves_before_git_hears_of_it_and_also_where_the_ledger_is_out_of_reach() -> None:
    names = [s.get("name", "") for s in steps(TEMPLATES / "workflows" / "canary.yml")]
    judged, moved, pushed = (
        next(i for i, n in enumerate(names) if n.startswith(x)) for x in ("Judge", "Move the traffic", "Push")
    )
    assert judged < moved < pushed
    assert "!cancelled()" in step("canary.yml", "Move the traffic")["if"]


def remint_calls() -> list[tuple[str, list[str]]]:
    """(workflow, arguments) of every remint call, with a value in the place of each shell expansion."""
    found = []
    for path in WORKFLOWS:
        for one in steps(path):
            run = re.sub(r"\$\{REASON:\+(.*?)\}", r"\1", one.get("run", ""))
            for text in (re.sub(r'"\$\([^)]*\)"', "value", run), *re.findall(r"\$\(([^)]*)\)", run)):
                for call in re.findall(r"^remint ([^|>&]+)", text):
                    found.append((path.stem, re.sub(r'"\$\w+"', "value", call).split()))
    return found


@pytest.mark.parametrize(
    ("workflow", "arguments"), remint_calls(), ids=lambda v: v if isinstance(v, str) else " ".join(v)
)
def test_every_remint_command_of_a_workflow_has_the_options_it_is_given(workflow: str, arguments: list[str]) -> None:
    command, *rest = arguments
    parser = CommandParser()
    importlib.import_module(f"remint.cli.{COMMANDS[command][0]}").configure(parser)
    parser.parse_args(rest)
