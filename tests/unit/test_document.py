"""Envelope, content ids, times: what makes a file a contract."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remint.core.document import (
    DocumentKind,
    canonical_json,
    content_id,
    finite,
    format_time,
    is_slug,
    parse_time,
    seal,
    unseal,
)
from remint.errors import DocumentError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_an_id_survives_a_file(value: object) -> None:
    assert content_id(json.loads(json.dumps(value))) == content_id(value)


def test_an_id_depends_on_the_content_and_not_on_the_order_of_keys() -> None:
    assert content_id({"a": 1, "b": 2}) == content_id({"b": 2, "a": 1})
    assert content_id({"a": 1}) != content_id({"a": 2})
    assert content_id({}) == "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"  # of "{}"


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_are_not_json(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"a": [number]})
    assert finite(number) is None
    assert finite(0.5) == 0.5


def test_sealed_is_unsealed() -> None:
    document = seal(DocumentKind.RUN, "shop", {"x": 1}, parents=["sha256:aa"])
    assert document["schema"] == "remint/run/1.1"
    assert document["parents"] == ["sha256:aa"]
    assert unseal(document, DocumentKind.RUN, pipeline="shop") == document


@pytest.mark.parametrize(
    ("given_document", "message"),
    [
        (None, "not a JSON object"),
        ([], "not a JSON object"),
        ({}, "schema is None"),
        ({"schema": "remint/gate/1.0"}, "expected remint/run/1.x"),
        ({"schema": "remint/run/1"}, "expected remint/run/1.x"),
        ({"schema": "remint/run/1.7"}, "content does not give its id"),
        ({**seal(DocumentKind.RUN, "shop", {"x": 1}), "x": 2}, "content does not give its id"),
    ],
)
def test_what_is_no_such_document_is_refused_with_its_place(given_document: object, message: str) -> None:
    with pytest.raises(DocumentError, match=message) as refused:
        unseal(given_document, DocumentKind.RUN, where="run.json")
    assert str(refused.value).startswith("run.json: ")


def test_another_pipelines_document_is_refused() -> None:
    with pytest.raises(DocumentError, match="belongs to pipeline 'shop', not 'bank'"):
        unseal(seal(DocumentKind.RUN, "shop", {}), DocumentKind.RUN, pipeline="bank")


@pytest.mark.parametrize("text", ["ab", "churn", "churn-eu2", "a1-b2-c3", "x" * 40])
def test_slugs(text: str) -> None:
    assert is_slug(text)


@pytest.mark.parametrize(
    "text", ["", "a", "Churn", "churn_eu", "-churn", "churn-", "a--b", "1a", "a.b", "x" * 41, "ab\n"]
)
def test_not_slugs(text: str) -> None:
    assert not is_slug(text)


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))])))
def test_times_survive_a_file(at: datetime) -> None:
    try:
        text = format_time(at)
    except OverflowError:
        return  # year 1 east of Greenwich has no UTC
    if at.astimezone(UTC).year >= 1000:  # strftime does not pad the year everywhere
        assert parse_time(text) == at
        assert text.endswith("Z")


def test_a_time_without_zone_is_a_bug_here_and_an_error_in_a_file() -> None:
    with pytest.raises(ValueError, match="without a zone"):
        format_time(datetime(2026, 1, 1))  # noqa: DTZ001 - that is the point
    with pytest.raises(DocumentError, match="has no time zone"):
        parse_time("2026-01-01T00:00:00")


@pytest.mark.parametrize("text", ["yesterday", "", None, 5, "2026-13-01T00:00:00Z"])
def test_what_is_no_time_is_refused(text: object) -> None:
    with pytest.raises(DocumentError, match="is not an RFC 3339 time"):
        parse_time(text, where="until")  # type: ignore[arg-type]
