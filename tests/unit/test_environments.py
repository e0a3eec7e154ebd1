"""Environments: what params.yaml may declare, and what counts as having passed one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from remint.config import parse_params
from remint.core.environments import DEFAULT, Environment, Environments, require_passed, serve
from remint.core.ledger import LedgerEntry, LedgerEvent
from remint.core.registry import Registry, Tag, read_registry
from remint.core.release import ReleaseState
from remint.errors import ConfigError, UsageError

GOOD = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())
START = datetime(2026, 3, 1, tzinfo=UTC)
A, B = (f"sha256:{letter * 64}" for letter in "ab")
STAGING = Environment(name="staging", stage="staging", state="deploy/staging.yaml")


def registry(*tags: str) -> Registry:
    pairs = [text.rpartition("=") for text in tags]
    return read_registry(
        "churn", [Tag(name=n, commit=c, at=START + timedelta(minutes=i)) for i, (n, _, c) in enumerate(pairs)]
    )


def entry(event: LedgerEvent, **data: Any) -> LedgerEntry:
    return LedgerEntry(at=START, event=event, run_id="churn-20260301T000000Z-123456", data=data)


def rolled_back(commit: str, number: int, environment: str = "staging") -> LedgerEntry:
    left = {"version": "v1.1.0", "commit": commit}
    data = {"action": "rollback", "environment": environment, "number": number, "from": left, "reason": "slow"}
    return entry(LedgerEvent.ENVIRONMENT, **data)


def params(environments: Any, **more: Any) -> Any:
    return parse_params(yaml.safe_dump({**GOOD, "environments": environments, **more}, sort_keys=False))


TWO = {
    "staging": {"stage": "staging", "state": "deploy/staging/state.yaml"},
    "prod": {"stage": "stable", "state": "deploy/state.yaml", "after": "staging", "approval": "review"},
}


def test_without_a_declaration_there_is_one_as_it_always_was() -> None:
    places = parse_params(yaml.safe_dump(GOOD)).places
    assert places.all == (DEFAULT,)
    assert (DEFAULT.stage, DEFAULT.state) == ("stable", "deploy/state.yaml")
    assert places.find(None) is places.champion is DEFAULT


def test_declared_environments_are_found_by_name_only() -> None:
    places = params(TWO).places
    assert [e.name for e in places.all] == ["staging", "prod"]
    assert places.champion.name == "prod"
    with pytest.raises(UsageError, match=r"which environment.*staging, prod"):
        places.find(None)
    with pytest.raises(UsageError, match="did you mean 'staging'"):
        places.find("stagin")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"prod": {**TWO["prod"], "stage": "live"}}, "none has the stage 'stable'"),
        ({"prod": {**TWO["prod"], "state": "deploy/staging/state.yaml"}}, "two environments have the state"),
        ({"qa": {"stage": "staging", "state": "x.yaml"}}, "two environments have the stage 'staging'"),
        ({"prod": {**TWO["prod"], "after": "qa"}}, "prod comes after 'qa', which is not declared"),
        ({"staging": {**TWO["staging"], "after": "prod"}}, "comes after itself"),
        ({"prod": {**TWO["prod"], "approval": "maybe"}}, "environments.prod.approval"),
        ({"prod": {**TWO["prod"], "aproval": "none"}}, "did you mean 'approval'"),
        ({"prod": {**TWO["prod"], "state": "../x.yaml"}}, "not a file inside"),
        ({"prod": {**TWO["prod"], "state": "/x.yaml"}}, "not a file inside"),
        ({"prod": {**TWO["prod"], "stage": "a b"}}, "not a stage"),
    ],
)
def test_what_cannot_be_declared(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        params({**TWO, **changes})


@pytest.mark.parametrize(
    ("policy", "says"), [({"bump": "by_mood"}, "registry.version.bump"), ({"first": "1.0"}, "'1.0' is not a version")]
)
def test_the_version_policy_is_closed(policy: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        params({}, registry={"version": policy})
    assert str(params({}, registry={"version": {"first": "v1.0.0"}}).registry.version.first) == "v1.0.0"


def test_what_stood_there_has_passed_also_when_something_else_stands_there_now() -> None:
    known = registry("churn@v1.0.0=a", "churn#staging#1=a", "churn#staging#2=b")
    for commit, tag in (("a", "churn#staging#1"), ("b", "churn#staging#2")):
        assert require_passed(STAGING, known, [], commit=commit, bundle=A).tag == tag


@pytest.mark.parametrize(
    ("tags", "entries", "says"),
    [
        (["churn#stable#1=a"], [], "was never there"),
        (["churn#staging#1=a", "churn#staging!#2=a"], [], "was taken back"),
        (["churn#staging#1=a", "churn#staging#2=b"], [rolled_back("a", 2)], "was rolled back there: slow"),
    ],
)
def test_what_was_never_there_or_was_taken_back_has_not(tags: list[str], entries: list[LedgerEntry], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        require_passed(STAGING, registry(*tags), entries, commit="a", bundle=A)


def test_a_rollback_counts_until_the_model_is_put_there_again_and_only_there() -> None:
    tags = ["churn#staging#1=b", "churn#staging#2=a", "churn#staging#3=b"]
    elsewhere = [rolled_back("a", 3, environment="prod")]
    assert require_passed(STAGING, registry(*tags), elsewhere, commit="a", bundle=A).tag == "churn#staging#2"
    again = registry(*tags, "churn#staging#4=a")
    assert require_passed(STAGING, again, [rolled_back("a", 3)], commit="a", bundle=A).tag == "churn#staging#4"


def test_with_a_canary_only_a_promotion_by_a_verdict_counts() -> None:
    known, staging = registry("churn#staging#1=a"), replace(STAGING, canary=True)
    by_hand = entry(LedgerEvent.CANARY, action="promote", environment="staging", stable=A, verdict=None)
    other = entry(LedgerEvent.CANARY, action="promote", environment="staging", stable=B, verdict="sha256:v")
    elsewhere = entry(LedgerEvent.CANARY, action="promote", stable=A, verdict="sha256:v")
    with pytest.raises(UsageError, match="without a verdict"):
        require_passed(staging, known, [by_hand, other, elsewhere], commit="a", bundle=A)
    judged = entry(LedgerEvent.CANARY, action="promote", environment="staging", stable=A, verdict="sha256:v")
    assert require_passed(staging, known, [by_hand, judged], commit="a", bundle=A).verdict == "sha256:v"


def test_another_bundle_serves_in_a_release_of_its_own() -> None:
    first = serve(None, A, pipeline="churn", steps=(0.5, 1.0))
    assert (first.release, first.stable, first.canary) == ("r1", A, None)
    assert serve(first, A, pipeline="churn", steps=(0.1, 1.0)) == first
    assert serve(first, B, pipeline="churn", steps=(0.5, 1.0)).release == "r2"
    trying = ReleaseState(pipeline="churn", release="r2", stable=A, canary=B, steps=(0.5, 1.0), step=0)
    ended = serve(trying, A, pipeline="churn", steps=(0.5, 1.0))
    assert (ended.release, ended.canary, ended.step) == ("r2", None, -1)


def test_entries_from_before_any_was_declared_are_the_champions() -> None:
    places = Environments.of([STAGING, replace(DEFAULT, name="live", declared=True)])
    promoted = entry(LedgerEvent.CANARY, action="promote", stable=A, verdict="sha256:v")
    live = replace(places.champion, canary=True)
    assert require_passed(live, registry("churn#stable#1=a"), [promoted], commit="a", bundle=A).verdict == "sha256:v"
