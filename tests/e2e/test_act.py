"""The workflow files under act: what events start that a Gitea does not know, and that a hostile text stays a text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from act_lab import ActLab, Ran

HOSTILE = "\"; touch PWNED; $(touch PWNED) `touch PWNED`\n' && touch PWNED #${{ secrets.REMINT_TOKEN }}"
WATCHED = {"REMINT_STORE_URL": "sqlite:////srv/remint.db"}
RELEASED = {"REMINT_IMAGE": "registry.example.org/acme/models", "REMINT_NAMESPACE": "ml", "REMINT_CHART": "helm/remint"}


@pytest.fixture
def lab(tmp_path: Path) -> ActLab:
    return ActLab(tmp_path)


def unharmed(lab: ActLab) -> None:
    assert not list(lab.root.rglob("PWNED"))


def good(ran: Ran) -> Ran:
    assert ran.code == 0, ran.log[-6000:]
    return ran


def answer(word: str) -> str:
    return json.dumps({"answer": word, "summary": "because"})


def test_the_schedule_asks_each_pipeline_and_starts_the_retrain_of_the_one_that_needs_it(lab: ActLab) -> None:
    answers = {"remint check": {"text": {"churn": answer("RETRAIN"), "fraud": answer("HOLD")}}}
    ran = good(lab.start("schedule", "watch.yml", {}, answers=answers, variables={**WATCHED, **RELEASED}))
    assert sorted(c.at for c in ran.of("remint") if c.words[0] == "check") == ["churn", "fraud"]
    (started,) = [c for c in ran.of("remint") if c.words[:2] == ["dispatch", "--decision"]]
    assert started.at == "churn"
    assert sorted(c.at for c in ran.of("remint") if c.words == ["dispatch", "--release"]) == ["churn", "fraud"]
    assert sorted(c.at for c in ran.of("remint") if c.words == ["recheck", "--pull-request"]) == ["churn", "fraud"]


def test_without_a_source_of_evidence_nothing_is_watched(lab: ActLab) -> None:
    assert not good(lab.start("schedule", "watch.yml", {})).of("remint")


def test_a_reason_is_one_word_of_the_command_whatever_is_in_it(lab: ActLab) -> None:
    answers = {"remint check": {"text": answer("HOLD")}}
    payload = {"inputs": {"reason": HOSTILE}, "ref": 'refs/heads/a";touch${IFS}PWNED;"$(touch${IFS}PWNED)'}
    ran = good(lab.start("workflow_dispatch", "watch.yml", payload, answers=answers, variables=WATCHED))
    for call in (c for c in ran.of("remint") if c.words[0] == "check"):
        assert call.words == ["check", "--output", "decision.json", "--retrain", "--reason", HOSTILE]
    unharmed(lab)


def test_a_repository_dispatch_carries_its_decision_to_the_retrain(lab: ActLab) -> None:
    payload = {"client_payload": {"decision": "H4sI$(touch PWNED)", "directory": "fraud", "run": "fraud-1"}}
    ran = good(lab.start("repository_dispatch", "retrain.yml", payload, secrets=["REMINT_TOKEN"]))
    retrain, publish = ran.of("remint")
    assert retrain.words == ["retrain", "--decision-variable=DECISION", "--output-dir", ".remint/runs/this"]
    assert retrain.environment["DECISION"] == "H4sI$(touch PWNED)"
    assert retrain.environment["GITHUB_TOKEN"] == "the-REMINT_TOKEN"
    assert retrain.at == "fraud"
    assert publish.words == ["publish", "--run", ".remint/runs/this", "--base", "main"]
    unharmed(lab)


def test_a_person_retrains_with_a_reason_and_without_a_decision(lab: ActLab) -> None:
    payload = {"inputs": {"reason": HOSTILE, "directory": "churn", "decision": "", "run": ""}}
    ran = good(lab.start("workflow_dispatch", "retrain.yml", payload))
    check, retrain, _ = ran.of("remint")
    assert check.words == ["check", "--output", "decision.json", "--retrain", "--reason", HOSTILE]
    assert retrain.words[:2] == ["retrain", "--decision=decision.json"]
    unharmed(lab)


def comment(body: str, *, pull: bool = True) -> dict[str, Any]:
    issue: dict[str, Any] = {"number": 7}
    if pull:
        issue["pull_request"] = {"url": "https://api.github.com/repos/acme/models/pulls/7"}
    return {"action": "created", "issue": issue, "comment": {"id": 4242, "body": body}}


def test_a_comment_with_a_slash_reaches_the_command_by_its_number_alone(lab: ActLab) -> None:
    ran = good(lab.start("issue_comment", "command.yml", comment(f"/retrain {HOSTILE}")))
    assert ran.lines("remint") == ["remint command --comment 4242"] * 2
    assert {call.at for call in ran.of("remint")} == {"churn", "fraud"}
    unharmed(lab)


@pytest.mark.parametrize("payload", [comment("looks good"), comment("/retrain", pull=False)], ids=["talk", "issue"])
def test_other_comments_start_nothing(lab: ActLab, payload: dict[str, Any]) -> None:
    assert good(lab.start("issue_comment", "command.yml", payload)).calls == []


def ended(repository: str, event: str = "pull_request") -> dict[str, Any]:
    head = {"id": 99, "event": event, "head_sha": "a" * 40, "head_branch": HOSTILE}
    return {"action": "completed", "workflow_run": {**head, "head_repository": {"full_name": repository}}}


def test_a_forks_documents_become_a_comment_and_none_of_its_code_is_fetched(lab: ActLab) -> None:
    answers = {"gh api": {"text": "there=true\n"}}
    ran = good(lab.start("workflow_run", "report.yml", ended("mallory/models"), answers=answers))
    assert [call.words[2] for call in ran.of("download-artifact")] == ["run-id=99"] * 2
    for call in ran.of("remint"):
        assert call.words == ["fork-report", "--documents", call.words[2], "--commit", "a" * 40]
        assert call.words[2].endswith("/.git/documents")
    assert len(ran.of("remint")) == 2
    unharmed(lab)


def test_no_documents_no_comment(lab: ActLab) -> None:
    ran = good(
        lab.start("workflow_run", "report.yml", ended("mallory/models"), answers={"gh": {"text": "there=false\n"}})
    )
    assert {call.program for call in ran.calls} == {"gh"}


@pytest.mark.parametrize("payload", [ended("acme/models"), ended("mallory/models", "push")], ids=["own", "push"])
def test_runs_that_are_no_forks_pull_request_start_no_report(lab: ActLab, payload: dict[str, Any]) -> None:
    assert good(lab.start("workflow_run", "report.yml", payload)).calls == []


def pull(*, fork: bool) -> dict[str, Any]:
    head = {"ref": HOSTILE, "sha": "a" * 40, "repo": {"fork": fork}}
    return {"action": "synchronize", "number": 7, "pull_request": {"number": 7, "head": head, "base": {"ref": "main"}}}


def test_a_pull_request_of_the_repository_is_gated_pipeline_by_pipeline(lab: ActLab) -> None:
    ran = good(lab.start("pull_request", "ci.yml", pull(fork=False)))
    assert sorted(ran.lines("dvc")) == ["dvc pull"] * 2 + ["dvc status --quiet"] * 2
    gates = [call for call in ran.of("remint") if call.words[0] == "gate"]
    assert sorted(call.at for call in gates) == ["churn", "fraud"]
    assert not ran.of("upload-artifact")
    unharmed(lab)


def test_a_fork_without_the_data_is_red_and_told_why(lab: ActLab) -> None:
    ran = lab.start("pull_request", "ci.yml", pull(fork=True), answers={"dvc pull": {"exit": 1}})
    assert ran.code != 0
    assert "A fork gets no secrets" in ran.log
    assert not [call for call in ran.of("remint") if call.words[0] == "gate"]


def test_a_fork_with_public_data_is_gated_and_hands_its_documents_on(lab: ActLab) -> None:
    answers = {"remint gate": {"text": "{}"}}
    ran = good(lab.start("pull_request", "ci.yml", pull(fork=True), answers=answers))
    # act leaves strategy.job-index empty; on GitHub the names end in it
    assert {call.words[0] for call in ran.of("upload-artifact")} == {"name=documents-"}
    assert sorted(call.words[1] for call in ran.of("upload-artifact")) == [
        "path=churn/gate.json",
        "path=fraud/gate.json",
    ]


DIGEST = "sha256:" + "d" * 64
PLAN = {
    "pipeline": "churn",
    "version": "v1.4.0",
    "image": [{"bundle": "sha256:1", "commit": "c1"}, {"bundle": "sha256:2", "commit": "c2"}],
    "environments": [
        {
            "name": "staging",
            "stage": "staging",
            "state": "deploy/staging/state.yaml",
            "release": "r2",
            "action": "start",
        },
        {"name": "prod", "stage": "stable", "state": "deploy/state.yaml", "release": None, "action": "waits"},
    ],
}


def test_a_release_goes_by_the_plan_and_deploys_by_digest(lab: ActLab) -> None:
    (lab.repo / "churn" / "dvc.lock").write_text("new")
    before = lab.git("rev-parse", "HEAD")
    lab.publish("acme/models", lab.repo)
    answers = {
        "remint release": {"text": json.dumps(PLAN)},
        "remint bundle labels": {"text": "dev.remint.version=v1.4.0\ndev.remint.run=a b\n"},
        "docker inspect": {"text": f"digest={DIGEST}\n"},
    }
    secrets = ["REMINT_KUBECONFIG"]
    ran = good(
        lab.start("push", "release.yml", {"before": before}, answers=answers, variables=RELEASED, secrets=secrets)
    )
    assert {call.at for call in ran.of("remint")} == {"churn"}  # the other one's lock is what it was
    assert ran.lines("remint") == [
        "remint release --plan --output plan.json",
        "remint bundle export --bundles bundles --rev c1",
        "remint bundle export --bundles bundles --rev c2",
        "remint bundle labels --rev HEAD",
        "remint release --output release.json",
    ]
    (build,) = [call for call in ran.of("docker") if call.words[0] == "build"]
    assert "--label=dev.remint.run=a b" in build.words
    assert f"{RELEASED['REMINT_IMAGE']}:churn-v1.4.0" in build.words
    upgrade, test = ran.of("helm")
    assert upgrade.words[:4] == ["upgrade", "--install", "churn-staging", "helm/remint"]
    assert f"image.repository={RELEASED['REMINT_IMAGE']},image.digest={DIGEST}" in upgrade.words
    assert "state=deploy/staging/state.yaml" in upgrade.words
    assert test.words[:2] == ["test", "churn-staging"]


def test_a_gate_that_fails_again_ends_the_release_before_anything_is_built(lab: ActLab) -> None:
    ran = lab.start(
        "workflow_dispatch", "release.yml", {}, answers={"remint release": {"exit": 11}}, variables=RELEASED
    )
    assert ran.code != 0
    assert not ran.of("docker")


def test_a_promotion_takes_hostile_words_as_words_and_deploys_what_the_version_was_built_as(lab: ActLab) -> None:
    inputs = {"environment": "prod", "version": HOSTILE, "reason": HOSTILE, "directory": "churn"}
    promoted = {"environment": "prod", "stage": "stable", "state_file": "deploy/state.yaml", "version": "v1.4.0"}
    answers = {
        "remint registry promote": {"text": json.dumps(promoted)},
        "docker inspect": {"text": f"digest={DIGEST}\n"},
    }
    ran = good(
        lab.start(
            *("workflow_dispatch", "promote.yml", {"inputs": inputs}),
            answers=answers,
            variables=RELEASED,
            secrets=["REMINT_KUBECONFIG"],
        )
    )
    promote, recheck = ran.of("remint")
    assert promote.words[2:8] == ["--environment", "prod", "--version", HOSTILE, "--reason", HOSTILE]
    assert promote.words[8:10] == ["--by", "ada"]
    assert recheck.words == ["recheck", "--pull-request"]
    assert f"docker pull --quiet {RELEASED['REMINT_IMAGE']}:churn-v1.4.0" in ran.lines("docker")
    assert ran.of("helm")[0].words[:3] == ["upgrade", "--install", "churn"]
    unharmed(lab)


@pytest.mark.parametrize(("said", "rechecks"), [("PROMOTE", 1), ("HOLD", 0)])
def test_a_canary_is_judged_where_it_runs_and_its_promotion_looks_at_the_open_gate(
    lab: ActLab, said: str, rechecks: int
) -> None:
    state = lab.repo / "fraud" / "deploy" / "staging" / "state.yaml"
    state.parent.mkdir(parents=True)
    state.write_text(f"canary: sha256:{'c' * 64}\n")
    lab.publish("acme/models", lab.repo)
    shown = {"name": "staging", "stage": "staging", "state_file": "deploy/staging/state.yaml"}
    other = {"name": "prod", "stage": "stable", "state_file": "deploy/state.yaml"}
    answers = {
        "remint registry show": {"text": json.dumps({"pipeline": "fraud", "environments": [other, shown]})},
        "remint canary step": {"text": answer(said)},
    }
    variables = {**RELEASED, "REMINT_PROMETHEUS_URL": "http://127.0.0.1:9090"}
    ran = good(
        lab.start("schedule", "canary.yml", {}, answers=answers, variables=variables, secrets=["REMINT_KUBECONFIG"])
    )
    assert {call.at for call in ran.of("remint")} == {"fraud"}
    assert "remint canary step --environment staging --source prometheus --output verdict.json" in ran.lines("remint")
    (upgrade,) = ran.of("helm")
    assert upgrade.words[:2] == ["upgrade", "fraud-staging"]
    assert "--reset-then-reuse-values" in upgrade.words
    assert ran.lines("remint").count("remint recheck --pull-request") == rechecks


def test_a_canary_that_is_rolled_back_is_red_after_the_traffic_has_moved(lab: ActLab) -> None:
    state = lab.repo / "churn" / "deploy" / "state.yaml"
    state.parent.mkdir(parents=True)
    state.write_text(f"canary: sha256:{'c' * 64}\n")
    lab.publish("acme/models", lab.repo)
    shown = {"name": "prod", "stage": "stable", "state_file": "deploy/state.yaml"}
    answers = {
        "remint registry show": {"text": json.dumps({"pipeline": "churn", "environments": [shown]})},
        "remint canary step": {"text": answer("ROLLBACK")},
    }
    variables = {**RELEASED, "REMINT_PROMETHEUS_URL": "http://127.0.0.1:9090"}
    ran = lab.start("schedule", "canary.yml", {}, answers=answers, variables=variables, secrets=["REMINT_KUBECONFIG"])
    assert ran.code != 0
    assert ran.of("helm")[0].words[:2] == ["upgrade", "churn"]


# -- the same files, called from another repository --------------------------------------------------------------------


def test_called_from_another_repository_they_bring_their_own_actions_and_their_own_remint(
    tmp_path: Path,
) -> None:
    lab = ActLab(tmp_path, flavour="github-reusable")
    answers = {"remint check": {"text": answer("RETRAIN")}}
    payload = {"inputs": {"reason": HOSTILE}}
    ran = good(lab.start("workflow_dispatch", "watch.yml", payload, answers=answers, variables=WATCHED))
    installs = ran.of("python")
    assert installs
    for call in installs:  # what came with the called workflow, and not what an index has
        assert call.words[:3] == ["-m", "pip", "install"]
        assert call.words[3].endswith(".git/remint/.github/actions/setup/../../..")
    checks = [call for call in ran.of("remint") if call.words[0] == "check"]
    assert {call.at for call in checks} == {"churn", "fraud"}
    assert all(call.words[-1] == HOSTILE for call in checks)
    assert len([call for call in ran.of("remint") if call.words[:2] == ["dispatch", "--decision"]]) == 2
    unharmed(lab)


def test_a_called_retrain_gets_the_secrets_that_the_caller_names(tmp_path: Path) -> None:
    lab = ActLab(tmp_path, flavour="github-reusable")
    payload = {"client_payload": {"decision": "H4sI", "directory": "churn", "run": "churn-1"}}
    ran = good(lab.start("repository_dispatch", "retrain.yml", payload, secrets=["REMINT_TOKEN"]))
    retrain = ran.of("remint")[0]
    assert retrain.environment["DECISION"] == "H4sI"
    assert retrain.environment["GITHUB_TOKEN"] == "the-REMINT_TOKEN"


@pytest.mark.parametrize("workflow", ["command.yml", "report.yml"])
def test_called_workflows_see_the_event_of_their_caller(tmp_path: Path, workflow: str) -> None:
    lab = ActLab(tmp_path, flavour="github-reusable")
    event, payload, said = {
        "command.yml": ("issue_comment", comment("/retrain"), "command"),
        "report.yml": ("workflow_run", ended("mallory/models"), "fork-report"),
    }[workflow]
    ran = good(lab.start(event, workflow, payload, answers={"gh": {"text": "there=true\n"}}))
    assert [call.words[0] for call in ran.of("remint")] == [said] * 2
