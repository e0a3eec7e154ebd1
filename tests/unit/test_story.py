"""What belongs to a run's story, and how it reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from remint.core.ledger import LedgerEntry, LedgerEvent
from remint.core.registry import Tag, read_registry
from remint.core.trace import Commit, Story, suggestion, tell

START = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
RUN, OTHER, CANARY = (f"churn-20261121T0{n}0000Z-1a2b3c" for n in (4, 5, 6))
BUNDLE = "sha256:b"


def entry(event: LedgerEvent, hours: float, *, run_id: str = RUN, **data: Any) -> LedgerEntry:
    return LedgerEntry(at=START + timedelta(hours=hours), event=event, run_id=run_id, data=data)


ENTRIES = [
    entry(LedgerEvent.DECISION, 0, summary="Retrain: 150\nnew labels", answer="RETRAIN"),
    entry(LedgerEvent.RETRAIN_STARTED, 1, base="0" * 40, answer="RETRAIN"),
    entry(LedgerEvent.DECISION, 1.5, run_id=OTHER, summary="Hold: a retrain is running", answer="HOLD"),
    entry(LedgerEvent.RETRAIN_FINISHED, 2, outcome="published", commit="c1", bundle=BUNDLE, gate={"verdict": "pass"}),
    entry(LedgerEvent.CANARY, 4, run_id=CANARY, action="start", release="r2", canary=BUNDLE, stable="sha256:a"),
    entry(LedgerEvent.CANARY, 5, run_id=OTHER, action="start", release="r3", canary="sha256:z", stable=BUNDLE),
]
COMMIT = Commit(
    id="c1",
    at=START,
    subject="Retrain churn",
    author="Remint",
    run_id=RUN,
    bundle=BUNDLE,
    in_head=True,
    merged_as="c2",
    merged_at=START + timedelta(hours=3),
)
REGISTRY = read_registry(
    "churn",
    [
        Tag(name="churn@v0.2.0", commit="c2", at=START + timedelta(hours=3.5)),
        Tag(name="churn#stable#2", commit="c2", at=START + timedelta(hours=6)),
        Tag(name="churn@v0.1.0", commit="c0", at=START - timedelta(days=1)),
    ],
)


def story(run_id: str = RUN) -> Story | None:
    bundle_at = {"c2": BUNDLE, "c0": "sha256:a"}
    return tell(run_id, ENTRIES, [COMMIT], REGISTRY, bundle_at, files=["report.md"])


def test_the_story_goes_from_the_decision_to_the_champion_in_the_order_of_what_happened() -> None:
    found = story()
    assert found is not None
    assert [moment.what for moment in found.moments] == [
        "decision",
        "retrain_started",
        "commit",  # dated as the decision, made when the retrain ended
        "retrain_finished",
        "merge",
        "version",
        "canary",
        "stage",
    ]
    lines = {moment.what: moment.line for moment in found.moments}
    assert lines["decision"] == "Retrain: 150 new labels"
    assert lines["retrain_finished"] == "published, the gate says pass"
    assert lines["stage"] == "became stable, which it is now"
    assert found.bundles == (BUNDLE,)


def test_a_canarys_run_leads_to_the_retrain_that_made_its_model_and_back() -> None:
    found = story(CANARY)
    assert found is not None
    assert {moment.run_id for moment in found.moments} == {CANARY, RUN, None}
    assert "version" in [moment.what for moment in found.moments]


def test_a_model_that_only_served_beside_another_is_not_of_its_story() -> None:
    found = story(OTHER)
    assert found is not None
    assert [moment.what for moment in found.moments] == ["decision", "canary"]


def test_an_unknown_run_is_answered_with_the_nearest_or_the_newest() -> None:
    assert story("churn-20261121T040000Z-ffffff") is None
    assert suggestion("churn-20261121T040000Z-1a2b3d", ENTRIES) == f"did you mean {RUN}?"
    assert suggestion("nonsense", ENTRIES) == f"the newest: {OTHER}, {RUN}"


@pytest.mark.parametrize("event", list(LedgerEvent))
def test_an_entry_that_says_little_is_still_told(event: LedgerEvent) -> None:
    found = tell(RUN, [entry(event, 0)], [], read_registry("churn", []), {})
    assert found is not None
    assert found.moments[0].line
    assert found.to_json()["moments"][0]["at"] == "2026-11-21T04:00:00.000000Z"
