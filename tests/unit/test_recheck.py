"""A recorded gate speaks of one bundle, one champion and one set of rules."""

from __future__ import annotations

from typing import Any

import pytest

from remint.core.recheck import stale_because

GATE: dict[str, Any] = {
    "challenger": {"bundle": "sha256:new"},
    "champion": {"tag": "churn#stable#1", "version": "v1.2.0", "bundle": "sha256:old"},
    "rules_id": "sha256:rules",
    "findings": [
        {"rule": "gate:accuracy", "verdict": "pass"},
        {"rule": "guard:accuracy", "verdict": "fail"},
        {"rule": "gate:log_loss", "verdict": "no_champion"},
    ],
}
CHAMPION = GATE["champion"]
MOVED = {"tag": "churn#stable#2", "version": "v1.3.0", "bundle": "sha256:other"}


def why(gate: dict[str, Any] | None = GATE, **more: Any) -> tuple[str, ...]:
    known: dict[str, Any] = {"bundle": "sha256:new", "champion": CHAMPION, "rules_id": "sha256:rules", **more}
    return stale_because(gate, **known)


def test_a_gate_holds_while_nothing_that_it_is_about_has_changed() -> None:
    assert why() == ()
    assert why(champion={**CHAMPION, "tag": "churn#stable#9", "version": None}) == ()  # the same bundle, tagged anew


@pytest.mark.parametrize(
    ("gate", "facts", "reason"),
    [
        (None, {}, "no gate of this bundle was recorded"),
        (GATE, {"bundle": "sha256:third"}, "the recorded gate is of another bundle"),
        (GATE, {"champion": MOVED}, "the champion is now v1.3.0"),
        (GATE, {"champion": {**MOVED, "version": None}}, "the champion is now churn#stable#2"),
        (GATE, {"champion": {**MOVED, "version": None, "tag": None}}, "the champion is now sha256:other"),
        (GATE, {"champion": None}, "there is no champion any more"),
        ({**GATE, "champion": None}, {}, "the champion is now v1.2.0"),
        (GATE, {"rules_id": "sha256:stricter"}, "the rules of the gate have changed"),
        ({**GATE, "rules_id": None}, {}, "the recorded gate does not say by which rules it judged"),
        (
            {k: v for k, v in GATE.items() if k != "rules_id"},
            {},
            "the recorded gate does not say by which rules it judged",
        ),
        (GATE, {"accepted": [{"rule": "guard:accuracy", "by": "Ada"}]}, "Ada has accepted guard:accuracy"),
    ],
)
def test_it_is_stale_when(gate: dict[str, Any] | None, facts: dict[str, Any], reason: str) -> None:
    assert why(gate, **facts) == (reason,)


def test_all_that_changed_is_said() -> None:
    assert len(why(champion=MOVED, rules_id="sha256:stricter")) == 2


def test_an_acceptance_that_the_gate_knew_changes_nothing() -> None:
    assert why(accepted=[{"rule": "gate:accuracy", "by": "Ada"}]) == ()
