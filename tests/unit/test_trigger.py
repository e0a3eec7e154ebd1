"""Which answer follows from which rules and which past: a table of claims."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remint.core.condition import AllOf, AnyOf
from remint.core.trigger import (
    Answer,
    Decision,
    History,
    RuleKind,
    RuleResult,
    RuleState,
    Snooze,
    Treatment,
    TriggerPolicy,
    decide,
    remember,
)
from remint.errors import Silence

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


def test_a_brake_holds_off_every_retrain_also_a_manual_one_and_is_named() -> None:
    frozen = History(frozen="frozen by Ada since yesterday: swapped labels")
    assert answer({"drift": "fired"}, history=frozen) is Answer.HOLD
    assert answer({"manual": "fired", "drift": "ok"}, history=frozen) is Answer.HOLD
    assert answer({"integrity": "fired"}, history=frozen) is Answer.INVESTIGATE
    assert answer({"drift": "no_data"}, history=frozen) is Answer.INCONCLUSIVE, "a brake is no answer to silence"
    for said in ("fired", "ok"):
        decision = decide([rule(RuleKind.DRIFT, said)], POLICY, history=frozen, fresh_labels=500, now=NOW)
        assert decision.reasons == ("frozen by Ada since yesterday: swapped labels", f"drift {said}")
    assert "frozen by Ada" not in decision.summary, "nothing was due, so the brake held nothing off"
    running = History(frozen="frozen by Ada", running="churn-20260501T110000Z-abcdef")
    held = decide([rule(RuleKind.DRIFT, "fired")], POLICY, history=running, fresh_labels=500, now=NOW)
    assert held.summary == "Hold: frozen by Ada"


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


# -- memory ----------------------------------------------------------------------------------------------------------

HALF_DAY = timedelta(hours=12)


def test_with_for_a_rule_fires_once_its_condition_has_held_that_long() -> None:
    holding = rule(RuleKind.WRONG, "fired")
    first = remember(holding, active_since=None, hold_for=HALF_DAY, now=NOW)
    assert not first.fired
    assert first.active_since == NOW
    assert "not yet for 12 h" in first.reason
    later = NOW + HALF_DAY
    assert remember(holding, active_since=NOW, hold_for=HALF_DAY, now=later - timedelta(seconds=1)).fired is False
    assert remember(holding, active_since=NOW, hold_for=HALF_DAY, now=later).fired


def test_a_quiet_check_forgets_and_a_silent_one_neither_fires_nor_forgets() -> None:
    assert remember(rule(RuleKind.WRONG, "ok"), active_since=NOW, hold_for=None, now=NOW).active_since is None
    silent = remember(rule(RuleKind.WRONG, "no_data"), active_since=NOW, hold_for=None, now=NOW + HALF_DAY)
    assert silent.active_since == NOW
    assert not silent.fired


# -- rules joined, budgets, silence ----------------------------------------------------------------------------------

BOTH = AnyOf(("accuracy", AllOf(("drift", "confidence"))))


def joined(**said: str) -> Decision:
    """Drift rules by the names of the tree; ``accuracy`` is one on labels."""
    rules = [
        dataclasses.replace(rule(RuleKind.ACCURACY if name == "accuracy" else RuleKind.DRIFT, how), name=name)
        for name, how in said.items()
    ]
    policy = dataclasses.replace(POLICY, retrain_when=BOTH)
    return decide(rules, policy, history=QUIET_PAST, fresh_labels=500, now=NOW)


@pytest.mark.parametrize(
    ("drift", "confidence", "accuracy", "expected"),
    [
        ("fired", "fired", "ok", Answer.RETRAIN),
        ("fired", "ok", "ok", Answer.HOLD),
        ("fired", "ok", "fired", Answer.RETRAIN),
        ("fired", "error", "ok", Answer.INCONCLUSIVE),
        ("ok", "error", "fired", Answer.RETRAIN),
    ],
)
def test_only_rules_that_are_together_a_reason_retrain(
    drift: str, confidence: str, accuracy: str, expected: Answer
) -> None:
    assert joined(drift=drift, confidence=confidence, accuracy=accuracy).answer is expected


def test_a_rule_that_fired_alone_is_named_in_the_hold() -> None:
    found = joined(drift="fired", confidence="ok", accuracy="ok")
    assert found.summary == "Hold: drift fired, which alone is not check.retrain_when"
    assert found.reasons[0] == "drift fired"


def test_labels_are_needed_only_where_the_condition_rests_on_rules_that_see_none() -> None:
    rules = [rule(RuleKind.DRIFT, "fired"), rule(RuleKind.ESTIMATED_ACCURACY, "fired"), rule(RuleKind.AGE, "ok")]
    assert decide(rules, POLICY, history=QUIET_PAST, fresh_labels=0, now=NOW).answer is Answer.NEED_LABELS
    rules.append(rule(RuleKind.VOLUME, "fired"))
    assert decide(rules, POLICY, history=QUIET_PAST, fresh_labels=0, now=NOW).answer is Answer.RETRAIN


def test_the_budget_of_a_week_holds_and_says_until_when() -> None:
    policy = dataclasses.replace(POLICY, retrains_a_week=2)
    days_ago = [timedelta(days=d) for d in (9, 6, 2)]
    history = History(retrains_at=tuple(NOW - ago for ago in days_ago))
    due = [rule(RuleKind.DRIFT, "fired")]
    found = decide(due, policy, history=history, fresh_labels=500, now=NOW)
    assert found.answer is Answer.HOLD
    assert found.summary == "Hold: the budget of 2 retrains a week is spent until 2026-05-02 12:00Z"
    later = NOW + timedelta(days=1)
    assert decide(due, policy, history=history, fresh_labels=500, now=later).answer is Answer.RETRAIN


def silent(silence: Silence | None, treatment: Treatment) -> Answer:
    policy = dataclasses.replace(POLICY, no_data={silence: treatment} if silence else {})
    quiet = dataclasses.replace(rule(RuleKind.DRIFT, "no_data"), silence=silence)
    return decide([quiet, rule(RuleKind.AGE, "ok")], policy, history=QUIET_PAST, fresh_labels=500, now=NOW).answer


@pytest.mark.parametrize("silence", list(Silence))
def test_each_silence_means_what_the_policy_says(silence: Silence) -> None:
    assert silent(silence, Treatment.INCONCLUSIVE) is Answer.INCONCLUSIVE
    assert silent(silence, Treatment.QUIET) is Answer.HOLD
    assert silent(silence, Treatment.INVESTIGATE) is Answer.INVESTIGATE


def test_a_mistake_in_the_configuration_is_no_silence_that_a_policy_could_excuse() -> None:
    broken = rule(RuleKind.DRIFT, "error")
    policy = dataclasses.replace(POLICY, no_data=dict.fromkeys(Silence, Treatment.QUIET))
    found = decide([broken, rule(RuleKind.AGE, "ok")], policy, history=QUIET_PAST, fresh_labels=500, now=NOW)
    assert found.answer is Answer.INCONCLUSIVE


def test_a_signal_of_ones_own_may_ask_for_a_person() -> None:
    policy = dataclasses.replace(POLICY, investigating=frozenset({"promql"}))
    rules = [rule(RuleKind.DRIFT, "ok"), rule(RuleKind.PROMQL, "fired")]
    assert decide(rules, policy, history=QUIET_PAST, fresh_labels=500, now=NOW).answer is Answer.INVESTIGATE
    assert decide(rules, POLICY, history=QUIET_PAST, fresh_labels=500, now=NOW).answer is Answer.RETRAIN


ASLEEP = Snooze(until=NOW + timedelta(days=3), by="Ada", reason="the call centre moves", at=NOW - timedelta(days=1))


@pytest.mark.parametrize(
    ("said", "fresh_labels", "expected"),
    [
        ({"drift": "fired"}, 500, Answer.HOLD),
        ({"age": "fired"}, 500, Answer.HOLD),
        ({"drift": "fired"}, 10, Answer.NEED_LABELS),  # which trains nothing, and labels are worth having
        ({"drift": "fired", "integrity": "fired"}, 500, Answer.INVESTIGATE),
        ({"drift": "fired", "manual": "fired"}, 500, Answer.RETRAIN),
        ({"drift": "ok"}, 500, Answer.HOLD),
        ({"drift": "error"}, 500, Answer.INCONCLUSIVE),
    ],
)
def test_a_snooze_holds_off_what_the_rules_want_and_nothing_else(
    said: dict[str, str], fresh_labels: int, expected: Answer
) -> None:
    assert answer(said, history=History(snoozed=ASLEEP), fresh_labels=fresh_labels) is expected


def test_a_snooze_is_named_with_who_until_and_why() -> None:
    rules = [rule(RuleKind.DRIFT, "fired")]
    found = decide(rules, POLICY, history=History(snoozed=ASLEEP), fresh_labels=500, now=NOW)
    assert found.summary == "Hold: snoozed until 2026-05-04 12:00Z by Ada: the call centre moves"
    assert found.reasons == (str(ASLEEP), "drift fired")


def test_a_snooze_that_is_over_does_nothing() -> None:
    history = History(snoozed=ASLEEP)
    assert answer({"drift": "fired"}, history=history, now=ASLEEP.until) is Answer.RETRAIN
    assert answer({"drift": "fired"}, history=history, now=ASLEEP.until - timedelta(seconds=1)) is Answer.HOLD
