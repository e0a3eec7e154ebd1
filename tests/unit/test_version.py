"""Which number the evidence about a model gives it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remint.core.version import Bump, Interface, Version, bump_by_verdict
from remint.errors import UsageError


def gate(*findings: str, accepted: tuple[str, ...] = ()) -> dict[str, Any]:
    pairs = [text.split("=") for text in findings]
    return {
        "findings": [{"rule": rule, "verdict": verdict} for rule, verdict in pairs],
        "accepted": [{"rule": rule} for rule in accepted],
    }


def bump(document: dict[str, Any] | None, *, accepted: tuple[str, ...] = (), changes: tuple[str, ...] = ()) -> Bump:
    return bump_by_verdict(document, accepted=accepted, changes=changes, where="bundle").bump


PASSED = gate("gate:accuracy=pass", "guard:f1=pass")


def test_a_passed_gate_is_a_minor_and_a_changed_interface_a_major_version() -> None:
    assert bump(PASSED) is Bump.MINOR
    assert bump(PASSED, changes=("new class: maybe",)) is Bump.MAJOR


def test_an_accepted_regression_is_a_patch_wherever_the_acceptance_is_recorded() -> None:
    assert bump(gate("gate:accuracy=pass", "guard:f1=pass", accepted=("guard:f1",))) is Bump.PATCH
    assert bump(gate("gate:accuracy=pass", "guard:f1=fail"), accepted=("guard:f1",)) is Bump.PATCH
    assert bump(gate("guard:f1=fail"), accepted=("guard:f1",), changes=("column gone: age",)) is Bump.MAJOR


@pytest.mark.parametrize(
    ("document", "accepted", "says"),
    [
        (None, (), "no gate.json of this bundle"),
        (gate(), (), "looked at nothing"),
        (gate("gate:accuracy=fail"), (), r"not passed \(gate:accuracy\)"),
        (gate("gate:accuracy=fail", "guard:f1=fail"), ("guard:f1",), r"not passed \(gate:accuracy\)"),
        (gate("guard:f1=inconclusive"), ("guard:f1",), r"not passed \(guard:f1\)"),
    ],
)
def test_what_passed_no_gate_has_no_version(
    document: dict[str, Any] | None, accepted: tuple[str, ...], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        bump(document, accepted=accepted, changes=("new class: maybe",))


def interface(columns: dict[str, str], classes: list[str]) -> Interface:
    fields = [
        {"role": "feature", "column": name, "measure": "value", "edges": [0.0, 1.0] if kind == "numeric" else None}
        for name, kind in columns.items()
    ]
    prediction = {"role": "prediction", "column": "@prediction", "measure": "value", "edges": None}
    return Interface.of({"fields": [*fields, prediction]}, {"classes": classes})


def test_the_interface_is_columns_with_their_kinds_and_classes() -> None:
    old = interface({"age": "numeric", "plan": "categorical"}, ["no", "yes"])
    assert interface({"plan": "categorical", "age": "numeric"}, ["yes", "no"]).changes(old) == ()
    assert interface({"age": "categorical", "city": "categorical"}, ["no", "maybe"]).changes(old) == (
        "column gone: plan",
        "new column: city",
        "column of another kind: age",
        "class gone: yes",
        "new class: maybe",
    )


def test_versions_are_ordered_as_the_standard_says() -> None:
    rising = ["v1.0.0-alpha", "v1.0.0-alpha.1", "v1.0.0-alpha.beta", "v1.0.0-beta", "v1.0.0-beta.2", "v1.0.0-beta.11"]
    rising += ["v1.0.0-rc.1", "v1.0.0", "v1.0.1", "v1.2.0", "v1.10.0", "v2.0.0"]
    versions = [Version.parse(text) for text in rising]
    assert all(low < high for low, high in pairwise(versions))
    assert [str(version) for version in versions] == rising


PARTS = st.integers(min_value=0, max_value=20)


@given(PARTS, PARTS, PARTS, st.sampled_from(Bump))
def test_a_bump_is_always_higher(major: int, minor: int, patch: int, bump: Bump) -> None:
    version = Version(major=major, minor=minor, patch=patch)
    assert version < version.bumped(bump)
    assert Version.parse(str(version)) == version
