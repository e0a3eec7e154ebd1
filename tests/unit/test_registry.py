"""The tag grammar: which version is which commit, and which is champion."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remint.core.registry import Bump, Registry, Tag, Version, read_registry
from remint.errors import ConfigError


def registry(*tags: str) -> Registry:
    """Tags as ``name=commit``, a minute apart."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    pairs = [text.rpartition("=") for text in tags]
    return read_registry(
        "churn", [Tag(name=n, commit=c, at=start + timedelta(minutes=i)) for i, (n, _, c) in enumerate(pairs)]
    )


@pytest.mark.parametrize(
    ("tags", "champion"),
    [
        ([], None),
        (["churn@v1.0.0=a"], None),
        (["churn#stable#1=a"], "churn#stable#1"),
        (["churn#stable#2=b", "churn#stable#10=c", "churn#stable#9=a"], "churn#stable#10"),  # as numbers
        (["churn#stable#1=a", "churn#stable#2=b", "churn#stable!#3=b"], "churn#stable#1"),
        (["churn#stable#1=a", "churn#stable!#2=a"], None),
        (["churn#stable#1=a", "churn#stable!#2=a", "churn#stable#3=a"], "churn#stable#3"),
        (
            ["churn@v1.0.0=a", "churn@v1.1.0=b", "churn#stable#1=a", "churn#stable#2=b", "churn@v1.1.0!=b"],
            "churn#stable#1",
        ),
        (["churn@v1.0.0=a", "churn#stable#1=a", "churn@v1.0.0!#2=a"], None),
        (["churn#canary#5=a"], None),
        (["other#stable#9=a", "churn-2#stable#9=a", "churn#sta ble#1=a", "churn#stable#x=a", "churn=a"], None),
        (["churn#stable=a"], "churn#stable"),  # gto assign --simple
        (["churn#stable#1=a", "churn#stable=b", "churn#stable#2=c"], "churn#stable#2"),
        (["churn#stable#1=a", "churn#stable#2=c", "churn#stable=b"], "churn#stable"),
        (["churn#stable#1=a", "churn#stable#2=b", "churn#stable!=b"], "churn#stable#1"),
    ],
)
def test_the_champion_is_the_highest_standing_number(tags: list[str], champion: str | None) -> None:
    found = registry(*tags).champion()
    assert (found.tag if found else None) == champion


def test_a_champion_knows_its_version() -> None:
    known = registry("churn@v1.0.0=a", "churn@v1.1.0=a", "churn#stable#1=a")
    champion = known.champion()
    assert champion is not None
    assert (champion.version, champion.number, champion.commit) == ("v1.1.0", 1, "a")
    assert registry("churn#stable#1=a").champion().version is None  # type: ignore[union-attr]


def test_numbers_are_never_given_out_again() -> None:
    assert str(registry().next_version()) == "v0.1.0"
    known = registry("churn@v1.9.0=a", "churn@v1.10.0=b", "churn@v1.10.0!=b", "churn#stable#1=a", "churn#stable!#2=a")
    assert str(known.next_version()) == "v1.11.0"
    assert str(known.next_version(Bump.MAJOR)) == "v2.0.0"
    assert str(known.next_version(Bump.PATCH)) == "v1.10.1"
    assert known.next_number("stable") == 3
    assert known.next_number("canary") == 1
    assert known.find(Version.parse("v1.10.0")) is None


@pytest.mark.parametrize("text", ["1.0.0", "v1.0", "v01.0.0", "v1.0.0-01", "v1.0.0-", "", "latest"])
def test_what_is_no_version_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a version"):
        Version.parse(text)


NAMES = [
    *("churn@v1.0.0=a", "churn@v1.1.0=b", "churn@v1.1.0!=b", "churn#stable#1=a", "churn#stable#2=b"),
    *("churn#stable!#3=b", "churn#stable#4=a", "churn#canary#1=b", "other#stable#1=c"),
]


@given(st.permutations(NAMES))
def test_the_order_of_the_tags_does_not_matter(names: list[str]) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    tags = [Tag(name=text.split("=")[0], commit=text.split("=")[1], at=at) for text in names]
    assert read_registry("churn", tags) == read_registry("churn", sorted(tags, key=lambda tag: tag.name))
