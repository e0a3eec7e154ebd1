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
from workflow_files import NAMES, template

OWN = ROOT / ".github"
TEMPLATES = ROOT / "src" / "remint" / "templates" / "github"
CALLERS = TEMPLATES.with_name("github-reusable") / "workflows"
FULL = sorted([*(OWN / "workflows").glob("*.yml"), *(TEMPLATES / "workflows").glob("*.yml")])
WORKFLOWS = [*FULL, *sorted(CALLERS.glob("*.yml"))]
ACTIONS = sorted([*(OWN / "actions").glob("*/action.yml"), *(TEMPLATES / "actions").glob("*/action.yml")])

every_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: f"{p.parts[-3]}-{p.stem}")
every_full_workflow = pytest.mark.parametrize("path", FULL, ids=lambda p: f"{p.parts[-3]}-{p.stem}")
every_caller = pytest.mark.parametrize("path", sorted(CALLERS.glob("*.yml")), ids=lambda p: p.stem)
#: What a person, a branch or a fork may write; `touch PWNED` is what must not happen.
HOSTILE = "\"; touch PWNED; $(touch PWNED) `touch PWNED`\n' && touch PWNED; rm -rf . #"


def load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load(path.read_text(), yaml.BaseLoader)
    return loaded


def steps(path: Path) -> Iterator[dict[str, Any]]:
    document = load(path)
    for job in document.get("jobs", {"": document.get("runs", {})}).values():
        yield from job.get("steps", [])


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


@pytest.mark.parametrize("name", [*NAMES, "ci"])
def test_what_init_copies_is_remints_own_workflow_without_what_a_caller_needs(name: str) -> None:
    """Else: python tests/workflow_files.py"""
    assert (TEMPLATES / "workflows" / f"{name}.yml").read_text() == template(name)


def test_both_deploy_alike() -> None:
    action = "actions/deploy/action.yml"
    assert (OWN / action).read_text() == (TEMPLATES / action).read_text()


def test_a_copied_workflow_has_nothing_that_a_gitea_does_not_read() -> None:
    """Below a trigger it takes lists and words: a map but in ``workflow_dispatch`` makes it ignore the file."""
    for path in (TEMPLATES / "workflows").glob("*.yml"):
        on = load(path)["on"]
        for name, more in on.items():
            if name not in {"workflow_dispatch", "schedule"} and isinstance(more, dict):
                assert not any(isinstance(value, dict) for value in more.values()), f"{path.name}: {name}"
        assert all(one.get("continue-on-error", "true") == "true" for one in steps(path)), "no expression there"


def test_the_two_setups_differ_in_where_remint_comes_from_and_in_nothing_else() -> None:
    own, template = (list(steps(base / "actions" / "setup" / "action.yml")) for base in (OWN, TEMPLATES))
    (differs,) = [(a, b) for a, b in zip(own, template, strict=True) if a != b]
    assert differs[0]["name"] == differs[1]["name"] == "Install"
    assert differs[0]["env"]["REMINT_SOURCE"].startswith("${{ github.action_path }}/../../..")
    assert (OWN / "actions" / "setup" / "../../..").resolve() == ROOT  # what that names has Remint's pyproject.toml


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
        assert "uses" in job or int(job["timeout-minutes"]) < 360


# -- called from another repository ------------------------------------------------------------------------------------


def called(path: Path) -> Path:
    (job,) = load(path)["jobs"].values()
    found = re.fullmatch(r"acme/remint/\.github/workflows/([a-z]+\.yml)@0{40}", job["uses"])
    assert found
    return OWN / "workflows" / found[1]


def test_each_workflow_that_init_writes_has_its_caller() -> None:
    assert {p.name for p in CALLERS.glob("*.yml")} == {p.name for p in (TEMPLATES / "workflows").glob("*.yml")}


@every_caller
def test_a_caller_is_started_by_what_starts_the_full_workflow(path: Path) -> None:
    full = load(TEMPLATES / "workflows" / path.name)
    assert load(path)["on"] == full["on"]
    assert load(path)["name"] == full["name"]  # report.yml waits for ci by its name
    assert load(path).get("run-name") == full.get("run-name")  # dispatch finds its run by it


@every_caller
def test_a_caller_hands_on_every_input_and_secret_and_no_more(path: Path) -> None:
    (job,) = load(path)["jobs"].values()
    call = load(called(path))["on"]["workflow_call"]
    declared = set(call["inputs"]) - {"remint-repository", "remint-ref"}
    assert job.get("with", {}) == {name: f"${{{{ inputs.{name} }}}}" for name in declared}
    assert job.get("secrets", {}) == {name: f"${{{{ secrets.{name} }}}}" for name in call.get("secrets", {})}
    used = set(re.findall(r"secrets\.([A-Z_]+)", called(path).read_text()))
    assert used == set(call.get("secrets", {}))


@every_caller
def test_a_caller_gives_the_permissions_that_the_called_jobs_ask_for_together(path: Path) -> None:
    (job,) = load(path)["jobs"].values()
    wanted: dict[str, str] = {}
    for asked in load(called(path))["jobs"].values():
        for name, level in asked["permissions"].items():
            wanted[name] = "write" if "write" in (level, wanted.get(name)) else level
    assert job["permissions"] == wanted


@every_full_workflow
def test_remints_actions_come_from_where_the_workflow_is(path: Path) -> None:
    is_copied = path.is_relative_to(TEMPLATES)
    place = "./.github/actions/" if is_copied else "./.git/remint/.github/actions/"
    for job in load(path)["jobs"].values():
        used = [s["uses"] for s in job["steps"] if s.get("uses", "").startswith("./")]
        assert all(u.startswith(place) for u in used)
        second = [s["with"] for s in job["steps"] if s.get("with", {}).get("path") == ".git/remint"]
        assert len(second) == (bool(used) and not is_copied)
        for one in second:
            assert one == {
                "repository": "${{ inputs.remint-repository || job.workflow_repository || github.repository }}",
                "ref": "${{ inputs.remint-ref || job.workflow_sha || github.sha }}",
                "path": ".git/remint",
                "persist-credentials": "false",
            }


# -- careful -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*WORKFLOWS, *ACTIONS], ids=lambda p: str(p.relative_to(ROOT)))
def test_actions_are_pinned_to_commits_and_expressions_never_reach_the_shell(path: Path) -> None:
    for used in re.findall(r"\buses: (.*)", path.read_text()):
        assert used.startswith("./") or re.fullmatch(r"[\w-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", used)
    for one in steps(path):
        assert "${{" not in one.get("run", "")


@every_full_workflow
def test_a_checkout_has_the_whole_history_and_keeps_its_token_only_where_origin_is_asked(path: Path) -> None:
    for job in load(path)["jobs"].values():
        asks_origin = any(re.search(r"(^|\n|&& )(remint|git push) ", s.get("run", "")) for s in job["steps"])
        asks_origin &= path.stem != "report"  # the forge's API is all that it asks
        checkout, *_ = [s for s in job["steps"] if s.get("uses", "").startswith("actions/checkout@")]
        assert checkout["with"]["fetch-depth"] == "0"
        assert checkout["with"]["persist-credentials"] == str(asks_origin).lower()


def test_a_forks_run_gets_no_secret_but_the_read_only_one_and_its_report_runs_nothing_of_the_fork() -> None:
    report = (TEMPLATES / "workflows" / "report.yml").read_text()
    assert "secrets." not in report
    (job,) = load(TEMPLATES / "workflows" / "report.yml")["jobs"].values()
    assert job["permissions"] == {"contents": "read", "actions": "read", "pull-requests": "write"}
    for one in steps(TEMPLATES / "workflows" / "report.yml"):
        if one.get("uses", "").startswith("actions/checkout@"):
            assert "head" not in one["with"].get("ref", "")
    assert "pull_request_target" not in "".join(path.read_text() for path in WORKFLOWS)


@pytest.mark.parametrize(
    ("artifacts", "there"),
    [
        ([{"name": "documents-0", "size_in_bytes": 4_000}], "true"),
        ([{"name": "documents-0", "size_in_bytes": 400_000_000}], "false"),
        ([], "false"),
    ],
)
def test_documents_that_are_too_large_are_not_fetched(
    artifacts: list[dict[str, Any]], there: str, tmp_path: Path
) -> None:
    jq = binary("jq")
    expression = re.search(r"--jq '([^']+)'", step("report.yml", "Are there documents")["run"])
    assert expression
    done = subprocess.run(
        [jq, "--raw-output", expression[1]], input=json.dumps({"artifacts": artifacts}), capture_output=True, text=True
    )
    assert done.stdout == f"there={there}\n"


def every_step_with_words_from_outside() -> list[tuple[str, str]]:
    """(workflow, step) of each command that gets an input or an event's field by its environment."""
    found = []
    for path in sorted((TEMPLATES / "workflows").glob("*.yml")):
        for one in steps(path):
            values = " ".join(one.get("env", {}).values())
            if "run" in one and re.search(r"inputs\.|github\.event\.|matrix\.|outputs\.", values):
                found.append((path.name, one["name"]))
    return found


@pytest.mark.parametrize(("workflow", "name"), every_step_with_words_from_outside())
def test_a_hostile_text_in_an_input_is_never_run(workflow: str, name: str, tmp_path: Path) -> None:
    """Each such step's own shell, every variable hostile; the programs that it calls do nothing but end."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for program in ("remint", "docker", "helm", "gh", "jq", "git", "tee"):
        (programs / program).write_text("#!/bin/sh\ncat > /dev/null\n")
        (programs / program).chmod(0o755)
    place = tmp_path / "place"
    place.mkdir()
    one = step(workflow, name)
    environment = {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        "GITHUB_WORKSPACE": str(place),
        "GITHUB_REPOSITORY": "acme/models",
        "GITHUB_ACTOR": HOSTILE,
        "GITHUB_REF_NAME": HOSTILE,
        "IMAGE": HOSTILE,
        **dict.fromkeys(one["env"], HOSTILE),
    }
    subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", one["run"]],
        cwd=place,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    assert not list(tmp_path.rglob("PWNED"))


@every_workflow
def test_schedules_avoid_the_full_hour_where_github_drops_them(path: Path) -> None:
    for entry in load(path)["on"].get("schedule", []):
        assert all(int(minute) % 5 for minute in entry["cron"].split()[0].split(","))


@pytest.mark.parametrize("name", ["watch", "release", "canary"])
def test_a_job_without_its_variable_is_skipped_and_not_faked(name: str) -> None:
    first = next(iter(load(TEMPLATES / "workflows" / f"{name}.yml")["jobs"].values()))
    assert re.search(r"vars\.REMINT_\w+ != ''", first["if"])


@pytest.mark.parametrize("name", ["watch", "retrain", "release", "canary", "promote"])
def test_one_pipeline_never_waits_for_or_cancels_another(name: str) -> None:
    document = load(TEMPLATES / "workflows" / f"{name}.yml")
    groups = [group for job in document["jobs"].values() if (group := job.get("concurrency"))]
    assert groups
    assert "concurrency" not in document  # a caller's would be the same group, and wait for itself
    for group in groups:
        assert ".directory" in group["group"]
        assert group.get("cancel-in-progress", "false") == "false"


def test_no_command_in_a_comment_is_lost_to_a_newer_one() -> None:
    document = load(TEMPLATES / "workflows" / "command.yml")  # a group keeps one that waits, and drops the others
    assert "concurrency" not in document
    assert not any("concurrency" in job for job in document["jobs"].values())


def test_the_inputs_that_dispatch_sends_are_those_that_retrain_declares() -> None:
    on = load(TEMPLATES / "workflows" / "retrain.yml")["on"]
    assert set(on["workflow_dispatch"]["inputs"]) == {"decision", "directory", "run", "reason"}
    assert on["repository_dispatch"]["types"] == ["remint-retrain"]
    assert "inputs.run ||" in load(TEMPLATES / "workflows" / "retrain.yml")["run-name"]  # it is found again by it
    retrain = step("retrain.yml", "Retrain")
    assert retrain["env"]["DECISION"] == "${{ inputs.decision || github.event.client_payload.decision }}"
    assert "--decision-variable=DECISION" in retrain["env"]["GIVEN"]


@pytest.mark.parametrize("path", [TEMPLATES / "workflows" / f"{name}.yml" for name in ("retrain", "promote", "watch")])
def test_a_dispatch_has_no_more_inputs_than_every_github_takes(path: Path) -> None:
    assert len(load(path)["on"]["workflow_dispatch"]["inputs"]) <= 10


def test_the_forge_is_talked_to_with_a_token_and_with_the_permissions_that_it_takes() -> None:
    for workflow, name, permissions in (
        ("watch.yml", "check", {"contents", "actions"}),
        ("watch.yml", "recheck", {"contents", "pull-requests", "statuses"}),
        ("retrain.yml", "retrain", {"contents", "pull-requests", "statuses"}),
        ("command.yml", "command", {"contents", "pull-requests", "statuses", "actions"}),
    ):
        job = load(TEMPLATES / "workflows" / workflow)["jobs"][name]
        assert job["permissions"] == dict.fromkeys(permissions, "write")
        commands = r"remint (dispatch|publish|retrain|recheck|command)"
        talking = [s for s in job["steps"] if re.match(commands, s.get("run", ""))]
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
    binary("jq")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    run = step("canary.yml", "Is there a canary?")["run"]

    def running() -> list[dict[str, str]]:
        subprocess.run(["git", "add", "--all"], cwd=tmp_path, check=True)
        found: list[dict[str, str]] = json.loads(
            shell(run, at=tmp_path, DIRECTORIES='["a", "b"]').removeprefix("canaries=")
        )
        return found

    for directory in ("a", "b"):
        (tmp_path / directory / "deploy" / "staging").mkdir(parents=True)
        (tmp_path / directory / "params.yaml").write_text("canary:\n  steps: [0.1]\n")
    assert running() == []  # no release yet
    stable, canary = (f"sha256:{digit * 64}" for digit in "bc")
    calm = ReleaseState(pipeline="churn", release="r1", stable=stable, canary=None, steps=(0.1, 1.0), step=-1)
    write_state(tmp_path / "a" / "deploy" / "state.yaml", calm)
    assert running() == []
    write_state(
        tmp_path / "b" / "deploy" / "staging" / "state.yaml", replace(calm, release="r2", canary=canary, step=0)
    )
    assert running() == [{"directory": "b", "state": "deploy/staging/state.yaml"}]


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
    for path in FULL:
        for one in steps(path):
            run = re.sub(r"\$\{(?:REASON|VERSION):\+(.*?)\}", r"\1", one.get("run", ""))
            run = (
                run.replace('"$COMMENT_ID"', "7")
                .replace('"$VERSION"', "v1.2.3")
                .replace('"$GIVEN"', "--decision-variable=DECISION")
            )
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
