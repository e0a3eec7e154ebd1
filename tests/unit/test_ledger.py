"""The ledger's lines, and the questions that are answered from them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remint.core.document import format_time
from remint.core.ledger import (
    CheckMemory,
    LedgerEntry,
    LedgerEvent,
    acceptances,
    check_memory,
    freezes,
    frozen,
    is_run_id,
    last_snooze,
    new_run_id,
    parse_ledger,
    refuse_frozen,
    running_retrain,
    settled,
)
from remint.errors import DocumentError, FrozenError

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
RUN = "churn-20261121T040000Z-1a2b3c"
OTHER = "churn-20261121T050000Z-4d5e6f"


def entry(event: LedgerEvent, *, hours_ago: float = 1, run_id: str = RUN, **data: Any) -> LedgerEntry:
    return LedgerEntry(at=NOW - timedelta(hours=hours_ago), event=event, run_id=run_id, data=data)


def started(**more: Any) -> LedgerEntry:
    return entry(LedgerEvent.RETRAIN_STARTED, decision="sha256:d", **more)


def finished(outcome: str, **more: Any) -> LedgerEntry:
    return entry(LedgerEvent.RETRAIN_FINISHED, decision="sha256:d", outcome=outcome, **more)


@given(
    st.lists(
        st.builds(
            LedgerEntry,
            at=st.integers(0, 10**15).map(lambda n: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(microseconds=n)),
            event=st.sampled_from(LedgerEvent),
            run_id=st.just(RUN),
            data=st.dictionaries(st.text(), st.one_of(st.none(), st.text(), st.integers(-(2**53), 2**53))),
        ),
        max_size=5,
    )
)
def test_what_is_written_is_read(entries: list[LedgerEntry]) -> None:
    text = "".join(e.to_line() for e in entries)
    assert list(parse_ledger(text)) == entries
    assert text.count("\n") == len(entries)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"schema":"remint/ledger/1.0"', "ledger.jsonl:1: not JSON"),
        ("[]", "not a ledger entry"),
        (started().to_line().replace("retrain_started", "retrain_startd"), "did you mean 'retrain_started'"),
        (started().to_line().replace("ledger/1.0", "ledger/2.0"), "install the Remint that wrote it"),
        (started().to_line().replace("Z", ""), "time zone"),
    ],
)
def test_a_line_that_cannot_be_read_is_an_error_that_names_it(line: str, words: str) -> None:
    with pytest.raises(DocumentError, match=r"ledger\.jsonl:1") as caught:
        parse_ledger(line)
    assert words in str(caught.value)


def test_a_retrain_runs_from_its_start_to_its_end_or_its_timeout() -> None:
    day = timedelta(hours=6)
    assert running_retrain([], now=NOW, timeout=day) is None
    assert running_retrain([started()], now=NOW, timeout=day) == started()
    assert running_retrain([started(hours_ago=6)], now=NOW, timeout=day) is None
    for outcome in ("published", "unchanged", "failed"):
        assert running_retrain([started(), finished(outcome)], now=NOW, timeout=day) is None
    other = started(run_id=OTHER)
    assert running_retrain([other, started(), finished("published")], now=NOW, timeout=day) == other


def test_a_failed_retrain_does_not_settle_its_decision() -> None:
    assert settled([finished("failed")], "sha256:d") is None
    for outcome in ("published", "unchanged"):
        assert settled([finished("failed"), finished(outcome)], "sha256:d") == finished(outcome)
    assert settled([finished("published")], "sha256:other") is None


def decided(answer: str, *, hours_ago: float, run_id: str = RUN, **data: object) -> LedgerEntry:
    facts = {"answer": answer, "reference": "sha256:r", "alpha": 0.001, "active": {}, **data}
    return LedgerEntry(at=NOW - timedelta(hours=hours_ago), event=LedgerEvent.DECISION, run_id=run_id, data=facts)


def memory(*entries: LedgerEntry) -> CheckMemory:
    return check_memory(entries, reference="sha256:r", now=NOW, timeout=timedelta(hours=6))


def test_the_cooldown_counts_from_a_retrains_end_and_from_its_decision_where_it_failed() -> None:
    asked = decided("RETRAIN", hours_ago=3)
    assert memory(asked).history.retrains_at == (NOW - timedelta(hours=3),)
    assert memory(asked, finished("failed")).history.retrains_at == (NOW - timedelta(hours=3),)
    assert memory(asked, finished("published")).history.retrains_at == (NOW - timedelta(hours=1),)
    assert memory(decided("HOLD", hours_ago=3)).history.retrains_at == ()


def test_what_a_check_remembers_is_of_this_champion_only() -> None:
    since = format_time(NOW - timedelta(hours=5))
    entries = [decided("HOLD", hours_ago=2, active={"wrong": since}), decided("HOLD", hours_ago=1, active={})]
    assert memory(*entries[:1]).active == {"wrong": NOW - timedelta(hours=5)}
    assert memory(*entries).active == {}
    assert memory(*entries).spent_alpha == pytest.approx(0.002)
    other = decided("HOLD", hours_ago=0, reference="sha256:other", active={"wrong": since})
    assert memory(*entries, other).active == {}
    assert memory(*entries, other).spent_alpha == pytest.approx(0.002)


def test_the_brake_is_on_until_it_is_released_and_then_all_of_it() -> None:
    ada = entry(LedgerEvent.FREEZE, hours_ago=3, by="Ada", reason="swapped labels")
    kim = entry(LedgerEvent.FREEZE, hours_ago=2, by="Kim", reason="audit", run_id=OTHER)
    released = entry(LedgerEvent.UNFREEZE, hours_ago=1, by="Ada", reason="repaired")
    assert frozen([]) is None
    brake = frozen([ada, kim])
    assert (brake and brake.by, len(freezes([ada, kim]))) == ("Kim", 2)
    assert str(brake) == "frozen by Kim since 2026-11-21T10:00:00.000000Z: audit"
    assert frozen([ada, kim, released]) is None
    again = frozen([ada, released, kim])
    assert again is not None
    refuse_frozen([ada, released], what="retrain")
    with pytest.raises(FrozenError, match=r"no retrain: frozen by Ada since .*: swapped labels"):
        refuse_frozen([ada], what="retrain")
    assert memory(ada).history.frozen == "frozen by Ada since 2026-11-21T09:00:00.000000Z: swapped labels"
    assert memory(ada, released).history.frozen is None


def test_a_brake_without_a_name_is_still_a_brake() -> None:
    assert str(frozen([entry(LedgerEvent.FREEZE)])).startswith("frozen by unknown since ")


def test_an_unknown_outcome_is_an_error() -> None:
    with pytest.raises(DocumentError, match="unknown outcome 'publishd'"):
        settled([finished("publishd")], "sha256:d")


def test_an_acceptance_counts_for_its_own_run_alone() -> None:
    accepted = {"rule": "guard:accuracy", "reason": "the world changed", "by": "kim", "bundle": "sha256:a"}
    entries = [entry(LedgerEvent.ACCEPTANCE, **accepted), entry(LedgerEvent.ACCEPTANCE, run_id=OTHER, **accepted)]
    assert acceptances(entries, RUN) == [{**accepted, "at": "2026-11-21T11:00:00.000000Z"}]


def test_run_ids_are_safe_as_directory_names() -> None:
    assert new_run_id("churn", NOW, "1a2b3c4d") == "churn-20261121T120000Z-1a2b3c"
    assert is_run_id(RUN)
    assert not any(
        is_run_id(text) for text in ("", "../churn-20261121T120000Z-1a2b3c", "churn", f"{RUN}/x", f"{RUN}\n")
    )
    with pytest.raises(ValueError, match="not a run id"):
        new_run_id("churn", NOW, "xyz")


def test_the_last_snooze_counts_a_shorter_one_too() -> None:
    def snooze(by: str, days: int, hours_ago: float) -> LedgerEntry:
        until = format_time(NOW + timedelta(days=days))
        return entry(LedgerEvent.SNOOZE, hours_ago=hours_ago, until=until, by=by, reason="why")

    entries = [snooze("ann", 14, 3), started(), snooze("bob", 1, 2)]
    found = last_snooze(entries)
    assert found is not None
    assert (found.by, found.until, found.at) == ("bob", NOW + timedelta(days=1), NOW - timedelta(hours=2))
    memory = check_memory(entries, reference="sha256:r", now=NOW, timeout=timedelta(hours=6))
    assert memory.history.snoozed == found
    assert last_snooze([started()]) is None
    with pytest.raises(DocumentError):
        last_snooze([entry(LedgerEvent.SNOOZE, by="ann", reason="why")])
