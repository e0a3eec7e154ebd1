"""Parts of a ``params.yaml`` that every test's needs."""

from __future__ import annotations

from typing import Any

NO_DATA = {
    "no_series": "inconclusive",
    "empty": "inconclusive",
    "too_few": "inconclusive",
    "nan": "inconclusive",
    "stale": "inconclusive",
    "counter_reset": "count",
    "server_error": "inconclusive",
}


def only_age(max_age: str = "90d") -> dict[str, Any]:
    """A ``check`` section whose one rule asks no source."""
    return {"no_data": NO_DATA, "rules": {"age": {"kind": "age", "max_age": max_age}}}
