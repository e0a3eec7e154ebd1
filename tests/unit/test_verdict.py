"""How findings add up. Silence is never a pass."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remint.core.verdict import Finding, Verdict, overall


def finding(verdict: Verdict) -> Finding:
    return Finding(rule="gate:accuracy", verdict=verdict, reason="because")


@pytest.mark.parametrize(
    ("verdicts", "worst"),
    [
        ([], Verdict.INCONCLUSIVE),
        ([Verdict.PASS], Verdict.PASS),
        ([Verdict.PASS, Verdict.INCONCLUSIVE], Verdict.INCONCLUSIVE),
        ([Verdict.INCONCLUSIVE, Verdict.FAIL], Verdict.FAIL),
        ([Verdict.FAIL, Verdict.PASS], Verdict.FAIL),
    ],
)
def test_the_worst_finding_wins(verdicts: list[Verdict], worst: Verdict) -> None:
    assert overall(finding(v) for v in verdicts) is worst


@given(st.lists(st.sampled_from(Verdict)))
def test_only_passes_pass(verdicts: list[Verdict]) -> None:
    passes = bool(verdicts) and set(verdicts) == {Verdict.PASS}
    assert (overall(finding(v) for v in verdicts) is Verdict.PASS) == passes


def test_a_finding_survives_a_file() -> None:
    full = Finding(
        rule="drift", verdict=Verdict.FAIL, reason="moved", observed=0.3, limit=0.1, field="age", evidence={"n": 3}
    )
    for one in (full, finding(Verdict.PASS)):
        assert Finding.from_json(json.loads(json.dumps(one.to_json()))) == one


def test_an_unknown_verdict_in_a_file_is_no_verdict() -> None:
    with pytest.raises(ValueError, match="maybe"):
        Finding.from_json({**finding(Verdict.PASS).to_json(), "verdict": "maybe"})
