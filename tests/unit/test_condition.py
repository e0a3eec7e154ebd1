"""Rules joined by any and all, with three-valued truth."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remint.core.condition import AllOf, AnyOf, Condition, holds, names, parse_condition

PARSED = AnyOf(("age", AllOf(("drift", "confidence"))))


def test_a_tree_of_names_is_parsed_and_named_in_order() -> None:
    parsed = parse_condition({"any": ["age", {"all": ["drift", "confidence"]}]})
    assert parsed == PARSED
    assert list(names(parsed)) == ["age", "drift", "confidence"]


@pytest.mark.parametrize(
    "value", [{}, {"any": []}, {"some": ["a"]}, {"any": "a"}, {"any": ["a"], "all": ["b"]}, 3, ["a"]]
)
def test_what_is_no_condition_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="is not a rule's name"):
        parse_condition(value)


@pytest.mark.parametrize(
    ("age", "drift", "confidence", "expected"),
    [
        (True, None, None, True),
        (False, True, True, True),
        (False, True, False, False),
        (False, None, False, False),
        (False, None, True, None),
        (None, False, None, None),
        (None, True, True, True),
    ],
)
def test_silence_matters_only_where_it_could_change_the_answer(
    age: bool | None, drift: bool | None, confidence: bool | None, expected: bool | None
) -> None:
    assert holds(PARSED, {"age": age, "drift": drift, "confidence": confidence}) is expected


conditions = st.recursive(
    st.sampled_from("abc"),
    lambda inner: (
        st.builds(AnyOf, st.lists(inner, min_size=1, max_size=3).map(tuple))
        | st.builds(AllOf, st.lists(inner, min_size=1, max_size=3).map(tuple))
    ),
    max_leaves=8,
)


@given(conditions, st.fixed_dictionaries({name: st.sampled_from([True, False, None]) for name in "abc"}))
def test_a_known_answer_does_not_depend_on_what_silent_rules_would_have_said(
    condition: Condition, truth: dict[str, bool | None]
) -> None:
    found = holds(condition, truth)
    filled = [{n: v if v is not None else fill for n, v in truth.items()} for fill in (True, False)]
    if found is not None:
        assert [holds(condition, each) for each in filled] == [found, found]
