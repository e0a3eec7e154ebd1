"""A decision travels as a workflow's input and arrives as it was, or not at all."""

from __future__ import annotations

import base64
import gzip
import random

import pytest

from remint.core.document import DocumentKind, seal, unseal
from remint.core.packing import MAX_CHARACTERS, pack, unpack
from remint.errors import DocumentError


def decision(columns: int) -> dict[str, object]:
    draw = random.Random(5)
    drift = [
        {"field": f"colonne-é-{i}", "psi": draw.random(), "counts": [draw.randrange(10**5) for _ in range(12)]}
        for i in range(columns)
    ]
    return seal(DocumentKind.DECISION, "churn", {"answer": "RETRAIN", "summary": 'a "b" $c `d`\n', "drift": drift})


def test_a_decision_of_two_hundred_columns_arrives_with_its_id() -> None:
    sent = decision(200)
    packed = pack(sent)
    assert len(packed) < MAX_CHARACTERS
    assert pack(sent) == packed  # the same bytes each time
    assert unseal(unpack(f" {packed}\n", where="DECISION"), DocumentKind.DECISION, pipeline="churn") == sent
    assert gzip.decompress(base64.b64decode(packed)).startswith(b'{"answer"')  # readable by hand


def test_one_that_is_too_long_is_refused_before_it_is_sent() -> None:
    with pytest.raises(DocumentError, match="characters"):
        pack(decision(2_000))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not base64 $(id)",
        base64.b64encode(b"not gzip").decode(),
        base64.b64encode(gzip.compress(b"[1]")).decode(),
        base64.b64encode(gzip.compress(b"{}")[:-4]).decode(),
        base64.b64encode(gzip.compress(b"{" + b" " * 30_000_000)).decode(),
    ],
    ids=["empty", "hostile", "not gzip", "a list", "cut off", "a bomb"],
)
def test_what_was_not_packed_is_refused(text: str) -> None:
    with pytest.raises(DocumentError, match="not a packed document"):
        unpack(text, where="DECISION")


def test_a_decision_that_was_changed_on_the_way_is_refused_by_its_id() -> None:
    changed = {**decision(1), "answer": "HOLD"}
    with pytest.raises(DocumentError, match="changed"):
        unseal(unpack(pack(changed), where="DECISION"), DocumentKind.DECISION)
