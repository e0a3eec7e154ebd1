"""Which answer follows from which rules and which past: a table of claims."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remint.core.trigger import Answer, History, RuleKind, RuleResult, RuleState, TriggerPolicy, decide

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
POLICY = TriggerPolicy(cooldown=timedelta(hours=24), min_fresh_labels=100)
QUIET_PAST = History()


def rule(kind: RuleKind, said: str) -> RuleResult:
    state = RuleState(said) if said in {"no_data", "error"} else RuleState.OK
    return RuleResult(name=kind.value, kind=kind, state=state, fired=said == "fired", reason=f"{kind.value} {said}")


def answer(
    said: dict[str, str], *, history: History = QUIET_PAST, fresh_labels: int | None = 500, now: datetime = NOW
) -> Answer:
    rules = [rule(RuleKind(kind), how) for kind, how in said.items()]
    return decide(rules, POLICY, history=history, fresh_labels=fresh_labels, now=now).answer


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, Answer.INCONCLUSIVE),
        ({"drift": "ok"}, Answer.HOLD),
        ({"drift": "fired"}, Answer.RETRAIN),
        ({"drift": "no_data"}, Answer.INCONCLUSIVE),
        ({"drift": "error"}, Answer.INCONCLUSIVE),
        ({"integrity": "fired"}, Answer.INVESTIGATE),
        ({"integrity": "fired", "drift": "fired", "accuracy": "fired", "age": "fired"}, Answer.INVESTIGATE),
        ({"integrity": "fired", "drift": "error"}, Answer.INVESTIGATE),
        ({"manual": "fired", "integrity": "fired"}, Answer.RETRAIN),
        ({"manual": "fired", "drift": "error"}, Answer.RETRAIN),
        # a dead source silences no rule that needs none
        ({"drift": "error", "age": "fired"}, Answer.RETRAIN),
        ({"drift": "error", "accuracy": "fired"}, Answer.RETRAIN),
        ({"drift": "no_data", "volume": "fired"}, Answer.RETRAIN),
        # and no rule that needs none makes a dead source look healthy
        ({"drift": "error", "age": "ok", "volume": "ok"}, Answer.INCONCLUSIVE),
        ({"drift": "no_data", "age": "ok", "volume": "ok"}, Answer.INCONCLUSIVE),
        ({"drift": "no_data", "integrity": "no_data", "accuracy": "ok"}, Answer.INCONCLUSIVE),
        ({"drift": "ok", "accuracy": "error"}, Answer.INCONCLUSIVE),
        # labels are often not there yet: that alone is no reason to be unsure
        ({"drift": "ok", "accuracy": "no_data", "wrong": "no_data"}, Answer.HOLD),
        ({"accuracy": "no_data", "age": "ok"}, Answer.INCONCLUSIVE),
        ({"age": "ok"}, Answer.HOLD),
        ({"age": "ok", "volume": "no_data"}, Answer.HOLD),
        ({"volume": "no_data"}, Answer.INCONCLUSIVE),
    ],
)
def test_the_answer_follows_from_what_the_rules_say(said: dict[str, str], expected: Answer) -> None:
    assert answer(said) is expected


@pytest.mark.parametrize("kind", ["drift", "accuracy", "wrong", "volume", "age"])
def test_each_rule_alone_fires_a_retrain(kind: str) -> None:
    assert answer({"drift": "ok", kind: "fired"}) is Answer.RETRAIN


@pytest.mark.parametrize(
    ("labels", "expected"), [(99, Answer.NEED_LABELS), (100, Answer.RETRAIN), (None, Answer.NEED_LABELS)]
)
def test_drift_without_enough_fresh_labels_asks_for_labels(labels: int | None, expected: Answer) -> None:
    assert answer({"drift": "fired"}, fresh_labels=labels) is expected


def test_accuracy_that_fell_needs_no_minimum_of_its_own() -> None:
    assert answer({"drift": "fired", "accuracy": "fired"}, fresh_labels=0) is Answer.RETRAIN


def test_within_the_cooldown_what_is_due_waits_and_after_it_no_longer() -> None:
    last = History(retrains_at=(NOW,))
    assert answer({"drift": "fired"}, history=last, now=NOW + timedelta(hours=23)) is Answer.HOLD
    assert answer({"drift": "fired"}, history=last, now=NOW + timedelta(hours=24)) is Answer.RETRAIN


def test_neither_integrity_nor_a_person_waits_for_the_cooldown() -> None:
    last = History(retrains_at=(NOW,))
    assert answer({"integrity": "fired"}, history=last) is Answer.INVESTIGATE
    assert answer({"manual": "fired"}, history=last) is Answer.RETRAIN


def test_a_running_retrain_holds_the_next_one_off_also_a_manual_one() -> None:
    running = History(running="churn-20260501T110000Z-abcdef")
    assert answer({"drift": "fired"}, history=running) is Answer.HOLD
    assert answer({"manual": "fired"}, history=running) is Answer.HOLD
    assert answer({"integrity": "fired"}, history=running) is Answer.INVESTIGATE


def test_why_it_holds_is_the_first_reason_and_what_was_silent_is_said() -> None:
    rules = [rule(RuleKind.DRIFT, "fired"), rule(RuleKind.ACCURACY, "error")]
    decision = decide(rules, POLICY, history=History(retrains_at=(NOW,)), fresh_labels=500, now=NOW)
    assert decision.answer is Answer.HOLD
    assert "cooling down" in decision.reasons[0]
    assert decision.reasons[1:] == ("drift fired", "no answer from accuracy: accuracy error")


def test_a_rule_cannot_fire_without_an_answer() -> None:
    with pytest.raises(ValueError, match="fired without an answer"):
        RuleResult(name="x", kind=RuleKind.DRIFT, state=RuleState.ERROR, fired=True, reason="")


said = st.dictionaries(st.sampled_from(list(RuleKind)), st.sampled_from(["ok", "fired", "no_data", "error"]))
pasts = st.builds(
    History,
    retrains_at=st.sampled_from([(), (NOW - timedelta(hours=1),)]),
    running=st.none() | st.just("churn-20260501T110000Z-abcdef"),
)


@given(said, pasts, st.none() | st.integers(0, 300))
def test_broken_data_never_trains_and_an_error_never_holds_by_silence(
    rules: dict[RuleKind, str], history: History, fresh_labels: int | None
) -> None:
    results = [rule(kind, how) for kind, how in rules.items()]
    found = decide(results, POLICY, history=history, fresh_labels=fresh_labels, now=NOW).answer
    fired = {kind for kind, how in rules.items() if how == "fired"}
    if RuleKind.INTEGRITY in fired and RuleKind.MANUAL not in fired:
        assert found is Answer.INVESTIGATE
    if found is Answer.RETRAIN:
        assert fired
        assert history.running is None
    if not fired and "error" in rules.values():
        assert found is Answer.INCONCLUSIVE
